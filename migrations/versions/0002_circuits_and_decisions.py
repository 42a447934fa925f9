"""What tells "claimed" from "may have left", circuits, decisions, and a view of what needs a person."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Instant = sa.DateTime(timezone=True)
YOUNG = "ix_messages_poll_young"
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
SELECT 'account held', NULL, NULL, held_at, 'held by ' || held_by, 'sms resume' FROM accounts WHERE held_at IS NOT NULL
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
    postgresql = op.get_bind().dialect.name == "postgresql"
    where = sa.text("state = 'submitted'")
    columns = ["polls", "next_poll_at"]
    if postgresql:
        # First of all, and so that it can be repeated: a build that was broken off leaves an invalid index.
        with op.get_context().autocommit_block():
            op.execute(f"SET lock_timeout = '{BUILD_LOCK_TIMEOUT}'")
            op.drop_index(YOUNG, "messages", if_exists=True, postgresql_concurrently=True)
            op.create_index(YOUNG, "messages", columns, postgresql_where=where, postgresql_concurrently=True)
            op.execute("SET lock_timeout = '5s'")
    else:
        op.create_index(YOUNG, "messages", columns, sqlite_where=where)
    op.add_column("batches", sa.Column("begins_by", Instant, nullable=True))
    op.add_column("accounts", sa.Column("held_at", Instant, nullable=True))
    op.add_column("accounts", sa.Column("held_by", sa.Text(), nullable=True))
    _create_circuits()
    _create_decisions()
    op.execute(ATTENTION)
    op.execute(WORKS_WITH)


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
    )
    op.create_index("ix_decisions_at", "decisions", ["at"])
    op.create_index("ix_decisions_uid", "decisions", ["uid"])


def downgrade() -> None:
    op.execute("DROP VIEW schema_works_with")
    op.execute("DROP VIEW v_attention")
    op.drop_table("decisions")
    op.drop_table("circuits")
    op.drop_column("accounts", "held_by")
    op.drop_column("accounts", "held_at")
    op.drop_column("batches", "begins_by")
    op.drop_index(YOUNG, "messages")
