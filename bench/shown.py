"""What `bench/throughput.py` found: tables, ratios beside the aims, JSON and a plot."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from rich.console import Console
from rich.table import Table

from bench.contenders.lineup import EVERYBODY
from bench.contenders.runs import Run
from bench.verdicts import Verdict, short
from bench.verdicts import as_json as verdicts_as_json

COLOURS = {"ours": "#1f6f54", "N4": "#9a9a9a"}
OTHERS = "#c8553d"
FAINT = "#666666"

Key = Callable[[Run], float]


class Spread(NamedTuple):
    """A figure over the rounds."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        if self.least == self.most:
            return short(self.median)
        return f"{short(self.median)} ({short(self.least)}-{short(self.most)})"


class Way(NamedTuple):
    """To the gateway: what is compared goes the same."""

    tls: bool
    latency_seconds: float

    def __str__(self) -> str:
        return f"http{'s' * self.tls}, {1_000 * self.latency_seconds:.0f} ms"


class Aim(NamedTuple):
    """A ratio that is to be reached; of rivals by several programs the best one counts."""

    what: str
    of: str
    to: str
    least: float
    key: Key
    less_is_better: bool = False


AIMS = (
    Aim("messages/s: ours to N3", "ours", "N3", 20, lambda run: run.per_second),
    Aim("messages/s: ours to N1", "ours", "N1", 200, lambda run: run.per_second),
    Aim("messages/s: send_many to N3", "ours-many", "N3", 30, lambda run: run.per_second),
    Aim("CPU: N3 to ours", "ours", "N3", 15, lambda run: run.cpu, less_is_better=True),
    Aim("CPU: N1 to ours", "ours", "N1", 250, lambda run: run.cpu, less_is_better=True),
    Aim("messages/s: ours to the ceiling", "ours", "N4", 1 / 3, lambda run: run.per_second),
    Aim("messages/s: ours on SQLite to N3", "ours-sqlite", "N3", 10, lambda run: run.per_second),
    Aim("messages/s: ours on SQLite to N1", "ours-sqlite", "N1", 100, lambda run: run.per_second),
    Aim("messages/s: send_many on SQLite to N3", "ours-many-sqlite", "N3", 15, lambda run: run.per_second),
    Aim("messages/s: ours on SQLite to the ceiling", "ours-sqlite", "N4", 1 / 6, lambda run: run.per_second),
)
GROUPS = ("worker", "postgres", "redis", "beat")  #: whose CPU a message costs
FULL_BATCH = 48  #: messages on the average under load
PANELS: Sequence[tuple[str, Key]] = (
    ("messages per second", lambda run: run.per_second),
    ("CPU seconds per 1,000 messages", lambda run: run.cpu),
    ("ms to acceptance, one by one (p50)", lambda run: 1_000 * run.paced_seconds.get("p50", 0.0)),
)


def spread(values: Iterable[float]) -> Spread:
    every = list(values)
    return Spread(statistics.median(every), min(every), max(every))


def way_of(run: Run) -> Way:
    """How it reached the gateway."""
    return Way(run.tls, run.latency_seconds)


def of(runs: Sequence[Run], name: str, way: Way) -> list[Run]:
    """The runs of one contender, in order of their rounds."""
    return [run for run in runs if run.contender == name and way_of(run) == way]


def ways(runs: Sequence[Run]) -> list[Way]:
    """All that were gone: http before https."""
    return sorted({way_of(run) for run in runs})


def names(runs: Sequence[Run]) -> list[str]:
    """Who ran, in the order of the line-up."""
    ran = {run.contender for run in runs}
    return [one.name for one in EVERYBODY if one.name in ran]


def ratios(runs: Sequence[Run], aim: Aim, way: Way) -> list[float]:
    """Round by round, so that both sides saw the same machine; empty if one of them did not run."""
    rivals = [name for name in names(runs) if name == aim.to or name.startswith(f"{aim.to}-")]
    found = []
    for own in of(runs, aim.of, way):
        theirs = [aim.key(run) for name in rivals for run in of(runs, name, way) if run.round == own.round]
        if theirs:
            found.append(min(theirs) / aim.key(own) if aim.less_is_better else aim.key(own) / max(theirs))
    return found


def table(runs: Sequence[Run], way: Way) -> Table:
    """A row for each contender."""
    costs = ("CPU s per 1,000", "of that worker, database, Redis, beat", "gateway", "MiB of worker, database, Redis")
    rest = ("batch", "paced p50 ms", "p95", "p99", "lost", "doubled")
    title = f"The gateway answers over http{'s' * way.tls} after {way.latency_seconds * 1_000:.0f} ms"
    shown = Table("", "messages", "messages/s", *costs, *rest, title=title)
    for name in names(runs):
        if every := of(runs, name, way):
            shown.add_row(*row(name, every))
    return shown


def row(name: str, every: Sequence[Run]) -> list[str]:
    """The figures of one contender."""
    lost, doubled = sum(run.lost for run in every), sum(run.doubled for run in every)
    parts = [short(statistics.median(cpu_of(run, group) for run in every)) for group in GROUPS]
    mib = [f"{statistics.median(of_group(run.peak_mib, group) for run in every):.0f}" for group in GROUPS[:3]]
    return [
        name,
        f"{every[0].messages:,}",
        str(spread(run.per_second for run in every)),
        str(spread(run.cpu for run in every)),
        ", ".join(parts),
        short(statistics.median(cpu_of(run, "gateway") for run in every)),
        ", ".join(mib),
        f"{statistics.median(run.mean_batch for run in every):.1f}",
        *(paced(every, cut) for cut in ("p50", "p95", "p99")),
        f"[red]{lost}[/red]" if lost else "0",
        f"[red]{doubled}[/red]" if doubled else "0",
    ]


