"""The tables, their constraints and indexes; reports are append-only."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Instant = sa.DateTime(timezone=True)
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TABLES = ("reports", "callbacks", "messages", "batches", "refused_intakes", "accounts")

APPEND_ONLY = {
    "sqlite": [
        """
        CREATE TRIGGER reports_append_only BEFORE UPDATE ON reports
        BEGIN SELECT RAISE(ABORT, 'reports are append-only'); END
        """
    ],
    "postgresql": [
        """
        CREATE FUNCTION reports_append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'reports are append-only'; END $$
        """,
        """
        CREATE TRIGGER reports_append_only BEFORE UPDATE ON reports
        FOR EACH ROW EXECUTE FUNCTION reports_append_only()
        """,
    ],
}


# Old rows are many and the open ones few: by PostgreSQL's shares of the whole table it would look at them too seldom,
# take them for none, and walk whole partial indexes.
LOOK_OFTEN = """
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000,
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 10000
"""


def partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", BigId, nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("error_no", sa.Integer(), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("paused_at", Instant, nullable=True),
        sa.Column("probe_at", Instant, nullable=True),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "(paused_at IS NOT NULL) = (state = 'paused')", name=op.f("ck_accounts_paused_at_iff_paused")
        ),
        sa.CheckConstraint("(probe_at IS NOT NULL) = (state = 'paused')", name=op.f("ck_accounts_probe_at_iff_paused")),
        sa.CheckConstraint("state IN ('active', 'paused')", name=op.f("ck_accounts_state_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("login", name=op.f("uq_accounts_login")),
    )
    op.create_table(
        "refused_intakes",
        sa.Column("id", BigId, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=True),
        sa.Column("uid", sa.Text(), nullable=True),
        sa.Column("producer", sa.Text(), nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("body_encoding", sa.Text(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.CheckConstraint("body_encoding IN ('utf-8', 'base64')", name=op.f("ck_refused_intakes_body_encoding_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused_intakes")),
        sa.UniqueConstraint("digest", name=op.f("uq_refused_intakes_digest")),
    )
    op.create_index("ix_refused_intakes_created_at", "refused_intakes", ["created_at"])
    op.create_index("ix_refused_intakes_uid", "refused_intakes", ["uid"])

    op.create_table(
        "batches",
        sa.Column("id", BigId, nullable=False),
        sa.Column("account_id", BigId, nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("nickname", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("size", sa.SmallInteger(), nullable=False),
        sa.Column("accepted", sa.SmallInteger(), nullable=True),
        sa.Column("refused", sa.SmallInteger(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("error_no", sa.Integer(), nullable=True),
        sa.Column("http_status", sa.SmallInteger(), nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("lease_until", Instant, nullable=True),
        sa.Column("finished_at", Instant, nullable=True),
        sa.CheckConstraint(
            "(accepted IS NOT NULL) = (state = 'accepted')", name=op.f("ck_batches_accepted_iff_answered")
        ),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (state = 'posting')", name=op.f("ck_batches_finished_at_iff_finished")
        ),
        sa.CheckConstraint(
            "(lease_until IS NOT NULL) = (state = 'posting')", name=op.f("ck_batches_lease_iff_posting")
        ),
        sa.CheckConstraint(
            "(refused IS NOT NULL) = (state = 'accepted')", name=op.f("ck_batches_refused_iff_answered")
        ),
        sa.CheckConstraint("lane IN ('bulk', 'normal', 'otp')", name=op.f("ck_batches_lane_known")),
        sa.CheckConstraint(
            "state IN ('accepted', 'posting', 'refused', 'released', 'unconfirmed')",
            name=op.f("ck_batches_state_known"),
        ),
        sa.CheckConstraint("size BETWEEN 1 AND 100", name=op.f("ck_batches_size_as_documented")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_batches_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    partial("ix_batches_lease_until", "batches", ["lease_until"], where="state = 'posting'")

    op.create_table(
        "messages",
        sa.Column("id", BigId, nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("producer", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("nickname", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("error_no", sa.Integer(), nullable=True),
        sa.Column("gateway_status", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("batch_id", BigId, nullable=True),
        sa.Column("split", BigId, nullable=True),
        sa.Column("parts", sa.SmallInteger(), nullable=False),
        sa.Column("encoding", sa.Text(), nullable=False),
        sa.Column("billed_parts", sa.Integer(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("resends", sa.Integer(), nullable=False),
        sa.Column("resolved_by", sa.Text(), nullable=True),
        sa.Column("tags", Json, nullable=False),
        sa.Column("callback", Json, nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("send_at", Instant, nullable=False),
        sa.Column("expires_at", Instant, nullable=True),
        sa.Column("posted_at", Instant, nullable=True),
        sa.Column("submitted_at", Instant, nullable=True),
        sa.Column("delivered_at", Instant, nullable=True),
        sa.Column("finalized_at", Instant, nullable=True),
        sa.Column("next_poll_at", Instant, nullable=True),
        sa.Column("polls", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "(delivered_at IS NOT NULL) = (state = 'delivered')", name=op.f("ck_messages_delivered_at_iff_delivered")
        ),
        sa.CheckConstraint(
            "(finalized_at IS NOT NULL) = (state IN ('cancelled', 'delivered', 'expired', 'failed', 'unknown'))",
            name=op.f("ck_messages_finalized_at_iff_final"),
        ),
        sa.CheckConstraint(
            "(next_poll_at IS NOT NULL) = (state = 'submitted')", name=op.f("ck_messages_next_poll_at_iff_submitted")
        ),
        sa.CheckConstraint("encoding IN ('gsm', 'ucs2')", name=op.f("ck_messages_encoding_known")),
        sa.CheckConstraint("lane IN ('bulk', 'normal', 'otp')", name=op.f("ck_messages_lane_known")),
        sa.CheckConstraint(
            "state IN ('cancelled', 'delivered', 'expired', 'failed', 'posting', 'queued', 'submitted', 'unconfirmed', 'unknown')",
            name=op.f("ck_messages_state_known"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('cancelled', 'expired', 'posting', 'queued', 'unconfirmed') OR request_id IS NULL",
            name=op.f("ck_messages_else_no_request_id"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('delivered', 'submitted', 'unknown') OR request_id IS NOT NULL",
            name=op.f("ck_messages_taken_has_request_id"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('posting', 'submitted', 'unconfirmed') OR (batch_id IS NOT NULL AND posted_at IS NOT NULL)",
            name=op.f("ck_messages_posted_has_batch"),
        ),
        sa.CheckConstraint(
            "(request_id IS NOT NULL) = (submitted_at IS NOT NULL)", name=op.f("ck_messages_request_id_iff_submitted")
        ),
        sa.CheckConstraint(
            "parts >= 1 AND attempts >= 0 AND resends >= 0 AND polls >= 0", name=op.f("ck_messages_counts_sane")
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_messages_batch_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sa.UniqueConstraint("uid", name=op.f("uq_messages_uid")),
    )
    op.create_index("ix_messages_batch_id", "messages", ["batch_id"])
    partial("ix_messages_claim", "messages", ["lane", "send_at", "id"], where="state = 'queued'")
    partial("ix_messages_expiry", "messages", ["expires_at"], where="state = 'queued' AND expires_at IS NOT NULL")
    partial("ix_messages_finalized_at", "messages", ["finalized_at"], where="finalized_at IS NOT NULL")
    partial("ix_messages_key", "messages", ["producer", "key"], where="key IS NOT NULL")
    op.create_index("ix_messages_phone", "messages", ["phone", "id"])
    partial("ix_messages_poll", "messages", ["next_poll_at"], where="state = 'submitted'")
    partial("ix_messages_request_id", "messages", ["request_id"], where="request_id IS NOT NULL")
    partial("ix_messages_unconfirmed", "messages", ["lane", "id"], where="state = 'unconfirmed'")

    op.create_table(
        "callbacks",
        sa.Column("id", BigId, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("sms_id", BigId, nullable=True),
        sa.Column("target", Json, nullable=False),
        sa.Column("event", Json, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("next_try_at", Instant, nullable=True),
        sa.Column("finished_at", Instant, nullable=True),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (state = 'owed')", name=op.f("ck_callbacks_finished_at_iff_finished")
        ),
        sa.CheckConstraint(
            "(next_try_at IS NOT NULL) = (state = 'owed')", name=op.f("ck_callbacks_next_try_at_iff_owed")
        ),
        sa.CheckConstraint("state IN ('failed', 'owed', 'told')", name=op.f("ck_callbacks_state_known")),
        sa.ForeignKeyConstraint(["sms_id"], ["messages.id"], name=op.f("fk_callbacks_sms_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_callbacks")),
        sa.UniqueConstraint("event_id", name=op.f("uq_callbacks_event_id")),
    )
    partial("ix_callbacks_failed", "callbacks", ["id"], where="state = 'failed'")
    partial("ix_callbacks_next_try_at", "callbacks", ["next_try_at"], where="state = 'owed'")
    op.create_index("ix_callbacks_sms_id", "callbacks", ["sms_id"])

    op.create_table(
        "reports",
        sa.Column("id", BigId, nullable=False),
        sa.Column("sms_id", BigId, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("gateway_status", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("error_no", sa.Integer(), nullable=True),
        sa.Column("billed_parts", sa.Integer(), nullable=True),
        sa.Column("sent_at", Instant, nullable=True),
        sa.Column("delivered_at", Instant, nullable=True),
        sa.Column("received_at", Instant, nullable=False),
        sa.Column("answer", Json, nullable=False),
        sa.ForeignKeyConstraint(["sms_id"], ["messages.id"], name=op.f("fk_reports_sms_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reports")),
    )
    op.create_index("ix_reports_sms_id", "reports", ["sms_id", "id"])
    dialect = op.get_bind().dialect.name
    for statement in APPEND_ONLY[dialect]:
        op.execute(statement)
    if dialect == "postgresql":
        for table in ("messages", "batches", "callbacks"):
            op.execute(f"ALTER TABLE {table} SET ({LOOK_OFTEN})")


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION reports_append_only()")
