"""What lets people see and steer: processes that work, answer times, traces, look-ups by day, views, comments."""

import sqlalchemy as sa
from alembic import op

from migrations.concurrently import create_index, drop_index

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Instant = sa.DateTime(timezone=True)
Json = sa.JSON().with_variant(sa.dialects.postgresql.JSONB(), "postgresql")
INDEXES = {  # table, columns, and which rows
    "ix_messages_created_at": ("messages", ["created_at"], None),
    "ix_batches_finished_at": ("batches", ["finished_at"], "finished_at IS NOT NULL"),
}
NEW_COLUMNS = (
    ("messages", "traceparent", sa.Text()),
    ("batches", "answer_ms", sa.Integer()),
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # Each statement commits by itself and can be repeated. Until the last is through, the revision stays the old one.
        with op.get_context().autocommit_block():
            _expand(if_not_exists=True)
    else:  # all is one transaction, and *if not exists* is a word that SQLite does not know for a column
        _expand(if_not_exists=None)
    _works_with("0003")


def _expand(*, if_not_exists: bool | None) -> None:
    for table, name, kind in NEW_COLUMNS:
        op.add_column(table, sa.Column(name, kind, nullable=True), if_not_exists=if_not_exists)
    op.create_table(
        "workers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("started_at", Instant, nullable=False),
        sa.Column("seen_at", Instant, nullable=False),
        sa.Column("bell_at", Instant, nullable=True),
        sa.Column("left_at", Instant, nullable=True),
        sa.Column("figures", Json, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workers")),
        if_not_exists=True,
    )
    op.create_index("ix_workers_seen_at", "workers", ["seen_at"], if_not_exists=True)
    for name, (table, columns, where) in INDEXES.items():
        create_index(name, table, columns, where=where)


def _works_with(oldest: str) -> None:
    """The oldest revision whose code works on this schema: the last release's workers may be started meanwhile."""
    op.execute("DROP VIEW schema_works_with")
    op.execute(f"CREATE VIEW schema_works_with AS SELECT '{oldest}' AS oldest")


def downgrade() -> None:
    for name, (table, *_) in INDEXES.items():
        drop_index(name, table)
    _works_with("0002")
    op.drop_table("workers")
    for table, name, _ in NEW_COLUMNS:
        op.drop_column(table, name)
