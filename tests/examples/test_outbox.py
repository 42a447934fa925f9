"""What a shop commits is sent once, whenever the relay dies."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from programs import Programs
from servers import wait_for
from system import System

from worker.embedded import processes

PHONE, ANOTHER = "998901234567", "998911234567"


class Outbox:
    """The shop's database, its purchases and its relays."""

    def __init__(self, programs: Programs, folder: Path, broker_url: str) -> None:
        self._programs = programs
        self._file = folder / "outbox.db"
        self._env = {"BROKER_URL": broker_url, "DATABASE_URL": self._database(60)}

    def buy(self, phone: str) -> str:
        return self._programs.run("python -m outbox.shop", phone, **self._env)

    def relay(self, name: str, *, patience_seconds: float = 60) -> Any:
        env = self._env | {"DATABASE_URL": self._database(patience_seconds)}
        return self._programs.start(name, "python -m outbox.relay", **env)

    def unsent(self) -> int:
        with closing(sqlite3.connect(self._file)) as db:
            found: int = db.execute("SELECT count(*) FROM outbox WHERE sent_at IS NULL").fetchone()[0]
            return found

    def _database(self, patience_seconds: float) -> str:
        return f"sqlite:///{self._file}?timeout={patience_seconds}"

    @contextmanager
    def closed_for_writers(self) -> Iterator[None]:
        """Whoever wants to write waits; readers read."""
        with closing(sqlite3.connect(self._file, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            yield
            db.execute("ROLLBACK")


@pytest.fixture
def outbox(programs: Programs, tmp_path: Path, broker_url: str) -> Outbox:
    return Outbox(programs, tmp_path, broker_url)


def test_a_relay_killed_between_publishing_and_marking_sends_one_sms(house: System, outbox: Outbox) -> None:
    """The row cannot be marked while the database is closed, so that is where the kill finds the relay."""
    broker = redis.Redis.from_url(house.env["SMS_REDIS_URL"])
    outbox.buy(PHONE)

    with outbox.closed_for_writers():
        relay = outbox.relay("first")
        wait_for(lambda: broker.llen("sms.normal") == 1)
        processes.kill(relay)
    assert outbox.unsent() == 1
    outbox.relay("second")
    wait_for(lambda: outbox.unsent() == 0)

    assert broker.llen("sms.normal") == 2  # it was published twice, and the house does not run yet
    broker.close()
    house.send(ANOTHER, lane="normal")  # when this has come through, so have both
    house.worker()
    house.beat()
    house.wait_for_states(delivered=2)
    assert dict(house.posted()) == {PHONE: 1, ANOTHER: 1}


def test_a_purchase_waits_for_a_broker_that_does_not_answer(
    programs: Programs, tmp_path: Path, house: System, broker_url: str
) -> None:
    nowhere = Outbox(programs, tmp_path, f"redis://127.0.0.1:{processes.free_port()}/0")
    nowhere.buy(PHONE)
    relay = nowhere.relay("waiting")

    wait_for(lambda: "The broker does not answer" in programs.log("waiting"))

    assert relay.poll() is None
    assert nowhere.unsent() == 1
    outbox = Outbox(programs, tmp_path, broker_url)
    outbox.relay("working")
    wait_for(lambda: outbox.unsent() == 0)
    with redis.Redis.from_url(house.env["SMS_REDIS_URL"]) as broker:
        assert broker.llen("sms.normal") == 1


def test_a_purchase_says_where_its_sms_is(programs: Programs, tmp_path: Path) -> None:
    outbox = Outbox(programs, tmp_path, "redis://127.0.0.1:1/0")

    assert outbox.buy(PHONE) == "Bought; the SMS stands in the outbox, and the relay orders it."
    with pytest.raises(AssertionError, match=r"^Usage: python -m outbox\.shop PHONE\n"):
        programs.run("python -m outbox.shop")


def test_a_wrong_sms_fails_with_its_purchase_and_not_in_the_relay(programs: Programs, tmp_path: Path) -> None:
    outbox = Outbox(programs, tmp_path, "redis://127.0.0.1:1/0")

    with pytest.raises(AssertionError, match="phone: give a number"):
        outbox.buy(" ")

    with closing(sqlite3.connect(tmp_path / "outbox.db")) as db:
        assert db.execute("SELECT count(*) FROM purchases").fetchone() == (0,)


def test_a_row_that_somebody_else_wrote_wrongly_stops_nobody(outbox: Outbox, house: System, tmp_path: Path) -> None:
    outbox.buy(PHONE)
    outbox.buy(ANOTHER)
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as db, db:
        db.execute("UPDATE outbox SET text = ' ' WHERE phone = ?", (PHONE,))

    outbox.relay("relay")

    wait_for(lambda: outbox.unsent() == 1)
    with redis.Redis.from_url(house.env["SMS_REDIS_URL"]) as broker:
        assert broker.llen("sms.normal") == 1
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as db:
        wrong = "SELECT phone, wrong LIKE 'text: give words%' FROM outbox WHERE wrong IS NOT NULL"
        assert db.execute(wrong).fetchall() == [(PHONE, 1)]


def test_a_relay_outlives_a_database_that_is_closed_for_a_while(outbox: Outbox, programs: Programs) -> None:
    outbox.buy(PHONE)

    with outbox.closed_for_writers():
        relay = outbox.relay("relay", patience_seconds=0.1)
        wait_for(lambda: "The database does not answer" in programs.log("relay"))

    assert relay.poll() is None
    wait_for(lambda: outbox.unsent() == 0)
