"""What a claim costs while somebody's transaction has stood open for long: a report, a backup, a forgotten psql.

PostgreSQL may then remove nothing that the transaction can still see, so what was claimed stays in the index of the
queue, at its very head. Claims thousands of batches off a long queue, without such a transaction and with one in turn,
and prints the CPU of a claim by how much was claimed before.

    .venv/bin/python bench/old_snapshot.py [--queued 400000] [--claims 2000] [--rounds 2] [--json FILE] [--short]
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console
from rich.table import Table
from sqlalchemy.orm import Session, sessionmaker

from bench import growth_rows
from bench.database_costs import cluster, connect, database
from bench.growth_questions import Stopwatch, claimant
from bench.usage import described, machine
from migrations.schema import upgrade
from models.lifecycle import Lane
from worker.clock import utc_now
from worker.rota import Rota
from worker.store.claims import Claimed, best_due, claim
from worker.store.engine import make_engine, make_sessions, reading

STEPS = 8  # figures of one run
SHORT = {"queued": 20_000, "claims": 160, "rounds": 1}


@contextmanager
def snapshot(url: str, *, wanted: bool) -> Iterator[None]:
    """A transaction that has looked once, and stays open."""
    with closing(connect(url)) as connection:
        if wanted:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            connection.execute("SELECT count(*) FROM messages")
        yield


def claims_of(sessions: sessionmaker[Session], times: int) -> list[tuple[float, float]]:
    """CPU milliseconds of a claim, and of looking whether there is something to claim, again and again.

    This process' own and its backend's, without the commit.
    """
    rota, spent = Rota(), []
    for _ in range(times):
        with reading(sessions) as session:
            watch = Stopwatch(session)
            best_due(session, now=utc_now(), lanes=[Lane.NORMAL])
            looked = watch.took().cpu_seconds * 1e3
        with sessions.begin() as session:
            watch = Stopwatch(session)
            claimed = claim(session, claimant(), limit=50, lanes=[Lane.NORMAL], rota=rota)
            spent.append((watch.took().cpu_seconds * 1e3, looked))
        if not isinstance(claimed, Claimed):
            raise TypeError("the queue is too short")
    return spent


def run(url: str, options: argparse.Namespace, *, wanted: bool) -> list[list[float]]:
    """Medians of equal parts of the claims, the first first."""
    with closing(connect(url)) as connection:
        connection.execute("CREATE DATABASE waiting")
    here = database(url, "waiting")
    upgrade(here)
    with closing(connect(here)) as connection:
        connection.execute("INSERT INTO accounts (login, state, probes) VALUES ('we', 'active', 0)")
        growth_rows.queue(connection, queued=options.queued, now=utc_now())
    engine = make_engine(here)
    with snapshot(here, wanted=wanted):
        spent = claims_of(make_sessions(engine), options.claims)
    engine.dispose()
    with closing(connect(url)) as connection:
        connection.execute("DROP DATABASE waiting WITH (FORCE)")
    part = options.claims // STEPS
    steps = [zip(*spent[part * step : part * (step + 1)], strict=True) for step in range(STEPS)]
    return [[median(what) for what in step] for step in steps]


def table(medians: Mapping[str, Sequence[float]], part: int) -> Table:
    """By how many messages were claimed before."""
    shown = Table("CPU ms", *(f"after {part * step:,}" for step in range(STEPS)))
    for name, steps in medians.items():
        shown.add_row(name, *(f"{step:.2f}" for step in steps))
    return shown


def main() -> None:
    """Run, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queued", type=int, default=400_000)
    parser.add_argument("--claims", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    if options.short:
        vars(options).update(SHORT)
    rounds: dict[str, list[list[list[float]]]] = {"without": [], "with": []}
    with cluster(growth_rows.FLAGS) as url:
        for _ in range(options.rounds):
            for name, found in rounds.items():
                found.append(run(url, options, wanted=name == "with"))
    medians = {
        f"{what}, {name} an open transaction": [
            median(each[place] for each in step) for step in zip(*found, strict=True)
        ]
        for place, what in enumerate(("claim 50", "is anything due?"))
        for name, found in rounds.items()
    }
    part = options.claims // STEPS * 50
    Console(width=180).print(described(machine()), table(medians, part))
    if options.json:
        written: dict[str, Any] = {"machine": machine(), "messages_a_step": part, "cpu_ms": medians}
        options.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
