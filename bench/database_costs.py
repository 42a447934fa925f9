"""What a message costs PostgreSQL: the CPU of its backend, and the log it writes, at each step of a message's life.

Each variant takes something away from the schema or changes a setting, and runs the same statements as the others, in
turn with them, each on a database of its own; so it shows what each index, constraint and setting costs. What it costs
to do without is not a figure, and not here.

    .venv/bin/python bench/database_costs.py [--rounds 3] [--transactions 20] [--rows 0] [--only WORD]
                                             [--json FILE] [--short]
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import orjson
import psycopg
from psycopg.types.json import Jsonb
from rich.console import Console
from rich.table import Table

from bench.database_variants import ALL_ARRAYS, BATCHES_IN, DELIVER, REPORT, Variant, variants
from bench.ten_million_rows import Cluster, build
from bench.usage import described, machine
from migrations.schema import upgrade

MESSAGES = 500  # of one transaction
BATCHES = 10
STEPS = ("insert", "accept", "lease", "deliver")
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
KEPT = """
SELECT sum(pg_total_relation_size(name::regclass)) / (SELECT count(*) FROM messages)
  FROM unnest(ARRAY['messages', 'batches', 'reports']) AS name
"""
FLAGS = {"wal_level": "replica", "autovacuum": "off", "jit": "off"}


class Spent(NamedTuple):
    """By one step, of one transaction after the other."""

    cpu_seconds: float
    wal_bytes: int


@contextmanager
def cluster(flags: Mapping[str, str]) -> Iterator[str]:
    """The URL of a PostgreSQL with these settings, gone afterwards."""
    made = Cluster(Path(tempfile.mkdtemp(prefix="sms-bench-")), flags)
    made.start()
    try:
        yield made.url
    finally:
        made.stop()
        shutil.rmtree(made.folder)


def database(url: str, name: str) -> str:
    return url.rsplit("/", 1)[0] + "/" + name


def connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def prepare(url: str, rows: int) -> None:
    """The schema as it is, with so many old rows; "postgres" itself is what others are copied from."""
    upgrade(url)
    with closing(connect(url)) as connection:
        if rows:
            build(url, now=NOON, messages=rows)
        else:
            connection.execute("INSERT INTO accounts (login, state, probes) VALUES ('we', 'active', 0)")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, by the scheduler's own count."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


class Meter:
    """Runs the steps of one backend, and adds up what each of them spent."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.pid = connection.info.backend_pid
        self.spent = dict.fromkeys(STEPS, Spent(0, 0))

    def run(self, step: str, statements: Callable[[], Any]) -> Any:
        """In a transaction of its own, its commit included."""
        before, log = cpu_seconds(self.pid), self._log()
        with self.connection.transaction():
            found = statements()
        spent = self.spent[step]
        self.spent[step] = Spent(
            spent.cpu_seconds + cpu_seconds(self.pid) - before, spent.wal_bytes + self._log() - log
        )
        return found

    def _log(self) -> int:
        looked = self.connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
        return int(looked[0]) if looked else 0


def orders(variant: Variant, first: int, batches: Sequence[int], now: datetime) -> dict[str, Any]:
    """The values of a transaction's messages; every other one has a key."""
    numbers = range(first, first + MESSAGES)
    uids = [f"{number:08x}-5c0e-7000-8000-91d7{number:08x}" for number in numbers]
    if variant.uid == "random":
        uids = [str(uuid.uuid4()) for _ in numbers]
    given = {
        "uid": uids,
        "producer": [f"producer-{number % 20}" for number in numbers],
        "key": [f"order-{first}-{number}" if number % 2 else None for number in numbers],
        "phone": [f"99890{number * 7919 % 2_000_000:07}" for number in numbers],
        "text": [f"Hurmatli mijoz, buyurtmangiz {number} yolga chiqdi. Kodingiz: 4821" for number in numbers],
        "batch_id": spread(batches),
        "parts": [1] * MESSAGES,
        "send_at": [now] * MESSAGES,
    }
    if variant.life.insert is ALL_ARRAYS:
        same: dict[str, Any] = {
            "lane": "normal",
            "operator": "beeline",
            "nickname": "SHOP",
            "state": "posting",
            "encoding": "gsm",
        }
        same |= {"one": 1, "zero": 0, "tags": Jsonb({}), "created_at": now}
        given |= {name: [value] * MESSAGES for name, value in same.items()}
    return given


