"""How the house stands, drawn for a terminal."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from models.lifecycle import Lane
from worker.cli.shown import visible
from worker.lanes import Lying
from worker.store.attention import Attention
from worker.store.overview import Overview, up_to
from worker.store.verdict import GOING, IDLE, SAID, SLOW, STOPPED

STYLES = {GOING: "bold green", IDLE: "bold cyan", SLOW: "bold yellow", STOPPED: "bold red"}
BARS = " ▁▂▃▄▅▆▇█"
BAR_MINUTES = 45  # they fit beside their name where a terminal is narrow
MOST_ATTENTION = 8
LESSER = frozenset({"delivery", "in flight", "refused", "accepted", ""})  # details, where there is no room for all
EXPLAINED = "order refused"  # the kind of attention that sms refused tells more of


class Shown(NamedTuple):
    """What is drawn at once."""

    house: Overview
    lying: Mapping[Lane, Lying] | str  #: orders still on Redis, or in a word why nobody knows
    zone: ZoneInfo
    trouble: str = ""  #: why this is not of now


def drawn(shown: Shown) -> RenderableType:
    """All of it, the verdict first."""
    return _drawn(shown, MOST_ATTENTION, ())


def fitting(shown: Shown, console: Console, lines: int) -> RenderableType:
    """What has room on so many *lines*: lesser details are left out first, then some of what needs a person."""
    for most in range(min(MOST_ATTENTION, len(shown.house.attention)), -1, -1):
        for without in ((), LESSER):
            made = _drawn(shown, most, without)
            if len(console.render_lines(made, pad=False)) <= lines:
                return made
    return made


def _drawn(shown: Shown, most: int, without: Collection[str]) -> RenderableType:
    lanes, person = _lanes(shown.house, shown.lying), _attention(shown.house, shown.zone, most)
    return Group(_verdict(shown), "", lanes, *person, "", _rest(shown, without))


def _verdict(shown: Shown) -> Text:
    house, said = shown.house, SAID[shown.house.reason]
    words = Text()
    words.append(f"{house.verdict.upper()}  ", STYLES[house.verdict])
    words.append(said.sentence)
    words.append(f"  {_clock(house.at, shown.zone)}", "dim")
    if said.remedy:
        words.append(f"\n  what to do: {said.remedy}")
    if shown.trouble:
        words.append(f"\n{shown.trouble}", "bold red")
    return words


def _lanes(house: Overview, lying: Mapping[Lane, Lying] | str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("lane", no_wrap=True)
    for name in ("waiting", "oldest", "later", "in/min", "out/min", "unconfirmed", "on redis"):
        table.add_column(name, justify="right", no_wrap=name != "on redis")
    if any(lane.quiet for lane in house.lanes):
        table.add_column("", no_wrap=True)
    for lane in house.lanes:
        counts = (up_to(lane.waiting), _long(lane.oldest_seconds), up_to(lane.later))
        rates = (f"{lane.in_per_minute:,.1f}", f"{lane.out_per_minute:,.1f}")
        on_redis = "?" if isinstance(lying, str) else f"{sum(lying[lane.lane]):,}"
        quiet = ["quiet"] if lane.quiet else []
        table.add_row(str(lane.lane), *counts, *rates, f"{lane.unconfirmed:,}", on_redis, *quiet)
    return table


def _rest(shown: Shown, without: Collection[str]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, words in (line for line in _lines(shown) if line[0] not in without):
        table.add_row(name, visible(words))
    return table


def _lines(shown: Shown) -> Iterator[tuple[str, str]]:
    house = shown.house
    yield "gateway", _gateway(house)
    yield "account", _account(house, shown.zone)
    yield "circuits", ", ".join(_circuits(house, shown.zone)) or "not used yet"
    yield "workers", _workers(house)
    delivery = house.delivery
    times = f"p50 {_long(delivery.p50_seconds)}, p95 {_long(delivery.p95_seconds)}, of {delivery.messages:,} messages"
    yield "delivery", times if delivery.messages else "nothing was delivered within a day"
    yield "in flight", f"{house.posting:,} are being posted, {up_to(house.submitted)} await their report"
    yield "callbacks", f"{house.callbacks_owed:,} owed, {house.callbacks_failed:,} failed"
    yield "refused", f"{house.refused_today:,} orders today (UTC)" + (": sms refused" if house.refused_today else "")
    if isinstance(shown.lying, str):
        yield "redis", shown.lying
    if any(minute.accepted for minute in house.minutes):
        counts = [minute.accepted for minute in house.minutes][-BAR_MINUTES:]
        yield "accepted", f"at most {max(counts):,} a minute in the last {len(counts)} minutes"
        yield "", bars(counts)


def _gateway(house: Overview) -> str:
    asked = house.gateway
    counts = {"answers": asked.answers, "refused": asked.refused, "cut off": asked.cut_off}
    counts["unreachable"] = asked.unreachable
    if not sum(counts.values()):
        return "no batch within 15 minutes"
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count or name == "answers")
    took = "" if asked.latency_ms_p50 is None else f"; p50 {asked.latency_ms_p50:,} ms, p95 {asked.latency_ms_p95:,} ms"
    numbers = ", ".join(f"{number} ({count:,})" for number, count in asked.errors.items() if number is not None)
    return f"{said}{took}" + (f"; errors {numbers}" if numbers else "")


def _account(house: Overview, zone: ZoneInfo) -> str:
    account = house.account
    if account.held_at:
        return f"held by {account.held_by} since {_clock(account.held_at, zone)}"
    if account.paused_at:
        return f"paused since {_clock(account.paused_at, zone)}: {account.reason}"
    return "may post"


def _circuits(house: Overview, zone: ZoneInfo) -> Iterator[str]:
    for one in house.circuits:
        opened = f"open since {_clock(one.opened_at, zone)} ({one.reason})" if one.opened_at else "closed"
        yield f"{one.room} {opened}"


def _workers(house: Overview) -> str:
    releases = sorted({one.release for one in house.workers})
    alive = f"{len(house.workers)} alive" + (f" ({', '.join(releases)})" if releases else "")
    if house.bell_age_seconds is None:
        return f"{alive}; beat was never heard"
    return f"{alive}; beat rang {_long(house.bell_age_seconds)} ago"


def _attention(house: Overview, zone: ZoneInfo, most: int) -> list[RenderableType]:
    if not house.attention:
        return []
    lines = [_one(one, zone) for one in house.attention[:most]]
    more = len(house.attention) - most
    title = Text("needs a person", "bold") if lines else Text(f"needs a person: {more} kinds; see sms stats", "bold")
    others = [Text(f"  and {more} more kind{'s' * (more > 1)}")] if lines and more > 0 else []
    return ["", title, *lines, *others]


def _one(one: Attention, zone: ZoneInfo) -> RenderableType:
    many = f"{one.rows:,}{' or more' if one.at_least else ''} times " if one.rows > 1 else ""
    since = f" since {_clock(one.since, zone)}" if one.since else ""
    words = f"{many}{one.kind}{f' ({one.lane})' if one.lane else ''}{since}: {one.reason or 'no reason is known'}"
    example = f" ({look})" if (look := _look(one)) else ""
    return Group(Padding(visible(words), (0, 0, 0, 2)), Padding(f"{one.remedy}{example}", (0, 0, 0, 4)))


def _look(one: Attention) -> str:
    if one.kind == EXPLAINED:
        return f"sms refused --reason {visible(one.reason or '')}"
    return f"sms show {visible(one.uid)}" if one.uid else ""


def _clock(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def _long(seconds: float | None) -> str:
    """A length of time as people say it.

    >>> [_long(seconds) for seconds in (None, 0.44, 59.6, 90, 7300, 200_000)]
    ['-', '0.4 s', '60 s', '1:30 min', '2:01 h', '2 d 7 h']
    """
    if seconds is None:
        return "-"
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    minutes, hours, days = round(seconds) // 60, round(seconds) // 3600, round(seconds) // 86_400
    if days:
        return f"{days} d {hours % 24} h"
    return f"{hours}:{minutes % 60:02} h" if hours else f"{minutes}:{round(seconds) % 60:02} min"


def bars(counts: Sequence[int]) -> str:
    """Each count as a bar beside the highest.

    >>> bars([0, 1, 4, 8])
    ' ▁▄█'
    """
    most = max(counts, default=0)
    steps = len(BARS) - 1
    return "".join(BARS[-(-count * steps // most) if most else 0] for count in counts)
