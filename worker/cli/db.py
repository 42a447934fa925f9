"""``sms db``: the database's schema and this release."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated
from urllib.parse import urlsplit

import typer
from sqlalchemy import Engine, exc

from migrations import schema
from worker.errors import SettingsError
from worker.settings import a_database_url, load_database_url
from worker.store.schema import check_schema

db = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Bring the database to this release, or check that it is."
)
Url = Annotated[str | None, typer.Option(help="The database; without it, the one of SMS_DATABASE_URL.")]


@db.command()
def upgrade(url: Url = None) -> None:
    """Bring the database to this release."""
    url = a_database_url(url) if url else load_database_url()
    with looking_at(url) as engine:
        before, needed = schema.present(engine), schema.needed()
        newer = before is not None and not schema.is_known(before)
        if newer:
            check_schema(engine)
    where = without_secrets(url)
    if newer or before == needed:
        fit = "newer than this release, and fit for it" if newer else "as it should be"
        typer.echo(f"The database {where} is at {before}, {fit}: nothing to do.")
        return
    schema.upgrade(url)
    typer.echo(f"The database {where} was {f'at {before}' if before else 'empty'} and is now at {needed}.")


@db.command()
def check(url: Url = None) -> None:
    """Say whether the database is at this release; exit code 2 if it is not."""
    url = a_database_url(url) if url else load_database_url()
    with looking_at(url) as engine:
        check_schema(engine)
        present = schema.present(engine)
    typer.echo(f"The database {without_secrets(url)} is at {present}: this release works on it.")


@contextmanager
def looking_at(url: str) -> Iterator[Engine]:
    """An engine for a short look. Raises `SettingsError`, one line without a password, if nobody answers."""
    engine = schema.migration_engine(url)
    try:
        yield engine
    except exc.DBAPIError as error:
        why = str(error.orig).strip().splitlines()[0]
        raise SettingsError(f"The database at {without_secrets(url)} does not answer: {why}") from None
    finally:
        engine.dispose()


def without_secrets(url: str) -> str:
    """Scheme, host, port and path: a password may stand in the user part, and in the query too.

    >>> without_secrets("redis://:secret@10.0.0.1:6379/3?password=secret")
    'redis://10.0.0.1:6379/3'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
