"""The tables of docs/performance.md, each by the bench's own function, of the JSON that it wrote."""

import re
from collections.abc import Callable, Iterator, Mapping
from statistics import mean
from typing import Any, get_type_hints

from rich.table import Table

from bench import (
    database_costs,
    flame,
    growth,
    latency,
    old_snapshot,
    poll_plan,
    polling,
    reading,
    retention,
    shown,
    sizing,
    soak,
)
from bench.contenders.runs import Run
from bench.verdicts import Verdict, short

Read = Callable[[str], Any]  #: the JSON of a bench, by its name
#: Of `bench/database_costs.py`, those that a page has room for.
TOLD = (
    *("as it is", "foreign keys by row", "without any CHECK", "HOT at acceptance", "if nothing hindered"),
    *("deduplicated", "checkpoint", "uid ", "as text", "by JSON", "BRIN", "no ix_"),
)
SHOWN_MINUTES, CHECKPOINT_MINUTES = 20, 5  # PostgreSQL makes a checkpoint so often, or sooner
MARK = re.compile(r"\[(/?)(red|green|)\]")


def markdown(table: Table) -> str:
    """What a terminal shows in red is bold."""
    heads = [str(column.header) for column in table.columns]
    rows = zip(*(column.cells for column in table.columns), strict=True)
    lines = [heads, ["---"] * len(heads), *([_bold(str(cell)) for cell in row] for row in rows)]
    title = f"**{table.title}**\n\n" if table.title else ""
    return title + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _bold(cell: str) -> str:
    return MARK.sub(lambda found: "**" if found[2] == "red" else "", cell)


def _runs(read: Read) -> list[Run]:
    return [Run(**run) for run in read("throughput")["runs"]]


def throughput(read: Read) -> Iterator[Table]:
    runs = _runs(read)
    return (shown.table(runs, way) for way in shown.ways(runs))


def contenders(read: Read) -> Iterator[Table]:
    table = Table("contender", "what it is")
    for one in read("throughput")["contenders"]:
        table.add_row(one["name"], one["what"])
    yield table


def aims(read: Read) -> Iterator[Table]:
    """Throughput's own table, and all the others' in one."""
    yield shown.aims(_verdicts(read("throughput")))
    table = Table("bench", "aim", "under", "wanted", "found", "")
    for name in ("latency", "latency_tls", "polling", "growth", "retention", "soak"):
        for one in _verdicts(read(name)):
            said = one.said if one.is_met else f"[red]{one.said}[/red]"
            table.add_row(name.replace("_tls", ", https"), one.aim, one.under, one.bound, short(one.found), said)
    yield table


def _verdicts(found: Any) -> list[Verdict]:
    return [Verdict(**{name: one[name] for name in get_type_hints(Verdict)}) for one in found["aims"]]


def machine(read: Read) -> Iterator[Table]:
    table = Table("", "")
    for name, value in read("throughput")["machine"].items():
        table.add_row(name, value)
    yield table


def measured(read: Read) -> Iterator[Table]:
    """When each was measured, on what."""
    table = Table("bench", "measured", "on")
    for name in BENCHES:
        about = read(name)["machine"]
        table.add_row(name, about["measured"], f"{about['cores']} cores ({about['cpu']}), {about['memory']}")
    yield table


def cores(read: Read) -> Iterator[Table]:
    """How busy each process was, of ours at full speed."""
    runs, groups = _runs(read), (*shown.GROUPS, "gateway")
    table = Table("", "gateway over", *groups, "together", title="Cores in use at full speed")
    for way in shown.ways(runs):
        for name in ("ours-one", "ours", "ours-many"):
            if every := shown.of(runs, name, way):
                used = [[run.per_second / 1_000 * shown.cpu_of(run, group) for run in every] for group in groups]
                each = [shown.spread(values).median for values in used]
                table.add_row(name, str(way), *(f"{value:.2f}" for value in each), f"{sum(each):.2f}")
    yield table


def day(read: Read) -> Iterator[Table]:
    """What one machine carries in a day."""
    runs, soaked = _runs(read), read("soak")
    table = Table("a day of", "messages a second", "messages a day")
    way = max(shown.way_of(run) for run in sizing.ours(runs))
    for name in ("ours", "ours-many"):
        if every := shown.of(runs, name, way):
            rate = shown.spread(run.per_second for run in every).median
            table.add_row(f"{name}, full speed, {way}, no questions", short(rate), _a_day(rate))
    on_paper = int(read("throughput")["machine"]["cores"]) / _costs(read).whole
    table.add_row(f"ours, on paper: {sizing.ASSUMED['day']}", short(on_paper), _a_day(on_paper))
    rate = soaked["per_second"]
    table.add_row("half of full speed, as the soak kept it up, its producers beside it", short(rate), _a_day(rate))
    yield table


