"""What tells "claimed" from "may have left", circuits, decisions, and a view of what needs a person."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Instant = sa.DateTime(timezone=True)
YOUNG = "ix_messages_poll_young"
YOUNG_COLUMNS = ["polls", "next_poll_at"]
SUBMITTED = sa.text("state = 'submitted'")
IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"
BUILD_LOCK_TIMEOUT = "10min"  # a concurrent build waits for the oldest transaction, and holds nobody up meanwhile

# The oldest revision whose code works on this schema, so that the last release's workers may be started while the new
# ones come. A view, because it is part of the schema and of no backup's rows.
WORKS_WITH = "CREATE VIEW schema_works_with AS SELECT '0001' AS oldest"

ATTENTION = """
CREATE VIEW v_attention AS
SELECT 'unconfirmed' AS kind, m.uid AS uid, m.lane AS lane, b.finished_at AS since, m.reason AS reason,
       'sms unconfirmed: look, then resend or drop' AS remedy
  FROM messages AS m JOIN batches AS b ON b.id = m.batch_id WHERE m.state = 'unconfirmed'
UNION ALL
SELECT 'account paused', NULL, NULL, paused_at, reason, 'put it right with the vendor; sms resume tries at once'
  FROM accounts WHERE state = 'paused'
UNION ALL
SELECT 'account held', NULL, NULL, held_at, 'held by ' || held_by,
       CASE WHEN held_by LIKE 'restored database%' THEN 'stop all workers, then sms recover --since TIME' ELSE 'sms resume' END
  FROM accounts WHERE held_at IS NOT NULL
UNION ALL
SELECT 'circuit open', NULL, NULL, opened_at, room || ': ' || reason, 'the gateway is tried again by itself'
  FROM circuits WHERE state = 'open'
UNION ALL
SELECT 'callback failed', m.uid, m.lane, c.finished_at, c.reason, 'mend the receiver: its producer was not told'
  FROM callbacks AS c LEFT JOIN messages AS m ON m.id = c.sms_id WHERE c.state = 'failed'
UNION ALL
SELECT 'order refused', uid, queue, created_at, reason, 'mend the producer; the order stands in refused_intakes'
  FROM refused_intakes
"""


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # Each statement commits by itself, so that none keeps a table from claims while it waits for another one, and
        # each can be repeated. Until the last is through, the revision stays the old one.
        with op.get_context().autocommit_block():
            _build_young()
            _add_columns(if_not_exists=True)
            _create_tables()
    else:  # all is one transaction
        op.create_index(YOUNG, "messages", YOUNG_COLUMNS, sqlite_where=SUBMITTED)
        _add_columns(if_not_exists=None)
        _create_tables()
    op.execute(ATTENTION)
    op.execute(WORKS_WITH)


def _build_young() -> None:
    with _patience():
        if not op.get_bind().execute(sa.text(IS_VALID), {"name": YOUNG}).scalar():
            # A build that was broken off leaves an invalid index.
            op.drop_index(YOUNG, "messages", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            YOUNG,
            "messages",
            YOUNG_COLUMNS,
            postgresql_where=SUBMITTED,
            postgresql_concurrently=True,
            if_not_exists=True,
        )


@contextmanager
def _patience() -> Iterator[None]:
    usual = op.get_bind().execute(sa.text("SHOW lock_timeout")).scalar_one()
    op.execute(f"SET lock_timeout = '{BUILD_LOCK_TIMEOUT}'")
    yield
    op.execute(f"SET lock_timeout = '{usual}'")


def _add_columns(*, if_not_exists: bool | None) -> None:
    """*if_not_exists* is a word that SQLite does not know."""
    op.add_column("batches", sa.Column("begins_by", Instant, nullable=True), if_not_exists=if_not_exists)
    op.add_column("accounts", sa.Column("held_at", Instant, nullable=True), if_not_exists=if_not_exists)
    op.add_column("accounts", sa.Column("held_by", sa.Text(), nullable=True), if_not_exists=if_not_exists)


def _create_tables() -> None:
    _create_circuits()
    _create_decisions()


def _create_circuits() -> None:
    op.create_table(
        "circuits",
        sa.Column("account_id", BigId, nullable=False),
        sa.Column("room", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("opened_at", Instant, nullable=True),
        sa.Column("probe_at", Instant, nullable=True),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.CheckConstraint("room IN ('polling', 'posting')", name=op.f("ck_circuits_room_known")),
        sa.CheckConstraint("state IN ('closed', 'open')", name=op.f("ck_circuits_state_known")),
        sa.CheckConstraint("(opened_at IS NOT NULL) = (state = 'open')", name=op.f("ck_circuits_opened_at_iff_open")),
        sa.CheckConstraint("(probe_at IS NOT NULL) = (state = 'open')", name=op.f("ck_circuits_probe_at_iff_open")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_circuits_account_id")),
        sa.PrimaryKeyConstraint("account_id", "room", name=op.f("pk_circuits")),
        if_not_exists=True,
    )


def _create_decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", BigId, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "what IN ('confirm', 'drop', 'pause', 'recover', 'resend', 'resume')",
            name=op.f("ck_decisions_what_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
        if_not_exists=True,
    )
    op.create_index("ix_decisions_at", "decisions", ["at"], if_not_exists=True)
    op.create_index("ix_decisions_uid", "decisions", ["uid"], if_not_exists=True)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        with op.get_context().autocommit_block(), _patience():
            op.drop_index(YOUNG, "messages", if_exists=True, postgresql_concurrently=True)
    else:
        op.drop_index(YOUNG, "messages")
    # The rest is one transaction: a newer release never meets a part of its tables. It takes accounts before batches, as
    # a claim does.
    op.execute("DROP VIEW schema_works_with")
    op.execute("DROP VIEW v_attention")
    op.drop_column("accounts", "held_by")
    op.drop_column("accounts", "held_at")
    op.drop_table("circuits")
    op.drop_table("decisions")
    op.drop_column("batches", "begins_by")
