"""``sms costs``: what was sent and billed, in parts and money."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from worker.cli.given import WrongInput
from worker.cli.person import a_person
from worker.cli.rows import ForSpreadsheets, writer
from worker.cli.shown import visible
from worker.settings import Settings, load_settings
from worker.store import costs as store
from worker.store.costs import GROUPS, Days, Sent
from worker.store.engine import reading

DAYS_SHOWN = 30
DEFAULT_BY = "day,producer,nickname"
NO_NICKNAME = "(none)"
MONEY = "money"  # whose column is headed by its currency
FIXED = ("day", "lane")  # groups whose names are short, and never broken
YEARS = range(1970, 3000)


class Line(NamedTuple):
    """What one group came to, in money too."""

    group: dict[str, Any]
    sent: Sent
    money: Decimal = Decimal(0)  #: by the gateway's parts where it has told them, else by ours
    own_money: Decimal = Decimal(0)  #: of this, what is by our own count
    in_doubt_money: Decimal = Decimal(0)  #: besides, if the gateway took what is in doubt

    def plus(self, other: "Line") -> "Line":
        """Both together, in the group of this one."""
        money = (ours + theirs for ours, theirs in zip(self[2:], other[2:], strict=True))
        return Line(self.group, self.sent.plus(other.sent), *money)


def costs(
    since: Annotated[str | None, typer.Option(metavar="DATE", help="The first day (29 days before the last).")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="The last day (today).")] = None,
    by: Annotated[str, typer.Option(help="Some of day, producer, nickname, lane, with commas.")] = DEFAULT_BY,
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on each line; money is text, exactly.")] = False,
    csv: ForSpreadsheets = False,
) -> None:
    """Show what was sent and billed, in parts and money, by day, producer and nickname.

    Days are those of SMS_GATEWAY_TIMEZONE; a message counts on the day on which it was posted. Only what the gateway
    took costs money: the parts that the gateway says it bills where it has said so, else our own count, times
    SMS_PRICE_PER_PART or the nickname's own price. What is in doubt stands apart.

    It reads the whole table of batches: on ten million messages it may take a minute.

    Exit code 0: shown. 2: wrong input or settings, an unreachable database.
    """
    settings, names = load_settings(), _names(by)
    write = writer([*names, *_known(Line({}, Sent()), settings)], as_json=json, as_csv=csv)
    with a_person() as person:
        days = _days(since, until, person.now().astimezone(settings.zone).date(), settings)
        with reading(person.sessions) as session:
            found = store.sent(session, days, names)
    lines = _lines(found, names, settings)
    if not write:
        _show(lines, names, days, settings)
        return
    for line in lines:
        write(_known(line, settings))


def _names(by: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in by.split(",")))
    if not set(names) <= set(GROUPS):
        raise WrongInput(f"--by {by!r}: give one or more of {', '.join(GROUPS)}, separated by commas.")
    return names


def _days(since: str | None, until: str | None, today: date, settings: Settings) -> Days:
    last = _date(until, "--until") or today
    first = _date(since, "--since") or last - timedelta(days=DAYS_SHOWN - 1)
    if first > last:
        raise WrongInput(f"--since {first} is after --until {last}, so that no day lies between them: exchange them.")
    return Days(first, last, settings.zone)


def _date(written: str | None, option: str) -> date | None:
    if written is None:
        return None
    day = None
    with suppress(ValueError):
        day = date.fromisoformat(written)
    if day is None or day.year not in YEARS:
        raise WrongInput(f"{option} {written!r} is no date: give one such as 2026-11-30.")
    return day


def _lines(found: dict[tuple[Any, ...], Sent], names: Sequence[str], settings: Settings) -> list[Line]:
    lines: dict[tuple[Any, ...], Line] = {}
    for groups, sent in found.items():
        group = dict(zip(GROUPS, groups, strict=True))
        line = _priced({name: group[name] for name in names}, sent, _price(group["nickname"], settings))
        key = tuple(line.group.values())
        lines[key] = lines[key].plus(line) if key in lines else line
    return [lines[key] for key in sorted(lines, key=lambda key: [(one is not None, str(one)) for one in key])]


def _price(nickname: str | None, settings: Settings) -> Decimal:
    """What a part costs, as it was written in the settings: a float's own value would not be exactly that."""
    return Decimal(str(settings.price_per_part_of_nickname.get(nickname or "", settings.price_per_part)))


