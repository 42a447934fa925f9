"""Status questions: how many a second, and what a thousand of them cost, beside threads with requests.

The gateway takes 50 ms for each answer. At each width (questions in flight in one process) there are in turn, each in
a process of its own: *ours*, the worker's client alone; *requests*, a ThreadPoolExecutor of that width with a session
for each thread, which reads less of the answers; and *room*, the whole polling room with its database, where every
answer is a delivery that is stored. At the widest, the first two once more over TLS. Ratios are those of each round.

    .venv/bin/python bench/polling.py [--short] [--rounds 3] [--json FILE] [--png FILE]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

import matplotlib as mpl
import requests
from rich.console import Console
from rich.table import Table as Shown
from sqlalchemy import Table

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from builders import an_sms  # noqa: E402

from bench.fast_gateway import FIRST_MESSAGE_ID, FIRST_REQUEST_ID, LOGIN, PASSWORD  # noqa: E402
from bench.stage import Stage, stage  # noqa: E402
from bench.usage import described, machine, used  # noqa: E402
from bench.verdicts import Verdict  # noqa: E402
from bench.verdicts import as_json as verdicts_as_json  # noqa: E402
from bench.verdicts import show as show_verdicts  # noqa: E402
from migrations.schema import upgrade  # noqa: E402
from models import Batch, Message  # noqa: E402
from worker.clock import utc_now  # noqa: E402
from worker.store.accounts import account_id_of  # noqa: E402
from worker.store.engine import make_engine, make_sessions  # noqa: E402
from worker.store.lots import insert_all  # noqa: E402

LATENCY_SECONDS = 0.05
WIDTHS = (1, 8, 32, 128, 256)
ROOM_WIDTHS = (32, 256)
NARROW = 8  #: in flight: with fewer, more seconds give as many questions
BATCH = 50
LEAST_PER_SECOND = 4_000  #: at the widest
LEAST_CHEAPER = 5  #: the CPU of requests to ours, at any width
SQLITE, POSTGRESQL = "sqlite", "postgresql"


@dataclass
class Run:
    """What one process did; CPU is its own, and that of PostgreSQL beside it."""

    asker: str
    width: int
    round: int
    answered: int
    seconds: float
    cpu_seconds: float
    database_cpu_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds

    @property
    def cpu_ms(self) -> float:
        """For each thousand questions."""
        return 1e6 * self.cpu_seconds / self.answered

    @property
    def database_cpu_ms(self) -> float:
        return 1e6 * self.database_cpu_seconds / self.answered


@dataclass(frozen=True)
class Bench:
    """What all runs stand on."""

    it: Stage
    seconds: float
    ids: int

    def ask(self, asker: str, width: int, number: int, *, database: str = "") -> Run:
        """Run one process to its end; it asks longer where few questions are in flight."""
        name, _, suffix = asker.partition(" ")
        url, seconds = self.it.gateway.url_over(tls=suffix == "TLS"), self.seconds * max(1, NARROW // width)
        command = [sys.executable, str(ROOT / "bench" / "askers.py"), name, "--url", url]
        command += ["--width", str(width), "--seconds", str(seconds), "--ids", str(self.ids)]
        command += ["--database", database] if database else []
        trusting = os.environ | self.it.gateway.trust
        groups = {"database": self.it.postgres_pid} if database and self.it.postgres_pid else {}
        with used({name: pid for name, pid in groups.items() if pid}) as usage:
            done = subprocess.run(command, env=trusting, stdout=subprocess.PIPE, text=True, check=True)
        told = json.loads(done.stdout.splitlines()[-1])
        return Run(asker, width, number, **told, database_cpu_seconds=sum(one.cpu_seconds for one in usage.values()))

    def room(self, kind: str, width: int, number: int) -> Run:
        """The same of the whole room, on a fresh database with more messages than it can ask for."""
        name = f"polling_{width}_{number}"
        url = self.it.postgres_url(name) if kind == POSTGRESQL else self.it.sqlite_url(name)
        prepare(url, min(self.ids, round(1.2 * width * self.seconds / LATENCY_SECONDS) + width))
        return self.ask(f"room {kind}", width, number, database=url)


def let_the_gateway_take(it: Stage, messages: int) -> None:
    """Its request_ids begin with `FIRST_REQUEST_ID`, one for each message."""
    with requests.Session() as session:
        for first in range(0, messages, BATCH):
            rows = [{"phone": _phone(first + at), "text": "bench"} for at in range(BATCH)]
            form = {"login": LOGIN, "password": PASSWORD, "data": json.dumps(rows)}
            session.post(f"{it.gateway.url}/", data=form, timeout=30).raise_for_status()


def prepare(url: str, messages: int) -> None:
    """So many submitted messages, all of them due."""
    upgrade(url)
    engine = make_engine(url)
    now = utc_now()
    told = {"lane": "bulk", "state": "accepted", "size": BATCH, "accepted": BATCH, "refused": 0, "worker": "bench"}
    taken = {"state": "submitted", "attempts": 1, "created_at": now, "posted_at": now, "submitted_at": now}
    with make_sessions(engine).begin() as session:
        told |= {"account_id": account_id_of(session, LOGIN), "created_at": now, "finished_at": now}
        batches = [{"id": at + 1} | told for at in range(messages // BATCH + 1)]
        insert_all(session, cast("Table", Batch.__table__), batches)
        own = [
            {"phone": _phone(at), "request_id": str(FIRST_REQUEST_ID + at), "message_id": str(FIRST_MESSAGE_ID + at)}
            | {"batch_id": at // BATCH + 1, "next_poll_at": now - timedelta(seconds=1)}
            for at in range(messages)
        ]
        rows = [an_sms(**taken, **one) for one in own]
        columns = Message.__table__.columns.keys()
        insert_all(session, cast("Table", Message.__table__), [_known(row, columns) for row in rows])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    engine.dispose()


def _known(row: dict[str, object], columns: Iterable[str]) -> dict[str, object]:
    return {name: row[name] for name in columns if name in row}


def _phone(number: int) -> str:
    return f"9989{number:08}"


def measure(bench: Bench, rounds: int, widths: Sequence[int], console: Console) -> list[Run]:
    """A B A B: all contenders of a width one after the other, and that again in each round."""
    runs: list[Run] = []
    for number in range(rounds):
        for width in widths:
            runs += [bench.ask(asker, width, number) for asker in ("ours", "requests")]
            if width in ROOM_WIDTHS:
                runs += [bench.room(kind, width, number) for kind in (POSTGRESQL, SQLITE)]
        runs += [bench.ask(asker, widths[-1], number) for asker in ("ours TLS", "requests TLS")]
        console.print(f"round {number + 1} of {rounds}")
    return runs


def of(runs: Sequence[Run], asker: str, width: int) -> list[Run]:
    return [run for run in runs if (run.asker, run.width) == (asker, width)]


def kinds(runs: Sequence[Run]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((run.asker, run.width) for run in runs))


def spread(values: Iterable[float], digits: int = 0) -> str:
    every = sorted(values)
    return f"{statistics.median(every):,.{digits}f} ({every[0]:,.{digits}f}-{every[-1]:,.{digits}f})"


def cheaper(runs: Sequence[Run], width: int, suffix: str = "") -> list[float]:
    """The CPU of requests to ours, round by round."""
    pairs = zip(of(runs, "requests" + suffix, width), of(runs, "ours" + suffix, width), strict=True)
    return [theirs.cpu_ms / own.cpu_ms for theirs, own in pairs]


def table(runs: Sequence[Run], head: str) -> Shown:
    shown = Shown("", "in flight", "questions/s", "CPU ms per 1,000", "PostgreSQL's", "requests' CPU to it", title=head)
    for asker, width in kinds(runs):
        every = of(runs, asker, width)
        database = spread(run.database_cpu_ms for run in every) if POSTGRESQL in asker else ""
        name, _, suffix = asker.partition(" ")
        times = spread(cheaper(runs, width, suffix and f" {suffix}"), 1) if name == "ours" else ""
        speed, cost = spread(run.per_second for run in every), spread(run.cpu_ms for run in every)
        shown.add_row(asker, str(width), speed, cost, database, times)
    return shown


def judge(runs: Sequence[Run], widths: Sequence[int]) -> list[Verdict]:
    """Each aim, met or missed by how much."""
    widest = statistics.median(run.per_second for run in of(runs, "ours", widths[-1]))
    speed = Verdict("questions/s of one process", LEAST_PER_SECOND, widest, under=f"{widths[-1]} in flight")
    ratios = {f"{width} in flight": cheaper(runs, width) for width in widths}
    ratios[f"{widths[-1]} in flight, https"] = cheaper(runs, widths[-1], " TLS")
    costs = [
        Verdict("CPU: requests in threads to ours", LEAST_CHEAPER, statistics.median(found), "x", under=under)
        for under, found in ratios.items()
    ]
    return [speed, *costs]


def plot(runs: Sequence[Run], head: str, file: Path) -> None:
    """Speed and cost by the number of questions in flight, both axes logarithmic."""
    figure, (speed, cost) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    for asker in ("ours", "room postgresql", "room sqlite", "requests"):
        widths = [width for name, width in kinds(runs) if name == asker]
        for axes, figures in (
            (speed, [[run.per_second for run in of(runs, asker, width)] for width in widths]),
            (cost, [[run.cpu_ms for run in of(runs, asker, width)] for width in widths]),
        ):
            middle = [statistics.median(every) for every in figures]
            (line,) = axes.loglog(widths, middle, "o-", label=asker)
            low, high = [min(every) for every in figures], [max(every) for every in figures]
            axes.fill_between(widths, low, high, alpha=0.15, color=line.get_color())
    speed.axhline(LEAST_PER_SECOND, linestyle=":", color="#666666", linewidth=1)
    for axes, title in ((speed, "status questions per second"), (cost, "CPU ms per 1,000 questions, the asker's own")):
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        axes.set_xlabel("questions in flight, in one process")
        axes.set_xticks(WIDTHS, [str(width) for width in WIDTHS])
        axes.grid(alpha=0.25, which="both")
    cost.legend(frameon=False)
    figure.suptitle(head, fontsize=8, color="#666666")
    figure.savefig(file, dpi=110)
    plt.close(figure)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="two rounds of a second each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of each run")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure, and show what was found."""
    given, console = arguments(), Console()
    rounds, seconds = (2, 1.0) if given.short else (given.rounds, given.seconds)
    widths = (8, 256) if given.short else WIDTHS
    ids = round(1.3 * widths[-1] * seconds / LATENCY_SECONDS) // BATCH * BATCH
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder), latency_seconds=LATENCY_SECONDS) as it:
        let_the_gateway_take(it, ids)
        runs = measure(Bench(it, seconds, ids), rounds, widths, console)
        known = machine()
    head = f"The gateway answers after {LATENCY_SECONDS * 1000:.0f} ms. {described(known)}"
    console.print(table(runs, head))
    show_verdicts(console, verdicts := judge(runs, widths))
    if given.json:
        found = {"machine": known, "aims": verdicts_as_json(verdicts), "runs": [asdict(run) for run in runs]}
        given.json.write_text(json.dumps(found, indent=2) + "\n")
    if given.png:
        plot(runs, head, given.png)


if __name__ == "__main__":
    main()
