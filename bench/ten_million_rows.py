"""Ten million messages in a PostgreSQL, as a shop of some size has them after thirty days.

Realistic in what a look-up's cost depends on: how many rows, how they lie, how many of them some room still has work
with, how often a phone, a producer and a request_id come back. Numbers follow from a row's own number, not from dice.
"""

import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import psycopg  # noqa: E402
from servers import postgres_programs  # noqa: E402

from migrations.schema import upgrade  # noqa: E402
from worker.clock import utc_now  # noqa: E402
from worker.embedded.processes import free_port  # noqa: E402

MESSAGES = 10_000_000
CAMPAIGN = 200_000  #: of these, ordered in the last minutes for a later day
DAYS = timedelta(days=30)
CAMPAIGN_TOOK = timedelta(minutes=10)
FRESH = timedelta(hours=3)
TABLES = (
    "reports",
    "callbacks",
    "decisions",
    "blocks",
    "refused_intakes",
    "messages",
    "batches",
    "circuits",
    "accounts",
)
FLAGS = {
    "fsync": "on",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "1GB",
    "maintenance_work_mem": "1GB",
    "max_wal_size": "8GB",
    "max_connections": "100",
    "wal_level": "minimal",  # what is written into a table that its own transaction emptied needs no log
    "max_wal_senders": "0",
}

