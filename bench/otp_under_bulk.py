"""What a campaign costs an OTP: from its order to the gateway's acceptance, on an idle system and under 100,000 bulk.

A plain Celery producer orders OTPs one at a time; a real worker, beat, broker and database stand between it and a
sandbox gateway in a process of its own, which takes 0.1 s for each answer. Idle and under bulk in turn, A B A B, with
bulk posted as fast as it goes, on PostgreSQL (fsync on) and SQLite (synchronous FULL). Prints percentiles, and how many
of the gateway's round trips the campaign costs. Reports are not asked for within the run.

    .venv/bin/python bench/otp_under_bulk.py [--otps 100] [--bulk 100000] [--rounds 2] [--database sqlite]
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from scene import LATENCY_SECONDS, campaign, databases, machine, sandbox_process  # noqa: E402
from servers import wait_for  # noqa: E402
from sqlalchemy import text  # noqa: E402
from system import System  # noqa: E402

from worker.clock import utc_now  # noqa: E402
from worker.embedded.valkey import Valkey  # noqa: E402
from worker.sandbox.running import RunningSandbox  # noqa: E402
from worker.store.engine import make_sessions  # noqa: E402

PAUSES_SECONDS = (0.1, 0.3)
IDLE, UNDER_BULK = "idle", "under bulk"
NO_QUESTIONS = {"SMS_POLL_LADDER_SECONDS": "3600"}
QUEUED = "SELECT count(*) FROM messages WHERE lane = 'bulk' AND state IN ('queued', 'posting')"
TAKEN = "SELECT count(*) FROM messages WHERE lane = 'bulk' AND state = 'submitted'"
OTPS = "SELECT uid, created_at, posted_at, submitted_at FROM messages WHERE lane = 'otp' AND state = 'submitted'"
STEPS = ("read", "claimed", "accepted")  #: what an OTP comes to


class Phase(NamedTuple):
    """What was seen in one go."""

    steps: list[list[float]]  #: seconds of each OTP: from its order to its reading, to its claim, to its acceptance
    bulk_per_second: float
    worker_cpu_seconds: float
    took_seconds: float

    @property
    def seconds(self) -> list[float]:
        """Of each OTP, from its order to its acceptance."""
        return [sum(steps) for steps in self.steps]


def cpu_seconds(pid: int) -> float:
    """What a process has used so far. Only on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(system: System, pid: int, otps: int, dice: random.Random) -> Phase:
    """Order *otps* one after the other, and wait until all are accepted."""
    began, cpu, taken = time.monotonic(), cpu_seconds(pid), system.rows(TAKEN)[0][0]
    ordered_at: dict[str, datetime] = {}
    for number in range(otps):
        at = utc_now()
        ordered_at[system.send(f"99893{dice.randrange(10**6):06}{number % 9 + 1}"[:12])] = at
        time.sleep(dice.uniform(*PAUSES_SECONDS))
    took, cpu = time.monotonic() - began, cpu_seconds(pid) - cpu
    bulk = (system.rows(TAKEN)[0][0] - taken) / took
    accepted = wait_for(lambda: all_accepted(system, ordered_at), seconds=60) or {}
    moments = [[at, *accepted[uid]] for uid, at in ordered_at.items()]
    steps = [[(to - at).total_seconds() for at, to in pairwise(one)] for one in moments]
    return Phase(steps, bulk, cpu, took)


def all_accepted(system: System, ordered_at: dict[str, datetime]) -> dict[str, list[datetime]] | None:
    accepted = {uid: [at_of(moment) for moment in moments] for uid, *moments in system.rows(OTPS)}
    return accepted if ordered_at.keys() <= accepted.keys() else None


def at_of(stored: datetime | str) -> datetime:
    """SQLite gives text without a zone."""
    return stored if isinstance(stored, datetime) else datetime.fromisoformat(f"{stored}+00:00")


def under_bulk(system: System, pid: int, options: argparse.Namespace, dice: random.Random) -> Phase:
    """The same while a campaign is posted; what is left of it then is taken away."""
    campaign(make_sessions(system.engine), options.bulk, producer=f"campaign {dice.random()}", at=utc_now())
    before = system.rows(TAKEN)[0][0]
    wait_for(lambda: system.rows(TAKEN)[0][0] > before + 1_000, seconds=60)
    phase = measured(system, pid, options.otps, dice)
    if not system.rows(QUEUED)[0][0]:
        raise SystemExit("The campaign was over before the OTPs were: order more with --bulk.")
    with system.engine.begin() as connection:
        connection.execute(text("DELETE FROM messages WHERE lane = 'bulk' AND state = 'queued'"))
    wait_for(lambda: not system.rows(QUEUED)[0][0], seconds=60)
    return phase


