"""A message's life in SQL, and what can be taken from or added to the schema to see what it costs."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

BATCHES_IN = """
INSERT INTO batches (account_id, lane, nickname, state, size, worker, created_at, begins_by, lease_until)
SELECT 1, 'normal', 'SHOP', 'posting', 50, 'worker@sms-1:4711:5c0e91d7', %(now)s, NULL, %(later)s
  FROM generate_series(1, 10) RETURNING id
"""
TO = "uid, producer, key, lane, phone, operator, text, nickname, state, batch_id, parts, encoding, attempts, resends,"
TO += " tags, created_at, send_at, posted_at, polls"
INSERT = f"""
INSERT INTO messages ({TO})
SELECT uid, producer, key, 'normal', phone, 'beeline', text, 'SHOP', 'posting', batch_id, parts, 'gsm', 1, 0, '{{}}',
       %(now)s, send_at, %(now)s, 0
  FROM unnest(%(uid)b::text[], %(producer)b::text[], %(key)b::text[], %(phone)b::text[], %(text)b::text[],
              %(batch_id)b::bigint[], %(parts)b::smallint[], %(send_at)b::timestamptz[])
       AS given (uid, producer, key, phone, text, batch_id, parts, send_at)
ON CONFLICT (uid) DO NOTHING RETURNING id, uid
"""  # noqa: S608 - names from the lines above
ALL_ARRAYS = f"""
INSERT INTO messages ({TO})
SELECT * FROM unnest(%(uid)b::text[], %(producer)b::text[], %(key)b::text[], %(lane)b::text[], %(phone)b::text[],
       %(operator)b::text[], %(text)b::text[], %(nickname)b::text[], %(state)b::text[], %(batch_id)b::bigint[],
       %(parts)b::smallint[], %(encoding)b::text[], %(one)b::int[], %(zero)b::int[], %(tags)b::jsonb[],
       %(created_at)b::timestamptz[], %(send_at)b::timestamptz[], %(created_at)b::timestamptz[], %(zero)b::int[])
ON CONFLICT (uid) DO NOTHING RETURNING id, uid
"""  # noqa: S608
BY_JSON = f"""
INSERT INTO messages ({TO})
SELECT uid, producer, key, 'normal', phone, 'beeline', text, 'SHOP', 'posting', batch_id, 1, 'gsm', 1, 0, '{{}}',
       %(now)s, %(now)s, %(now)s, 0
  FROM json_to_recordset(%(rows)s) AS given (uid text, producer text, key text, phone text, text text, batch_id bigint)
ON CONFLICT (uid) DO NOTHING RETURNING id, uid
"""  # noqa: S608
ACCEPT = """
UPDATE messages SET state = 'submitted', request_id = given.request_id, message_id = given.message_id,
       submitted_at = %(now)s, next_poll_at = %(later)s, finalized_at = NULL, delivered_at = NULL, reason = NULL,
       split = NULL
  FROM unnest(%(id)b::bigint[], %(request_id)b::text[], %(message_id)b::text[]) AS given (id, request_id, message_id)
 WHERE messages.id = given.id AND messages.batch_id = ANY (%(batches)b::bigint[])
   AND messages.state IN ('posting', 'unconfirmed')
RETURNING messages.id
"""
ACCEPT_BY_JSON = """
UPDATE messages SET state = 'submitted', request_id = given.request_id, message_id = given.message_id,
       submitted_at = given.submitted_at, next_poll_at = given.next_poll_at, finalized_at = NULL, delivered_at = NULL,
       reason = NULL, split = NULL
  FROM json_to_recordset(%(rows)s) AS given (id bigint, batch_id bigint, request_id text, message_id text,
                                             submitted_at timestamptz, next_poll_at timestamptz)
 WHERE messages.id = given.id AND messages.batch_id = given.batch_id AND state IN ('posting', 'unconfirmed')
"""
ACCEPTED = """
UPDATE batches SET state = 'accepted', accepted = 50, refused = 0, http_status = 200, finished_at = %(now)s,
       lease_until = NULL, answer_ms = 40
 WHERE id = ANY (%(batches)b::bigint[]) AND state IN ('posting', 'unconfirmed')
"""
LEASE = """
UPDATE messages SET next_poll_at = %(later)s, polls = polls + 1
 WHERE request_id = ANY (%(requests)b::text[]) AND state = 'submitted'
"""
REPORT = """
INSERT INTO reports (sms_id, request_id, message_id, gateway_status, state, billed_parts, received_at, answer)
SELECT id, request_id, message_id, 'delivered', 'delivered', 1, %(now)s, %(answer)b::jsonb
  FROM unnest(%(id)b::bigint[], %(request_id)b::text[], %(message_id)b::text[]) AS given (id, request_id, message_id)
