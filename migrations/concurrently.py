"""Indexes on live tables: built and dropped without holding up those who write, and repeated after a kill."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"
BUILD_LOCK_TIMEOUT = "10min"  # a concurrent build waits for the oldest transaction, and holds nobody up meanwhile


def create_index(name: str, table: str, columns: list[str], *, where: str | None) -> None:
    """Build an index, of the rows that *where* names if it does.

    On PostgreSQL concurrently, so call it where each statement commits by itself.
    """
    rows = None if where is None else sa.text(where)
    if op.get_bind().dialect.name != "postgresql":
        op.create_index(name, table, columns, sqlite_where=rows)
        return
    with _patience():
        if not op.get_bind().execute(sa.text(IS_VALID), {"name": name}).scalar():
            # A build that was broken off leaves an invalid index.
            op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_where=rows, postgresql_concurrently=True, if_not_exists=True)


def drop_index(name: str, table: str) -> None:
    """The way back."""
    if op.get_bind().dialect.name != "postgresql":
        op.drop_index(name, table)
        return
    with op.get_context().autocommit_block(), _patience():
        op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)


@contextmanager
def _patience() -> Iterator[None]:
    usual = op.get_bind().execute(sa.text("SHOW lock_timeout")).scalar_one()
    op.execute(f"SET lock_timeout = '{BUILD_LOCK_TIMEOUT}'")
    yield
    op.execute(f"SET lock_timeout = '{usual}'")
