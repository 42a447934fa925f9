"""The database under test, with a way in for the harness that none of the troubles closes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import psycopg
from servers import PostgresServer
from sqlalchemy import Engine, exc, text

from migrations.schema import upgrade
from worker.store.engine import make_engine

ROLE = "sms"
PLENTY = 120  # connections for all workers together


class Database(Protocol):
    """Where the messages are."""

    kind: str
    url: str  #: for the workers
    engine: Engine  #: for the harness

    def version(self) -> str: ...

    def stop(self) -> None: ...


class Postgres:
    """A PostgreSQL of our own, with fsync; the workers are no superusers, so that they can run out of connections."""

    kind = "postgresql"

    def __init__(self) -> None:
        self.server = PostgresServer(fsync=True)
        self.server.start()
        self.administer(f"CREATE ROLE {ROLE} LOGIN CONNECTION LIMIT {PLENTY}")
        self.administer(f"CREATE DATABASE {ROLE} OWNER {ROLE}")
        self.url = f"postgresql+psycopg://{ROLE}@127.0.0.1:{self.server.port}/{ROLE}"
        upgrade(self.url)
        self.engine = make_engine(self.url.replace(f"{ROLE}@", "postgres@"), connections=2)

    def version(self) -> str:
        (row,) = self.administer("SELECT current_setting('server_version')")
        return f"PostgreSQL {row[0]}"

    def connections(self) -> int:
        """How many the workers hold."""
        return int(self.administer("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", ROLE)[0][0])

    def refuse_writes(self, refuse: bool) -> None:
        """Every transaction that begins from now on is read-only, or not."""
        self.administer(f"ALTER SYSTEM SET default_transaction_read_only = {'on' if refuse else 'off'}")
        self.administer("SELECT pg_reload_conf()")

    def limit_connections(self, most: int = PLENTY) -> int:
        """Allow the workers *most* connections, and cut those that they hold if there are more; return how many."""
        self.administer(f"ALTER ROLE {ROLE} CONNECTION LIMIT {most}")
        if self.connections() <= most:
            return 0
        cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = %s"
        return int(self.administer(cut, ROLE)[0][0])

    def logged(self, words: str) -> int:
        """How often the server said so."""
        return self.server.log.read_text(errors="replace").count(words)

    def administer(self, statement: str, *values: str) -> Sequence[Any]:
        """One statement of the superuser, outside of any transaction."""
        with psycopg.connect(self.server.url.replace("+psycopg", ""), autocommit=True) as connection:
            found = connection.execute(statement.encode(), values or None)
            return found.fetchall() if found.description else []

    def stop(self) -> None:
        self.engine.dispose()
        self.server.remove()


class Sqlite:
    """A file."""

    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'sms.db'}"
        upgrade(self.url)
        self.engine = make_engine(self.url)

    def version(self) -> str:
        ((version,),) = rows(self.engine, "SELECT sqlite_version()")
        return f"SQLite {version}"

    def stop(self) -> None:
        self.engine.dispose()


def rows(engine: Engine, query: str, **values: Any) -> Sequence[Any]:
    """What anybody with an SQL client sees."""
    with engine.connect().execution_options(sqlite_reading=True) as connection:
        return connection.execute(text(query), values).all()


def rows_if_it_answers(engine: Engine, query: str) -> Sequence[Any] | None:
    """The same; None while the database is away."""
    try:
        return rows(engine, query)
    except exc.OperationalError:
        return None
