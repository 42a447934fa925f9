"""A worker works only on the schema it was written for, or on a newer one that says that it may.

So that the last release's workers may be started again while a newer release comes: expand, migrate, contract.
"""

from sqlalchemy import Engine

from migrations import schema
from worker.errors import SchemaMismatch


def check_schema(engine: Engine) -> None:
    """Raise `SchemaMismatch`, with what to run, unless the database has a schema on which this code works."""
    needed, present = schema.needed(), schema.present(engine)
    if present == needed:
        return
    if present is None:
        raise SchemaMismatch(f"The database has no tables yet. Run: sms db upgrade (to {needed}).")
    if not schema.is_known(present):
        oldest = schema.works_with(engine)
        if oldest and schema.is_known(oldest):
            return
        raise SchemaMismatch(
            f"The database has schema {present}, which this release does not know: install a newer one."
        )
    raise SchemaMismatch(f"The database has schema {present}, this worker needs {needed}. Run: sms db upgrade.")
