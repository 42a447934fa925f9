"""How Alembic runs: on the settings' database, one at a time, and never in the way of a live table for long."""

import sys
import time

from alembic import context
from sqlalchemy import Connection, text

from migrations.schema import LOCK, migration_engine
from models import Base
from worker.settings import load_database_url

LOCK_TIMEOUT = "5s"  # a migration that cannot have its lock gives up, instead of queueing everybody behind it
STATEMENT_TIMEOUT = "15min"
LOOK_SECONDS = 0.2


def run(connection: Connection) -> None:
    """Run the migrations that were asked for over *connection*."""
    if connection.dialect.name == "postgresql":
        wait_for_others(connection)
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
        connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        render_as_batch=connection.dialect.name == "sqlite",
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


if context.is_offline_mode():
    raise SystemExit("Migrations run on a live database only: they look before they change.")

engine = migration_engine(context.config.attributes.get("database_url") or load_database_url())
with engine.connect() as live:
    run(live)
engine.dispose()
