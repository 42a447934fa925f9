"""How Alembic runs: on the settings' database, one at a time, and never in the way of a live table for long."""

import sqlite3
import sys
import time
from typing import Any

from alembic import context
from sqlalchemy import Connection, Engine, event, text

from migrations.schema import LOCK, LOCK_TIMEOUT, migration_engine
from models import Base
from worker.settings import load_database_url

STATEMENT_TIMEOUT = "15min"
LOOK_SECONDS = 0.2
SQLITE_BUSY_TIMEOUT_SECONDS = 300


def run(connection: Connection) -> None:
    """Run the migrations that were asked for over *connection*."""
    sqlite = connection.dialect.name == "sqlite"
    if not sqlite:
        wait_for_others(connection)
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
        connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transactional_ddl=True,
        # On SQLite one for all: who waited for another upgrade looks only then at what is left to do.
        transaction_per_migration=not sqlite,
        render_as_batch=sqlite,
    )
    with context.begin_transaction():
        context.run_migrations()


def wait_for_others(connection: Connection) -> None:
    """Return when no other upgrade is under way; it may take its time.

    By looking again and again: whoever waited within a statement would hold up the other one's concurrent indexes.
    """
    said = False
    while not connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}).scalar_one():
        connection.commit()
        if not said:
            sys.stderr.write("Another upgrade of this database is under way: waiting for it.\n")
        said = True
        time.sleep(LOOK_SECONDS)


def make_transactional(engine: Engine) -> None:
    """Let an SQLite file's upgrade be all or nothing, and wait for another one's end.

    By itself Python's driver would commit each CREATE and ALTER at once.
    """
    event.listen(engine, "connect", prepare_sqlite)
    event.listen(engine, "begin", begin_sqlite)


def prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # transactions are ours to begin
    connection.execute(f"PRAGMA busy_timeout = {1000 * SQLITE_BUSY_TIMEOUT_SECONDS}").close()


def begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


if context.is_offline_mode():
    raise SystemExit("Migrations run on a live database only: they look before they change.")

engine = migration_engine(context.config.attributes.get("database_url") or load_database_url())
if engine.dialect.name == "sqlite":
    make_transactional(engine)
with engine.connect() as live:
    run(live)
engine.dispose()
