"""One bell until it is heard, rung from a thread of its own: no room waits for the broker."""

import threading
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from servers import wait_for

from worker.bell import OneBell, Ringer
from worker.embedded.processes import free_port


@pytest.fixture
def server(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


@pytest.fixture
def away() -> redis.Redis:
    """A Redis that does not answer."""
    return redis.Redis(host="127.0.0.1", port=free_port(), retry=Retry(NoBackoff(), 0))


def test_there_is_one_bell_until_it_is_heard(server: redis.Redis) -> None:
    one, other = OneBell(server), OneBell(server)

    rings = [one.may_ring(), other.may_ring(), one.may_ring()]
    other.heard()
    rings += [one.may_ring(), other.may_ring()]

    assert rings == [True, False, False, True, False]


def test_a_bell_that_nobody_hears_does_not_last(server: redis.Redis) -> None:
    OneBell(server).may_ring()

    assert 0 < int(server.pttl("sms:bell:submission")) <= 1_000


def test_a_prefix_stands_before_its_key(server: redis.Redis) -> None:
    OneBell(server, prefix="shop:").may_ring()

    assert list(server.scan_iter()) == [b"shop:sms:bell:submission"]


def test_where_the_broker_is_not_redis_everybody_rings() -> None:
    bell = OneBell(None)

    rings = [bell.may_ring(), bell.may_ring()]
    bell.heard()

    assert rings == [True, True]


def test_a_bell_is_heard_even_while_redis_is_away(away: redis.Redis) -> None:
    bell = OneBell(away)

    bell.heard()

    with pytest.raises(RedisError):
        bell.may_ring()


class Blocking:
    """A bell on a broker that hangs until each ring of it is let through."""

    def __init__(self) -> None:
        self.begun = 0
        self.through = Semaphore(0)

    def __call__(self) -> None:
        self.begun += 1
        assert self.through.acquire(timeout=30)


def ring_at_once(ringer: Ringer, *names: str) -> None:
    """Ask for bells; an error, and no endless wait, if asking does not return."""
    with ThreadPoolExecutor(1) as asking:
        for name in names:
            asking.submit(ringer.ring, name).result(10)


def rung_since(ringer: Ringer, rung: Event) -> None:
    """Return when a bell that was asked for now has been rung."""
    ringer.ring("last")
    assert rung.wait(30)


def test_whoever_asks_for_a_bell_does_not_wait_for_it() -> None:
    hangs, rung = Blocking(), Event()
    ringer = Ringer({"hangs": hangs, "last": rung.set})

    ring_at_once(ringer, "hangs", "last", "hangs")

    wait_for(lambda: hangs.begun)
    assert (hangs.begun, hangs.through._value) == (1, 0)
    hangs.through.release(2)
    assert rung.wait(30)


def test_several_askings_while_a_bell_is_busy_become_one() -> None:
    hangs, rung = Blocking(), Event()
    ringer = Ringer({"hangs": hangs, "last": rung.set})
    ring_at_once(ringer, "hangs")
    wait_for(lambda: hangs.begun == 1)

    ring_at_once(ringer, *["hangs"] * 5)
    hangs.through.release()
    wait_for(lambda: hangs.begun == 2)
    hangs.through.release(10)
    rung_since(ringer, rung)
    wait_for(lambda: not ringer._asked)

    assert hangs.begun == 2


def test_a_bell_that_cannot_be_rung_does_not_end_the_ringing() -> None:
    tried, rung = Event(), Event()

    def broken() -> None:
        tried.set()
        raise ZeroDivisionError

    ringer = Ringer({"broken": broken, "last": rung.set})
    ringer.ring("broken")
    assert tried.wait(30)

    rung_since(ringer, rung)


def test_a_broker_that_is_away_does_not_end_the_ringing(away: redis.Redis) -> None:
    tried, rung = Event(), Event()

    def bell() -> None:
        tried.set()
        OneBell(away).may_ring()

    ringer = Ringer({"bell": bell, "last": rung.set})
    ringer.ring("bell")
    assert tried.wait(30)

    rung_since(ringer, rung)


def test_one_thread_rings_all_the_bells() -> None:
    threads: set[int] = set()
    heard = Semaphore(0)

    def bell() -> None:
        threads.add(threading.get_ident())
        heard.release()

    ringer = Ringer({"one": bell, "other": bell})
    for name in ("one", "other", "one"):
        ringer.ring(name)
        assert heard.acquire(timeout=30)

    assert len(threads) == 1
    assert threading.get_ident() not in threads
