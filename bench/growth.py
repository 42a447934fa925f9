"""Whether what a worker and a person ask costs the same however old the house is, and however much waits in it.

Fills databases with 0, 1, 5 and 10 million old messages (SQLite to 5 million), the first also with 100 to 1,000,000
queued, and times the real functions of `worker.store`, their statements without the commit: CPU of this process and of
its backend, and the clock on the wall. A day of updates by a worker's statements goes before, and autovacuum after it.
Each figure is held against the emptiest database's.

    .venv/bin/python bench/growth.py [--rows 0 1000000 5000000 10000000] [--queued 100 10000 100000 1000000]
                                     [--times 30] [--day 200000] [--json FILE] [--png FILE] [--short]
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import matplotlib as mpl
from rich.console import Console
from rich.table import Table

from bench import growth_rows
from bench.database_costs import cluster, connect, database
from bench.growth_questions import House, Took
from bench.usage import described, machine
from bench.verdicts import Verdict
from bench.verdicts import as_json as verdicts_as_json
from bench.verdicts import show as show_verdicts
from worker.clock import utc_now
from worker.store.engine import make_engine, make_sessions

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

AIM = 1.5
SQLITE_ROWS = 5_000_000
SHORT: dict[str, Any] = {"rows": [0, 200_000], "queued": [100, 20_000], "times": 7, "day": 10_000}
AXES = {"PostgreSQL": "old messages, PostgreSQL", "SQLite": "old messages, SQLite", "queued": "queued, PostgreSQL"}
OF_A_PART = "start page: "

Figures = dict[str, dict[str, float]]  # of a question
Found = dict[str, dict[int, Figures]]  # by axis and size


def measure(url: str, times: int) -> Figures:
    """Each question in turn with the others, so many times; medians."""
    engine = make_engine(url, statement_timeout_seconds=600)
    questions = House(make_sessions(engine)).questions()
    found: dict[str, list[Took]] = {name: [] for name in questions}
    for ask in questions.values():
        ask()
    for _ in range(times):
        for name, ask in questions.items():
            found[name].append(ask())
    engine.dispose()
    return {name: figures_of(each) for name, each in found.items()}


def figures_of(each: Sequence[Took]) -> dict[str, float]:
    cpu, wall = [one.cpu_seconds * 1e3 for one in each], [one.seconds * 1e3 for one in each]
    return {"cpu_ms": median(cpu), "ms": median(wall), "least_ms": min(wall), "most_ms": max(wall)}


def run(url: str, options: argparse.Namespace) -> tuple[Found, dict[int, Any]]:
    """By axis and size; and how bloated PostgreSQL's table is at each number of old messages."""
    found: Found = {axis: {} for axis in AXES}
    bloat = {}
    least, *more = options.queued
    for rows in options.rows:
        here = build(url, rows, options.day)
        with closing(connect(here)) as connection:
            bloat[rows] = growth_rows.bloat(connection)
            growth_rows.queue(connection, queued=least, now=utc_now())
        if rows <= SQLITE_ROWS:
            found["SQLite"][rows] = in_sqlite(here, options.times)
        found["PostgreSQL"][rows] = measure(here, options.times)
        if rows == options.rows[0]:
            found["queued"] = {least: found["PostgreSQL"][rows]} | of_each_queue(here, more, options.times)
        with closing(connect(url)) as connection:
            connection.execute("DROP DATABASE house WITH (FORCE)")
    return found, bloat


def build(url: str, rows: int, day: int) -> str:
    """A database of so many old messages."""
    with closing(connect(url)) as connection:
        connection.execute("CREATE DATABASE house")
    sys.stderr.write(f"{rows:,} old messages\n")
    here = database(url, "house")
    growth_rows.build(here, old=rows, day=day, now=utc_now())
    return here


def of_each_queue(here: str, sizes: list[int], times: int) -> dict[int, Figures]:
    found = {}
    for queued in sizes:
        sys.stderr.write(f"{queued:,} queued\n")
        with closing(connect(here)) as connection:
            growth_rows.queue(connection, queued=queued, now=utc_now())
        found[queued] = measure(here, times)
    return found


