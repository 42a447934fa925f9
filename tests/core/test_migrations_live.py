"""Migrations of a live database: broken off at any statement and repeated, and in no busy worker's way."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from compared import unlike_the_models
from databases import an_empty_database
from psycopg.errors import DeadlockDetected
from sqlalchemy import Connection, Engine, event, exc, inspect, text

from migrations import schema
from worker.store.engine import make_engine

LAST_RELEASE = "0004"
RUNG = "ix_messages_poll_rung"
WORKERS = 3
BETWEEN_MESSAGES_SECONDS = 0.002  # without it the tables grow by thousands of rows a second, and indexes take minutes
LOOKS = ("SELECT", "SHOW", "SET", "PRAGMA")
INVALID_INDEXES = "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE NOT indisvalid"

AN_ACCOUNT = "INSERT INTO accounts (id, login, state, probes) VALUES (1, 'shop', 'active', 0)"
A_BATCH = """
    INSERT INTO batches (account_id, lane, state, size, worker, created_at, lease_until)
    VALUES (1, 'otp', 'posting', 1, 'w1', '2026-11-22 12:00:00+00:00', '2026-11-22 12:01:00+00:00') RETURNING id
"""
A_MESSAGE = """
    INSERT INTO messages (uid, producer, lane, phone, text, state, batch_id, parts, encoding, attempts, resends, tags,
                          created_at, send_at, posted_at, polls)
    VALUES (:uid, 'shop', 'otp', '998901234567', 'Your code is 1234', 'posting', :batch, 1, 'gsm', 1, 0, '{}',
            '2026-11-22 12:00:00+00:00', '2026-11-22 12:00:00+00:00', '2026-11-22 12:00:00+00:00', 0) RETURNING id
"""
A_REPORT = "INSERT INTO reports (sms_id, received_at, answer) VALUES (:sms, '2026-11-22 12:00:09+00:00', '{}')"
ACCEPTED = """
    UPDATE batches SET state = 'accepted', accepted = 1, refused = 0, lease_until = NULL,
           finished_at = '2026-11-22 12:00:01+00:00' WHERE id = :batch
"""
SUBMITTED = """
    UPDATE messages SET state = 'submitted', request_id = '5001', submitted_at = '2026-11-22 12:00:01+00:00',
           next_poll_at = '2026-11-22 12:00:31+00:00' WHERE id = :sms
"""
DELIVERED = """
    UPDATE messages SET state = 'delivered', next_poll_at = NULL, delivered_at = '2026-11-22 12:00:09+00:00',
           finalized_at = '2026-11-22 12:00:09+00:00' WHERE id = :sms
"""
NO_MORE = "DELETE FROM messages WHERE id = :sms"
BATCH_GONE = "DELETE FROM batches WHERE id = :batch"


class BrokenOffError(Exception):
    """The program is gone."""


@pytest.fixture(params=["sqlite", "postgresql"])
def released_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database as the last release made it, with a batch in it."""
    if request.param == "sqlite":
        yield from _released(f"sqlite:///{tmp_path / 'released.db'}")
        return
    with an_empty_database(request.getfixturevalue("postgres_server"), "sms_test_released") as url:
        yield from _released(url)


def _released(url: str) -> Iterator[str]:
    schema.upgrade(url, LAST_RELEASE)
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(text(AN_ACCOUNT))
    for number in range(3):
        live(engine, f"old-{number}", to_the_end=False)
    engine.dispose()
    yield url


@pytest.fixture
def released(released_url: str) -> Iterator[Engine]:
    engine = make_engine(released_url)
    yield engine
    engine.dispose()


@pytest.fixture
def workers(released_url: str) -> Iterator[list[BaseException]]:
    """What went wrong with busy workers, on PostgreSQL: SQLite lets only one write at a time anyway."""
    wrong: list[BaseException] = []
    if not released_url.startswith("postgresql"):
        yield wrong
        return
    with working(released_url, wrong):
        yield wrong


