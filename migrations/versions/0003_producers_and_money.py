"""What producers ordered beside what is posted, the do-not-send list, tallies, fair claims, retried callbacks, v_daily."""

import sqlalchemy as sa
from alembic import op

from migrations.concurrently import create_index, drop_index

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Instant = sa.DateTime(timezone=True)
LANES = "lane IN ('bulk', 'normal', 'otp')"
INDEXES = {  # of messages: columns, and which rows
    "ix_messages_fair": (["lane", "producer", "send_at", "id"], "state = 'queued'"),
    "ix_messages_ordered_phone": (["ordered_phone"], "state = 'queued' AND ordered_phone IS NOT NULL"),
}
NEW_COLUMNS = (
    ("messages", "ordered_phone", sa.Text()),
    ("messages", "operator", sa.Text()),
    ("messages", "ordered_text", sa.Text()),
    ("callbacks", "retried_at", Instant),
    ("callbacks", "retried_by", sa.Text()),
)

# Seconds from the moment when a message might go to the phone's having it, and the value below which so many of them lie.
DAILY = {
    "postgresql": """
CREATE VIEW v_daily AS
WITH timed AS (
    SELECT (created_at AT TIME ZONE 'UTC')::date AS day, producer, nickname, state, parts, billed_parts,
           extract(epoch FROM date_trunc('milliseconds', delivered_at) - date_trunc('milliseconds', send_at))::float8
               AS seconds
      FROM messages
)
SELECT day, producer, nickname, state,
       count(*) AS messages, sum(parts) AS parts, sum(billed_parts) AS billed_parts,
       sum(billed_parts - parts) AS billed_more,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds) AS seconds_to_deliver_p50,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY seconds) AS seconds_to_deliver_p95
  FROM timed GROUP BY day, producer, nickname, state
""",
    "sqlite": """
CREATE VIEW v_daily AS
WITH timed AS (
    SELECT date(substr(created_at, 1, 19)) AS day, producer, nickname, state, parts, billed_parts,
           round((julianday(substr(delivered_at, 1, 23)) - julianday(substr(send_at, 1, 23))) * 86400.0, 3) AS seconds
      FROM messages
), ranked AS (
    SELECT *, cume_dist() OVER (
               PARTITION BY day, producer, nickname, state, seconds IS NULL ORDER BY seconds
           ) AS share
      FROM timed
)
SELECT day, producer, nickname, state,
       count(*) AS messages, sum(parts) AS parts, sum(billed_parts) AS billed_parts,
       sum(billed_parts - parts) AS billed_more,
       min(CASE WHEN share >= 0.5 THEN seconds END) AS seconds_to_deliver_p50,
       min(CASE WHEN share >= 0.95 THEN seconds END) AS seconds_to_deliver_p95
  FROM ranked GROUP BY day, producer, nickname, state
""",
}

# As before, but for what is to be done about callbacks that failed, and about refused orders.
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
SELECT 'callback failed', m.uid, m.lane, c.finished_at, c.reason, '{failed}'
  FROM callbacks AS c LEFT JOIN messages AS m ON m.id = c.sms_id WHERE c.state = 'failed'
UNION ALL
SELECT 'order refused', uid, queue, created_at, reason, '{refused}'
  FROM refused_intakes
