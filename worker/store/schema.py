"""A worker works only on the schema it was written for, or on a newer one that says that it may.

So that the last release's workers may be started again while a newer release comes: expand, migrate, contract.
"""

from sqlalchemy import Engine

from migrations import schema
from worker.errors import SchemaMismatch
from worker.settings import DatabaseSettings
from worker.urls import without_secrets

UP_HAS_ITS_OWN = " A running `sms up` has a database of its own, in .sms/up: paste the export line that it shows."


def check_schema(engine: Engine) -> None:
    """Raise `SchemaMismatch`, with the database and what to run, unless this code works on the schema it has."""
    needed, present = schema.needed(), schema.present(engine)
    if present == needed:
        return
    named, url = _named(engine), engine.url.render_as_string()
    hint = UP_HAS_ITS_OWN if url == DatabaseSettings.model_fields["database_url"].default else ""
    if present is None:
        raise SchemaMismatch(f"The database {named} has no tables yet. Run: sms db upgrade (to {needed}).{hint}")
    if not schema.is_known(present):
        oldest = schema.works_with(engine)
        if oldest and schema.is_known(oldest):
            return
        raise SchemaMismatch(
            f"The database {named} has schema {present}, which this release does not know: install a newer one.{hint}"
        )
    raise SchemaMismatch(
        f"The database {named} has schema {present}, this worker needs {needed}. Run: sms db upgrade.{hint}"
    )


def _named(engine: Engine) -> str:
    """Its address without a password; of an SQLite file where it is from any folder."""
    url = engine.url.render_as_string()
    file = schema.sqlite_file(url)
    return f"sqlite:///{file.absolute()}" if file else without_secrets(url)
