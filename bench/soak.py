"""Does anything grow? Half of full speed for an hour, and every minute one figure of each thing that could.

Producers in a process of their own order at an even rate, bulk by `send_many` and 20 single OTPs a second; a real
worker and beat post to the fast gateway, which takes 50 ms, over at most 32 connections, and ask for reports by the
usual ladder, at most 200 times a second. A figure is called flat when a straight line through its second half rises by
less than a tenth of its mean; memory below 32 MiB by less than 3.2 MiB, and what waits by less than what is ordered in
a second. What only fills up (messages stored, the gateway's own memory) is shown and not judged; in a run of a few
minutes PostgreSQL's buffers still fill as well. At the end every message must have been posted exactly once. Without
--rate, full speed is measured first, for 20 s with producers that never wait.

    .venv/bin/python bench/soak.py [--minutes 60] [--rate 2000] [--database sqlite] [--max-wal-size 16GB]
                                   [--json FILE] [--png FILE]
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
from psycopg import sql
from redis import Redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from bench.database_costs import connect  # noqa: E402
from bench.feeding import Feeder, feeding  # noqa: E402
from bench.stage import Ours, Stage, Tally, ours, stage  # noqa: E402
from bench.usage import MIB, described, look, machine  # noqa: E402
from bench.verdicts import Verdict  # noqa: E402
from bench.verdicts import as_json as verdicts_as_json  # noqa: E402
from bench.verdicts import show as show_verdicts  # noqa: E402
from worker.store.engine import make_engine  # noqa: E402

GATEWAY_SECONDS, CONNECTIONS_TO_IT = 0.05, 32
FULL_SPEED_SECONDS, WARM_SECONDS = 20, 5
OTPS_PER_SECOND = 20
MOST_WAITING = 20_000  #: the producers wait for whoever is further behind than this
FEWEST_FIGURES = 18  #: in a run of a few minutes they are taken more often
LAST_SECONDS = 120  #: for what is still waiting at the end
FLAT, LEAST_MIB = 0.1, 32
#: Not judged.
SHOWN_ONLY = frozenset({"minute", "gateway_mib", "producers_mib", "database_mib"})
SHOWN_ONLY |= {"messages_per_post", "posted_per_second", "asked_per_second"}
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"
SIZE = "SELECT pg_database_size(current_database())"
DATABASES: Mapping[str, Callable[[Stage, str], str]] = {"postgresql": Stage.postgres_url, "sqlite": Stage.sqlite_url}

Figures = dict[str, float]


@dataclass
class Soaked:
    """What was found: figures, minute by minute, and whether all arrived once."""

    database: str
    per_second: float
    rows: list[Figures] = field(default_factory=list)
    ordered: int = 0
    posted: int = 0
    repeated: int = 0
    max_wal_size: str = ""  #: of PostgreSQL; none is its default

    @property
    def names(self) -> list[str]:
        return list(self.rows[0])

    def drift(self, name: str) -> float | None:
        """By what share of its mean a figure rises over the second half; None where there is nothing to judge."""
        values = np.array([row[name] for row in self.rows[len(self.rows) // 2 :]])
        if name in SHOWN_ONLY or len(values) < 3 or not values.any():  # noqa: PLR2004 - any two make a line
            return None
        slope = np.polyfit(np.arange(len(values)), values, 1)[0]
        return float(slope * (len(values) - 1) / max(values.mean(), self._least_scale(name)))

    def _least_scale(self, name: str) -> float:
        if name == "waiting":
            return self.per_second / FLAT
        return LEAST_MIB if name.endswith("_mib") else 0.0

    def verdict(self, name: str) -> str:
        drift = self.drift(name)
        if drift is None:
            return ""
        return f"flat ({drift:+.1%})" if drift < FLAT else f"GROWS ({drift:+.1%})"

    def verdicts(self) -> list[Verdict]:
        """Whether each figure that is judged is flat, and what became of the messages."""
        drifts = {name: drift for name in self.names if (drift := self.drift(name)) is not None}
        found = [
            Verdict(
                f"{name.replace('_', ' ')}: rise over the second half",
                100 * FLAT,
                round(100 * drift, 2),
                "%",
                at_most=True,
            )
            for name, drift in drifts.items()
        ]
        wrong = {"lost": self.ordered - self.posted, "doubled": self.repeated}
        return found + [Verdict(f"messages {what}", 0, many, at_most=True) for what, many in wrong.items()]


class Gauges:
    """Reads one row of figures; what is counted is counted since the last."""

    def __init__(self, it: Stage, system: Ours, feeder: Feeder, database_url: str) -> None:
        self._it = it
        self._groups = {"worker": system.worker, "beat": system.beat, "redis": it.redis_pid}
        self._groups |= {"gateway": it.gateway.pid, "producers": feeder.pid}
        if it.postgres_pid:
            self._groups["postgres"] = it.postgres_pid
        self._feeder = feeder
        self._engine = make_engine(database_url)
        self._redis = Redis.from_url(it.redis_url)
        self._began_at = time.time()
        self._last = (self._began_at, it.gateway.tally(), self._wal())

    def read(self) -> Figures:
        looks = {name: look(pid) for name, pid in self._groups.items()}
        found: Figures = {"minute": (time.time() - self._began_at) / 60}
        found |= {f"{name}_mib": seen.mib for name, seen in looks.items()}
        found |= {"worker_fds": looks["worker"].fds, "worker_connections": looks["worker"].connections}
        tally = self._it.gateway.tally()
        return found | self._flow(tally) | self._stored()

    def _flow(self, tally: Tally) -> Figures:
        now, wal = time.time(), self._wal()
        then, before, wal_before = self._last
        self._last = now, tally, wal
        posted, seconds = tally.messages - before.messages, now - then
        found = {
            "posted_per_second": posted / seconds,
            "asked_per_second": (tally.questions - before.questions) / seconds,
            "messages_per_post": posted / max(1, tally.requests - before.requests),
            "waiting": self._feeder.ordered - tally.messages,
        }
        return found | ({"wal_bytes_per_message": (wal - wal_before) / max(1, posted)} if wal else {})

    def _stored(self) -> Figures:
        found = {"redis_used_mib": int(self._redis.info("memory")["used_memory"]) / MIB}
        if self._engine.dialect.name == "postgresql":
            return found | {"postgres_connections": self._one(CONNECTIONS), "database_mib": self._one(SIZE) / MIB}
        return found | {"database_mib": sum(file.stat().st_size for file in self._files()) / MIB}

    def _wal(self) -> float:
        """Bytes since the cluster was made; 0 where nobody tells."""
        return self._one(WAL) if self._engine.dialect.name == "postgresql" else 0.0

    def _one(self, query: str) -> float:
        with self._engine.connect() as connection:
            return float(connection.execute(text(query)).scalar_one())

    def _files(self) -> Iterator[Path]:
        file = Path(self._engine.url.database or "")
        return file.parent.glob(f"{file.name}*")


def full_speed(it: Stage, folder: Path, database: str, env: Mapping[str, str]) -> float:
    """Messages per second while producers never let the queue run dry."""
    url = DATABASES[database](it, "full")
    with ours(it, folder / "full", url, **env), feeding(it, waiting=MOST_WAITING):
        it.gateway.wait_for(1, seconds=60)
        time.sleep(WARM_SECONDS)
        before = it.gateway.tally()
        time.sleep(FULL_SPEED_SECONDS)
        posted = it.gateway.tally().messages - before.messages
    it.redis_reset()
    return posted / FULL_SPEED_SECONDS


def soak(it: Stage, folder: Path, options: argparse.Namespace, show: Callable[[Figures], None]) -> Soaked:
    """Half of full speed for so many minutes; *show* gets each row as soon as it is there."""
    env = {"SMS_POLL_REQUESTS_PER_SECOND": str(options.polls), "SMS_GATEWAY_CONNECTIONS": str(CONNECTIONS_TO_IT)}
    per_second = options.rate or full_speed(it, folder, options.database, env) / 2
    it.gateway.reset()
    soaked = Soaked(options.database, per_second, max_wal_size=options.max_wal_size)
    url = DATABASES[options.database](it, "soak")
    if options.max_wal_size:
        give_room(url, options.max_wal_size)
    with ours(it, folder / "soak", url, **env) as system, producing(it, soaked) as feeder:
        gauges = Gauges(it, system, feeder, url)
        for _ in moments(options.minutes):
            soaked.rows.append(gauges.read())
            show(soaked.rows[-1])
    seen = it.gateway.stats()
    soaked.posted, soaked.repeated = seen.messages, seen.repeated
    return soaked


def give_room(url: str, max_wal_size: str) -> None:
    """Let PostgreSQL write so much of its log between two checkpoints."""
    with closing(connect(url)) as connection:
        connection.execute(sql.SQL("ALTER SYSTEM SET max_wal_size = {}").format(sql.Literal(max_wal_size)))
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def producing(it: Stage, soaked: Soaked) -> Iterator[Feeder]:
    """Producers at the rate; afterwards what they ordered is waited for."""
    paced = feeding(it, waiting=MOST_WAITING, per_second=soaked.per_second, otps_per_second=OTPS_PER_SECOND)
    with paced as feeder:
        it.gateway.wait_for(1, seconds=60)
        yield feeder
    soaked.ordered = feeder.ordered
    it.gateway.wait_for(soaked.ordered, seconds=LAST_SECONDS)


def moments(minutes: float) -> Iterator[None]:
    """Every minute, or more often in a short run."""
    every = min(60.0, minutes * 60 / FEWEST_FIGURES)
    began, number = time.monotonic(), 1
    while number * every <= minutes * 60:
        time.sleep(max(0.0, began + number * every - time.monotonic()))
        yield
        number += 1


def said(figures: Figures) -> str:
    """One row on one line, while it goes on."""
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())


def head(soaked: Soaked) -> str:
    minutes = soaked.rows[-1]["minute"]
    database = soaked.database + (f", max_wal_size {soaked.max_wal_size}" if soaked.max_wal_size else "")
    return f"{database}, {soaked.per_second:,.0f} messages/s for {minutes:.1f} minutes, {soaked.posted:,} posted"


def table(soaked: Soaked) -> Table:
    """A row for each figure."""
    shown = Table("figure", "first", "middle", "last", "mean of the second half", "over the second half")
    shown.title = head(soaked)
    for name in soaked.names:
        values = [row[name] for row in soaked.rows]
        half = len(values) // 2
        cells = (values[0], values[half], values[-1], float(np.mean(values[half:])))
        shown.add_row(name.replace("_", " "), *(f"{value:,.1f}" for value in cells), soaked.verdict(name))
    return shown


def plot(soaked: Soaked, file: Path) -> None:
    """A small picture of each figure."""
    names = [name for name in soaked.names if name != "minute"]
    figure, axes = plt.subplots(-(-len(names) // 4), 4, figsize=(14, 9), sharex=True, layout="constrained")
    minutes = [row["minute"] for row in soaked.rows]
    for axis, name in zip(axes.flat, names, strict=False):
        values = [row[name] for row in soaked.rows]
        axis.plot(minutes, values)
        axis.set_title(f"{name.replace('_', ' ')}\n{soaked.verdict(name)}", fontsize=9)
        axis.set_ylim(0, 1.15 * max(values) or 1)
        axis.grid(visible=True, alpha=0.3)
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    figure.suptitle(f"{soaked.database}, {soaked.per_second:,.0f} messages/s, by minutes")
    figure.savefig(file, dpi=110)


def main() -> None:
    """Run, print a table, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--short", action="store_true", help="three minutes")
    parser.add_argument("--rate", type=float, help="messages per second; without it half of what full speed is")
    parser.add_argument("--polls", type=float, default=200, help="the most status questions in a second")
    parser.add_argument("--max-wal-size", default="", metavar="16GB", help="of PostgreSQL, beyond its default")
    parser.add_argument("--database", choices=list(DATABASES), default="postgresql")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    options = parser.parse_args()
    options.minutes = 3 if options.short else options.minutes
    console = Console(width=None if sys.stdout.isatty() else 140)
    with tempfile.TemporaryDirectory() as name, stage(Path(name), latency_seconds=GATEWAY_SECONDS) as it:
        soaked = soak(it, Path(name), options, lambda figures: console.print(said(figures), soft_wrap=True))
    console.print(described(machine()), table(soaked))
    show_verdicts(console, soaked.verdicts())
    if options.png:
        plot(soaked, options.png)
    if options.json:
        found = {"machine": machine(), "aims": verdicts_as_json(soaked.verdicts())} | asdict(soaked)
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