"""
DELIVER = """
UPDATE messages SET state = 'delivered', gateway_status = 'delivered', billed_parts = 1, delivered_at = %(now)s,
       finalized_at = %(now)s, next_poll_at = NULL, reason = NULL
  FROM unnest(%(id)b::bigint[]) AS given (id)
 WHERE messages.id = given.id AND messages.state IN ('submitted', 'unknown')
RETURNING messages.id, messages.uid
"""
# Triggers stand for these two foreign keys (migration 0005), and go with their functions.
NO_GUARD = "DROP FUNCTION fk_messages_batch_id_named, fk_messages_batch_id_gone CASCADE"
NO_REPORTS_GUARD = "DROP FUNCTION fk_reports_sms_id_named, fk_reports_sms_id_gone CASCADE"
BY_ROW = (
    NO_GUARD,
    NO_REPORTS_GUARD,
    "ALTER TABLE messages ADD CONSTRAINT fk_messages_batch_id FOREIGN KEY (batch_id) REFERENCES batches",
    "ALTER TABLE reports ADD CONSTRAINT fk_reports_sms_id FOREIGN KEY (sms_id) REFERENCES messages ON DELETE CASCADE",
)
# A message's row stays on its page (a HOT update, which writes no index) only if no index and no index's condition
# names a column that changes.
CHANGES = ("state", "request_id", "next_poll_at", "polls", "finalized_at")
WAITS = "WHERE posted_at IS NULL AND finalized_at IS NULL"
DOUBT = "WHERE posted_at IS NOT NULL AND finalized_at IS NULL AND next_poll_at IS NULL"
# The same indexes, by columns that are the same before the post and after it.
HOT = (
    "ALTER TABLE messages DROP CONSTRAINT ck_messages_next_poll_at_iff_submitted, ADD ended text",
    "DROP INDEX ix_messages_claim, ix_messages_fair, ix_messages_expiry, ix_messages_poll, ix_messages_poll_rung",
    "DROP INDEX ix_messages_unconfirmed, ix_messages_ended, ix_messages_request_id",
    f"CREATE INDEX ON messages (lane, send_at, id) {WAITS}",
    f"CREATE INDEX ON messages (lane, producer, send_at, id) {WAITS}",
    f"CREATE INDEX ON messages (expires_at) {WAITS} AND expires_at IS NOT NULL",
    f"CREATE INDEX ON messages (lane, id) {DOUBT}",
    "CREATE INDEX ON messages (next_poll_at) WHERE next_poll_at IS NOT NULL",
    "CREATE INDEX ON messages (lane, polls, next_poll_at) WHERE next_poll_at IS NOT NULL",
    "CREATE INDEX ON messages (ended, id) WHERE ended IS NOT NULL",
    "CREATE TABLE requests (request_id text, batch_id bigint REFERENCES batches, PRIMARY KEY (request_id, batch_id))",
)
HOT_INSERT = INSERT.replace("posted_at, polls)", "posted_at, polls, next_poll_at)")
HOT_INSERT = HOT_INSERT.replace("%(now)s, 0\n", "%(now)s, 0, %(later)s\n")
HOT_ACCEPT = ACCEPT.replace("next_poll_at = %(later)s,", "")
REQUESTS = """
WITH requested AS (
    INSERT INTO requests SELECT request_id, min(batch_id)
      FROM unnest(%(request_id)b::text[], %(batch_id)b::bigint[]) AS given (request_id, batch_id) GROUP BY request_id
)
"""
HOT_LEASE = """
UPDATE messages SET next_poll_at = %(later)s, polls = polls + 1
  FROM requests
 WHERE requests.request_id = ANY (%(requests)b::text[]) AND messages.batch_id = requests.batch_id
   AND messages.request_id = requests.request_id AND messages.state = 'submitted'
"""


class Life(NamedTuple):
    """The statements of a message's life."""

    insert: str = INSERT
    accept: str = ACCEPT
    accepted: str = ACCEPTED
    lease: str = LEASE

    @property
    def is_json(self) -> bool:
        """Whether each row of the acceptance comes with all its values."""
        return "json" in self.accept


AS_IT_IS = Life()
HOT_LIFE = Life(HOT_INSERT, HOT_ACCEPT, REQUESTS + ACCEPTED, HOT_LEASE)
WITHOUT_CONFLICT = INSERT.replace("ON CONFLICT (uid) DO NOTHING", "")


