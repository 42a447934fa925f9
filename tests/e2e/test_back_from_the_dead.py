"""Redis emptied, and a database that came from a backup."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from databases import an_empty_database
from servers import postgres_programs, wait_for
from sqlalchemy.engine import make_url
from system import System, phones

from worker.store.engine import make_engine

A_MINUTE = 60
BACKED_UP, LATER = 300, 100


def test_an_emptied_redis_loses_nothing_that_was_stored_and_all_goes_on_within_a_minute(house: System) -> None:
    """FLUSHALL while messages wait, are under way and are asked for: bells, scripts, bindings and limits are gone."""
    house.env["SMS_GATEWAY_REQUESTS_PER_SECOND"] = "500"
    house.control.change(latency_seconds=0.1, delivery_seconds=(3.0, 5.0))
    house.worker()
    house.beat()
    for phone in phones(400):
        house.send(phone, lane="bulk")
    wait_for(lambda: sum(house.states().values()) == 400)

    with redis.Redis.from_url(house.env["SMS_REDIS_URL"]) as server:
        server.flushall()
    for phone in phones(100, first=1000):
        house.send(phone)

    house.wait_for_states(delivered=500, seconds=A_MINUTE)
    assert set(house.posted().values()) == {1}


def test_a_producer_that_goes_on_over_an_emptied_redis_is_still_heard(house: System) -> None:
    house.worker()
    house.beat()
    house.send("998901234567")
    house.wait_for_states(delivered=1)

    with redis.Redis.from_url(house.env["SMS_REDIS_URL"]) as server:
        server.flushall()
    house.send("998907654321")

    house.wait_for_states(delivered=2, seconds=A_MINUTE)


class Backups:
    """Backups by the databases' own tools: pg_dump and pg_restore, or SQLite's online backup."""

    def __init__(self, url: str, folder: Path, empty: str) -> None:
        self.restored_url = empty
        self._url = url
        self._file = folder / "backup"

    def take(self) -> None:
        """While everything runs."""
        if self._is_postgresql:
            self._run("pg_dump", "-Fc", "-f", str(self._file), self._plain(self._url))
            return
        with closing(sqlite3.connect(_file(self._url))) as live, closing(sqlite3.connect(self._file)) as copy:
            live.backup(copy)

    def restore(self) -> None:
        """Into another database."""
        if self._is_postgresql:
            self._run("pg_restore", "-d", self._plain(self.restored_url), str(self._file))
        else:
            self._file.rename(_file(self.restored_url))

    @property
    def _is_postgresql(self) -> bool:
        return self._url.startswith("postgresql")

    def _plain(self, url: str) -> str:
        return url.replace("+psycopg", "")

    def _run(self, program: str, *options: str) -> None:
        subprocess.run([postgres_programs(self._file.parent) / program, *options], check=True)


def _file(url: str) -> str:
    return str(make_url(url).database)


@pytest.fixture
def backups(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[Backups]:
    if database_url.startswith("sqlite"):
        yield Backups(database_url, tmp_path, f"sqlite:///{tmp_path / 'restored.db'}")
        return
    with an_empty_database(request.getfixturevalue("postgres_server"), f"sms_restored_{os.getpid()}") as url:
        yield Backups(database_url, tmp_path, url)


def run_sms(house: System, *words: str) -> str:
    """What the command line says, or nothing if it refuses."""
    return _run(house, "worker.cli.main", *words).stdout


def _run(house: System, *words: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], **house.env}
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, env=env, cwd=house.folder, capture_output=True, text=True, check=False, timeout=60)


def test_a_backup_restored_after_a_disaster_posts_nothing_again(house: System, backups: Backups) -> None:
    """The drill of docs/recovery.md: backup mid-run, all is posted, the database is lost, restore, recover, go on."""
    house.control.change(latency_seconds=0.15)
    house.env |= {"SMS_GATEWAY_CONNECTIONS": "1", "SMS_BATCH_MAX_MESSAGES": "4"}
    house.env |= {"SMS_GATEWAY_CONNECT_TIMEOUT_SECONDS": "1", "SMS_GATEWAY_READ_TIMEOUT_SECONDS": "2"}  # short leases
    lost = house.worker(name="before")
    house.beat()
    for phone in phones(BACKED_UP):
        house.send(phone, lane="bulk")
    wait_for(lambda: house.states().get("delivered", 0) > 20 and house.states().get("queued", 0) > 100)
    backups.take()
    taken_at = datetime.now(UTC)
    for phone in phones(LATER, first=1000):
        house.send(phone, lane="bulk")
    wait_for(lambda: len(house.posted()) == BACKED_UP + LATER, seconds=90)
    lost.kill()
    backups.restore()
    house.env["SMS_DATABASE_URL"] = backups.restored_url
    house.engine.dispose()
    house.engine = make_engine(backups.restored_url)
    before = house.states()
    refused = _run(house, "celery", "-A", "worker", "worker", "-n", "hasty@test")
    assert "it came from a backup" in refused.stderr, "a worker must not start before a person has looked"

    said = wait_for(lambda: run_sms(house, "recover", "--since", taken_at.isoformat()))  # once the dead is known dead
    house.worker(name="after")
    house.send("998907654321")
    wait_for(lambda: house.posted().get("998907654321"))
    house.wait_for_states(
        delivered=BACKED_UP + 1 - before["queued"] - before.get("posting", 0),
        unconfirmed=before["queued"] + before.get("posting", 0),
    )

    assert str(before["queued"] + before.get("posting", 0)) in said
    assert set(house.posted().values()) == {1}
    assert house.rows("SELECT DISTINCT what FROM decisions WHERE uid IS NOT NULL") == [("recover",)]
