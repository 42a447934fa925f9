"""What lets people see and steer: processes that work, answer times, traces, look-ups, views, comments."""

import sqlalchemy as sa
from alembic import op

from migrations.comments_0004 import COMMENTS
from migrations.concurrently import create_index, drop_index

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Instant = sa.DateTime(timezone=True)
Json = sa.JSON().with_variant(sa.dialects.postgresql.JSONB(), "postgresql")
INDEXES = {  # table, columns, and which rows
    "ix_messages_created_at": ("messages", ["created_at"], None),
    # By key alone as well as with its producer, and by an ordered phone in any state.
    "ix_messages_by_key": ("messages", ["key", "producer"], "key IS NOT NULL"),
    "ix_messages_ordered": ("messages", ["ordered_phone", "id"], "ordered_phone IS NOT NULL"),
    # The newest of a rare end; what is delivered costs it nothing.
    "ix_messages_ended": ("messages", ["state", "id"], "state IN ('cancelled', 'expired', 'failed', 'unknown')"),
    "ix_batches_finished_at": ("batches", ["finished_at"], "finished_at IS NOT NULL"),
}
INDEXES_BEFORE = {
    "ix_messages_key": ("messages", ["producer", "key"], "key IS NOT NULL"),
    "ix_messages_ordered_phone": ("messages", ["ordered_phone"], "state = 'queued' AND ordered_phone IS NOT NULL"),
}
VERDICTS_BEFORE = ("ask", "cancel", "confirm", "drop", "pause", "recover", "resend", "resume")
VERDICTS = (*VERDICTS_BEFORE, "retry")
NEW_COLUMNS = (
    ("messages", "traceparent", sa.Text()),
    ("batches", "answer_ms", sa.Integer()),
)

# Each figure is a walk over a range of ix_messages_claim, which holds the queued messages alone.
QUEUE = """
CREATE VIEW v_queue AS
SELECT lane, waiting, later, oldest_at, {oldest_seconds} AS oldest_seconds
  FROM (
    SELECT lane, place,
           (SELECT count(*) FROM messages AS m
             WHERE m.state = 'queued' AND m.lane = lanes.lane AND m.send_at <= {now}) AS waiting,
           (SELECT count(*) FROM messages AS m
             WHERE m.state = 'queued' AND m.lane = lanes.lane AND m.send_at > {now}) AS later,
           (SELECT min(m.send_at) FROM messages AS m
             WHERE m.state = 'queued' AND m.lane = lanes.lane AND m.send_at <= {now}) AS oldest_at
      FROM (SELECT 'otp' AS lane, 1 AS place UNION ALL SELECT 'normal', 2 UNION ALL SELECT 'bulk', 3) AS lanes
  ) AS counted
 ORDER BY place
"""
QUEUE_WORDS = {
    "postgresql": {
        "now": "now()",
        "oldest_seconds": "coalesce(round(extract(epoch FROM now() - oldest_at), 3), 0)::float8",
    },
    # Instants are text with six places after the point, and SQLite's clock has three.
    "sqlite": {
        "now": "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '999')",
        "oldest_seconds": "coalesce(round((julianday('now') - julianday(substr(oldest_at, 1, 23))) * 86400.0, 3), 0.0)",
    },
}
# Plain joins, so that whatever is asked of a message reaches its index.
SENT = """
CREATE VIEW v_sent AS
SELECT m.id, m.uid, m.producer, m.key, m.lane, m.phone, m.text, m.nickname, m.state, m.reason, m.error_no,
       m.gateway_status, m.request_id, m.message_id, m.parts, m.encoding, m.billed_parts, m.attempts,
       m.created_at, m.send_at, m.expires_at, m.posted_at, m.submitted_at, m.delivered_at, m.finalized_at,
       m.polls, m.batch_id,
       b.state AS batch_state, b.size AS batch_size, b.worker AS batch_worker, b.reason AS batch_reason,
       b.http_status AS batch_http_status, b.answer_ms AS batch_answer_ms, b.finished_at AS batch_finished_at,
       r.received_at AS report_received_at, r.gateway_status AS report_gateway_status, r.state AS report_state,
       r.error_no AS report_error_no
  FROM messages AS m
  LEFT JOIN batches AS b ON b.id = m.batch_id
  LEFT JOIN reports AS r ON r.id = (SELECT max(last.id) FROM reports AS last WHERE last.sms_id = m.id)
"""