# Row n has everything from n: its block of 50 was one batch; mix says what became of it.
ROWS = """
CREATE TEMPORARY VIEW made AS
SELECT *, CASE
    WHEN n > %(history)s AND block % 20 <> 0 THEN 'later'
    WHEN age < interval '15 seconds' THEN 'queued'
    WHEN block % 20000 = 7 AND age < interval '3 days' OR block = %(history)s / 50 - 9 THEN 'unconfirmed'
    WHEN age < interval '90 seconds' OR mix = 999 AND age < interval '48 hours' THEN 'submitted'
    WHEN mix < 40 THEN 'failed'
    WHEN mix < 50 AND age > interval '48 hours' THEN 'unknown'
    WHEN mix < 55 THEN 'expired'
    WHEN mix < 60 THEN 'cancelled'
    ELSE 'delivered' END AS fate
FROM (
    SELECT *, %(end)s - at AS age, (ARRAY['otp', 'normal', 'bulk', 'bulk', 'normal', 'otp', 'bulk'])[1 + block % 7]
               AS lane, (n * 7919) % 1000 AS mix, 1 + (n * 104729) % 60 AS took
    FROM (
        SELECT n, (n - 1) / 50 AS block, CASE
            WHEN n <= %(history)s THEN %(start)s + n * %(apart)s
            ELSE %(start)s + %(history)s * %(apart)s + (n - %(history)s) * %(campaign_apart)s END AS at
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
    ) AS numbered
) AS told
"""
BATCHES = """
INSERT INTO batches (id, account_id, lane, nickname, state, size, accepted, refused, worker, reason, http_status,
                     created_at, finished_at, answer_ms)
SELECT block + 1, 1, min(lane), 'SHOP', CASE min(fate) WHEN 'unconfirmed' THEN 'unconfirmed' ELSE 'accepted' END, 50,
       CASE WHEN min(fate) <> 'unconfirmed' THEN 50 END, CASE WHEN min(fate) <> 'unconfirmed' THEN 0 END,
       'worker@host-' || block % 8, CASE min(fate) WHEN 'unconfirmed' THEN 'the answer broke off' END,
       CASE WHEN min(fate) <> 'unconfirmed' THEN 200 END, max(at) + interval '1 second',
       max(at) + interval '1.4 seconds', 120 + block % 600
FROM made WHERE fate NOT IN ('later', 'queued') GROUP BY block
"""
MESSAGES_SQL = """
INSERT INTO messages (id, uid, producer, key, lane, phone, operator, text, nickname, state, reason, error_no,
    gateway_status, request_id, message_id, batch_id, parts, encoding, billed_parts, attempts, resends, tags,
    created_at, send_at, posted_at, submitted_at, delivered_at, finalized_at, next_poll_at, polls)
SELECT n, md5(n::text)::uuid::text, 'producer-' || CASE WHEN mix < 500 THEN 0 ELSE mix % 20 END,
    CASE WHEN n % 2 = 0 THEN 'order-' || n END, lane, '99890' || lpad((n * 7919 % 2000000)::text, 7, '0'), 'beeline',
    'Hurmatli mijoz, buyurtmangiz ' || n || ' yolga chiqdi. Kodingiz: ' || 1000 + n % 9000, 'SHOP',
    CASE fate WHEN 'later' THEN 'queued' ELSE fate END,
    CASE fate WHEN 'failed' THEN 'report' WHEN 'unconfirmed' THEN 'the answer broke off' END, NULL,
    CASE fate WHEN 'delivered' THEN 'delivered' WHEN 'failed' THEN 'undelivered' WHEN 'submitted' THEN 'sent' END,
    CASE WHEN taken THEN (5000000 + block)::text END, CASE WHEN taken THEN (70000000 + n)::text END,
    CASE WHEN posted THEN block + 1 END, 1, 'gsm', CASE fate WHEN 'delivered' THEN 1 END, posted::int, 0, '{}',
    at, CASE fate WHEN 'later' THEN at + interval '1 day' ELSE at END,
    CASE WHEN posted THEN at + interval '1 second' END, CASE WHEN taken THEN at + interval '1.4 seconds' END,
    CASE fate WHEN 'delivered' THEN at + took * interval '1 second' END,
    CASE WHEN final THEN at + took * interval '1.1 seconds' END,
    CASE fate WHEN 'submitted' THEN at + interval '2 minutes' END, CASE WHEN taken THEN 2 ELSE 0 END
FROM (SELECT *, fate IN ('delivered', 'failed', 'submitted', 'unknown') AS taken,
             fate IN ('delivered', 'failed', 'submitted', 'unknown', 'unconfirmed') AS posted,
             fate IN ('delivered', 'failed', 'unknown', 'expired', 'cancelled') AS final FROM made) AS fated
"""
REPORTS = """
INSERT INTO reports (sms_id, request_id, message_id, gateway_status, state, billed_parts, delivered_at, received_at,
    answer)
SELECT id, request_id, message_id, CASE said WHEN 1 THEN NULL WHEN 2 THEN 'sent' ELSE gateway_status END,
       CASE said WHEN 3 THEN state END, CASE said WHEN 3 THEN 1 END, CASE said WHEN 3 THEN delivered_at END,
       submitted_at + (said - 1) * interval '20 seconds', '{"status": "told"}'
FROM messages, generate_series(1, 3) AS said
WHERE id BETWEEN %(reported_from)s AND %(last)s AND request_id IS NOT NULL
  AND (said < 3 OR state IN ('delivered', 'failed'))
ORDER BY id, said
"""
CALLBACKS = """
INSERT INTO callbacks (event_id, sms_id, target, event, state, reason, attempts, created_at, finished_at, next_try_at)
SELECT uid || '.1', id, '{"task": "shop.sms_changed", "queue": "shop"}', '{}',
       CASE WHEN id % 5000 = 0 THEN 'failed' WHEN id % 5000 = 1 THEN 'owed' ELSE 'told' END,
       CASE WHEN id % 5000 = 0 THEN 'HTTP 404' END, 1, finalized_at, CASE WHEN id % 5000 <> 1 THEN finalized_at END,
       CASE WHEN id % 5000 = 1 THEN finalized_at END
FROM messages WHERE id BETWEEN %(reported_from)s AND %(last)s AND finalized_at IS NOT NULL
"""
REFUSED = """
INSERT INTO refused_intakes (digest, queue, producer, reason, explanation, body, body_encoding, created_at)
SELECT md5(n::text), 'sms.otp', 'producer-1', 'phone_invalid', 'The phone is no number.', '{}', 'utf-8',
       %(end)s - n * interval '20 minutes'
FROM generate_series(1, 2000) AS n
"""
DECISIONS = """
INSERT INTO decisions (at, who, what, uid, reason)
SELECT %(end)s - n * interval '4 minutes', 'anna', 'drop', md5((n * 911)::text)::uuid::text, 'asked the vendor'
FROM generate_series(1, 10000) AS n
"""
BLOCKS = """
INSERT INTO blocks (phone, lane, who, at)
SELECT '99890' || lpad((n * 97)::text, 7, '0'), 'bulk', 'anna', %(end)s - n * interval '1 minute'
FROM generate_series(1, 5000) AS n
"""
INDEXES = """
SELECT indexname, indexdef FROM pg_indexes LEFT JOIN pg_constraint ON conname = indexname
WHERE schemaname = 'public' AND tablename IN ('messages', 'batches', 'reports', 'callbacks') AND conname IS NULL
"""


class Cluster:
    """A PostgreSQL with fsync on in *folder*, which goes on running and can be started again."""

    def __init__(self, folder: Path, flags: Mapping[str, str] = FLAGS) -> None:
        """Nothing runs yet; what is there is used. *flags* come on top of `FLAGS`."""
        self.folder = folder
        self._more_flags = flags
        self.cluster = folder / "cluster"
        self._bin = folder / "bin"
        self._user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        port = (self.folder / "port").read_text()
        return f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"

    def start(self) -> bool:
        """Return when it serves, and whether it was made now."""
        made = not self.cluster.exists()
        if made:
            self._make()
        if self._run("pg_ctl", "status", check=False) != 0:
            flags = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in self._flags().items())
            self._run("pg_ctl", "start", "-w", "-t", "120", "-l", str(self.cluster / "log"), "-o", flags)
        return made

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-m", "fast", "-w")

    def _flags(self) -> dict[str, str]:
        return {**FLAGS, **self._more_flags, "port": (self.folder / "port").read_text()}

    def _make(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o711)
        self._bin.symlink_to(postgres_programs(self.folder))
        self.cluster.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(self.cluster, self._user, self._user)
        (self.folder / "port").write_text(str(free_port()))
        self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-instructions")

    def _run(self, program: str, *words: str, check: bool = True) -> int:
        command = [str(self._bin / program), *words, "-D", str(self.cluster)]
        user: dict[str, Any] = (
            {} if self._user is None else {"user": self._user, "group": self._user, "extra_groups": []}
        )
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
        return subprocess.run(command, cwd=self.cluster, check=check, **user, **quiet).returncode