def in_sqlite(here: str, times: int) -> Figures:
    """The same rows in a file, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="sms-growth-") as folder:
        file = Path(folder) / "sms.db"
        growth_rows.copy_to_sqlite(here, file)
        return measure(f"sqlite:///{file}", times)


def ratio(sizes: Mapping[int, Figures], size: int, question: str) -> float:
    """To the first of *sizes*."""
    return sizes[size][question]["cpu_ms"] / next(iter(sizes.values()))[question]["cpu_ms"]


def verdicts(found: Found) -> list[Verdict]:
    """Of each axis the question that grows most; the parts of the start page count within it."""
    worst = []
    for axis, sizes in found.items():
        grown = list(sizes)[1:]
        asked = [question for question in next(iter(sizes.values())) if not question.startswith(OF_A_PART)]
        most, question, size = max(
            (ratio(sizes, size, question), question, size) for question in asked for size in grown
        )
        worst.append(
            Verdict(f"growth, at worst: {question}", AIM, most, "x", at_most=True, under=f"{size:,} {AXES[axis]}")
        )
    return worst


def bloat_table(bloat: Mapping[int, dict[str, Any]]) -> Table:
    """What pgstattuple says of messages and its indexes after the day of updates."""
    heads = ("old messages", "table MiB", "dead", "free", "HOT updates", "bytes a message, with all that belongs to it")
    table = Table(*heads, "the emptiest leaves", title="PostgreSQL, by pgstattuple, after a day of updates")
    for rows, said in bloat.items():
        length, _, dead, free = said["table"]
        updates, hot = said["updates_and_hot"]
        density, name = min((figures[1], name) for name, figures in said["indexes"].items())
        sizes = (f"{length / 2**20:,.0f}", f"{dead:.1f}%", f"{free:.1f}%", f"{hot / max(1, updates):.0%}")
        table.add_row(f"{rows:,}", *sizes, f"{said['bytes_per_message']:,.0f}", f"{density:.0f}%, {name}")
    return table


def table(axis: str, sizes: Mapping[int, Figures]) -> Table:
    """A row for each question."""
    heads = (f"{size:,}" for size in sizes)
    shown = Table(AXES[axis], *heads, title="median CPU ms, and against the first; ms by the clock")
    for question in next(iter(sizes.values())):
        cells = []
        for size, figures in sizes.items():
            times, one = ratio(sizes, size, question), figures[question]
            against = f"[red]x{times:.2f}[/red]" if times > AIM else f"x{times:.2f}"
            cells.append(f"{one['cpu_ms']:.2f} {against} {one['ms']:.1f}")
        shown.add_row(question, *cells)
    return shown


def plot(found: Found, file: Path, head: str) -> None:
    """A panel for each axis."""
    figure, panels = plt.subplots(1, len(found), figsize=(6 * len(found), 5.5), sharey=True)
    for panel, (axis, sizes) in zip(panels, found.items(), strict=True):
        _lines(panel, axis, sizes)
    panels[0].set_ylabel("CPU ms, statements without the commit")
    panels[-1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1))
    figure.suptitle(head, fontsize=9)
    figure.tight_layout()
    figure.savefig(file, dpi=110, bbox_inches="tight")


def _lines(panel: Axes, axis: str, sizes: Mapping[int, Figures]) -> None:
    for question in next(iter(sizes.values())):
        if not question.startswith(OF_A_PART):
            shown = [figures[question]["cpu_ms"] for figures in sizes.values()]
            panel.plot([f"{size:,}" for size in sizes], shown, marker="o", label=question)
    panel.set_yscale("log")
    panel.set_xlabel(AXES[axis])
    panel.grid(visible=True, alpha=0.3)


def main() -> None:
    """Fill, measure, print a table, write JSON and a plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[0, 1_000_000, 5_000_000, 10_000_000])
    parser.add_argument("--queued", type=int, nargs="+", default=[100, 10_000, 100_000, 1_000_000])
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--day", type=int, default=200_000, help="messages of the day of updates")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    parser.add_argument("--short", action="store_true", help="0 and 200,000 old messages")
    options = parser.parse_args()
    if options.short:
        vars(options).update(SHORT)
    with cluster(growth_rows.FLAGS) as url:
        found, bloat = run(url, options)
    console = Console(width=180)
    console.print(described(machine()))
    console.print(*(table(axis, sizes) for axis, sizes in found.items()), bloat_table(bloat))
    show_verdicts(console, judged := verdicts(found))
    written = {"machine": machine(), "aims": verdicts_as_json(judged), "milliseconds": found, "bloat": bloat}
    if options.json:
        options.json.write_text(json.dumps(written, indent=2, default=float) + "\n", encoding="utf-8")
    if options.png:
        plot(found, options.png, f"{machine()['cpu']}, {machine()['cores']} cores")


if __name__ == "__main__":
    main()
