"""``sms db``: the database's schema and this release."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NamedTuple

import typer
from sqlalchemy import Engine, exc

from migrations import schema
from worker.errors import SettingsError
from worker.settings import a_database_url, load_database_url
from worker.store.schema import check_schema
from worker.urls import without_secrets

db = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Bring the database to this release, or check that it is."
)
Url = Annotated[str | None, typer.Option(help="The database; without it, the one of SMS_DATABASE_URL.")]


@db.command()
def upgrade(url: Url = None) -> None:
    """Bring the database to this release."""
    url = a_database_url(url) if url else load_database_url()
    before, where = bring_to_this_release(url), without_secrets(url)
    if before.fits:
        fit = "newer than this release, and fit for it" if before.is_newer else "as it should be"
        typer.echo(f"The database {where} is at {before.revision}, {fit}: nothing to do.")
        return
    was = f"at {before.revision}" if before.revision else "empty"
    typer.echo(f"The database {where} was {was} and is now at {schema.needed()}.")


@db.command()
def check(url: Url = None) -> None:
    """Say whether the database is at this release; exit code 2 if it is not."""
    url = a_database_url(url) if url else load_database_url()
    with looking_at(url) as engine:
        check_schema(engine)
        present = schema.present(engine)
    typer.echo(f"The database {without_secrets(url)} is at {present}: this release works on it.")


class Before(NamedTuple):
    """How a database was found."""

    revision: str | None  #: None if it was empty
    is_newer: bool  #: than this release, which works with it

    @property
    def fits(self) -> bool:
        """Whether there was nothing to do."""
        return self.is_newer or self.revision == schema.needed()


def bring_to_this_release(url: str) -> Before:
    """Migrate the database, unless it fits as it is. Raises `SettingsError` and `SchemaMismatch`, one line each."""
    with looking_at(url) as engine:
        revision = schema.present(engine)
        is_newer = revision is not None and not schema.is_known(revision)
        if is_newer:
            check_schema(engine)
    before = Before(revision, is_newer)
    if not before.fits:
        schema.upgrade(url)
    return before


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
