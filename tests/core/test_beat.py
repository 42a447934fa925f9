"""Beat as it runs: it fills no Redis that nobody empties, and waits in silence for one that is away."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
import redis
from servers import wait_for

from worker.embedded import processes
from worker.embedded.valkey import Valkey

MOST_UNHEARD = 20  # worker.beat's; its module wants the settings of a real process
POLLING, UPKEEP = "sms.polling", "sms.upkeep"
REFUSED_VISITS = 12  # of beat to a broker that is away: two bells a second, each tried twice


class Beat:
    """A real ``celery -A worker beat`` in *folder*."""

    def __init__(self, folder: Path, redis_url: str, **env: str) -> None:
        self._log = folder / "beat.log"
        gateway = {"SMS_GATEWAY_URL": "http://127.0.0.1:1", "SMS_GATEWAY_LOGIN": "a", "SMS_GATEWAY_PASSWORD": "b"}
        env = {"PATH": os.environ["PATH"], "SMS_REDIS_URL": redis_url} | gateway | env
        command = [sys.executable, "-m", "celery", "-A", "worker", "beat"]
        self.process: subprocess.Popen[bytes] = processes.start(command, log=self._log, env=env, cwd=folder)

    def lines(self, word: str) -> list[str]:
        return [line for line in self._log.read_text().splitlines() if word in line]


@contextmanager
def beating(folder: Path, redis_url: str, **env: str) -> Iterator[Beat]:
    beat = Beat(folder, redis_url, **env)
    try:
        yield beat
    finally:
        processes.stop(beat.process, seconds=10)


@pytest.fixture
def server(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


@pytest.mark.parametrize("prefix", ["", "shop:"], ids=["no prefix", "with a prefix"])
def test_bells_that_nobody_hears_are_few_however_long_beat_rings(
    tmp_path: Path, redis_url: str, server: redis.Redis, prefix: str
) -> None:
    polling, upkeep = prefix + POLLING, prefix + UPKEEP
    server.lpush(upkeep, *["unheard"] * (MOST_UNHEARD - 1))
    server.lpush(polling, *["unheard"] * (MOST_UNHEARD - 2))
    full = lambda: server.llen(upkeep) == server.llen(polling) == MOST_UNHEARD  # noqa: E731

    with beating(tmp_path, redis_url, SMS_REDIS_KEY_PREFIX=prefix):
        wait_for(full, seconds=60)
        server.delete(polling)  # its next bells show how the seconds go by
        wait_for(lambda: server.llen(polling) == 3, seconds=60)
        while_seconds_went_by = server.llen(upkeep)
        server.ltrim(upkeep, 0, MOST_UNHEARD - 3)
        wait_for(lambda: server.llen(upkeep) == MOST_UNHEARD, seconds=60)

    assert while_seconds_went_by == MOST_UNHEARD


class Refusing:
    """Stands where Redis should be, and hangs up on everybody."""

    def __init__(self, port: int) -> None:
        self.visits = 0
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(0.05)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                visitor, _ = self._listener.accept()
            except TimeoutError:
                continue
            visitor.close()
            self.visits += 1


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Valkey]:
    """A server that no other test shares."""
    broker = Valkey(tmp_path / "redis")
    broker.start()
    yield broker
    broker.stop()


def test_beat_says_once_that_the_broker_is_away_and_rings_when_it_is_back(tmp_path: Path, broker: Valkey) -> None:
    with beating(tmp_path, broker.url) as beat, redis.Redis.from_url(broker.url) as connection:
        wait_for(lambda: connection.llen(POLLING), seconds=60)
        broker.kill()
        with Refusing(broker.port) as away:
            wait_for(lambda: away.visits >= REFUSED_VISITS, seconds=60)
        said, broken = beat.lines("broker_away"), beat.lines("Traceback")
        broker.start()
        before = connection.llen(POLLING)
        wait_for(lambda: connection.llen(POLLING) > before, seconds=60)
        alive = beat.process.poll() is None

    assert len(said) == 1
    assert broken == []
    assert alive
