"""A worker works only on the schema it was written for."""

from sqlalchemy import Engine

from migrations import schema
from worker.errors import SchemaMismatch


def check_schema(engine: Engine) -> None:
    """Raise `SchemaMismatch`, with what to run, unless the database has exactly this code's schema."""
    needed, present = schema.needed(), schema.present(engine)
    if present == needed:
        return
    if present is None:
        raise SchemaMismatch(f"The database has no tables yet. Run: sms db upgrade (to {needed}).")
    if not schema.is_known(present):
        raise SchemaMismatch(
            f"The database has schema {present}, which this release does not know: install a newer one."
        )
    raise SchemaMismatch(f"The database has schema {present}, this worker needs {needed}. Run: sms db upgrade.")
