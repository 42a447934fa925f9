"""What a message and a report refer to is there, on both databases; with PostgreSQL's triggers in any race, too."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from builders import NOON, Sessions, a_batch, all_of, an_sms, stored
from psycopg import errors
from servers import wait_for
from sqlalchemy import Connection, Engine, exc, insert, select, text

from models import Batch, Message, Report

NOWHERE = 4_711
RACES = 150
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE pid = :pid AND cardinality(pg_blocking_pids(pid)) > 0"
A_REPORT = "INSERT INTO reports (sms_id, received_at, answer) VALUES (:id, '2026-11-30 12:00:00+00:00', '{}')"
ORPHANS = """
SELECT (SELECT count(*) FROM messages AS m WHERE batch_id NOT IN (SELECT id FROM batches)),
       (SELECT count(*) FROM reports WHERE sms_id NOT IN (SELECT id FROM messages))
"""
AT_ONCE = insert(Message).returning(Message.id)  # one statement, whatever the number of rows
ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


class Reference(NamedTuple):
    """One that PostgreSQL's triggers guard."""

    key: str
    table: str
    column: str
    parent: str
    refer: str  #: lets a row refer to the *parent* of :id
    delete: str  #: deletes the *parent* of :id
    renumber: str
    empty: str
    number: str  #: how many refer to anything
    cascades: bool = False

    def referring(self, connection: Connection) -> int:
        return int(connection.execute(text(self.number)).scalar_one())


BATCH = Reference(
    "fk_messages_batch_id",
    "messages",
    "batch_id",
    "batches",
    refer="UPDATE messages SET batch_id = :id",
    delete="DELETE FROM batches WHERE id = :id",
    renumber="UPDATE batches SET id = 4711",
    empty="TRUNCATE batches CASCADE",
    number="SELECT count(batch_id) FROM messages",
)
MESSAGE = Reference(
    "fk_reports_sms_id",
    "reports",
    "sms_id",
    "messages",
    refer=A_REPORT,
    delete="DELETE FROM messages WHERE id = :id",
    renumber="UPDATE messages SET id = 4711",
    empty="TRUNCATE messages CASCADE",
    number="SELECT count(*) FROM reports",
    cascades=True,
)
BOTH = pytest.mark.parametrize("what", [BATCH, MESSAGE], ids=["batch of a message", "message of a report"])


@pytest.fixture
def ids(sessions: Sessions) -> dict[str, int]:
    """A queued message, and a batch without one, by their tables."""
    with sessions.begin() as session:
        batch = a_batch(session)
    return {"messages": stored(sessions), "batches": batch}


@pytest.fixture
def two(engine: Engine) -> Iterator[tuple[Connection, Connection]]:
    with engine.connect() as one, engine.connect() as other:
        yield one, other


@BOTH
@pytest.mark.usefixtures("ids")
def test_nothing_refers_to_what_is_not_there(engine: Engine, what: Reference) -> None:
    with pytest.raises(exc.IntegrityError), engine.begin() as connection:
        connection.execute(text(what.refer), {"id": NOWHERE})

    with engine.connect() as connection:
        assert what.referring(connection) == 0


@pytest.mark.parametrize("right", [0, 49], ids=["alone", "among others that are right"])
def test_no_message_is_stored_in_a_batch_that_is_not_there(sessions: Sessions, ids: dict[str, int], right: int) -> None:
    batches = [ids["batches"]] * right + [NOWHERE]

    with pytest.raises(exc.IntegrityError), sessions.begin() as session:
        session.execute(AT_ONCE, [an_sms(state="posting", batch_id=batch) for batch in batches])

    assert [sms.id for sms in all_of(sessions, Message)] == [ids["messages"]]


def test_messages_are_stored_in_batches_that_are_there_and_without_any(sessions: Sessions, ids: dict[str, int]) -> None:
    batches = [None, None, ids["batches"], ids["batches"]]

    with sessions.begin() as session:
        session.execute(AT_ONCE, [an_sms(batch_id=batch) for batch in batches])

    assert [sms.batch_id for sms in all_of(sessions, Message)] == [None, *batches]


