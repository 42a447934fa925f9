"""Orders on Redis when something is late, interrupted or full: nothing newer is let go of, and it can be emptied."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
import redis
from builders import Sessions, a_send, an_intake, states_of
from redis.exceptions import OutOfMemoryError

from models.lifecycle import Lane
from worker.embedded.valkey import Valkey
from worker.lanes import LaneLists
from worker.takers import Takers

OTP = "sms.otp"


@pytest.fixture
def server(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[redis.Redis]:
    """A server that no other test shares."""
    own = Valkey(tmp_path / "redis")
    own.start()
    with redis.Redis.from_url(own.url) as connection:
        yield connection
    own.stop()


def push(server: redis.Redis, *orders: bytes) -> None:
    for order in orders:
        server.lpush(OTP, order)


def take(lists: LaneLists, *, most: int = 100) -> list[bytes]:
    return lists.take(Lane.OTP, most=most, most_bytes=10_000)


def in_flight(server: redis.Redis, lists: LaneLists) -> list[bytes]:
    return list(server.lrange(lists._inflight(Lane.OTP)[0], 0, -1))  # type: ignore[arg-type]


def late_done(lists: LaneLists, token: bytes) -> int:
    """A DONE that was held up on its way while its sender had gone on."""
    keys = [*lists._inflight(Lane.OTP), lists.queue(Lane.OTP)]
    return int(lists._done(keys=keys, args=[token, b"to come again"]))


def test_a_late_done_lets_go_of_nothing_that_was_taken_since(server: redis.Redis) -> None:
    lists = LaneLists(server, owner="one")
    push(server, b"a", b"b")
    take(lists, most=1)
    token = lists._tokens[Lane.OTP]
    lists.done(Lane.OTP)
    take(lists, most=1)

    let_go = late_done(lists, token)

    assert (let_go, in_flight(server, lists)) == (0, [b"b"])
    assert server.lrange(OTP, 0, -1) == [], "nor does it put anything into the queue"
    assert take(lists) == [b"b"]


def test_a_late_done_lets_go_of_nothing_that_was_taken_after_an_adoption(server: redis.Redis) -> None:
    """A process that slept: its orders were put back, and it has taken others before its DONE arrives."""
    one, other = LaneLists(server, owner="one"), LaneLists(server, owner="other")
    push(server, b"a")
    take(one)
    token = one._tokens[Lane.OTP]
    server.delete(one._alive("one"))
    other.adopt()
    push(server, b"b")
    taken_since = take(one)

    let_go = late_done(one, token)

    assert let_go == 0
    assert in_flight(server, one) == taken_since == [b"a", b"b"]
    assert one.done(Lane.OTP), "the newer token is good"
    assert in_flight(server, one) == []


def test_a_take_whose_answer_was_lost_gives_its_token_again(server: redis.Redis) -> None:
    lists = LaneLists(server, owner="one")
    push(server, b"a", b"b")
    take(lists, most=1)
    token = lists._tokens.pop(Lane.OTP)

    taken = take(lists)

    assert (taken, lists._tokens[Lane.OTP]) == ([b"a"], token)
    assert lists.done(Lane.OTP)
    assert take(lists) == [b"b"]


@pytest.mark.parametrize("by", ["adoption", "leaving"])
def test_a_token_goes_when_its_orders_are_put_back(server: redis.Redis, by: str) -> None:
    one, other = LaneLists(server, owner="one"), LaneLists(server, owner="other")
    push(server, b"a")
    take(one)
    token_key = one._inflight(Lane.OTP)[1]
    before = server.exists(token_key)

    if by == "leaving":
        one.leave()
    else:
        server.delete(one._alive("one"))
        other.adopt()

    assert [before, server.exists(token_key)] == [1, 0]
    assert not one.done(Lane.OTP)
    assert server.lrange(OTP, 0, -1) == [b"a"]


def fill(server: redis.Redis) -> None:
    """No command that needs memory is obeyed any more."""
    server.config_set("maxmemory", "1kb")
    with pytest.raises(OutOfMemoryError):
        server.lpush(OTP, b"one too many")


def test_a_full_redis_can_be_emptied(own_server: redis.Redis, sessions: Sessions) -> None:
    push(own_server, a_send(), a_send())
    stopping = Event()
    stopping.set()
    lists = LaneLists(own_server, owner="one")
    fill(own_server)

    Takers(lists, an_intake(sessions), ring=lambda: None, stopping=stopping)._take(Lane.OTP)

    assert states_of(sessions) == ["queued", "queued"]
    assert [own_server.llen(OTP), in_flight(own_server, lists)] == [0, []]


def test_takers_show_that_they_are_alive_on_a_full_redis(own_server: redis.Redis) -> None:
    lists, other = LaneLists(own_server, owner="one"), LaneLists(own_server, owner="other")
    push(own_server, b"a")
    take(lists)
    own_server.delete(lists._alive("one"))
    fill(own_server)

    lists.beat()

    assert 0 < int(own_server.pttl(lists._alive("one"))) <= 5_000
    assert other.adopt() == 0


@pytest.mark.parametrize("by", ["adoption", "leaving"])
def test_on_a_full_redis_orders_are_put_back_as_well(own_server: redis.Redis, by: str) -> None:
    one, other = LaneLists(own_server, owner="one"), LaneLists(own_server, owner="other")
    push(own_server, b"a", b"b")
    take(one)
    own_server.delete(one._alive("one"))
    fill(own_server)

    put_back = one.leave() if by == "leaving" else other.adopt()

    assert (put_back, own_server.lrange(OTP, 0, -1)) == (2, [b"b", b"a"])