def build(url: str, *, now: datetime, messages: int = MESSAGES) -> None:
    """Fill the database of *url* with *messages* that end *now*; what was in its tables is gone."""
    upgrade(url)
    numbers = _numbers(now, messages)
    with closing(psycopg.connect(url.replace("+psycopg", ""))) as connection:
        connection.execute("SET session_replication_role = replica")  # what refers to a row refers to one that is there
        connection.execute(filled_in("TRUNCATE " + ", ".join(TABLES), {}))
        connection.execute("INSERT INTO accounts (id, login, state, probes) VALUES (1, 'we', 'active', 0)")
        connection.execute(
            "INSERT INTO circuits SELECT 1, room, 'closed', 0, NULL, NULL, NULL, NULL, 0"
            " FROM unnest(ARRAY['posting', 'polling']) AS room"
        )
        with without_indexes(connection):
            _fill(connection, numbers)
        connection.execute(
            "SELECT setval('messages_id_seq', %s), setval('batches_id_seq', %s)", (messages, messages // 50)
        )
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE)")


def freshen(url: str, *, now: datetime) -> int:
    """Let the messages end *now* again: add those of the time since, of three hours at most; return how many."""
    with closing(psycopg.connect(url.replace("+psycopg", ""))) as connection:
        last, newest = connection.execute("SELECT max(id), max(created_at) FROM messages").fetchone() or (0, now)
        begin, apart = max(newest, now - FRESH), DAYS / MESSAGES
        count = int((now - begin) / apart) // 50 * 50
        numbers = {"first": last + 1, "last": last + count, "history": last + count, "start": begin - last * apart}
        numbers |= {"end": now, "apart": apart, "campaign_apart": apart, "reported_from": last + 1}
        for statement in (ROWS, BATCHES, MESSAGES_SQL, REPORTS, CALLBACKS) if count else ():
            connection.execute(filled_in(statement, numbers))
        connection.execute("SELECT setval('messages_id_seq', max(id)) FROM messages")
        connection.execute("SELECT setval('batches_id_seq', max(id)) FROM batches")
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE")
    return count


@contextmanager
def ten_million(folder: Path | None = None, *, messages: int = MESSAGES) -> Iterator[str]:
    """The URL of a PostgreSQL with so many messages, the newest of them of now; gone afterwards.

    With a *folder* it stays there and goes on running, and what was built there before is used again.
    """
    made_here = folder is None
    cluster = Cluster(folder or Path(tempfile.mkdtemp(prefix="sms-ten-million-")))
    if cluster.start():
        build(cluster.url, now=utc_now(), messages=messages)
    upgrade(cluster.url)
    freshen(cluster.url, now=utc_now())
    try:
        yield cluster.url
    finally:
        if made_here:
            cluster.stop()
            shutil.rmtree(cluster.folder)


def _numbers(now: datetime, messages: int) -> dict[str, Any]:
    history = messages - messages * CAMPAIGN // MESSAGES
    start, took = now - DAYS, messages * CAMPAIGN // MESSAGES
    return {
        "first": 1,
        "last": messages,
        "history": history,
        "start": start,
        "end": now,
        "apart": (DAYS - CAMPAIGN_TOOK) / history,
        "campaign_apart": CAMPAIGN_TOOK / took,
        "reported_from": messages * 9 // 10,
    }


def _fill(connection: psycopg.Connection[Any], numbers: dict[str, Any]) -> None:
    for statement in (ROWS, BATCHES, MESSAGES_SQL, REPORTS, CALLBACKS, REFUSED, DECISIONS, BLOCKS):
        connection.execute(filled_in(statement, numbers))


def filled_in(statement: str, numbers: dict[str, Any]) -> bytes:
    """A view takes no parameters, so they stand in its text; all of them are our own."""
    for name, value in numbers.items():
        statement = statement.replace(f"%({name})s", _literal(value))
    return statement.encode()


def _literal(value: Any) -> str:
    if isinstance(value, datetime):
        return f"'{value.isoformat()}'::timestamptz"
    return f"interval '{value.total_seconds():.9f} seconds'" if isinstance(value, timedelta) else str(value)


@contextmanager
def without_indexes(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """They are built at the end, each in one go."""
    indexes = connection.execute(INDEXES).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}".encode())
    yield
    for _, definition in indexes:
        connection.execute(definition.encode())
