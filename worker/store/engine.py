"""Engines that keep the promises: what is committed is on disk, and a claim is never shared."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.orm import Session, sessionmaker

from worker.store.line import Line, Writer

BUSY_TIMEOUT_SECONDS = 30
IDLE_SECONDS = 2.0
USED_AT = "used_at"  #: in what the pool knows of a connection: by the process's own clock
POSTGRES_OPTIONS = (
    "-c timezone=UTC -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s "
    # A generic plan knows no states, and so no partial index: made on a small table it would read a large one whole.
    "-c plan_cache_mode=force_custom_plan "
    # Each of our statements has its index. In a large table PostgreSQL would rather sort all that is due, by several
    # processes, than fetch a lease's rows one by one, which it takes to be four times as dear as it is on an SSD.
    "-c random_page_cost=1.1 -c max_parallel_workers_per_gather=0"
)


#: The database itself is in trouble: no row is at fault, and whoever meets one of these tries again later.
DATABASE_TROUBLE = (
    exc.OperationalError,
    exc.InterfaceError,
    exc.InternalError,
    exc.ProgrammingError,
    exc.NotSupportedError,
    exc.TimeoutError,
)


def make_engine(database_url: str, *, connections: int = 20, statement_timeout_seconds: int = 30) -> Engine:
    """An engine for *database_url*; it connects only when it is used.

    *connections* bounds its pool. On PostgreSQL a statement is given up after *statement_timeout_seconds*.
    """
    if make_url(database_url).get_backend_name() == "sqlite":
        engine = create_engine(
            database_url,
            pool_size=connections,
            hide_parameters=True,  # phones and texts stand in them
            connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "factory": partial(Writer, Line())},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(
        database_url,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
        pool_use_lifo=True,  # the connection that was used last knows the statements
        connect_args={
            "options": f"-c statement_timeout={statement_timeout_seconds}s {POSTGRES_OPTIONS}",
            "application_name": "sms",
            "connect_timeout": 5,
        },
    )
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", partial(_check_if_idle, engine.dialect))
    return engine


def make_sessions(engine: Engine) -> sessionmaker[Session]:
    """Sessions for the rooms; plain values outlive their transaction."""
    return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def reading(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """A session that only looks, and so never waits for a writer; PostgreSQL lets it write nothing."""
    with sessions() as session:
        session.connection(execution_options={"sqlite_reading": True, "postgresql_readonly": True})
        yield session


def _note_use(_: Any, record: Any) -> None:
    record.info[USED_AT] = time.monotonic()


def _check_if_idle(dialect: Dialect, connection: Any, record: Any, _: Any) -> None:
    """Ask a connection that was idle for a while whether it still stands, as SQLAlchemy's pre-ping asks each time.

    Where one is in constant use, that would be a round trip more for each transaction. Raises `DisconnectionError`, on
    which the pool takes another. That one is new, and not asked: the pool would give up, by an error that does not look
    like trouble of the database, where a pooler lets one log in although the database behind it is down.
    """
    used_at = record.info.get(USED_AT)
    if used_at is None or time.monotonic() - used_at < IDLE_SECONDS:
        return
    try:
        dialect.do_ping(connection)
    except Exception as error:
        raise exc.DisconnectionError from error


def _prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # transactions are ours to begin
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # NORMAL may lose the last commits with the power
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later could not wait for another writer: it would just fail.
    reading = connection.get_execution_options().get("sqlite_reading", False)
    driver = connection.connection.driver_connection
    if not reading and isinstance(driver, Writer):
        driver.stand_in_line()
    connection.exec_driver_sql("BEGIN DEFERRED" if reading else "BEGIN IMMEDIATE")