def test_a_batch_with_a_message_is_not_deleted_and_one_without_is(sessions: Sessions, ids: dict[str, int]) -> None:
    full = the_batch_of(sessions, stored(sessions, state="posting"))

    with pytest.raises(exc.IntegrityError), sessions.begin() as session:
        session.execute(text("DELETE FROM batches"))
    with sessions.begin() as session:
        session.execute(text(BATCH.delete), {"id": ids["batches"]})

    assert [batch.id for batch in all_of(sessions, Batch)] == [full]


def the_batch_of(sessions: Sessions, sms_id: int) -> int | None:
    with sessions() as session:
        return session.scalars(select(Message.batch_id).where(Message.id == sms_id)).one()


def test_a_messages_reports_go_with_it_and_nobody_elses(sessions: Sessions) -> None:
    gone, stays = stored(sessions), stored(sessions)
    with sessions.begin() as session:
        session.execute(
            insert(Report), [{"sms_id": of, "received_at": NOON, "answer": {}} for of in (gone, stays, gone)]
        )

    with sessions.begin() as session:
        session.execute(text(MESSAGE.delete), {"id": gone})

    assert [report.sms_id for report in all_of(sessions, Report)] == [stays]


@BOTH
def test_what_is_referred_to_keeps_its_number(engine: Engine, ids: dict[str, int], what: Reference) -> None:
    with engine.begin() as connection:
        connection.execute(text(what.refer), {"id": ids[what.parent]})

    with pytest.raises(exc.IntegrityError), engine.begin() as connection:
        connection.execute(text(what.renumber))


@ON_POSTGRESQL
@BOTH
@pytest.mark.usefixtures("ids")
def test_a_refusal_says_what_a_foreign_key_says(engine: Engine, what: Reference) -> None:
    with pytest.raises(exc.IntegrityError) as refused, engine.begin() as connection:
        connection.execute(text(what.refer), {"id": NOWHERE})

    said = refused.value.orig
    assert isinstance(said, errors.ForeignKeyViolation)
    assert (said.diag.table_name, said.diag.constraint_name) == (what.table, what.key)
    assert str(said).splitlines()[:2] == [
        f'insert or update on table "{what.table}" violates foreign key constraint "{what.key}"',
        f'DETAIL:  Key ({what.column})=({NOWHERE}) is not present in table "{what.parent}".',
    ]


@ON_POSTGRESQL
def test_the_refusal_to_delete_says_what_a_foreign_key_says(engine: Engine, ids: dict[str, int]) -> None:
    with engine.begin() as connection:
        connection.execute(text(BATCH.refer), {"id": ids["batches"]})

    with pytest.raises(exc.IntegrityError) as refused, engine.begin() as connection:
        connection.execute(text(BATCH.delete), {"id": ids["batches"]})

    said = refused.value.orig
    assert isinstance(said, errors.ForeignKeyViolation)
    assert (said.diag.table_name, said.diag.constraint_name) == ("messages", "fk_messages_batch_id")
    violates = 'violates foreign key constraint "fk_messages_batch_id" on table "messages"'
    assert str(said).splitlines()[:2] == [
        f'update or delete on table "batches" {violates}',
        f'DETAIL:  Key (id)=({ids["batches"]}) is still referenced from table "messages".',
    ]


@ON_POSTGRESQL
@BOTH
def test_a_table_that_is_referred_to_is_not_emptied(engine: Engine, ids: dict[str, int], what: Reference) -> None:
    with engine.begin() as connection:
        connection.execute(text(what.refer), {"id": ids[what.parent]})

    with pytest.raises(exc.IntegrityError), engine.begin() as connection:
        connection.execute(text(what.empty))
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE batches, messages, callbacks, reports"))


