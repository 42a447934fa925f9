"""A turnstile never loses a ring, and a limit holds for all who share it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.embedded.processes import free_port
from worker.limits import Limit, turn
from worker.turnstile import LONGEST_SECONDS, Turnstile


class Room:
    """Work that comes in while others are inside; it remembers how many were inside at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting = 0
        self.done = 0
        self.inside = 0
        self.most = 0

    def put(self) -> None:
        with self.lock:
            self.waiting += 1

    def step(self) -> bool:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            found = self.waiting > 0
            self.waiting -= found
            self.done += found
        with self.lock:
            self.inside -= 1
        return found


@pytest.mark.parametrize("width", [1, 2, 8])
def test_a_ring_while_it_is_full_is_never_lost(width: int) -> None:
    turnstile, room = Turnstile(width, Event()), Room()

    def ring(_: int) -> None:
        room.put()
        turnstile.run(room.step)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ring, range(3_000)))

    assert (room.done, room.waiting) == (3_000, 0)
    assert room.most <= width


def test_those_inside_look_once_more_when_somebody_rang() -> None:
    turnstile = Turnstile(1, Event())
    steps: list[str] = []

    def outer() -> bool:
        steps.append("looks")
        if len(steps) == 1:
            turnstile.run(inner)
        return False

    def inner() -> bool:
        steps.append("never")
        return False

    turnstile.run(outer)

    assert steps == ["looks", "looks"]


def test_a_step_that_raises_leaves_its_place() -> None:
    turnstile = Turnstile(1, Event())

    with pytest.raises(ZeroDivisionError):
        turnstile.run(lambda: bool(1 / 0))

    room = Room()
    room.put()
    turnstile.run(room.step)
    assert room.done == 1


def test_nothing_is_begun_once_it_is_to_stop() -> None:
    stopping = Event()
    turnstile = Turnstile(1, stopping)
    steps: list[int] = []

    def step() -> bool:
        steps.append(1)
        stopping.set()
        return True

    turnstile.run(step)
    turnstile.run(step)

    assert steps == [1]


def test_nobody_stays_inside_for_long_while_there_is_work() -> None:
    seconds = iter(range(1_000))
    turnstile = Turnstile(1, Event(), monotonic=lambda: float(next(seconds)))

    left_work = turnstile.run(lambda: True)

    assert left_work
    assert next(seconds) == LONGEST_SECONDS + 1


def test_whoever_finds_nothing_more_asks_nobody_to_go_on() -> None:
    assert not Turnstile(1, Event()).run(Room().step)


GRANTS = 40
INTERVAL_MICROSECONDS = 4_000


def test_a_limit_holds_over_several_clients(redis_url: str) -> None:
    server = redis.Redis.from_url(redis_url)
    clients = [Limit(redis.Redis.from_url(redis_url), "limit", 250, Event()) for _ in range(2)]

    before = microseconds(server)
    with ThreadPoolExecutor(4) as pool:
        granted = list(pool.map(lambda number: clients[number % 2].wait(), range(GRANTS)))
    after = microseconds(server)

    assert all(granted)
    assert after - before >= (GRANTS - 1) * INTERVAL_MICROSECONDS


def test_limits_of_different_names_do_not_wait_for_each_other(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    one, other = (Limit(client, name, 0.001, Event()) for name in ("one", "other"))

    assert [one._seconds_to_wait(), other._seconds_to_wait()] == [0, 0]
    assert 990 < one._seconds_to_wait() <= 1_000


def test_a_limit_is_forgotten_when_nobody_uses_it(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)

    Limit(client, "limit", 2, Event()).wait()

    assert 0 < int(client.pttl("limit")) <= 1_500


def test_while_redis_is_away_a_limit_of_the_same_rate_stands_in() -> None:
    away = redis.Redis(host="127.0.0.1", port=free_port(), retry=Retry(NoBackoff(), 0))
    limit = Limit(away, "limit", 0.001, Event())

    first, second = limit._seconds_to_wait(), limit._seconds_to_wait()

    assert first == 0
    assert 990 < second <= 1_000


def test_a_turn_does_not_come_once_the_worker_is_to_stop(redis_url: str) -> None:
    stopping = Event()
    limit = Limit(redis.Redis.from_url(redis_url), "limit", 0.001, stopping)
    limit.wait()
    stopping.set()

    assert not limit.wait()
    assert not turn([], stopping)()


def test_without_a_limit_it_is_always_ones_turn() -> None:
    assert turn([], Event())()


def microseconds(server: redis.Redis) -> int:
    """Redis' own clock."""
    seconds, rest = server.time()
    return int(seconds) * 1_000_000 + int(rest)
