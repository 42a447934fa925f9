"""A database without tables, of an old release, damaged, forgetful, full; and one in which all is well."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from databases import administer, an_empty_database
from sqlalchemy.engine import make_url

from migrations.schema import upgrade
from worker.cli.metrics import SCRAPES_AT_ONCE
from worker.cli.web import LOOKS_AT_ONCE
from worker.doctor import database
from worker.wiring import OTHER_CONNECTIONS

OF_POSTGRES = ("timezone", "clock", "connections", "transactions")
OF_SQLITE = ("integrity", "disk")


@pytest.fixture
def here(well: None, database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: ARG001
    """Either database, migrated."""
    monkeypatch.setenv("SMS_DATABASE_URL", database_url)
    return database_url


@pytest.fixture
def postgres(well: None, postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:  # noqa: ARG001
    """A PostgreSQL database of its own, never migrated."""
    with an_empty_database(postgres_server, "doctor_test") as url:
        monkeypatch.setenv("SMS_DATABASE_URL", url)
        yield url


@pytest.mark.parametrize("thing", ["answers", "schema"])
def test_a_migrated_database_that_answers_is_well(look: Any, here: str, thing: str) -> None:
    found = look(f"database.{thing}")

    assert (found.outcome, found.remedy) == ("ok", None)
    assert make_url(here).database


@pytest.mark.parametrize("thing", [*OF_POSTGRES, *OF_SQLITE, "commits"])
def test_each_database_is_asked_only_what_it_has(look: Any, here: str, thing: str) -> None:
    outcome = look(f"database.{thing}").outcome

    theirs = OF_SQLITE if here.startswith("sqlite") else OF_POSTGRES
    assert (outcome == "skipped") == (thing not in {*theirs, "commits"})


def test_a_file_that_is_missing_is_said_and_not_made(look: Any, tmp_path: Path) -> None:
    found = look("database.answers", SMS_DATABASE_URL=f"sqlite:///{tmp_path}/none.db")

    assert (found.outcome, found.found) == ("fault", f"there is no file {tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_server_that_is_away_is_named_without_its_password(look: Any) -> None:
    found = look("database.answers", SMS_DATABASE_URL="postgresql+psycopg://sms:hidden@127.0.0.1:1/sms")

    assert (found.outcome, "127.0.0.1:1/sms does not answer" in found.found) == ("fault", True)
    assert "hidden" not in str(found)


def test_a_database_without_tables_and_one_of_an_old_release_want_the_same(look: Any, tmp_path: Path) -> None:
    old, empty = f"sqlite:///{tmp_path}/old.db", tmp_path / "empty.db"
    upgrade(old, "0002")
    empty.touch()

    of_old = look("database.schema", SMS_DATABASE_URL=old)
    of_none = look("database.schema", SMS_DATABASE_URL=f"sqlite:///{empty}")

    assert (of_old.outcome, "has schema 0002" in of_old.found) == ("fault", True)
    assert (of_none.outcome, "has no tables yet" in of_none.found) == ("fault", True)
    assert of_old.remedy == of_none.remedy == "sms db upgrade"


def test_with_an_old_schema_the_house_is_not_looked_at(look: Any, tmp_path: Path) -> None:
    old = f"sqlite:///{tmp_path}/old.db"
    upgrade(old, "0002")

    assert look("house.workers", SMS_DATABASE_URL=old).found == "see database.schema"


def test_a_zone_that_confuses_clients_is_noted(look: Any, postgres: str, postgres_server: str) -> None:
    administer(postgres_server, "ALTER DATABASE doctor_test SET timezone = 'Asia/Tashkent'")

    found = look("database.timezone")

    assert (found.outcome, "Asia/Tashkent" in found.found) == ("note", True)
    assert make_url(postgres).database == "doctor_test"


@pytest.mark.usefixtures("postgres")
def test_commits_that_may_be_forgotten_are_a_fault(look: Any, postgres_server: str) -> None:
    """The tests' own server has fsync off, which is one; a database may be forgetful by itself, too."""
    administer(postgres_server, "ALTER DATABASE doctor_test SET synchronous_commit = off")

    found = look("database.commits")

    assert found.outcome == "fault"
    assert "fsync is off" in found.found
    assert "synchronous_commit is off" in found.found


@pytest.mark.usefixtures("postgres")
def test_a_clock_that_is_off_is_seen(look: Any) -> None:
    found = look("database.clock", now=lambda: datetime.now(UTC) + timedelta(minutes=3))

    assert (found.outcome, found.found.partition(" s apart")[0][-5:-2]) == ("fault", "180")


@pytest.mark.usefixtures("postgres")
def test_few_connections_left_are_a_warning(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    enough = look("database.connections")
    monkeypatch.setattr(database, "FULL_WARNS", 0.0)

    few = look("database.connections")

    assert (enough.outcome, few.outcome) == ("ok", "warning")
    assert "connections are in use" in few.found


def test_the_connections_that_each_process_takes_are_those_it_may_open() -> None:
    (why,) = (check.why for check in database.CHECKS if check.name == "database.connections")

    assert f"up to SMS_GATEWAY_CONNECTIONS + {OTHER_CONNECTIONS}, sms web {LOOKS_AT_ONCE}, " in why
    assert f"sms metrics and commands {SCRAPES_AT_ONCE}," in why


def test_a_damaged_file_is_found(look: Any, tmp_path: Path) -> None:
    file = tmp_path / "sms.db"
    whole = look("database.integrity")
    broken = bytearray(file.read_bytes())
    broken[4096:] = b"\xff" * (len(broken) - 4096)
    file.write_bytes(broken)

    found = look("database.integrity")

    assert (whole.outcome, whole.found) == ("ok", "the file is whole")
    assert found.outcome == "fault"


def test_little_room_is_a_warning(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LITTLE_BYTES", 2**60)

    found = look("database.disk")

    assert (found.outcome, "GiB are free" in found.found) == ("warning", True)
