"""How long a single OTP takes from its order until the gateway sees it, beside a bare post to the same gateway.

A plain Celery producer orders one OTP at a time, a real worker and beat stand between it and the fast gateway, which
notes when it has read a request. In turn with each order a kept `requests.Session` posts one message itself: that is
the gateway's own time. First on an idle system; then after pauses of 3 s, when kept connections are cold; then with
bulk messages queued, topped up as they are posted, and a gateway that takes 0.1 s for each answer. PostgreSQL (fsync
on) and SQLite in turn, each round on a fresh database with fresh processes; reports are asked for by the usual ladder.

    .venv/bin/python bench/latency.py [--short] [--tls] [--database sqlite] [--json FILE] [--png FILE]
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import requests
from celery import Celery
from redis import Redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "examples")]

from servers import wait_for  # noqa: E402

from bench.feeding import feeding  # noqa: E402
from bench.stage import FastGateway, Stage, ours, stage  # noqa: E402
from bench.usage import described, fsync_seconds, machine  # noqa: E402
from bench.verdicts import Verdict  # noqa: E402
from bench.verdicts import as_json as verdicts_as_json  # noqa: E402
from bench.verdicts import show as show_verdicts  # noqa: E402
from models import Message  # noqa: E402
from worker.store.engine import make_engine, make_sessions, reading  # noqa: E402

IDLE, COLD, BULK = "idle", "after 3 s", "under bulk"
PAUSES_SECONDS = {IDLE: (0.08, 0.2), COLD: (2.9, 3.1), BULK: (0.08, 0.2)}
BETWEEN_SECONDS = (0.03, 0.06)  #: an order and the bare post beside it
SLOW_GATEWAY_SECONDS = 0.1
PERCENTILES = (50, 95, 99)
AIMS_SECONDS = {50: 0.005, 99: 0.020}  #: over the gateway's own time
TOPPED_UP = 5  #: Celery messages of the campaign that may be under way
TEXT = "Kodingiz: 482193. Uni hech kimga aytmang."
OTP, BARE, WARM = "99893", "99894", "99895"  # what their phones begin with
DATABASES: Mapping[str, Callable[[Stage, str], str]] = {"postgresql": Stage.postgres_url, "sqlite": Stage.sqlite_url}


@dataclass
class Phase:
    """Seconds until the gateway saw each, of all rounds together, and the p50 of each round."""

    database: str
    name: str
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    p50_of_rounds: list[float] = field(default_factory=list)
    steps: dict[str, list[float]] = field(default_factory=dict)  #: seconds of each of `PARTS`
    lost: int = 0
    doubled: int = 0

    def add(self, ours: Sequence[float], bare: Sequence[float]) -> None:
        """One round more."""
        self.ours += ours
        self.bare += bare
        self.p50_of_rounds.append(statistics.median(ours))

    def over(self, percent: int) -> float:
        """How much longer ours takes than a bare post."""
        return percentile(self.ours, percent) - percentile(self.bare, percent)

    def as_json(self) -> dict[str, Any]:
        """Percentiles, for thousands of single figures tell nobody more."""
        said = {"database": self.database, "phase": self.name, "otps": len(self.ours)}
        said |= {"lost": self.lost, "doubled": self.doubled, "p50_of_rounds": self.p50_of_rounds}
        return said | {
            "ours": percentiles(self.ours) | {"most": max(self.ours)},
            "bare": percentiles(self.bare),
            "steps": {name: percentiles(step) for name, step in self.steps.items()},
        }


class Way(NamedTuple):
    """Moments of one OTP, Unix seconds."""

    ordered: float
    published: float  #: the producer's call returned
    stored: float
    posting: float  #: claimed
    seen: float


#: The parts of the way; the first runs beside the second.
PARTS: Mapping[str, Callable[[Way], float]] = {
    "the producer's call": lambda way: way.published - way.ordered,
    "until it is stored": lambda way: way.stored - way.ordered,
    "until it is claimed": lambda way: way.posting - way.stored,
    "until the gateway sees it": lambda way: way.seen - way.posting,
}


class Clients:
    """Whoever orders, and whoever posts without us."""

    def __init__(self, it: Stage, database_url: str, dice: random.Random) -> None:
        self._gateway = it.gateway
        self._app = Celery(broker=it.redis_url)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = it.gateway.trust["REQUESTS_CA_BUNDLE"]
        self._sessions = make_sessions(make_engine(database_url))
        self._dice = dice
        self._count = 0

    def measure(self, phase: Phase, count: int, *, seconds: float = 60) -> None:
        """Order *count* OTPs, each beside a bare post; wait at most *seconds* for the last."""
        ordered: dict[str, tuple[float, float]] = {}
        posted: dict[str, float] = {}
        for _ in range(count):
            time.sleep(self._dice.uniform(*PAUSES_SECONDS[phase.name]))
            phone, at = self._phone(OTP), time.time()
            self.order(phone)
            ordered[phone] = (at, time.time())
            time.sleep(self._dice.uniform(*BETWEEN_SECONDS))
            phone = self._phone(BARE)
            posted[phone] = time.time()
            self.post(phone)
        seen, times = waited_for(self._gateway, ordered, seconds), self._gateway.phones()
        ways = self._ways(ordered, seen)
        phase.add([way.seen - way.ordered for way in ways], [seen[phone] - at for phone, at in posted.items()])
        for part, seconds_of in PARTS.items():
            phase.steps.setdefault(part, []).extend(map(seconds_of, ways))
        phase.lost += count - len(ways)
        phase.doubled += sum(times[phone] > 1 for phone in ordered)

    def _ways(self, ordered: Mapping[str, tuple[float, float]], seen: Mapping[str, float]) -> list[Way]:
        query = select(Message.phone, Message.created_at, Message.posted_at)
        with reading(self._sessions) as session:
            rows = session.execute(query.where(Message.phone.in_(seen.keys() & ordered.keys()))).all()
        return [
            Way(*ordered[phone], created_at.timestamp(), posted_at.timestamp(), seen[phone])
            for phone, created_at, posted_at in rows
            if posted_at
        ]

    def order(self, phone: str) -> None:
        self._app.send_task("sms.send", args=[phone, TEXT], queue="sms.otp", ignore_result=True)

    def post(self, phone: str) -> None:
        form = {"login": self._gateway.login, "password": self._gateway.password}
        form["data"] = json.dumps([{"phone": phone, "text": TEXT}])
        self._session.post(f"{self._gateway.url}/", data=form, timeout=60).raise_for_status()

    def warm(self) -> None:
        """Connections are opened, statements are built."""
        phones = [self._phone(WARM) for _ in range(20)]
        for phone in phones:
            self.order(phone)
            time.sleep(0.05)
        self.post(self._phone(WARM))
        waited_for(self._gateway, phones, 60)
        self._gateway.reset()

    def _phone(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count:07d}"


def waited_for(gateway: FastGateway, phones: Iterable[str], seconds: float) -> dict[str, float]:
    """When the gateway saw each phone; returns without the missing when *seconds* are over."""
    deadline = time.monotonic() + seconds
    while not set(phones) <= (seen := gateway.first_seen()).keys() and time.monotonic() < deadline:
        time.sleep(0.2)
    return seen


@contextmanager
def campaign(it: Stage, waiting: int, *, head_start_seconds: float) -> Iterator[None]:
    """Bulk is being posted within, with so many queued; at first it may all be taken off Redis, for so long at most."""
    with feeding(it, waiting=waiting) as feeder, Redis.from_url(it.redis_url) as redis:
        wait_for(lambda: feeder.ordered >= waiting, seconds=300)
        with suppress(AssertionError):
            wait_for(lambda: redis.llen("sms.bulk") <= TOPPED_UP, seconds=head_start_seconds)
        yield


def one_round(it: Stage, folder: Path, phases: Mapping[str, Phase], options: argparse.Namespace) -> None:
    """All three, on a fresh database with fresh processes."""
    database = next(iter(phases.values())).database
    it.redis_reset()
    it.gateway.set_latency(0)
    url = DATABASES[database](it, folder.name)
    with ours(it, folder, url):
        clients = Clients(it, url, random.Random(options.seed))  # noqa: S311
        clients.warm()
        for name, count in ((IDLE, options.otps), (COLD, options.cold)):
            if name in phases:
                clients.measure(phases[name], count // options.rounds)
        if BULK in phases:
            it.gateway.set_latency(SLOW_GATEWAY_SECONDS)
            with campaign(it, options.bulk, head_start_seconds=options.head_start):
                clients.measure(phases[BULK], options.otps // options.rounds)
            it.redis_reset()  # so that it can stop at once


def percentile(seconds: Sequence[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    return {f"p{cut}": percentile(seconds, cut) for cut in PERCENTILES}


def aims(phases: Mapping[str, Phase]) -> list[Verdict]:
    """Each aim for one database, with what became of it."""
    (database,) = {phase.database for phase in phases.values()}

    def within(aim: str, wanted: float, found: float) -> Verdict:
        return Verdict(aim, 1000 * wanted, 1000 * found, "ms", at_most=True, under=database)

    found = [
        within(f"{name}: p{percent} over the gateway's own time", aim, phases[name].over(percent))
        for name in (IDLE, COLD)
        if name in phases
        for percent, aim in AIMS_SECONDS.items()
    ]
    if phases.keys() >= {IDLE, BULK}:
        more = percentile(phases[BULK].ours, 99) - percentile(phases[IDLE].ours, 99)
        found.append(within("under bulk: p99 over the idle system's, one round trip", SLOW_GATEWAY_SECONDS, more))
    wrong = sum(phase.lost + phase.doubled for phase in phases.values())
    return [*found, Verdict("OTPs lost or doubled", 0, wrong, at_most=True, under=database)]


def tables(phases: Sequence[Mapping[str, Any]]) -> tuple[Table, Table]:
    """What the gateway saw after which time, and the parts of the way, of phases as they stand in the JSON."""
    heads = (f"{who} p{cut}" for cut in PERCENTILES for who in ("ours", "bare", "over"))
    whole = Table("database", "", "OTPs", *heads, "max", "p50 of rounds", title="From order to gateway, ms")
    parts = Table("database", "", *(f"{part}: p50, p95" for part in PARTS), title="The way of ours, part by part, ms")
    for one in phases:
        ours, bare = one["ours"], one["bare"]
        of_cuts = [(ours[cut], bare[cut], ours[cut] - bare[cut]) for cut in map("p{}".format, PERCENTILES)]
        cells = [milliseconds(seconds) for three in of_cuts for seconds in three]
        rounds = milliseconds(min(one["p50_of_rounds"]), max(one["p50_of_rounds"]))
        whole.add_row(one["database"], one["phase"], str(one["otps"]), *cells, milliseconds(ours["most"]), rounds)
        steps = (milliseconds(step["p50"], step["p95"]) for step in one["steps"].values())
        parts.add_row(one["database"], one["phase"], *steps)
    return whole, parts


def milliseconds(*seconds: float) -> str:
    return ", ".join(f"{1000 * each:.1f}" for each in seconds)


def plot(found: Mapping[str, Mapping[str, Phase]], file: Path) -> None:
    """What share was seen within so many milliseconds."""
    names = list(next(iter(found.values())))
    figure, grid = plt.subplots(
        1, len(names), figsize=(13, 4), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    axes = grid[0]
    for axis, name in zip(axes, names, strict=True):
        for colour, (database, phases) in zip(("tab:blue", "tab:orange"), found.items(), strict=False):
            for style, who in (("-", "ours"), (":", "bare")):
                seen_after = [1000 * seconds for seconds in getattr(phases[name], who)]
                axis.ecdf(seen_after, label=f"{who}, {database}", linestyle=style, color=colour)
        axis.set(title=name, xscale="log", xlabel="ms from order to gateway")
        axis.grid(visible=True, which="both", alpha=0.3)
    axes[0].set_ylabel("share of OTPs")
    axes[0].legend()
    figure.savefig(file, dpi=110)


def main() -> None:
    """Run, print tables, and write what was asked for."""
    options = parsed()
    names = [options.database] if options.database else list(DATABASES)
    found = {database: {name: Phase(database, name) for name in options.only} for database in names}
    with tempfile.TemporaryDirectory() as name, stage(Path(name), tls=options.tls) as it:
        fsync = fsync_seconds(Path(name))
        for number in range(options.rounds):
            for database in names:
                one_round(it, Path(name, f"{database}{number}"), found[database], options)
    console = Console(width=None if sys.stdout.isatty() else 170)
    console.print(f"{described(machine())}; 4 KiB with fsync: {milliseconds(fsync)} ms; {options.bulk:,} bulk")
    phases = [phase.as_json() for of_database in found.values() for phase in of_database.values()]
    judged = [verdict for of_database in found.values() for verdict in aims(of_database)]
    console.print(*tables(phases))
    show_verdicts(console, judged)
    if options.png:
        plot(found, options.png)
    if options.json:
        about = {"machine": machine(), "tls": options.tls, "fsync_seconds": fsync, "bulk": options.bulk}
        written = about | {"aims": verdicts_as_json(judged), "phases": phases}
        options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def parsed() -> argparse.Namespace:
    """The command line; --short changes what is not given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="one round, an eighth of the OTPs")
    parser.add_argument("--otps", type=int, help="on the idle system, and under bulk")
    parser.add_argument("--cold", type=int, help="OTPs after 3 s of silence")
    parser.add_argument("--bulk", type=int, default=100_000)
    parser.add_argument("--head-start", type=float, help="seconds that the campaign goes on for before OTPs come")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tls", action="store_true", help="over https, as the vendor is reached")
    parser.add_argument(
        "--only", choices=list(PAUSES_SECONDS), action="append", help="one of the three; may be repeated"
    )
    parser.add_argument("--database", choices=list(DATABASES))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    options = parser.parse_args()
    usual: dict[str, Any] = {"otps": 300, "cold": 36, "rounds": 3, "head_start": 120}
    if options.short:
        usual = {"otps": 40, "cold": 4, "rounds": 1, "head_start": 5}
    for name, value in (usual | {"only": list(PAUSES_SECONDS)}).items():
        setattr(options, name, getattr(options, name) or value)
    return options


if __name__ == "__main__":
    main()
