"""Whatever keeps PostgreSQL from clearing dead rows away, made for real: a report, a forgotten session, a standby."""

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel, pq
from servers import PostgresServer, administer, wait_for
from sqlalchemy.engine import make_url

from worker.doctor import transactions
from worker.doctor.check import Finding

CHECK = "database.transactions"
ITS_QUERY = "SELECT 'a secret of theirs'"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One of our own: slots and prepared transactions are the whole server's."""
    server = PostgresServer()
    server.start()
    administer(server.url, "CREATE ROLE clerk LOGIN")
    administer(server.url, "ALTER SYSTEM SET max_prepared_transactions = 2")
    server.stop()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def here(well: None, server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: ARG001
    """Its address; the doctor looks as a superuser."""
    monkeypatch.setenv("SMS_DATABASE_URL", server.url)
    return server.url.replace("+psycopg", "")


@pytest.fixture
def as_clerk(here: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor looks as a role that may see only its own."""
    clerks = make_url(here).set(drivername="postgresql+psycopg", username="clerk")
    monkeypatch.setenv("SMS_DATABASE_URL", clerks.render_as_string())


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time is short."""
    monkeypatch.setattr(transactions, "OPEN_WARNS_SECONDS", 0)
    monkeypatch.setattr(transactions, "BEHIND_WARNS", 2)


@contextmanager
def a_report(here: str) -> Iterator[int]:
    """A transaction that has looked and stays open; the pid of its session."""
    with psycopg.connect(here, application_name="nightly report") as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.execute(ITS_QUERY)
        yield connection.info.backend_pid


def write(here: str, *, times: int) -> str:
    """So many transactions that might leave dead rows; the number of the last."""
    with psycopg.connect(here, autocommit=True) as connection:
        ids = [connection.execute("SELECT pg_current_xact_id()::text").fetchone() for _ in range(times)]
    assert ids[-1]
    return str(ids[-1][0])


def transactions_ago(found: Finding) -> int:
    """The server's own autovacuum may have begun some, too."""
    (number,) = re.findall(r"([\d,]+) transactions ago", found.found)
    return int(number.replace(",", ""))


def a_standby_that_reads_from(here: str, slot: str, xid: int) -> None:
    """It says once, by hot_standby_feedback, from which transaction on it needs all rows, and is gone."""
    standby = pq.PGconn.connect(f"{here}?replication=true".encode())
    standby.exec_(f"START_REPLICATION SLOT {slot} PHYSICAL 0/1000000".encode())
    standby.put_copy_data(b"h" + struct.pack("!qIIII", 0, xid, 0, 0, 0))
    standby.flush()
    with psycopg.connect(here, autocommit=True) as connection:
        wait_for(lambda: connection.execute("SELECT 1 FROM pg_replication_slots WHERE xmin IS NOT NULL").fetchone())
        standby.finish()
        wait_for(lambda: connection.execute("SELECT 1 FROM pg_replication_slots WHERE NOT active").fetchone())


@pytest.mark.usefixtures("here")
def test_where_nobody_works_nothing_is_held_back(look: Any) -> None:
    found = look(CHECK)

    assert (found.outcome, found.found, found.remedy) == ("ok", "none has been open for 10 minutes", None)


def test_a_report_is_no_trouble_before_it_has_lasted_for_long(look: Any, here: str) -> None:
    with a_report(here):
        found = look(CHECK)

    assert found.outcome == "ok"


@pytest.mark.usefixtures("soon")
def test_a_report_that_lasts_for_long_is_named_without_what_it_asks(look: Any, here: str) -> None:
    with a_report(here) as pid:
        found = look(CHECK)

    assert found.outcome == "warning"
    assert f"pid {pid} (nightly report) since 20" in found.found
    assert "secret" not in str(found)
    assert "pg_terminate_backend" in str(found.remedy)


@pytest.mark.usefixtures("soon")
def test_a_session_that_was_forgotten_is_named_though_it_has_no_name(look: Any, here: str) -> None:
    with psycopg.connect(here) as connection:
        connection.execute("SELECT 1")
        pid = connection.info.backend_pid

        found = look(CHECK)

    assert (found.outcome, f"pid {pid} since 20" in found.found) == ("warning", True)


@pytest.mark.usefixtures("soon")
def test_a_session_of_another_database_holds_nothing_back_here(look: Any, here: str) -> None:
    elsewhere = make_url(here).set(database="template1").render_as_string()
    with a_report(elsewhere):
        found = look(CHECK)

    assert found.outcome == "ok"


@pytest.mark.usefixtures("soon")
def test_of_many_the_oldest_are_named_and_the_others_counted(
    look: Any, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "MOST_SHOWN", 1)
    with a_report(here) as oldest, a_report(here), a_report(here):
        found = look(CHECK)

    assert f"pid {oldest} " in found.found
    assert found.found.endswith("; and 2 more")


@pytest.mark.usefixtures("as_clerk")
def test_a_role_that_may_not_see_since_when_is_told_so(look: Any, here: str) -> None:
    with a_report(here) as pid:
        found = look(CHECK)

    assert found.outcome == "note"
    assert f"PostgreSQL does not say since when, for pid {pid} (nightly report)" in found.found
    assert "pg_read_all_stats" in str(found.remedy)


@pytest.mark.usefixtures("soon", "as_clerk")
def test_where_the_time_is_hidden_what_came_since_tells(look: Any, here: str) -> None:
    with a_report(here) as pid:
        write(here, times=3)

        found = look(CHECK)

    assert (found.outcome, f"pid {pid} (nightly report), " in found.found) == ("warning", True)
    assert transactions_ago(found) >= 3
    assert "pg_read_all_stats" in str(found.remedy)


@pytest.mark.usefixtures("soon", "as_clerk")
def test_whom_no_row_is_kept_for_is_not_named_where_nobody_may_see_its_time(look: Any, here: str) -> None:
    with psycopg.connect(here) as connection:
        connection.execute("SELECT 1")

        found = look(CHECK)

    assert found.outcome == "ok"


@pytest.mark.usefixtures("soon")
def test_a_prepared_transaction_that_nobody_ended_is_named(look: Any, here: str) -> None:
    with psycopg.connect(here, autocommit=True) as connection:
        connection.execute("BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'forgotten'")

        found = look(CHECK)
        connection.execute("ROLLBACK PREPARED 'forgotten'")

    assert (found.outcome, "the prepared transaction forgotten since 20" in found.found) == ("warning", True)


@pytest.mark.usefixtures("soon")
def test_a_standby_that_went_for_ever_is_named_by_its_slot(look: Any, here: str) -> None:
    administer(here, "SELECT pg_create_physical_replication_slot('of_standby', true)")
    a_standby_that_reads_from(here, "of_standby", int(write(here, times=1)))
    write(here, times=3)

    found = look(CHECK)
    administer(here, "SELECT pg_drop_replication_slot('of_standby')")

    assert found.outcome == "warning"
    assert "the replication slot of_standby, which nobody reads, " in found.found
    assert transactions_ago(found) >= 4


@pytest.mark.usefixtures("as_clerk")
def test_connections_of_other_roles_are_counted_too(look: Any, here: str) -> None:
    with psycopg.connect(here), psycopg.connect(here):
        found = look("database.connections")

    assert found.outcome == "ok"
    assert int(found.found.partition(" of ")[0]) >= 3
