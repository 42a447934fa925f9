"""Waiting for one's turn together with others, and with a Redis that forgets, fills up or goes away."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import cast

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from structlog.testing import capture_logs

from models.lifecycle import Lane
from worker.embedded.processes import free_port
from worker.embedded.valkey import Valkey
from worker.limits import GRACE_SECONDS, LONGEST_WAIT_SECONDS, LOOK_AGAIN_SECONDS, Limit, Rank, poll_turn, post_turn

NEVER = 0.001  # requests per second
GRANTS = 40
INTERVAL_MICROSECONDS = 4_000


class Clock:
    at = 0.0

    def __call__(self) -> float:
        return self.at


class NoSleep(Event):
    """Whoever waits for it goes on at once."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return self.is_set()


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    """One that a test may hurt."""
    own = Valkey(tmp_path / "redis")
    own.start()
    yield own
    own.stop()


def connected(server: Valkey) -> redis.Redis:
    return redis.Redis.from_url(server.url, retry=Retry(NoBackoff(), 0))


def want(rank: Rank | None) -> Callable[[], Rank | None]:
    return lambda: rank


def keys(client: redis.Redis) -> set[str]:
    return {key.decode() for key in cast("list[bytes]", client.keys())}


def test_a_limit_holds_over_several_clients_and_ranks(client: redis.Redis, redis_url: str) -> None:
    limits = [Limit(redis.Redis.from_url(redis_url), "limit", 250, Event()) for _ in range(2)]

    before = microseconds(client)
    with ThreadPoolExecutor(4) as pool:
        granted = list(pool.map(lambda number: limits[number % 2].wait(want(Rank(number % 4))), range(GRANTS)))
    after = microseconds(client)

    assert all(granted)
    assert after - before >= (GRANTS - 1) * INTERVAL_MICROSECONDS


def test_limits_of_different_names_do_not_wait_for_each_other(client: redis.Redis) -> None:
    stopping = Event()

    limits = [Limit(client, name, NEVER, stopping) for name in ("one", "other")]

    assert [limit.wait(want(Rank.POLL)) for limit in limits] == [True, True]


def test_all_that_a_limit_keeps_goes_by_itself_and_stands_under_its_name(client: redis.Redis) -> None:
    limit = Limit(client, "limit", 2, Event(), otp_share=0.5)

    for number, rank in enumerate([Rank.BULK, *Rank]):
        limit.ask(f"waiter {number}", rank)

    assert keys(client) == {"limit", "limit:posts", "limit:otp", "limit:normal", "limit:bulk"}
    assert all(0 < int(client.pttl(key)) <= 2_500 for key in keys(client))


def test_the_rank_is_asked_anew_before_each_try(client: redis.Redis) -> None:
    limit = Limit(client, "limit", NEVER, NoSleep())
    limit.wait(want(Rank.POLL))
    ranks = iter([Rank.BULK, Rank.OTP, None])

    got = limit.wait(lambda: next(ranks))

    assert not got
    assert not list(ranks)


def test_whoever_wants_nothing_takes_no_turn(client: redis.Redis) -> None:
    got = Limit(client, "limit", NEVER, Event()).wait(want(None))

    assert not got
    assert not keys(client)


def test_whoever_wants_nothing_any_more_holds_nobody_up(client: redis.Redis) -> None:
    limit = Limit(client, "limit", NEVER, NoSleep())
    limit.wait(want(Rank.POLL))
    marked: list[set[str]] = []

    def nothing_any_more() -> Rank | None:
        marked.append(keys(client))
        return Rank.OTP if len(marked) == 1 else None

    limit.wait(nothing_any_more)

    assert marked == [{"limit"}, {"limit", "limit:otp"}]
    assert keys(client) == {"limit"}


def test_a_stop_ends_the_wait(client: redis.Redis) -> None:
    stopping, waits = Event(), Event()
    limit = Limit(client, "limit", NEVER, stopping)
    limit.wait(want(Rank.OTP))

    def wants_bulk() -> Rank:
        waits.set()
        return Rank.BULK

    with ThreadPoolExecutor(1) as pool:
        turn = pool.submit(limit.wait, wants_bulk)
        waits.wait()
        stopping.set()

    assert turn.result() is False


def test_no_turn_comes_once_the_worker_is_to_stop(client: redis.Redis) -> None:
    stopping = Event()
    stopping.set()
    limits = [Limit(client, "limit", NEVER, stopping)]

    assert not poll_turn(limits, stopping)()
    assert not post_turn(limits, stopping)(lambda: Lane.OTP)
    assert not keys(client)


def test_without_a_limit_it_is_always_ones_turn() -> None:
    assert poll_turn([], Event())()
    assert post_turn([], Event())(lambda: Lane.OTP)


@pytest.mark.parametrize("lane", Lane)
def test_a_post_waits_in_the_rank_of_its_lane(client: redis.Redis, lane: Lane) -> None:
    stopping = Event()
    limits = [Limit(client, "limit", NEVER, stopping)]
    poll_turn(limits, stopping)()

    def best_lane() -> Lane:
        stopping.set()
        return lane

    got = post_turn(limits, stopping)(best_lane)

    assert not got
    assert keys(client) == {"limit", f"limit:{lane}"}


