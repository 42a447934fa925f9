"""``sms parts``: what a text costs, and why."""

import json as jsons
import sys
import unicodedata
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.cli.given import WrongInput
from worker.cli.rows import writer
from worker.cli.shown import visible
from worker.rewriting import FOLDS, rewritten
from worker.text import Measure, dear, measure

STDIN = "-"
HIGHEST_PRICE = 1e9
FOR_PEOPLE = 12  # characters; a Cyrillic text has some thirty
WAYS = {
    "folded": {"fold": True, "transliterate": False},
    "in Latin": {"fold": False, "transliterate": True},
    "in Latin and folded": {"fold": True, "transliterate": True},
}
SETTINGS = {
    "folded": "SMS_FOLD_TEXT",
    "in Latin": "SMS_TRANSLITERATE_TEXT",
    "in Latin and folded": "SMS_TRANSLITERATE_TEXT and SMS_FOLD_TEXT",
}
COLUMNS = ("way", "encoding", "parts", "units", "room", "left", "price", "currency", "changed", "text")
WHY = {"gsm": "These count twice:", "ucs2": "These are not in GSM 03.38, and make the whole text ucs2:"}
NAMELESS = {"\t": "TAB", "\0": "NUL", "\x1b": "ESCAPE", "\f": "FORM FEED", "\v": "LINE TABULATION"}


class Dear(NamedTuple):
    """A character that makes a text dear."""

    character: str
    code_point: str
    name: str
    times: int
    folded_to: str | None  #: None: folding leaves it


class Money(NamedTuple):
    """What a part costs; nothing is known of it where the price is 0."""

    price: float
    currency: str

    def of(self, parts: int) -> str:
        """For people."""
        return f"{self.price * parts:,.2f} {self.currency}"


def parts(
    text: Annotated[str | None, typer.Argument(help="The text. Without it, or with -, standard input is read.")] = None,
    *,
    file: Annotated[Path | None, typer.Option(help="Read the text from this file, in UTF-8.")] = None,
    price: Annotated[float, typer.Option(min=0, envvar="SMS_PRICE_PER_PART", help="What one part costs.")] = 0,
    currency: Annotated[str, typer.Option(envvar="SMS_PRICE_CURRENCY", help="It is only shown.")] = "UZS",
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV: a row for each way to write it.")] = False,
) -> None:
    """Show how a text is encoded, how many parts it takes, and what makes it dear.

    Also what SMS_FOLD_TEXT and SMS_TRANSLITERATE_TEXT would make of it. No settings and no database are needed.

    The last line end of a file or of standard input is no part of the text.

    Exit code 0: shown. 2: wrong input.
    """
    if not isfinite(price) or price > HIGHEST_PRICE:
        raise WrongInput(f"--price {price} is no price: give a number such as 95.5.")
    words = _words(text, file)
    ways = {way: rewritten(words, **settings) for way, settings in WAYS.items()}
    money = Money(price, visible(currency))
    write = writer(COLUMNS, as_json=json, as_csv=csv)
    if write:
        known = _as_json(words, ways, money)
        for row in [known] if json else _as_rows(words, known):
            write(row)
        return
    console = Console(highlight=False, markup=False)
    for shown in _as_lines(words, _changes(words, ways), money):
        console.print(shown, soft_wrap=isinstance(shown, Text))  # a text can then be copied


def _words(text: str | None, file: Path | None) -> str:
    if text not in (None, STDIN):
        if file:
            raise WrongInput("There is a text and a --file: give one of them.")
        return str(text)
    if not file and text == STDIN and sys.stdin.isatty():
        typer.echo("Type the text; Ctrl-D at the start of a line ends it.", err=True)
    if not file and text is None and sys.stdin.isatty():
        raise WrongInput('Which text? Write it in quotes: sms parts "…", name a --file, or say - and type it.')
    try:
        written = file.read_bytes() if file else sys.stdin.buffer.read()
        # A byte order mark is the editor's, and so is the last line end.
        return written.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise WrongInput(f"{str(file)!r} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise WrongInput(f"The text is not UTF-8: byte {error.start + 1} is none. Save it as UTF-8.") from None


def _changes(text: str, ways: dict[str, str]) -> dict[str, str]:
    """The ways that change *text*, each to something else."""
    found: dict[str, str] = {}
    for way, other in ways.items():
        if other not in {text, *found.values()}:
            found[way] = other
    return found


def _dear(text: str) -> list[Dear]:
    return [
        Dear(one, f"U+{ord(one):04X}", unicodedata.name(one, NAMELESS.get(one, "no name")), times, FOLDS.get(one))
        for one, times in dear(text).most_common()
    ]


def _as_json(text: str, ways: dict[str, str], money: Money) -> dict[str, Any]:
    known: dict[str, Any] = _size(text, money) | {"dear": [one._asdict() for one in _dear(text)]}
    for way, other in ways.items():
        known[way.replace(" ", "_").lower()] = _size(other, money) | {"changed": other != text, "text": other}
    return known


def _as_rows(text: str, known: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield known | {"way": "as it is", "changed": False, "text": text}
    for way in WAYS:
        yield known[way.replace(" ", "_").lower()] | {"way": way}


def _size(text: str, money: Money) -> dict[str, Any]:
    size = measure(text)
    known = {"encoding": size.encoding, "parts": size.parts, "units": size.units, "room": size.room, "left": size.left}
    return known | ({"price": round(money.price * size.parts, 2), "currency": money.currency} if money.price else {})


def _as_lines(text: str, changed: dict[str, str], money: Money) -> Iterator[Text | Table]:
    size = measure(text)
    if not text.strip():
        yield Text("An order of such a text is refused (text_missing): there is no word in it.")
    yield Text(f"{size.encoding}, {_count(size)}, {size.left} left", style="bold")
    if characters := _dear(text):
        yield Text(f"\n{WHY[size.encoding]}")
        yield _table_of(characters)
        if len(characters) > FOR_PEOPLE:
            yield Text(f"and {len(characters) - FOR_PEOPLE} more; --json has them all")
    yield Text("\nWhat it costs:" if changed else "\nFolding and transliterating would change nothing.")
    if changed or money.price:
        yield _costs_of({"as it is": text} | changed, money)
    for way, other in changed.items():
        yield Text(f"\n{way}, with {SETTINGS[way]}:")
        yield Text("\n".join(map(visible, other.split("\n"))))


def _count(size: Measure) -> str:
    empty = f", {size.empty} lost at the end of a part" if size.empty else ""
    return f"{size.parts} part{'s' * (size.parts != 1)}: {size.units} of {size.room} units used{empty}"


def _table_of(characters: list[Dear]) -> Table:
    table = Table("", "code", "name", "times", "folded to", box=None, pad_edge=False, header_style="dim")
    for one in characters[:FOR_PEOPLE]:
        to = "-" if one.folded_to is None else jsons.dumps(one.folded_to) if one.folded_to else "nothing"
        row = (visible(one.character), one.code_point, one.name.lower(), str(one.times), to)
        table.add_row(*map(Text, row))
    return table


def _costs_of(texts: dict[str, str], money: Money) -> Table:
    table = Table("", "encoding", "parts", "units", "left", box=None, pad_edge=False, header_style="dim")
    if money.price:
        table.add_column("price", justify="right")
    for way, text in texts.items():
        size = measure(text)
        row = [way, size.encoding, str(size.parts), f"{size.units} of {size.room}", str(size.left)]
        table.add_row(*map(Text, row + ([money.of(size.parts)] if money.price else [])))
    return table
