"""A worker's name: one holder at a time, and a dead one's is free at once only where its death can be seen."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import redis
from builders import Sessions, an_intake
from redis.exceptions import OutOfMemoryError
from servers import wait_for
from structlog.testing import capture_logs

from models.lifecycle import Lane
from worker.embedded.valkey import Valkey
from worker.lanes import DEAD_AFTER_SECONDS, LaneLists
from worker.names import Holder, WorkerName, this_process
from worker.takers import Takers

NAME = "celery@shop"
KEY = f"sms:worker:{NAME}"
CONTAINER = Holder("shop", "boot.4026532178", "1", "4821", "one")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows when a process began")
HOLD = f"""
import sys, time
from redis import Redis
from worker.names import WorkerName
assert WorkerName(Redis.from_url(sys.argv[1]), {NAME!r}).claim()
time.sleep(600)
"""
UNSHARE = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]


@pytest.fixture
def server(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


@pytest.fixture
def full_server(tmp_path: Path) -> Iterator[redis.Redis]:
    """A server of its own: an order of somebody dead is in flight, and nothing is obeyed any more that needs memory."""
    own = Valkey(tmp_path / "redis")
    own.start()
    with redis.Redis.from_url(own.url) as connection:
        dead = LaneLists(connection, owner="dead")
        connection.lpush("sms.otp", b"an order")
        dead.take(Lane.OTP, most=1, most_bytes=1)
        connection.delete(dead._alive("dead"))
        connection.config_set("maxmemory", "1kb")
        with pytest.raises(OutOfMemoryError):
            connection.set("one", "too many")
        yield connection
    own.stop()


@contextmanager
def a_holder(server: redis.Redis, redis_url: str, *before: str) -> Iterator[subprocess.Popen[bytes]]:
    """A living process that has the name; *before* stands before its command."""
    with subprocess.Popen([*before, sys.executable, "-c", HOLD, redis_url]) as process:
        try:
            wait_for(lambda: server.exists(KEY) or process.poll() is not None)
            assert process.poll() is None
            yield process
        finally:
            process.kill()


def never_wait(_: float) -> None:
    pytest.fail("it waited")


def pass_over(_: float) -> None:
    """No time passes."""


def may_unshare() -> bool:
    return (
        sys.platform == "linux" and subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.parametrize(
    "us",
    [
        pytest.param(CONTAINER._replace(system="boot.4026532999", token="two"), id="another namespace"),
        pytest.param(CONTAINER._replace(system="other.4026532178", token="two"), id="another machine"),
        pytest.param(CONTAINER._replace(host="store", token="two"), id="another host"),
        pytest.param(CONTAINER._replace(system="", token="two"), id="a system that tells nothing"),
    ],
)
@pytest.mark.parametrize("pid", [str(os.getpid()), "1", "4194305"], ids=["of ours", "first", "of nobody"])
def test_who_holds_a_name_where_we_cannot_look_is_not_taken_for_dead(server: redis.Redis, us: Holder, pid: str) -> None:
    first = CONTAINER._replace(pid=pid)
    WorkerName(server, NAME, us=first).claim(wait=never_wait)

    free = WorkerName(server, NAME, us=us._replace(pid=pid)).claim(wait=pass_over)

    assert (free, server.get(KEY)) == (False, str(first).encode())


@pytest.mark.skipif(not may_unshare(), reason="needs a PID namespace of its own")
def test_the_name_of_a_living_worker_in_another_container_is_not_stolen(server: redis.Redis, redis_url: str) -> None:
    """Both have the same hostname; its process id, 1, is another's here."""
    with a_holder(server, redis_url, *UNSHARE):
        free = WorkerName(server, NAME).claim(wait=pass_over)

    assert not free


def test_a_second_worker_on_the_same_machine_is_refused(server: redis.Redis, redis_url: str) -> None:
    with a_holder(server, redis_url):
        free = WorkerName(server, NAME).claim(wait=pass_over)

    assert not free


@LINUX
def test_one_that_was_killed_on_this_machine_leaves_its_name_at_once(server: redis.Redis, redis_url: str) -> None:
    with a_holder(server, redis_url) as killed:
        killed.kill()
        killed.wait()
        held = server.exists(KEY)

        free = WorkerName(server, NAME).claim(wait=never_wait)

    assert (held, free) == (1, True)


