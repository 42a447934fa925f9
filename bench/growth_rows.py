"""A house of some age: so many old messages, yesterday's updates behind it, three busy hours, and work to do.

The busy hours and the work are the same whatever its age, so that what differs is its age alone.
"""

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from bench.database_costs import MESSAGES as AT_ONCE
from bench.database_costs import Meter, connect, live
from bench.database_variants import Variant
from bench.ten_million_rows import BATCHES, CALLBACKS, MESSAGES_SQL, REPORTS, ROWS, filled_in, without_indexes
from migrations.schema import upgrade

BUSY, BUSY_MESSAGES = timedelta(hours=3), 50_000
OLD = (timedelta(days=34), timedelta(days=4))  #: so long ago the old messages begin, and end
YESTERDAY = timedelta(hours=29)
OUTSTANDING = 50_000  #: messages whose question is due
PHONE, OF_PHONE = "998977777777", 20  #: a number, and how many messages went to it, over all the time
WAIT_SECONDS = 300
FLAGS = {"autovacuum_naptime": "2s", "shared_buffers": "4GB"}
LEAST_STALE = 10_000  # with a hundredth of the table: what autovacuum waits for
VERSIONS = 3  # dead ones, that a message of yesterday leaves behind

SUBMITTED_BATCHES = """
INSERT INTO batches (account_id, lane, nickname, state, size, accepted, refused, worker, http_status, created_at,
                     finished_at, answer_ms)
SELECT 1, 'normal', 'SHOP', 'accepted', 50, 50, 0, 'worker@host-1', 200, %(at)s, %(at)s, 120
  FROM generate_series(1, %(rows)s / 50) RETURNING id
"""
SUBMITTED = """
INSERT INTO messages (uid, producer, lane, phone, text, nickname, state, request_id, message_id, batch_id, parts,
    encoding, attempts, resends, tags, created_at, send_at, posted_at, submitted_at, next_poll_at, polls)
SELECT md5('submitted' || n)::uuid::text, 'producer-1', 'normal', '99891' || lpad(n::text, 7, '0'),
    'Your order is here', 'SHOP', 'submitted', (4000000 + (n - 1) / 50)::text, (40000000 + n)::text,
    %(batch)s + (n - 1) / 50, 1, 'gsm', 1, 0, '{}', %(at)s, %(at)s, %(at)s, %(at)s,
    %(at)s + interval '30 seconds' + n * interval '1 millisecond', 2
  FROM generate_series(1, %(rows)s) AS n
"""
QUEUED = """
INSERT INTO messages (uid, producer, lane, phone, text, nickname, state, parts, encoding, attempts, resends, tags,
    created_at, send_at, polls)
SELECT md5('queued' || n)::uuid::text, 'shop-' || n % 4, 'normal', '99893' || lpad(n::text, 7, '0'),
    'Your order is here', 'SHOP', 'queued', 1, 'gsm', 0, 0, '{}', %(at)s, %(at)s + n * interval '1 millisecond', 0
  FROM generate_series(1, %(rows)s) AS n
"""
DUE_AGAIN = """
UPDATE messages SET next_poll_at = %(at)s + (id % 50000) * interval '1 millisecond', polls = 2
 WHERE phone LIKE '99891%' AND state = 'submitted'
"""
ONE_PHONE = """
UPDATE messages SET phone = %(phone)s
 WHERE id IN (SELECT 1 + n * (SELECT max(id) - 1 FROM messages) / (%(of_phone)s - 1)
                FROM generate_series(0, %(of_phone)s - 1) AS n)
"""
STALE = "SELECT coalesce(max(autovacuum_count), 0), max(n_dead_tup) FROM pg_stat_user_tables WHERE relname = 'messages'"
AT_WORK = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"


def build(url: str, *, old: int, day: int, now: datetime) -> None:
    """Fill an empty PostgreSQL: *old* messages, a day of *day* messages by the statements of a worker, busy hours."""
    upgrade(url)
    with closing(connect(url)) as connection:
        connection.execute("INSERT INTO accounts (login, state, probes) VALUES ('we', 'active', 0)")
        connection.execute(
            "INSERT INTO circuits SELECT 1, room, 'closed', 0, NULL, NULL, NULL, NULL, 0"
            " FROM unnest(ARRAY['posting', 'polling']) AS room"
        )
        fill(connection, 0, old, (now - OLD[0], now - OLD[1]), now=now)
        connection.execute("VACUUM (ANALYZE)")
        before = vacuumed(connection)
        live_a_day(connection, day, now - YESTERDAY, now - YESTERDAY + timedelta(days=1))
        if day * VERSIONS > LEAST_STALE + old // 100:
            wait_for_autovacuum(connection, before)
        last = one(connection, "SELECT coalesce(max(id), 0) FROM messages") // 50 * 50 + 50
        fill(connection, last, BUSY_MESSAGES, (now - BUSY, now), now=now)
        submit(connection, now - timedelta(hours=2))
        connection.execute(ONE_PHONE, {"phone": PHONE, "of_phone": OF_PHONE})
        connection.execute("VACUUM (ANALYZE)")


