"""Engines that keep the promises: what is committed is on disk, and a claim is never shared."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, sessionmaker

from worker.store.line import Line, Writer

BUSY_TIMEOUT_SECONDS = 30
POSTGRES_OPTIONS = (
    "-c timezone=UTC -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s "
    # A generic plan knows no states, and so no partial index: made on a small table it would read a large one whole.
    "-c plan_cache_mode=force_custom_plan"
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
    return create_engine(
        database_url,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args={
            "options": f"-c statement_timeout={statement_timeout_seconds}s {POSTGRES_OPTIONS}",
            "application_name": "sms",
            "connect_timeout": 5,
        },
    )


def make_sessions(engine: Engine) -> sessionmaker[Session]:
    """Sessions for the rooms; plain values outlive their transaction."""
    return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def reading(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """A session that only looks, and so never waits for a writer; PostgreSQL lets it write nothing."""
    with sessions() as session:
        session.connection(execution_options={"sqlite_reading": True, "postgresql_readonly": True})
        yield session


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