@LINUX
@pytest.mark.parametrize("who", ["somebody else", "us"])
def test_a_process_id_that_came_again_is_not_its_old_process(server: redis.Redis, who: str) -> None:
    us = this_process()
    pid = us.pid if who == "us" else str(os.getppid())
    WorkerName(server, NAME, us=us._replace(pid=pid, began="1", token="its old life")).claim(wait=never_wait)

    assert WorkerName(server, NAME, us=us).claim(wait=never_wait)


def test_a_container_that_comes_again_waits_until_its_last_life_is_forgotten(server: redis.Redis) -> None:
    """The same hostname and process id 1, in a new namespace: nobody can tell whether the old one lives on."""
    WorkerName(server, NAME, us=CONTAINER).claim(wait=never_wait)
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if sum(waited) >= DEAD_AFTER_SECONDS:
            server.delete(KEY)  # as it expires

    again = CONTAINER._replace(system="boot.4026532999", began="9999", token="two")
    free = WorkerName(server, NAME, us=again).claim(wait=wait)

    assert free
    assert sum(waited) <= DEAD_AFTER_SECONDS + 1


def test_what_holds_a_name_goes_by_itself(server: redis.Redis) -> None:
    WorkerName(server, NAME).claim(wait=never_wait)

    assert 0 < int(server.pttl(KEY)) <= DEAD_AFTER_SECONDS * 1000


def test_a_holder_of_another_release_is_waited_for(server: redis.Redis) -> None:
    server.set(KEY, f"{this_process().host}/4194305")

    assert not WorkerName(server, NAME).claim(wait=pass_over)


def test_keeping_takes_the_name_again_when_redis_has_forgotten_it(server: redis.Redis) -> None:
    name = WorkerName(server, NAME)

    name.keep()

    assert server.get(KEY) == str(this_process()).encode()


def test_who_slept_does_not_steal_its_name_back_and_says_so_once(server: redis.Redis) -> None:
    slept, since = WorkerName(server, NAME), WorkerName(server, NAME, us=CONTAINER)
    since.claim(wait=never_wait)

    with capture_logs() as told:
        slept.keep()
        slept.keep()

    assert [event["event"] for event in told] == ["worker_name_taken"]
    assert server.get(KEY) == str(CONTAINER).encode()


def test_leaving_lets_go_only_of_ones_own(server: redis.Redis) -> None:
    slept, since = WorkerName(server, NAME), WorkerName(server, NAME, us=CONTAINER)
    since.claim(wait=never_wait)

    slept.leave()
    kept = server.exists(KEY)
    since.leave()

    assert (kept, server.exists(KEY)) == (1, 0)


def test_a_name_is_taken_kept_and_left_on_a_full_redis(full_server: redis.Redis) -> None:
    name = WorkerName(full_server, NAME)

    taken = name.claim(wait=never_wait)
    full_server.pexpire(KEY, 1_000)
    name.keep()
    left_ms = int(full_server.pttl(KEY))
    name.leave()

    assert taken
    assert left_ms > 1_000
    assert not full_server.exists(KEY)


def beating(server: redis.Redis, sessions: Sessions, beat: Any) -> Takers:
    stopping = Event()
    stopping.set()  # it does not wait for the next beat
    return Takers(LaneLists(server, owner="one"), an_intake(sessions), ring=lambda: None, stopping=stopping, beat=beat)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_on_a_full_redis_a_worker_keeps_its_name_and_puts_back_what_the_dead_held(
    full_server: redis.Redis, sessions: Sessions
) -> None:
    name = WorkerName(full_server, NAME)

    beating(full_server, sessions, name.keep)._beat()

    assert full_server.lrange("sms.otp", 0, -1) == [b"an order"]
    assert full_server.exists(KEY)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_trouble_with_the_name_keeps_no_order_from_being_put_back(full_server: redis.Redis, sessions: Sessions) -> None:
    def refuse() -> None:
        full_server.set("one", "too many")

    with pytest.raises(OutOfMemoryError):
        beating(full_server, sessions, refuse)._beat()

    assert full_server.lrange("sms.otp", 0, -1) == [b"an order"]
