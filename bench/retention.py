"""What sending feels of the retention sweep: a day's messages are deleted while others are stored and accepted.

A sender stores lots of 50 messages as claimed and then as accepted, by the functions of `worker.store`: at a steady
pace, where what counts is how long a lot takes, and as fast as it can. In turn with that and without it, the sweep of
`worker.upkeep` runs in a process of its own, as for one of beat's bells: it rings every minute, and the sweep leaves
before that is over, whatever is left.

    .venv/bin/python bench/retention.py [--rows 600000] [--swept 60000] [--rounds 3] [--json FILE] [--short]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from threading import Event, Thread
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

from builders import an_upkeep
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, event, func, select
from sqlalchemy.orm import Session, sessionmaker

from bench import growth_rows
from bench.database_costs import cluster, connect
from bench.growth import build
from bench.growth_questions import a_row, answer_to, claimant
from bench.usage import described, machine
from bench.verdicts import Verdict
from bench.verdicts import as_json as verdicts_as_json
from bench.verdicts import show as show_verdicts
from models import Message
from models.lifecycle import Lane
from worker import upkeep as keeping
from worker.clock import utc_now
from worker.store import sweeps
from worker.store.at_once import insert_claimed, packed
from worker.store.engine import make_engine, make_sessions, reading
from worker.store.outcomes import Accepted, accept_all

LOT = 50
PACES = {"a lot every 25 ms": 0.025, "as fast as it can": 0.0}
PHASE_SECONDS = 8.0  # without the sweep; with it, as long as it runs
BELLS_A_DAY = 24 * 60
LOOK_SECONDS = 0.02
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"


class Phase(NamedTuple):
    """Of the lots of one phase."""

    seconds: float
    lots: Sequence[float]  #: seconds that each took, both commits included
    lock_waits: int  #: looks that saw somebody wait for a lock
    swept: dict[str, float]  #: what the sweep says of itself; empty without it


class Sender:
    """Sends until it is told to stop."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self.sessions = sessions
        self.number = 0

    def send(self, pace_seconds: float, goes_on: Any) -> list[float]:
        """How long each lot took, from when it was due."""
        lots = []
        due = time.perf_counter()
        while goes_on():
            self._lot()
            lots.append(time.perf_counter() - due)
            due = max(due + pace_seconds, time.perf_counter())
            time.sleep(max(0.0, due - time.perf_counter()))
        return lots

    def _lot(self) -> None:
        now = utc_now()
        self.number += LOT
        rows = [a_row(self.number - n, Lane.NORMAL, now) for n in range(LOT)]
        with self.sessions.begin() as session:
            batches = packed(rows, limit=LOT, most=1)
            _, claimed = insert_claimed(session, claimant(), Lane.NORMAL, rows, batches, begun=1)
        accepted = [Accepted(one, answer_to(one), timedelta(seconds=0.05), now + timedelta(days=1)) for one in claimed]
        with self.sessions.begin() as session:
            accept_all(session, accepted, now=utc_now())


@contextmanager
def watched(url: str | None) -> Iterator[list[int]]:
    """Looks for waits until the end; a list of how many waited at each look that saw any."""
    seen: list[int] = []
    stop = Event()

    def look() -> None:
        with closing(connect(url or "")) as connection:
            while not stop.wait(LOOK_SECONDS):
                if (waiting := growth_rows.one(connection, WAITING)) > 0:
                    seen.append(waiting)

    watcher = Thread(target=look)
    if url:
        watcher.start()
    yield seen
    stop.set()
    if url:
        watcher.join()


def without(sender: Sender, pace: float, watch: str | None) -> Phase:
    began = time.perf_counter()
    with watched(watch) as waits:
        lots = sender.send(pace, lambda: time.perf_counter() < began + PHASE_SECONDS)
    return Phase(time.perf_counter() - began, lots, len(waits), {})


def with_sweep(sender: Sender, pace: float, watch: str | None, words: Sequence[str]) -> Phase:
    """As long as the sweep of one bell takes, to which *words* say what it is to delete."""
    sweep = subprocess.Popen([sys.executable, __file__, *words], stdout=subprocess.PIPE)
    if sweep.stdout is None:
        raise RuntimeError("it says nothing")
    sweep.stdout.readline()  # it is up
    began = time.perf_counter()
    with watched(watch) as waits:
        lots = sender.send(pace, lambda: sweep.poll() is None)
    seconds = time.perf_counter() - began
    return Phase(seconds, lots, len(waits), json.loads(sweep.stdout.read()))


def sweep(options: argparse.Namespace) -> None:
    """In the other process: delete, as for one bell, and say how that went."""
    engine = make_engine(options.sweep)
    taken: list[float] = []
    _time_statements(engine, taken)
    sweeps.DELETED_AT_ONCE = options.batch or sweeps.DELETED_AT_ONCE
    keeping.RESTS = keeping.RESTS if options.rests is None else options.rests
    upkeep = an_upkeep(make_sessions(engine), utc_now, retention=utc_now() - options.before, wait=time.sleep)
    print("up", flush=True)  # noqa: T201
    began, cpu = time.perf_counter(), time.process_time()
    rows = upkeep.delete_old()
    found = {"rows": rows, "seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps(found | {"longest_seconds": max(taken), "median_seconds": median(taken)}))  # noqa: T201


def _time_statements(engine: Engine, taken: list[float]) -> None:
    """Their seconds, in *taken*: how long a row may be locked by one."""
    began = [0.0]

    def before(*_: Any) -> None:
        began[0] = time.perf_counter()

    def after(*_: Any) -> None:
        taken.append(time.perf_counter() - began[0])

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)