@contextmanager
def working(url: str, wrong: list[BaseException]) -> Iterator[None]:
    """Threads that send as workers of either release do, one message after the other."""
    over = threading.Event()
    engine = make_engine(url)

    def work(worker: int) -> None:
        for number in itertools.count():
            if over.wait(BETWEEN_MESSAGES_SECONDS):
                return
            try:
                live(engine, f"{worker}-{number}")
            except exc.DBAPIError as error:
                wrong.append(error)

    with ThreadPoolExecutor(WORKERS) as pool:
        for worker in range(WORKERS):
            pool.submit(work, worker)
        try:
            yield
        finally:
            over.set()
    engine.dispose()


def live(engine: Engine, uid: str, *, to_the_end: bool = True) -> None:
    """A message's life: claimed, accepted, delivered and, *to_the_end*, deleted; the tables in the rooms' order."""
    with engine.begin() as claiming:
        claiming.execute(text("SELECT id FROM messages WHERE state = 'queued' AND lane = 'otp'"))
        batch = claiming.execute(text(A_BATCH)).scalar_one()
        sms = claiming.execute(text(A_MESSAGE), {"uid": uid, "batch": batch}).scalar_one()
    named = {"sms": sms, "batch": batch}
    transactions = [[ACCEPTED, SUBMITTED], [A_REPORT, DELIVERED]]
    for statements in [*transactions, [NO_MORE, BATCH_GONE]] if to_the_end else transactions:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement), named)


def is_broken_off(migrate: Callable[[], None], *, after: int) -> bool:
    """Whether this migration was cut off after so many statements that change something; False if it had fewer."""
    number, migrating = itertools.count(1), threading.get_ident()

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        looks = statement.lstrip().startswith(LOOKS)
        if threading.get_ident() == migrating and not looks and next(number) == after:
            raise BrokenOffError

    event.listen(Engine, "after_cursor_execute", count)
    try:
        migrate()
    except BrokenOffError:
        return True
    finally:
        event.remove(Engine, "after_cursor_execute", count)
    return False


def is_guarded(engine: Engine) -> bool:
    """Whether neither a message nor a report can refer to what is not there."""
    return all(is_refused(engine, statement) for statement in (A_MESSAGE, A_REPORT, "UPDATE messages SET batch_id = 0"))


def is_refused(engine: Engine, statement: str) -> bool:
    try:
        with engine.begin() as connection:
            connection.execute(text(statement), {"uid": "orphan", "batch": 0, "sms": 0})
    except exc.IntegrityError:
        return True
    return False


def differences(engine: Engine) -> list[Any]:
    """What the database has otherwise than the models."""
    with engine.connect() as connection:
        broken = connection.execute(text(INVALID_INDEXES)).all() if engine.dialect.name == "postgresql" else []
        return [*broken, *unlike_the_models(connection)]


def shape(engine: Engine) -> Any:
    """Tables with their columns and indexes, and the views."""
    looking = inspect(engine)
    return looking.get_view_names(), {
        table: (
            {column["name"] for column in looking.get_columns(table)},
            {index["name"] for index in looking.get_indexes(table)},
        )
        for table in looking.get_table_names()
    }


def test_an_upgrade_that_was_broken_off_anywhere_can_be_repeated(
    released_url: str, released: Engine, workers: list[BaseException]
) -> None:
    upgrade = partial(schema.upgrade, released_url)

    for statement in itertools.count(1):
        broken_off = is_broken_off(upgrade, after=statement)
        assert is_guarded(released)
        upgrade()

        assert differences(released) == []
        assert {"schema_works_with", "v_attention"} <= set(inspect(released).get_view_names())
        if not broken_off:
            break
        schema.downgrade(released_url, LAST_RELEASE)
    assert schema.present(released) == schema.needed()
    assert workers == []