def fill(
    connection: psycopg.Connection[Any], after: int, count: int, span: tuple[datetime, datetime], *, now: datetime
) -> None:
    """*count* messages with the ids after *after*, ordered from one instant to the other, as they stand *now*."""
    if not count:
        return
    begin, end = span
    apart = (end - begin) / count
    numbers = {"first": after + 1, "last": after + count, "history": after + count, "end": now, "apart": apart}
    numbers |= {"start": begin - after * apart, "campaign_apart": apart, "reported_from": after + count * 9 // 10}
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")  # what they refer to is there
        if after:
            _add(connection, numbers)
        else:
            with without_indexes(connection):
                _add(connection, numbers)
        connection.execute("SELECT setval('messages_id_seq', max(id)) FROM messages")
        connection.execute("SELECT setval('batches_id_seq', max(id)) FROM batches")


def _add(connection: psycopg.Connection[Any], numbers: dict[str, Any]) -> None:
    for statement in (ROWS, BATCHES, MESSAGES_SQL, REPORTS, CALLBACKS):
        connection.execute(filled_in(statement, numbers))
    connection.execute("DROP VIEW made")


def live_a_day(connection: psycopg.Connection[Any], messages: int, begin: datetime, end: datetime) -> None:
    """As a worker's statements leave them: inserted as posting, submitted, asked for, delivered."""
    meter, usual = Meter(connection), Variant("as it is")
    for first in range(0, messages, AT_ONCE):
        live(meter, usual, first, begin + (end - begin) * first / messages)


def submit(connection: psycopg.Connection[Any], at: datetime) -> None:
    """Messages whose question has been due for a while, fifty to a request."""
    numbers = {"rows": OUTSTANDING, "at": at}
    batch = one(connection, filled_in(SUBMITTED_BATCHES, numbers))
    connection.execute(filled_in(SUBMITTED, numbers | {"batch": batch}))


def queue(connection: psycopg.Connection[Any], *, queued: int, now: datetime) -> None:
    """Let so many wait, of four producers, all questions be due, and nothing be left of what was measured before."""
    connection.execute("DELETE FROM messages WHERE phone LIKE '99893%' OR phone LIKE '99894%'")
    connection.execute(filled_in(QUEUED, {"rows": queued, "at": now - timedelta(hours=6)}))
    connection.execute(filled_in(DUE_AGAIN, {"at": now - timedelta(hours=2)}))
    connection.execute("VACUUM (ANALYZE)")
    # A house that has run for a while has them in memory.
    connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
    connection.execute("SELECT pg_prewarm(indexrelid) FROM pg_index WHERE indrelid = 'messages'::regclass")


def one(connection: psycopg.Connection[Any], statement: str | bytes) -> int:
    row = connection.execute(statement if isinstance(statement, bytes) else statement.encode()).fetchone()
    return int(row[0]) if row else 0


def vacuumed(connection: psycopg.Connection[Any]) -> int:
    """How often autovacuum was through with messages."""
    return one(connection, STALE)


def wait_for_autovacuum(connection: psycopg.Connection[Any], before: int) -> None:
    """Return when it was here since and is gone, or after a long while: then there was too little for it."""
    deadline = time.monotonic() + WAIT_SECONDS
    connection.execute("SELECT pg_stat_force_next_flush()")
    while time.monotonic() < deadline:
        if vacuumed(connection) > before and not one(connection, AT_WORK):
            return
        time.sleep(1)


def bloat(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Of the table, what is dead and what is free; of each index, its size and how full its leaves are."""
    connection.execute("CREATE EXTENSION IF NOT EXISTS pgstattuple")
    found = connection.execute(
        "SELECT table_len, approx_tuple_percent, dead_tuple_percent, approx_free_percent"
        " FROM pgstattuple_approx('messages')"
    ).fetchone()
    indexes = connection.execute(
        "SELECT indexname, s.index_size, s.avg_leaf_density, s.leaf_fragmentation"
        " FROM pg_indexes, pgstatindex(indexname::regclass) AS s WHERE tablename = 'messages' ORDER BY 1"
    ).fetchall()
    hot = connection.execute(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'messages'"
    ).fetchone()
    size = one(connection, "SELECT pg_database_size(current_database()) / greatest(1, (SELECT count(*) FROM messages))")
    return {
        "table": found,
        "indexes": {name: figures for name, *figures in indexes},
        "updates_and_hot": hot,
        "bytes_per_message": size,
    }


def copy_to_sqlite(url: str, file: Path) -> None:
    """The same rows in an SQLite file, which is new."""
    upgrade(f"sqlite:///{file}")
    with closing(psycopg.connect(url.replace("+psycopg", ""))) as source, closing(sqlite3.connect(file)) as target:
        target.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;")
        with _indexes_built_last(target):
            for table in ("accounts", "circuits", "batches", "messages", "reports", "callbacks"):
                _copy(source, target, table)
        target.execute("ANALYZE")
        target.commit()


def _copy(source: psycopg.Connection[Any], target: sqlite3.Connection, table: str) -> None:
    names = [row[1] for row in target.execute(f"PRAGMA table_info({table})")]
    kinds = dict(
        source.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", [table]
        ).fetchall()
    )
    shown = ", ".join(_shown(name, kinds[name]) for name in names)
    marks = ", ".join("?" * len(names))
    with source.cursor(name="rows") as rows:
        rows.itersize = 20_000
        rows.execute(f"SELECT {shown} FROM {table} ORDER BY 1".encode())  # noqa: S608 - our own names
        target.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows)  # noqa: S608
    target.commit()


def _shown(name: str, kind: str) -> str:
    """As SQLite keeps it."""
    if kind.startswith("timestamp"):
        return f"to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
    return f"{name}::text" if kind == "jsonb" else name


@contextmanager
def _indexes_built_last(target: sqlite3.Connection) -> Iterator[None]:
    made = target.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    for name, _ in made:
        target.execute(f"DROP INDEX {name}")
    yield
    for _, statement in made:
        target.execute(re.sub(r"\s+", " ", statement))