def test_a_post_for_which_there_is_no_lane_any_more_takes_no_turn(client: redis.Redis) -> None:
    stopping = Event()

    assert not post_turn([Limit(client, "limit", NEVER, stopping)], stopping)(lambda: None)
    assert not keys(client)


def test_a_question_takes_a_turn_at_each_limit(client: redis.Redis) -> None:
    stopping = Event()

    got = poll_turn([Limit(client, name, NEVER, stopping) for name in ("polls", "both")], stopping)()

    assert got
    assert keys(client) == {"polls", "both"}


def test_a_redis_that_forgot_everything_is_told_anew(server: Valkey) -> None:
    limit = Limit(connected(server), "limit", NEVER, Event())
    limit.ask("one", Rank.OTP)

    connected(server).script_flush()
    waits = limit.ask("other", Rank.OTP)
    connected(server).flushall()
    forgotten = limit.ask("other", Rank.OTP)

    assert waits == LONGEST_WAIT_SECONDS
    assert forgotten == 0


def test_a_full_redis_still_tells_whose_turn_it_is(server: Valkey) -> None:
    limit = Limit(connected(server), "limit", NEVER, Event())
    connected(server).config_set("maxmemory", 1)

    with capture_logs() as logs:
        waits = [limit.ask("one", Rank.OTP), limit.ask("other", Rank.BULK)]

    assert waits == [0, LONGEST_WAIT_SECONDS]
    assert not logs


@pytest.mark.parametrize("key", ["limit", "limit:posts"])
def test_a_clock_that_was_set_back_stops_nobody_for_longer_than_an_interval(client: redis.Redis, key: str) -> None:
    limit = Limit(client, "limit", 2, Event(), otp_share=0.5)
    client.set(key, microseconds(client) + 3_600_000_000)

    limit.ask("one", Rank.BULK)

    assert int(cast("bytes", client.get(key))) <= microseconds(client) + 1_500_000


def test_a_mark_from_before_the_clock_was_set_back_stops_nobody(client: redis.Redis) -> None:
    client.zadd("limit:otp", {"dead": microseconds(client) + 3_600_000_000})

    assert Limit(client, "limit", NEVER, Event()).ask("one", Rank.POLL) == 0


def test_a_mark_stands_a_little_longer_than_its_wait(client: redis.Redis) -> None:
    limit = Limit(client, "limit", NEVER, Event())
    limit.ask("one", Rank.OTP)
    before = microseconds(client)
    limit.ask("other", Rank.OTP)
    after = microseconds(client)

    [(_, until)] = cast("list[tuple[bytes, float]]", client.zrange("limit:otp", 0, -1, withscores=True))
    longest = (LONGEST_WAIT_SECONDS + GRACE_SECONDS) * 1e6
    assert before + longest <= until <= after + longest


@pytest.mark.parametrize("away", [True, False], ids=["redis is away", "there is no redis"])
def test_without_redis_a_limit_of_the_same_rate_ranks_and_share_stands_in(*, away: bool) -> None:
    gone = redis.Redis(host="127.0.0.1", port=free_port(), retry=Retry(NoBackoff(), 0))
    clock = Clock()
    limit = Limit(gone if away else None, "limit", 2, Event(), otp_share=0.75, monotonic=clock)

    first = [limit.ask(str(rank), rank) for rank in (Rank.BULK, Rank.POLL, Rank.OTP)]
    clock.at += 0.5
    second = [limit.ask(str(rank), rank) for rank in (Rank.BULK, Rank.POLL, Rank.OTP)]

    assert first == [0, 0.5, 0.5]
    assert second == [1.0, GRACE_SECONDS, 0]


def test_it_is_told_once_that_redis_is_away_and_once_that_it_is_back(server: Valkey) -> None:
    clock = Clock()
    limit = Limit(connected(server), "limit", NEVER, Event(), monotonic=clock)
    server.kill()

    with capture_logs() as logs:
        for _ in range(5):
            limit.ask("one", Rank.OTP)
            clock.at += LOOK_AGAIN_SECONDS
        server.start()
        for _ in range(5):
            limit.ask("one", Rank.OTP)
            clock.at += LOOK_AGAIN_SECONDS

    assert [(line["event"], line["limit"]) for line in logs] == [
        ("limit_is_local", "limit"),
        ("limit_is_shared_again", "limit"),
    ]
    assert [line["log_level"] for line in logs] == ["warning", "info"]


def test_a_redis_that_is_away_is_not_looked_for_at_every_try(server: Valkey) -> None:
    clock = Clock()
    limit = Limit(connected(server), "limit", NEVER, Event(), monotonic=clock)
    server.kill()
    limit.ask("one", Rank.OTP)
    server.start()

    limit.ask("other", Rank.OTP)
    too_early = keys(connected(server))
    clock.at += LOOK_AGAIN_SECONDS
    limit.ask("other", Rank.OTP)

    assert not too_early
    assert keys(connected(server)) == {"limit", "limit:posts"}


def microseconds(server: redis.Redis) -> int:
    """Redis' own clock."""
    seconds, rest = server.time()
    return int(seconds) * 1_000_000 + int(rest)