def _priced(group: dict[str, Any], sent: Sent, price: Decimal) -> Line:
    own = price * sent.unbilled_parts
    return Line(group, sent, price * sent.billed_parts + own, own, price * sent.in_doubt_parts)


def _has_prices(settings: Settings) -> bool:
    return bool(settings.price_per_part or settings.price_per_part_of_nickname)


def _known(line: Line, settings: Settings) -> dict[str, Any]:
    sent = line.sent
    money = {name: _written(getattr(line, name)).replace(",", "") for name in ("money", "own_money", "in_doubt_money")}
    return {
        **{name: str(one) if isinstance(one, date) else one for name, one in line.group.items()},
        **sent._asdict(),
        "delivered_share": round(sent.delivered / sent.messages, 4) if sent.messages else None,
        **(money if _has_prices(settings) else dict.fromkeys(money)),
        "currency": settings.price_currency if _has_prices(settings) else None,
    }


def _show(lines: Sequence[Line], names: Sequence[str], days: Days, settings: Settings) -> None:
    if not lines:
        typer.echo(f"Nothing was sent from {days.first} to {days.last} ({days.zone.key}).")
        return
    total = lines[0]
    for line in lines[1:]:
        total = total.plus(line)
    typer.echo(f"Sent from {days.first} to {days.last} ({days.zone.key}):")
    table = _table(lines, total, names, settings)
    console = Console(highlight=False, markup=False, emoji=False)
    # A line that the terminal breaks is better than a number that is cut.
    console.width = max(console.width, _narrowest(table))
    console.print(table)
    for note in _notes(total, settings):
        typer.echo(note)


def _table(lines: Sequence[Line], total: Line, names: Sequence[str], settings: Settings) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_footer=True)
    for place, name in enumerate(names):
        table.add_column(
            name, "total" if place == 0 else "", overflow="fold", no_wrap=name in FIXED, min_width=len(name)
        )
    sums = _figures(total)
    shown = [
        name for name in sums if (name != "doubt" or total.sent.in_doubt) and (name != MONEY or _has_prices(settings))
    ]
    for name in shown:
        table.add_column(settings.price_currency if name == MONEY else name, sums[name], justify="right", no_wrap=True)
    for line in lines:
        group = [NO_NICKNAME if one is None else visible(str(one)) for one in line.group.values()]
        table.add_row(*group, *map(_figures(line).get, shown))
    return table


def _narrowest(table: Table) -> int:
    """The characters that a line of it takes at least."""
    longest = [max(len(str(cell)) for cell in column.cells) for column in table.columns]
    needed = [
        width if column.no_wrap else column.min_width or 0 for column, width in zip(table.columns, longest, strict=True)
    ]
    return sum(needed) + len(needed)


def _figures(line: Line) -> dict[str, str]:
    sent = line.sent
    return {
        "sent": f"{sent.messages:,}",
        "arrived": f"{sent.delivered / sent.messages:.1%}" if sent.messages else "-",
        "parts": f"{sent.parts:,}",
        "billed": f"{sent.billed_parts:,}",
        "more": f"{sent.billed_more:+,}" if sent.billed_more else "0",
        "doubt": f"{sent.in_doubt:,}",
        MONEY: _written(line.money),
    }


def _written(money: Decimal) -> str:
    """All its digits, and no zeros after them.

    >>> _written(Decimal("1234.50")), _written(Decimal("1E+3"))
    ('1,234.5', '1,000')
    """
    return f"{money.normalize():,f}"


def _notes(total: Line, settings: Settings) -> Iterator[str]:
    sent, currency = total.sent, settings.price_currency

    def worth(money: Decimal) -> str:
        return f", {_written(money)} {currency}" if _has_prices(settings) else ""

    yield "billed: parts that the gateway says it bills; more: by how much they exceed ours."
    if sent.unbilled_parts:
        own = f"{sent.unbilled_parts:,} parts{worth(total.own_money)}"
        yield f"By our own count, where the gateway has not told its yet: {own}."
    if sent.in_doubt:
        doubt = f"{sent.in_doubt:,} posts, {sent.in_doubt_parts:,} parts{worth(total.in_doubt_money)}"
        yield f"doubt: posts that were cut off, which the gateway may bill besides: {doubt}. See sms unconfirmed."
    if not _has_prices(settings):
        yield "Set SMS_PRICE_PER_PART to see money."