def _a_day(per_second: float) -> str:
    return f"{per_second * sizing.DAY_SECONDS / 1e6:,.0f} million"


def _costs(read: Read) -> sizing.Costs:
    return sizing.costs(read("throughput"), read("polling"), read("database_costs"), read("soak"))


def _of_growth(read: Read) -> Iterator[Table]:
    for axis, sizes in read("growth")["milliseconds"].items():
        yield growth.table(axis, {int(size): figures for size, figures in sizes.items()})


def _bloat(read: Read) -> Iterator[Table]:
    yield growth.bloat_table({int(rows): said for rows, said in read("growth")["bloat"].items()})


def _polling(read: Read) -> Iterator[Table]:
    yield polling.table([polling.Run(**run) for run in read("polling")["runs"]], "The gateway answers after 50 ms")


def _poll_plan(read: Read) -> Iterator[Table]:
    found = read("poll_plan")
    yield poll_plan.table([poll_plan.Group(**group) for group in found["groups"]], found["scale"])
    known = Table("", "")
    known.add_row("all were asked once, after the last was accepted", f"{found['all_asked_seconds'] / 60:.0f} min")
    for cut in ("p50", "p95", "p99"):
        known.add_row(f"from the delivery of a code until it is known, {cut}", f"{found['codes'][cut]:.0f} s")
    yield known


def _database(read: Read) -> Iterator[Table]:
    variants = read("database_costs")["variants"]
    yield database_costs.table({name: row for name, row in variants.items() if any(word in name for word in TOLD)})


def _retention(read: Read) -> Iterator[Table]:
    return (retention.table(name, found) for name, found in read("retention")["found"].items())


def _soaked(found: Mapping[str, Any]) -> soak.Soaked:
    return soak.Soaked(**{name: found[name] for name in get_type_hints(soak.Soaked) if name in found})


def _soak_log(read: Read) -> Iterator[Table]:
    """Bytes of log for a message, with PostgreSQL's default and with more room: means, and the most of a minute."""
    both = [_soaked(read(name)) for name in ("soak", "soak_log")]
    limits = [one.max_wal_size or "by default" for one in both]
    table = Table("bytes of log for each message in minutes", *limits, *(f"{limit}, most" for limit in limits))
    for first in range(1, SHOWN_MINUTES, CHECKPOINT_MINUTES):
        last = first + CHECKPOINT_MINUTES - 1
        each = [
            [row["wal_bytes_per_message"] for row in one.rows if first <= round(row["minute"]) <= last] for one in both
        ]
        table.add_row(f"{first} to {last}", *(f"{figure(some):,.0f}" for figure in (mean, max) for some in each))
    yield table


def _soak(read: Read) -> Iterator[Table]:
    yield soak.table(_soaked(read("soak")))


def _snapshot(read: Read) -> Iterator[Table]:
    found = read("old_snapshot")
    yield old_snapshot.table(found["cpu_ms"], found["messages_a_step"])


BENCHES = (
    *("throughput", "flame", "latency", "latency_tls", "polling", "poll_plan", "reading", "database_costs"),
    *("growth", "old_snapshot", "retention", "soak", "soak_log"),
)
#: By the name that stands in the page.
TABLES: Mapping[str, Callable[[Read], Iterator[Table]]] = {
    "machine": machine,
    "measured": measured,
    "contenders": contenders,
    "throughput": throughput,
    "aims": aims,
    "cores": cores,
    "day": day,
    "flame": lambda read: iter([flame.table(read("flame")["shares"])]),
    "latency": lambda read: iter(latency.tables(read("latency")["phases"])),
    "latency_tls": lambda read: iter(latency.tables(read("latency_tls")["phases"])),
    "polling": _polling,
    "poll_plan": _poll_plan,
    "growth": _of_growth,
    "bloat": _bloat,
    "database_costs": _database,
    "old_snapshot": _snapshot,
    "retention": _retention,
    "soak": _soak,
    "soak_log": _soak_log,
    "reading": lambda read: iter([reading.table(read("reading")["microseconds"])]),
    "sizing": lambda read: iter([sizing.table(_costs(read))]),
    "costs": lambda read: iter([sizing.formula(_costs(read))]),
}