def cpu_of(run: Run, group: str) -> float:
    return of_group(run.cpu_seconds, group)


def of_group(figures: Mapping[str, float], group: str) -> float:
    """Of all processes of a kind: there may be a second worker."""
    return sum(figure for name, figure in figures.items() if name.startswith(group))


def paced(every: Sequence[Run], cut: str) -> str:
    found = [run.paced_seconds[cut] for run in every if run.paced_seconds]
    return short(statistics.median(found) * 1_000) if found else ""


def verdicts(runs: Sequence[Run]) -> list[Verdict]:
    """Each aim, over each way to the gateway by itself: the medians of the rounds' ratios."""
    found = [
        Verdict(aim.what, aim.least, statistics.median(each), "x", under=str(way))
        for aim in AIMS
        for way in ways(runs)
        if (each := ratios(runs, aim, way))
    ]
    found += [
        Verdict("messages in a batch", FULL_BATCH, statistics.median(batches), under=str(way))
        for way in ways(runs)
        if (batches := [run.mean_batch for run in of(runs, "ours", way)])
    ]
    wrong = sum(run.lost + run.doubled for run in runs if run.contender.startswith("ours"))
    return [*found, Verdict("messages of ours lost or doubled", 0, wrong, at_most=True)]


def aims(found: Sequence[Verdict]) -> Table:
    """Each aim beside what was found over each way to the gateway."""
    under = [name for name in dict.fromkeys(one.under for one in found) if name]
    shown = Table("aim", "wanted", *under, title="Medians of each round's ratios")
    for aim, bound in dict.fromkeys((one.aim, one.bound) for one in found):
        here = {one.under: _told(one) for one in found if one.aim == aim}
        shown.add_row(aim, bound, *(here.get(way, here.get("", "")) for way in under))
    return shown


def _told(one: Verdict) -> str:
    colour = "green" if one.is_met else "red"
    return f"{short(one.found)} [{colour}]{one.said}[/{colour}]"


def show(console: Console, head: str, runs: Sequence[Run]) -> None:
    console.print(head)
    for way in ways(runs):
        console.print(table(runs, way))
    console.print(aims(verdicts(runs)))


def as_json(runs: Sequence[Run], machine: Mapping[str, str]) -> dict[str, Any]:
    """All of it, each run by itself."""
    described = [{"name": one.name, "what": one.what} for one in EVERYBODY if one.name in names(runs)]
    judged = verdicts_as_json(verdicts(runs))
    return {"machine": machine, "contenders": described, "aims": judged, "runs": [asdict(run) for run in runs]}


def plot(runs: Sequence[Run], head: str, file: Path) -> None:
    """Speed, cost and latency side by side, 1,200 pixels wide; logarithmic, for they are worlds apart."""
    shown = names(runs)
    figure, axes = plt.subplots(
        1,
        len(PANELS),
        figsize=(10, 1.5 + 0.16 * (len(shown) + 1) * max(2, len(ways(runs)))),
        dpi=120,
        layout="constrained",
    )
    for ax, (title, key) in zip(axes, PANELS, strict=True):
        ax.set_title(title, loc="left", fontsize=9, fontweight="bold")
        for way in ways(runs):
            _points(ax, runs, way, key)
        _dress(ax, shown if ax is axes[0] else ["" for _ in shown])
    figure.legend(handles=_legend(ways(runs)), loc="outside upper right", ncols=4, fontsize=8, frameon=False)
    figure.supxlabel(head, fontsize=7, color=FAINT)
    figure.savefig(file)
    plt.close(figure)


def _points(ax: Axes, runs: Sequence[Run], way: Way, key: Key) -> None:
    """A point for each contender, with a line from its least to its most."""
    every = ways(runs)
    aside = (every.index(way) - (len(every) - 1) / 2) * 0.72 / len(every)
    for place, name in enumerate(names(runs)):
        if values := [key(run) for run in of(runs, name, way) if key(run)]:
            found, at, colour = spread(values), place + aside, _colour(name)
            ax.plot([found.least, found.most], [at, at], color=colour, linewidth=1.5)
            ax.plot(found.median, at, color=colour, **_mark(way))
            ax.annotate(f"  {short(found.median)}", (found.most, at), va="center", fontsize=7, color=FAINT)


def _dress(ax: Axes, shown: Sequence[str]) -> None:
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ax.set_xlim(low, high * (high / low) ** 0.2)  # room for what stands beside the last point
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_yticks(range(len(shown)), shown, fontsize=8)
    ax.tick_params(axis="x", labelsize=7)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#e5e5e5", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)


def _legend(every: Sequence[Way]) -> list[Line2D]:
    return [Line2D([], [], label=f"gateway: {way}", linestyle="", color=FAINT, **_mark(way)) for way in every]


def _mark(way: Way) -> dict[str, Any]:
    filling = {"markerfacecolor": "white"} if way.latency_seconds else {}
    return {"marker": "s" if way.tls else "o", "markersize": 5 if way.tls else 6} | filling


def _colour(name: str) -> str:
    return next((colour for prefix, colour in COLOURS.items() if name.startswith(prefix)), OTHERS)