def cuts(sessions: sessionmaker[Session], swept: int, times: int) -> list[datetime]:
    """Instants before which so many messages more ended each time."""
    with reading(sessions) as session:
        ended = select(Message.finalized_at).where(Message.finalized_at.is_not(None)).order_by(Message.finalized_at)
        found = [session.scalars(ended.offset(swept * n).limit(1)).one() for n in range(1, times + 1)]
    return [at for at in found if at]


def measure(url: str, options: argparse.Namespace, *, watch: str | None) -> dict[str, Any]:
    """Both paces, without and with in turn."""
    engine = make_engine(url)
    sessions = make_sessions(engine)
    sender = Sender(sessions)
    before = iter(cuts(sessions, options.swept, options.rounds * len(PACES)))
    found: dict[str, Any] = {}
    for name, pace in PACES.items():
        rounds = []
        for _ in range(options.rounds):
            alone = without(sender, pace, watch)
            words = ["--sweep", url, "--before", next(before).isoformat()]
            words += ["--batch", str(options.batch)]
            words += [] if options.rests is None else ["--rests", str(options.rests)]
            rounds.append((alone, with_sweep(sender, pace, watch, words)))
        found[name] = {
            "without": summed([alone for alone, _ in rounds]),
            "with": summed([swept for _, swept in rounds]),
        }
    with reading(sessions) as session:
        found["left"] = session.scalars(select(func.count()).select_from(Message)).one()
    engine.dispose()
    return found


def summed(phases: Sequence[Phase]) -> dict[str, float]:
    """Of all rounds together; the longest of the longest."""
    lots = [lot * 1e3 for phase in phases for lot in phase.lots]
    hundredths = quantiles(lots, n=100)
    found = {"p50_ms": hundredths[49], "p95_ms": hundredths[94], "p99_ms": hundredths[98], "most_ms": max(lots)}
    found["messages_per_second"] = len(lots) * LOT / sum(phase.seconds for phase in phases)
    found["lock_waits"] = sum(phase.lock_waits for phase in phases)
    swept = [phase.swept for phase in phases if phase.swept]
    if swept:
        found["rows_per_second"] = sum(one["rows"] for one in swept) / sum(one["seconds"] for one in swept)
        found["rows_per_day"] = sum(one["rows"] for one in swept) / len(swept) * BELLS_A_DAY
        found["longest_statement_ms"] = max(one["longest_seconds"] for one in swept) * 1e3
        found["median_statement_ms"] = median(one["median_seconds"] for one in swept) * 1e3
    return found


def table(name: str, found: dict[str, Any]) -> Table:
    """A row for each pace, without the sweep and with it."""
    columns = ["p50_ms", "p95_ms", "p99_ms", "most_ms", "messages_per_second", "lock_waits", "rows_per_second"]
    columns += ["rows_per_day", "median_statement_ms", "longest_statement_ms"]
    shown = Table(name, *(column.replace("_", " ") for column in columns))
    for pace in PACES:
        for which, figures in found[pace].items():
            cells = [f"{figures[column]:,.1f}" if column in figures else "" for column in columns]
            shown.add_row(f"{pace}, {which}", *cells)
    return shown


def verdicts(found: dict[str, Any]) -> list[Verdict]:
    """Whether anybody was ever seen to wait for a lock while it was swept; SQLite has one writer, and no such list."""
    waits = sum(found["PostgreSQL"][pace]["with"]["lock_waits"] for pace in PACES)
    return [Verdict("looks that saw a wait for a lock beside the sweep", 0, waits, at_most=True, under="PostgreSQL")]


def main() -> None:
    """Fill both databases, measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=600_000, help="old messages")
    parser.add_argument("--swept", type=int, default=60_000, help="of these, too old in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--rests", type=int, help="tried out: times as long as a deletion took, instead of upkeep's own"
    )
    parser.add_argument("--batch", type=int, default=0, help="tried out: rows of a deletion, instead of upkeep's own")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--short", action="store_true", help="one round among 60,000")
    parser.add_argument("--sweep", help="(for itself) the URL of a database to sweep")
    parser.add_argument("--before", type=datetime.fromisoformat, help="(for itself)")
    options = parser.parse_args()
    if options.sweep:
        sweep(options)
        return
    if options.short:
        options.rows, options.swept, options.rounds = 60_000, 10_000, 1
    with cluster(growth_rows.FLAGS) as url, tempfile.TemporaryDirectory(prefix="sms-retention-") as folder:
        here, file = build(url, options.rows, 0), Path(folder) / "sms.db"
        growth_rows.copy_to_sqlite(here, file)
        found = {
            "PostgreSQL": measure(here, options, watch=here),
            "SQLite": measure(f"sqlite:///{file}", options, watch=None),
        }
    console = Console(width=200)
    console.print(described(machine()))
    console.print(*(table(name, figures) for name, figures in found.items()))
    show_verdicts(console, judged := verdicts(found))
    if options.json:
        written = {"machine": machine(), "aims": verdicts_as_json(judged), "found": found}
        options.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