# As before, but each day is looked up by itself: who asks for one reads no other.
DAILY = {
    "postgresql": """
CREATE VIEW v_daily AS
SELECT days.day, of_day.*
  FROM (
    SELECT generate_series(date_trunc('day', min(created_at) AT TIME ZONE 'UTC'), max(created_at) AT TIME ZONE 'UTC',
                           interval '1 day')::date AS day
      FROM messages
  ) AS days
 CROSS JOIN LATERAL (
    SELECT producer, nickname, state, count(*) AS messages, sum(parts) AS parts, sum(billed_parts) AS billed_parts,
       sum(billed_parts - parts) AS billed_more,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds) AS seconds_to_deliver_p50,
           percentile_disc(0.95) WITHIN GROUP (ORDER BY seconds) AS seconds_to_deliver_p95
      FROM (
        SELECT *, extract(
                   epoch FROM date_trunc('milliseconds', delivered_at) - date_trunc('milliseconds', send_at)
               )::float8 AS seconds
          FROM messages
         WHERE created_at >= days.day::timestamp AT TIME ZONE 'UTC'
           AND created_at < (days.day + 1)::timestamp AT TIME ZONE 'UTC'
      ) AS timed
     GROUP BY producer, nickname, state
  ) AS of_day
""",
    "sqlite": """
CREATE VIEW v_daily AS
WITH RECURSIVE days (day, last) AS (
    SELECT date(substr((SELECT min(created_at) FROM messages), 1, 19)),
           date(substr((SELECT max(created_at) FROM messages), 1, 19))
    UNION ALL SELECT date(day, '+1 day'), last FROM days WHERE day < last
), timed AS (
    SELECT day, producer, nickname, state, parts, billed_parts,
           round((julianday(substr(delivered_at, 1, 23)) - julianday(substr(send_at, 1, 23))) * 86400.0, 3) AS seconds
      FROM days CROSS JOIN messages ON created_at >= day AND created_at < date(day, '+1 day')
), ranked AS (
    SELECT *, cume_dist() OVER (
               PARTITION BY day, producer, nickname, state, seconds IS NULL ORDER BY seconds
           ) AS share
      FROM timed
)
SELECT day, producer, nickname, state, count(*) AS messages, sum(parts) AS parts, sum(billed_parts) AS billed_parts,
       sum(billed_parts - parts) AS billed_more,
       min(CASE WHEN share >= 0.5 THEN seconds END) AS seconds_to_deliver_p50,
       min(CASE WHEN share >= 0.95 THEN seconds END) AS seconds_to_deliver_p95
  FROM ranked GROUP BY day, producer, nickname, state
""",
}
DAILY_BEFORE = {
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


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        # Each statement commits by itself and can be repeated. Until the last is through, the revision stays the old one.
        with op.get_context().autocommit_block():
            _expand(if_not_exists=True)
    else:  # all is one transaction, and *if not exists* is a word that SQLite does not know for a column
        _expand(if_not_exists=None)
    for name, (table, *_) in INDEXES_BEFORE.items():
        drop_index(name, table)
    op.get_bind().exec_driver_sql(QUEUE.format(**QUEUE_WORDS[dialect]))
    op.execute(SENT)
    _daily(DAILY)
    _comment(on=True)
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
    _know_verdicts(VERDICTS)
    for name, (table, columns, where) in INDEXES.items():
        create_index(name, table, columns, where=where)


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


def _daily(view: dict[str, str]) -> None:
    op.execute("DROP VIEW v_daily")
    op.get_bind().exec_driver_sql(view[op.get_bind().dialect.name])


def _comment(*, on: bool) -> None:
    """All in one statement: hundreds would be as many round trips. It holds up nobody who reads or writes rows."""
    if op.get_bind().dialect.name != "postgresql":
        return
    said = [
        f"COMMENT ON {_kind(name)} {name} IS {_quoted(comment) if on else 'NULL'};"
        for name, comment in COMMENTS.items()
    ]
    op.get_bind().exec_driver_sql(f"DO $comments$ BEGIN {' '.join(said)} END $comments$")


def _kind(name: str) -> str:
    if "." in name:
        return "COLUMN"
    return "VIEW" if name.startswith("v_") else "TABLE"


def _quoted(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"


def _works_with(oldest: str) -> None:
    """The oldest revision whose code works on this schema: the last release's workers may be started meanwhile."""
    op.execute("DROP VIEW schema_works_with")
    op.execute(f"CREATE VIEW schema_works_with AS SELECT '{oldest}' AS oldest")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        with op.get_context().autocommit_block():
            _rebuild()
    else:
        _rebuild()
    _works_with("0002")
    _comment(on=False)
    op.execute("DROP VIEW v_sent")
    op.execute("DROP VIEW v_queue")
    _daily(DAILY_BEFORE)
    for name, (table, *_) in INDEXES.items():
        op.drop_index(name, table)  # in a moment, and the columns that go with them need the same lock
    op.drop_table("workers")
    op.execute("DELETE FROM decisions WHERE what = 'retry'")
    _know_verdicts(VERDICTS_BEFORE)
    for table, name, _ in NEW_COLUMNS:
        op.drop_column(table, name)


def _rebuild() -> None:
    for name, (table, columns, where) in INDEXES_BEFORE.items():
        create_index(name, table, columns, where=where)