class Variant(NamedTuple):
    """What is different from the schema as it is."""

    name: str
    statements: Sequence[str] = ()  #: run once
    settings: Sequence[str] = ()  #: of the session
    uid: str = "random"  #: or ordered
    life: Life = AS_IT_IS
    as_text: bool = False  #: parameters
    checkpoints: bool = False  #: one before each transaction


def variants(connection: psycopg.Connection[Any]) -> list[Variant]:
    """Each index and constraint in turn, what belongs together, and settings."""
    found = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'messages' AND indexname LIKE 'ix_%' ORDER BY 1"
    ).fetchall()
    checks = connection.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'messages'::regclass AND contype = 'c' ORDER BY 1"
    ).fetchall()
    indexes = {name: f"DROP INDEX {name}" for name, _ in found}
    hindering = [indexes[name] for name, how in found if any(column in how for column in CHANGES)]
    unchecked = {name: f"ALTER TABLE messages DROP CONSTRAINT {name}" for (name,) in checks}
    return [
        Variant("as it is"),
        *(Variant(f"without {name}", [statement]) for name, statement in (indexes | unchecked).items()),
        Variant("without any CHECK", list(unchecked.values())),
        Variant("without the guard of messages' batches", [NO_GUARD]),
        Variant("without the guard of reports' messages", [NO_REPORTS_GUARD]),
        Variant("foreign keys by row", BY_ROW),
        Variant("if nothing hindered HOT", [*hindering, filled(50)]),
        Variant("no hindrance, no room for HOT", [*hindering, "CREATE INDEX ON messages (polls, state)"]),
        Variant("no ix_ index, CHECK or guard", [*indexes.values(), *unchecked.values(), NO_GUARD]),
        *_hot(),
        *_repeated(indexes),
        *_columns(indexes["ix_messages_created_at"]),
        *_settings(),
        *_statements(),
    ]


def filled(part: int) -> str:
    """Leave room on each page of messages."""
    return f"ALTER TABLE messages SET (fillfactor = {part})"


def _hot() -> list[Variant]:
    names = {part: f"HOT at acceptance, fillfactor {part}" for part in (70, 50)}
    return [Variant(name, [*HOT, filled(part)], life=HOT_LIFE) for part, name in names.items()]


def _repeated(indexes: Mapping[str, str]) -> list[Variant]:
    """Keys that many messages share: one entry a row, or lists of rows for each key, as PostgreSQL does by itself."""
    shared = dict.fromkeys(("ix_messages_batch_id", "ix_messages_request_id"), "on")
    shared |= dict.fromkeys(("ix_messages_created_at", "ix_messages_phone"), "off")
    changed = {
        name: f"ALTER INDEX {name} SET (deduplicate_items = {to})" for name, to in shared.items() if name in indexes
    }
    return [
        *(
            Variant(f"{'' if shared[name] == 'on' else 'not '}deduplicated: {name}", [statement])
            for name, statement in changed.items()
        ),
        Variant("not deduplicated: reports' sms_id", ["ALTER INDEX ix_reports_sms_id SET (deduplicate_items = off)"]),
    ]


def _columns(without_created_at: str) -> list[Variant]:
    brin = "CREATE INDEX ON messages USING brin (created_at) WITH (pages_per_range = 32, autosummarize)"
    uuids = ["DROP VIEW v_sent, v_attention, v_daily", "ALTER TABLE messages ALTER uid TYPE uuid USING uid::uuid"]
    by_uuid = Life(INSERT.replace("SELECT uid,", "SELECT uid::uuid,"))
    return [
        Variant("created_at by BRIN", [without_created_at, brin]),
        *(Variant(f"fillfactor {part}", [filled(part)]) for part in (90, 70, 50)),
        Variant("uid as uuid", uuids, life=by_uuid),
        Variant("uid in order of time", uid="ordered"),
        Variant("uid as uuid, in order of time", uuids, uid="ordered", life=by_uuid),
    ]


def _settings() -> list[Variant]:
    compressed = ["SET wal_compression = pglz"]
    return [
        Variant("wal_compression", settings=compressed),
        Variant("a checkpoint before each", checkpoints=True),
        Variant("a checkpoint before each, wal_compression", settings=compressed, checkpoints=True),
    ]


def _statements() -> list[Variant]:
    return [
        Variant("parameters as text", as_text=True),
        Variant("every column an array", life=Life(ALL_ARRAYS)),
        Variant("every column an array, as text", life=Life(ALL_ARRAYS), as_text=True),
        Variant("by JSON", life=Life(BY_JSON, ACCEPT_BY_JSON)),
        Variant("no ON CONFLICT", life=Life(WITHOUT_CONFLICT)),
    ]