@ON_POSTGRESQL
@BOTH
def test_an_older_snapshot_deletes_nothing(engine: Engine, ids: dict[str, int], what: Reference) -> None:
    """It would not see who refers to it since."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as older:
        older.execute(text("SELECT count(*) FROM reports"))
        with engine.begin() as connection:
            connection.execute(text(what.refer), {"id": ids[what.parent]})

        with pytest.raises(exc.NotSupportedError, match="READ COMMITTED transactions only"):
            older.execute(text(what.delete), {"id": ids[what.parent]})


@ON_POSTGRESQL
@BOTH
def test_whoever_searches_elsewhere_is_guarded_as_well(engine: Engine, ids: dict[str, int], what: Reference) -> None:
    """As a restore of rows alone does."""
    refer = what.refer.replace(what.table, f"public.{what.table}")

    with engine.connect() as connection:
        connection.execute(text("SET search_path = ''"))
        connection.execute(text(refer), {"id": ids[what.parent]})

        with pytest.raises(exc.IntegrityError):
            connection.execute(text(refer), {"id": NOWHERE})


ENDS = pytest.mark.parametrize("end", ["commit", "rollback"])
Two = tuple[Connection, Connection]


@ON_POSTGRESQL
@BOTH
@ENDS
def test_whoever_refers_to_what_is_being_deleted_waits_for_the_end_of_it(
    two: Two, ids: dict[str, int], what: Reference, end: str
) -> None:
    deleting, referring = two
    this = {"id": ids[what.parent]}
    deleting.execute(text(what.delete), this)

    with ThreadPoolExecutor(1) as pool:
        refers = started(pool, referring, what.refer, this)
        getattr(deleting, end)()

        assert isinstance(refers.exception(), exc.IntegrityError) == (end == "commit")
    referring.rollback() if end == "commit" else referring.commit()
    assert what.referring(deleting) == (end == "rollback")


@ON_POSTGRESQL
@BOTH
@ENDS
def test_whoever_deletes_what_is_being_referred_to_waits_for_the_end_of_it(
    two: Two, ids: dict[str, int], what: Reference, end: str
) -> None:
    deleting, referring = two
    this = {"id": ids[what.parent]}
    referring.execute(text(what.refer), this)

    with ThreadPoolExecutor(1) as pool:
        deletes = started(pool, deleting, what.delete, this)
        getattr(referring, end)()

        refused = isinstance(deletes.exception(), exc.IntegrityError)
    deleting.rollback() if refused else deleting.commit()
    assert refused == (end == "commit" and not what.cascades)
    assert what.referring(referring) == refused


def started(pool: ThreadPoolExecutor, connection: Connection, statement: str, values: dict[str, int]) -> Future[Any]:
    """A statement under way that waits for somebody."""
    pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    future = pool.submit(connection.execute, text(statement), values)
    with connection.engine.connect() as looking:
        wait_for(lambda: looking.execute(text(BLOCKED), {"pid": pid}).scalar_one())
    return future


@ON_POSTGRESQL
def test_nothing_slips_through_when_many_refer_and_delete_at_once(engine: Engine, sessions: Sessions) -> None:
    refused = threading.Event()

    def refer_and_delete(number: int) -> None:
        statements = [BATCH.refer + " WHERE id % 4 = :id % 4", MESSAGE.refer, BATCH.delete, MESSAGE.delete]
        for turn in range(RACES):
            try:
                with engine.begin() as connection:
                    connection.execute(text(statements[(number + turn) % 4]), {"id": 1 + turn})
            except (exc.IntegrityError, exc.OperationalError):  # the latter is a deadlock
                refused.set()

    with sessions.begin() as session:
        for _ in range(RACES):
            session.execute(insert(Message), [an_sms(batch_id=a_batch(session))])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(refer_and_delete, range(4)))

    with engine.connect() as connection:
        assert connection.execute(text(ORPHANS)).one() == (0, 0)
    assert refused.is_set()
