"""Empty PostgreSQL databases beside those of the fixtures."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.engine import make_url


@contextmanager
def an_empty_database(server: str, name: str) -> Iterator[str]:
    """The URL of a database *name* that was never migrated, on the server of *server*; gone afterwards."""
    administer(server, f'CREATE DATABASE "{name}"')
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    administer(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def cut_off(server: str, name: str) -> None:
    """End every connection to the database *name*."""
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


def administer(server: str, statement: str) -> None:
    """Run one statement that cannot stand in a transaction."""
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement.encode())