def spread(batches: Sequence[int]) -> list[int]:
    """The batch of each message."""
    return [batches[n * BATCHES // MESSAGES] for n in range(MESSAGES)]


def as_json(columns: dict[str, list[Any]]) -> str:
    """Rows, as json_to_recordset reads them."""
    full = {name: values for name, values in columns.items() if len(values) == MESSAGES}
    return orjson.dumps([dict(zip(full, row, strict=True)) for row in zip(*full.values(), strict=True)]).decode()


def live(meter: Meter, variant: Variant, first: int, now: datetime) -> None:
    """A transaction's messages from their order to their end."""
    when = {"now": now, "later": now + timedelta(seconds=30)}

    def execute(statement: str, **values: Any) -> list[Any]:
        if "%(rows)s" in statement:
            values = {"rows": as_json(values)}
        statement = statement.replace(")b::", ")t::") if variant.as_text else statement
        cursor = meter.connection.execute(statement.encode(), values | when)
        return cursor.fetchall() if cursor.description else []

    def insert() -> tuple[list[int], list[int]]:
        batches = [row[0] for row in execute(BATCHES_IN)]
        return batches, [row[0] for row in execute(variant.life.insert, **orders(variant, first, batches, now))]

    def accept() -> None:
        at = (
            {"submitted_at": [now] * MESSAGES, "next_poll_at": [when["later"]] * MESSAGES}
            if variant.life.is_json
            else {}
        )
        of_batches = {"batch_id": spread(batches), "batches": batches}
        execute(variant.life.accept, id=ids, request_id=requests, message_id=names, **of_batches, **at)
        execute(variant.life.accepted, batches=batches, request_id=requests, batch_id=spread(batches))

    def deliver() -> None:
        execute(REPORT, id=ids, request_id=requests, message_id=names, answer=Jsonb({"status": "delivered"}))
        execute(DELIVER, id=ids)

    batches, ids = meter.run("insert", insert)
    requests = [str(9_000_000 + batch) for batch in spread(batches)]
    names = [str(70_000_000 + each) for each in ids]
    meter.run("accept", accept)
    meter.run("lease", lambda: execute(variant.life.lease, requests=sorted(set(requests))))
    meter.run("deliver", deliver)


def moment(number: int) -> datetime:
    """Old rows end at noon; what comes now comes in order of time after them."""
    return NOON + timedelta(milliseconds=2 * number)


def measure(url: str, variant: Variant, transactions: int, begin: int) -> dict[str, Any]:
    """Milliseconds of CPU and bytes of log per 1,000 messages, by step; and what is left of the updates."""
    with closing(connect(url)) as connection:
        connection.execute("SET plan_cache_mode = force_custom_plan")
        connection.execute("SET synchronous_commit = on")
        for setting in variant.settings:
            connection.execute(setting.encode())
        live(Meter(connection), variant, begin, moment(begin))
        before = counted(connection)
        meter = Meter(connection)
        for number in range(1, transactions + 1):
            if variant.checkpoints:
                connection.execute("CHECKPOINT")
            live(meter, variant, begin + number * MESSAGES, moment(begin + number * MESSAGES))
        thousands = transactions * MESSAGES / 1000
        cpu = {step: spent.cpu_seconds * 1e3 / thousands for step, spent in meter.spent.items()}
        wal = {step: spent.wal_bytes / thousands / 1000 for step, spent in meter.spent.items()}
        updates, hot = (now - then for now, then in zip(counted(connection), before, strict=True))
        sizes = connection.execute("SELECT pg_relation_size('messages'), pg_indexes_size('messages')").fetchone()
    return {"cpu_ms": cpu, "wal_bytes": wal, "hot_share": hot / updates, "sizes": sizes}


def kept(url: str) -> float:
    """Bytes of a message, its share of a batch, and its report, with their indexes, as tight as they can be."""
    with closing(connect(url)) as connection:
        connection.execute("VACUUM FULL messages")
        connection.execute("VACUUM FULL batches")
        connection.execute("VACUUM FULL reports")
        looked = connection.execute(KEPT).fetchone()
    return float(looked[0]) if looked else 0.0


def counted(connection: psycopg.Connection[Any]) -> tuple[int, int]:
    """Updates of messages so far, and how many of them wrote no index."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    looked = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'messages'"
    return connection.execute(looked).fetchone() or (0, 0)


def run(url: str, variant: Variant, transactions: int, number: int) -> dict[str, Any]:
    """On a copy of the empty database."""
    name = f"costs_{number}"
    with closing(connect(url)) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_costs".encode())
    with closing(connect(database(url, name))) as connection:
        for statement in variant.statements:
            connection.execute(statement.encode())
    found = measure(database(url, name), variant, transactions, begin=0)
    found["kept_bytes"] = kept(database(url, name))
    with closing(connect(url)) as connection:
        connection.execute(f"DROP DATABASE {name}".encode())
    return found


def among_old_rows(url: str, options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Those variants that only add or change settings, on the one large database, in turn."""
    with closing(connect(url)) as connection:
        some = [one for one in variants(connection) if not one.statements and wanted(one, options)]
    found: dict[str, list[dict[str, Any]]] = {one.name: [] for one in some}
    begin = 1
    for _ in range(options.rounds):
        for one in some:
            found[one.name].append(measure(url, one, options.transactions, begin))
            begin += (options.transactions + 1) * MESSAGES
    return found


def from_empty(url: str, options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """All variants, each from an empty database, in turn."""
    prepare(url.rsplit("/", 1)[0] + "/template_costs", 0)
    with closing(connect(database(url, "template_costs"))) as connection:
        some = [one for one in variants(connection) if wanted(one, options)]
    found: dict[str, list[dict[str, Any]]] = {one.name: [] for one in some}
    for number in range(options.rounds):
        for one in some:
            found[one.name].append(run(url, one, options.transactions, number))
    return found


def wanted(variant: Variant, options: argparse.Namespace) -> bool:
    return not options.only or variant.name == "as it is" or options.only in variant.name


def summed(rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The medians of each step; the sum of a round's steps is a figure of its own."""
    found = {}
    for what in ("cpu_ms", "wal_bytes"):
        for step in STEPS:
            found[f"{what} {step}"] = statistics.median(one[what][step] for one in rounds)
        found[f"{what} all"] = statistics.median(sum(one[what].values()) for one in rounds)
        found[f"{what} sent"] = statistics.median(one[what]["insert"] + one[what]["accept"] for one in rounds)
    found |= {f"mib {what}": rounds[-1]["sizes"][n] / 2**20 for n, what in enumerate(("table", "indexes"))}
    if all("kept_bytes" in one for one in rounds):
        found["kept_bytes"] = statistics.median(one["kept_bytes"] for one in rounds)
    found["hot_share"] = statistics.median(one["hot_share"] for one in rounds)
    return found


def table(found: Mapping[str, Mapping[str, float]]) -> Table:
    """A row for each variant."""
    columns = ("insert", "accept", "sent", "lease", "deliver", "all")
    shown = Table("CPU ms per 1,000", *columns, "± sent", "WAL bytes sent", "all", "HOT", "table MiB", "indexes")
    base = found["as it is"]["cpu_ms sent"]
    for name, row in found.items():
        cells = [f"{row[f'cpu_ms {column}']:.1f}" for column in columns]
        more = f"{row['cpu_ms sent'] / base - 1:+.1%}"
        log = [f"{row[f'wal_bytes {column}']:,.0f}" for column in ("sent", "all")]
        sizes = [f"{row[f'mib {what}']:,.0f}" for what in ("table", "indexes")]
        shown.add_row(name, *cells, more, *log, f"{row['hot_share']:.0%}", *sizes)
    return shown


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--transactions", type=int, default=20)
    parser.add_argument("--rows", type=int, default=0, help="old rows; with any, only what needs no other schema")
    parser.add_argument("--only", help="variants with this word in their name, and the schema as it is")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--short", action="store_true", help="one round of five transactions")
    options = parser.parse_args()
    if options.short:
        options.rounds, options.transactions = 1, 5
    with cluster(FLAGS) as url:
        with closing(connect(url)) as connection:
            connection.execute("CREATE DATABASE template_costs")
        if options.rows:
            prepare(url, options.rows)
        rounds = among_old_rows(url, options) if options.rows else from_empty(url, options)
    found = {name: summed(some) for name, some in rounds.items()}
    Console(width=200).print(f"{described(machine())}, {options.rows:,} old rows", table(found))
    if options.json:
        written = {"machine": machine(), "old_rows": options.rows, "variants": found}
        options.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