def run(folder: Path, url: str, sandbox: RunningSandbox, options: argparse.Namespace) -> dict[str, list[Phase]]:
    """Both phases in turn, with processes of their own."""
    folder.mkdir()
    broker, dice = Valkey(folder), random.Random(options.seed)  # noqa: S311
    broker.start()
    system = System(folder, redis_url=broker.url, database_url=url, sandbox=sandbox)
    try:
        system.env |= NO_QUESTIONS
        pid = system.worker().pid
        system.beat()
        measured(system, pid, 5, dice)  # connections are opened, statements are built
        phases: dict[str, list[Phase]] = {IDLE: [], UNDER_BULK: []}
        for _ in range(options.rounds):
            phases[IDLE].append(measured(system, pid, options.otps, dice))
            phases[UNDER_BULK].append(under_bulk(system, pid, options, dice))
    finally:
        system.stop()
        broker.stop()
    return phases


def summed_up(name: str, phases: dict[str, list[Phase]]) -> list[dict[str, Any]]:
    """A row for each way, over all rounds."""
    rows = []
    for way, found in phases.items():
        seconds = sorted(each for phase in found for each in phase.seconds)
        cuts = statistics.quantiles(seconds, n=100, method="inclusive")
        row: dict[str, Any] = {"database": name, "way": way, "otps": len(seconds), "max": seconds[-1]}
        row |= {f"p{cut}": cuts[cut - 1] for cut in (50, 95, 99)}
        steps = zip(*(steps for phase in found for steps in phase.steps), strict=True)
        row["p95_of_steps"] = {
            step: statistics.quantiles(each, n=20)[-1] for step, each in zip(STEPS, steps, strict=True)
        }
        row["p50_of_rounds"] = [statistics.median(phase.seconds) for phase in found]
        row["bulk_per_second"] = statistics.mean(phase.bulk_per_second for phase in found)
        row["worker_cpu_share"] = sum(p.worker_cpu_seconds for p in found) / sum(p.took_seconds for p in found)
        rows.append(row)
    for percentile in ("p50", "p95", "p99"):
        difference = rows[1][percentile] - rows[0][percentile]
        rows[1][f"{percentile}_round_trips_more"] = difference / LATENCY_SECONDS
    return rows


def show(console: Console, rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> None:
    table = Table("database", "", "OTPs", "p50 ms", "p95", "p99", "max", "bulk/s", "worker's CPU", *STEPS)
    more = Table("database", "p50", "p95", "p99")
    for row in rows:
        numbers = [f"{1000 * row[name]:.0f}" for name in ("p50", "p95", "p99", "max")]
        load = [f"{row['bulk_per_second']:.0f}", f"{row['worker_cpu_share']:.0%}"]
        steps = [f"p95 {1000 * seconds:.0f}" for seconds in row["p95_of_steps"].values()]
        table.add_row(row["database"], row["way"], str(row["otps"]), *numbers, *load, *steps)
        if row["way"] == UNDER_BULK:
            cells = (f"{row[f'{name}_round_trips_more']:+.2f}" for name in ("p50", "p95", "p99"))
            more.add_row(row["database"], *cells)
    head = f"From order to acceptance; gateway {LATENCY_SECONDS} s; {options.rounds} rounds of each; {machine()}"
    console.print(head, table, "What bulk costs an OTP, in round trips to the gateway", more)


def main() -> None:
    """Run, and print tables and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--otps", type=int, default=100)
    parser.add_argument("--bulk", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["postgresql", "sqlite"])
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with ExitStack() as scene:
        folder = Path(scene.enter_context(tempfile.TemporaryDirectory()))
        sandbox = scene.enter_context(sandbox_process(folder))
        for database, url in scene.enter_context(databases(folder, only=options.database)).items():
            rows += summed_up(database, run(folder / database, url, sandbox, options))
    show(Console(width=None if sys.stdout.isatty() else 140), rows, options)
    Console().print_json(json.dumps(rows))


if __name__ == "__main__":
    main()