"""
VERDICTS_BEFORE = ("confirm", "drop", "pause", "recover", "resend", "resume")
VERDICTS = (*VERDICTS_BEFORE, "ask", "cancel")
REMEDIES_BEFORE = {
    "failed": "mend the receiver: its producer was not told",
    "refused": "mend the producer; the order stands in refused_intakes",
}
REMEDIES = {
    "failed": "mend the receiver, then sms callbacks retry",
    "refused": "its explanation in refused_intakes says what to do, and whether the producer is to be mended or a rule held",
}


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        # Each statement commits by itself and can be repeated. Until the last is through, the revision stays the old one.
        with op.get_context().autocommit_block():
            _expand(if_not_exists=True)
    else:  # all is one transaction, and *if not exists* is a word that SQLite does not know for a column
        _expand(if_not_exists=None)
    op.execute(DAILY[dialect])
    _attention(REMEDIES)
    _works_with("0002")


def _expand(*, if_not_exists: bool | None) -> None:
    for table, name, kind in NEW_COLUMNS:
        op.add_column(table, sa.Column(name, kind, nullable=True), if_not_exists=if_not_exists)
    _create_blocks()
    _create_tallies()
    _know_verdicts(VERDICTS)
    for name, (columns, where) in INDEXES.items():
        create_index(name, "messages", columns, where=where)


def _create_blocks() -> None:
    op.create_table(
        "blocks",
        sa.Column("id", BigId, nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("lifted_at", Instant, nullable=True),
        sa.Column("lifted_by", sa.Text(), nullable=True),
        sa.CheckConstraint(LANES, name=op.f("ck_blocks_lane_known")),
        sa.CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name=op.f("ck_blocks_lifted_by_iff_lifted")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocks")),
        if_not_exists=True,
    )
    op.create_index("ix_blocks_phone", "blocks", ["phone", "id"], if_not_exists=True)
    standing = sa.text("lifted_at IS NULL")
    op.create_index(
        "uq_blocks_standing",
        "blocks",
        ["phone", "lane"],
        unique=True,
        if_not_exists=True,
        postgresql_where=standing,
        sqlite_where=standing,
    )


def _create_tallies() -> None:
    op.create_table(
        "tallies",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("producer", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.CheckConstraint(LANES, name=op.f("ck_tallies_lane_known")),
        sa.CheckConstraint("messages >= 0", name=op.f("ck_tallies_counts_sane")),
        sa.PrimaryKeyConstraint("day", "producer", "lane", name=op.f("pk_tallies")),
        if_not_exists=True,
    )


def _know_verdicts(verdicts: tuple[str, ...]) -> None:
    known = f"what IN ({', '.join(repr(verdict) for verdict in sorted(verdicts))})"
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE decisions DROP CONSTRAINT IF EXISTS ck_decisions_what_known")
        op.execute(f"ALTER TABLE decisions ADD CONSTRAINT ck_decisions_what_known CHECK ({known}) NOT VALID")
        op.execute("ALTER TABLE decisions VALIDATE CONSTRAINT ck_decisions_what_known")
        return
    # SQLite changes no constraint: the table is made anew.
    op.rename_table("decisions", "decisions_before")
    op.create_table(
        "decisions",
        sa.Column("id", BigId, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint(known, name=op.f("ck_decisions_what_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.execute("INSERT INTO decisions SELECT id, at, who, what, uid, reason FROM decisions_before")
    op.drop_table("decisions_before")
    op.create_index("ix_decisions_at", "decisions", ["at"])
    op.create_index("ix_decisions_uid", "decisions", ["uid"])


def _attention(remedies: dict[str, str]) -> None:
    op.execute("DROP VIEW v_attention")
    op.execute(ATTENTION.format(**remedies))


def _works_with(oldest: str) -> None:
    """The oldest revision whose code works on this schema: the last release's workers may be started meanwhile."""
    op.execute("DROP VIEW schema_works_with")
    op.execute(f"CREATE VIEW schema_works_with AS SELECT '{oldest}' AS oldest")


def downgrade() -> None:
    for name in INDEXES:
        drop_index(name, "messages")
    _works_with("0001")
    _attention(REMEDIES_BEFORE)
    op.execute("DROP VIEW v_daily")
    op.drop_table("tallies")
    op.drop_table("blocks")
    op.execute("DELETE FROM decisions WHERE what IN ('ask', 'cancel')")
    _know_verdicts(VERDICTS_BEFORE)
    for table, name, _ in NEW_COLUMNS:
        op.drop_column(table, name)