def test_a_way_back_that_was_broken_off_anywhere_can_be_repeated(
    released_url: str, released: Engine, workers: list[BaseException]
) -> None:
    before = shape(released)
    back = partial(schema.downgrade, released_url, LAST_RELEASE)

    for statement in itertools.count(1):
        schema.upgrade(released_url)
        broken_off = is_broken_off(back, after=statement)
        assert is_guarded(released)
        back()

        assert (schema.present(released), shape(released)) == (LAST_RELEASE, before)
        if not broken_off:
            break
    assert workers == []


UPGRADE = pytest.param(LAST_RELEASE, schema.upgrade, schema.needed(), id="upgrade")
WAY_BACK = pytest.param("head", partial(schema.downgrade, revision=LAST_RELEASE), LAST_RELEASE, id="way back")


@pytest.fixture
def postgres_url(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(schema, "LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(schema, "PAUSES_SECONDS", (1, 2))
    with an_empty_database(postgres_server, "sms_test_in_use") as url:
        yield url


@pytest.fixture
def other(postgres_url: str) -> Iterator[Connection]:
    """Somebody else's connection."""
    engine = make_engine(postgres_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.mark.parametrize(("start", "migrate", "end"), [UPGRADE, WAY_BACK])
def test_a_migration_whose_table_is_in_use_is_tried_again(
    postgres_url: str, other: Connection, start: str, migrate: Callable[..., None], end: str
) -> None:
    schema.upgrade(postgres_url, start)
    pauses: list[float] = []

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        if seconds == schema.PAUSES_SECONDS[-1]:
            other.rollback()

    other.execute(text("SELECT * FROM batches"))
    migrate(postgres_url, wait=wait)

    assert pauses == [1, 2]
    assert schema.present(other.engine) == end


@pytest.mark.parametrize(("start", "migrate", "end"), [UPGRADE, WAY_BACK])
def test_a_migration_gives_up_a_table_that_stays_in_use(
    postgres_url: str, other: Connection, start: str, migrate: Callable[..., None], end: str
) -> None:
    schema.upgrade(postgres_url, start)
    pauses: list[float] = []
    other.execute(text("SELECT * FROM batches"))

    with pytest.raises(exc.OperationalError, match="lock timeout"):
        migrate(postgres_url, wait=pauses.append)
    other.rollback()
    migrate(postgres_url)

    assert pauses == [1, 2]
    assert schema.present(other.engine) == end


def test_a_migration_that_was_the_victim_of_a_deadlock_is_tried_again(capfd: pytest.CaptureFixture[str]) -> None:
    pauses: list[float] = []
    outcomes = iter([DeadlockDetected(), None])

    def migrate() -> None:
        if outcome := next(outcomes):
            raise exc.OperationalError("ALTER TABLE", {}, outcome)

    schema._until_locks_are_had(migrate, pauses.append)

    assert pauses == [1]
    assert capfd.readouterr().err == "A table is in use: the migration is tried again in 1 s.\n"


def test_an_index_whose_build_was_broken_off_is_built_anew(postgres_url: str, other: Connection) -> None:
    schema.upgrade(postgres_url, LAST_RELEASE)
    other.execute(text("LOCK TABLE messages IN ROW EXCLUSIVE MODE"))  # as a transaction that writes
    with pytest.raises(exc.OperationalError, match="lock timeout"):
        build_at_once(other.engine)
    other.rollback()
    left = other.execute(text(INVALID_INDEXES)).scalars().all()
    other.rollback()

    schema.upgrade(postgres_url)

    assert left == [RUNG]
    assert differences(other.engine) == []


def build_at_once(engine: Engine) -> None:
    """As an upgrade that was broken off while it waited for others."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as builder:
        builder.execute(text("SET lock_timeout = '50ms'"))
        builder.execute(text(f"CREATE INDEX CONCURRENTLY {RUNG} ON messages (id)"))
