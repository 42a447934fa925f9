"""How much of everything so many messages a day need: on paper, from the costs that were measured."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rich.table import Table

from bench.contenders.runs import Run
from bench.polling import POSTGRESQL
from bench.polling import Run as Asked
from bench.verdicts import short

DAY_SECONDS, HOUR_SECONDS = 86_400, 3_600
PEAK = 5  #: the busiest hour, in hours of the average
BUSY = 0.5  #: of a core, at the peak
QUESTIONS = 3  #: until a message is final
GATEWAY_SECONDS = 0.5  #: for an answer
BATCH = 50
SPARE = 1.3  #: of the tables: what updates leave free
KEPT_DAYS = 30
DAYS = (1_000_000, 10_000_000, 100_000_000)
ROOM_WIDTH = 32  #: questions in flight
GIB = 2**30
ASSUMED = {
    "day": f"{QUESTIONS} questions for each message, and nothing else on the machine",
    "peak": f"the busiest hour has {PEAK} times the average",
    "busy": f"no core is busier than {BUSY:.0%} at the peak, and a worker process has one core",
    "questions": f"{QUESTIONS} questions for each message",
    "gateway": f"an answer of the gateway takes {GATEWAY_SECONDS} s, and a batch is {BATCH} messages",
    "redis": "all orders of one busiest hour wait, because no worker runs",
    "disk": f"messages are kept for {KEPT_DAYS} days, and tables are {SPARE} times as large as they could be",
}


class Costs(NamedTuple):
    """What was measured: CPU seconds and bytes, for one message."""

    worker: float
    postgres: float
    redis: float
    question: float  #: the worker's, for a question whose answer is stored
    question_postgres: float
    waiting_bytes: float  #: on Redis
    aof_bytes: float
    kept_bytes: float  #: in PostgreSQL
    wal_bytes: tuple[float, float, float]  #: long after a checkpoint, right after one, and at the end of the soak

    @property
    def whole(self) -> float:
        """CPU seconds of a message from its order to its end, of everything."""
        return self.worker + self.postgres + self.redis + QUESTIONS * (self.question + self.question_postgres)


def costs(throughput: Any, polling: Any, database: Any, soak: Any) -> Costs:
    """Of what the benches have written: of ours, of the polling room, and of the schema as it is."""
    runs = ours([Run(**run) for run in throughput["runs"]])
    asked = [Asked(**run) for run in polling["runs"]]
    rooms = [run for run in asked if (run.asker, run.width) == (f"room {POSTGRESQL}", ROOM_WIDTH)]
    rooms = rooms or [run for run in asked if run.asker == f"room {POSTGRESQL}"]  # of a short run
    as_it_is, after_checkpoint = (database["variants"][name] for name in ("as it is", "a checkpoint before each"))

    def of(what: Callable[[Run], Mapping[str, float]], *names: str) -> float:
        return statistics.median(
            sum(cost for name, cost in what(run).items() if name.startswith(names)) for run in runs
        )

    waiting, aof = of(_bytes, "waiting"), of(_bytes, "aof")
    return Costs(
        worker=of(_cpu, "worker", "beat") / 1_000,
        postgres=of(_cpu, "postgres") / 1_000,
        redis=of(_cpu, "redis") / 1_000,
        question=statistics.median(run.cpu_ms for run in rooms) / 1e6,
        question_postgres=statistics.median(run.database_cpu_ms for run in rooms) / 1e6,
        waiting_bytes=waiting,
        aof_bytes=waiting + aof,
        kept_bytes=SPARE * as_it_is["kept_bytes"],
        wal_bytes=(
            as_it_is["wal_bytes all"],
            after_checkpoint["wal_bytes all"],
            soak["rows"][-1]["wal_bytes_per_message"],
        ),
    )


def ours(runs: Sequence[Run]) -> list[Run]:
    """Over https where that was measured, and by the slowest gateway that was."""
    found = [run for run in runs if run.contender == "ours"]
    best = max((run.tls, run.latency_seconds) for run in found)
    return [run for run in found if (run.tls, run.latency_seconds) == best]


def _cpu(run: Run) -> Mapping[str, float]:
    return run.cpu_seconds


def _bytes(run: Run) -> Mapping[str, float]:
    return run.bytes


def rows(one: Costs, a_day: int) -> dict[str, str]:
    """What so many messages a day need."""
    peak = PEAK * a_day / DAY_SECONDS
    worker = peak * (one.worker + QUESTIONS * one.question) / BUSY
    postgres = peak * (one.postgres + QUESTIONS * one.question_postgres) / BUSY
    wal = " to ".join(_gib(a_day * each) for each in (min(one.wal_bytes), max(one.wal_bytes)))
    return {
        "messages a second at the peak": short(peak),
        "worker processes": f"{max(2, math.ceil(worker))} ({short(worker)} cores)",
        "PostgreSQL, cores": short(postgres),
        "Redis, cores": short(peak * one.redis / BUSY),
        "connections to the gateway, posts": f"{max(2, math.ceil(peak / BATCH * GATEWAY_SECONDS))}",
        "connections to the gateway, questions": f"{max(1, math.ceil(peak * QUESTIONS * GATEWAY_SECONDS)):,}",
        "Redis, memory for what waits": _gib(peak * HOUR_SECONDS * one.waiting_bytes),
        "Redis, append-only file, written a day": _gib(a_day * one.aof_bytes),
        f"PostgreSQL, disk for {KEPT_DAYS} days": _gib(KEPT_DAYS * a_day * one.kept_bytes),
        "PostgreSQL, WAL a day": wal,
    }


def _gib(amount: float) -> str:
    return f"{short(amount / GIB)} GiB"


def table(one: Costs) -> Table:
    """A column for each size."""
    found = [rows(one, a_day) for a_day in DAYS]
    shown = Table("messages a day", *(f"{a_day:,}" for a_day in DAYS))
    for name in found[0]:
        shown.add_row(name, *(each[name] for each in found))
    return shown


def formula(one: Costs) -> Table:
    """What goes into it."""
    shown = Table("measured, of one message", "")
    cpu = {
        "worker and beat, to its acceptance": one.worker,
        "PostgreSQL, to its acceptance": one.postgres,
        "Redis": one.redis,
        "worker, each question": one.question,
        "PostgreSQL, each question": one.question_postgres,
    }
    for name, seconds in cpu.items():
        shown.add_row(f"CPU: {name}", f"{short(1e6 * seconds)} µs")
    kept = {"waiting on Redis": one.waiting_bytes, "appended to Redis' file": one.aof_bytes}
    kept |= {"kept in PostgreSQL, with its report": one.kept_bytes, "WAL, at least": one.wal_bytes[0]}
    kept |= {"WAL, right after a checkpoint": one.wal_bytes[1], "WAL, at the end of the soak": one.wal_bytes[2]}
    for name, amount in kept.items():
        shown.add_row(name, f"{short(amount)} bytes")
    return shown
