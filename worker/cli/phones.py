"""Numbers that a person names: on the command line, or in a file."""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from models.lifecycle import Lane
from worker.cli.given import WrongInput
from worker.cli.shown import masked
from worker.errors import OrderRefused
from worker.phone import MOST_DIGITS, normalised

STANDARD_INPUT = "-"
MOST_NAMED = 10  # in one line
LONGEST_PIECE = 7  # digits
PIECE = re.compile(r"[+(]*\d[\d().-]*").fullmatch

Numbers = Annotated[
    list[str] | None, typer.Argument(metavar="PHONE", help="Numbers, as people write them; with blanks in quotes.")
]
OfFile = Annotated[
    str | None, typer.Option("--file", help="A file with one number on each line; - is the standard input.")
]
Lanes = Annotated[
    list[Lane] | None, typer.Option("--lane", help="Only by this lane; may be repeated. All if not given.")
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out what is no number, instead of doing nothing at all.")
]


def phones_of(
    numbers: Sequence[str] | None, file: str | None, countries: Sequence[str], *, skip_bad: bool
) -> list[str]:
    """What is named by *numbers* and in *file*, as international digits, each once.

    Raises `WrongInput` if nothing is, or if one is no number that takes SMS; with *skip_bad* that is only said.
    """
    if not skip_bad:
        _refuse_pieces(numbers or [], countries)
    good: dict[str, None] = {}
    bad: list[str] = []
    for where, written in _written(numbers or [], file):
        try:
            good[normalised(written, countries)] = None
        except OrderRefused as refused:
            bad.append(f"{where} ({_hidden(written)}), {_in_short(refused)}")
    if bad and not skip_bad:
        raise WrongInput(f"{_some(bad)}. Nothing was changed: correct this, or leave it out with --skip-bad.")
    if bad:
        typer.echo(f"Left out: {_some(bad)}.", err=True)
    if not good:
        raise WrongInput("There is no number: name some, or a file that holds some with --file.")
    return list(good)


def of_lanes(count: int, lanes: Sequence[Lane], what: str) -> str:
    """How many numbers, what becomes of them, and by which lanes.

    >>> of_lanes(2, [Lane.OTP, Lane.BULK], "nothing more")
    '2 numbers: nothing more by otp, bulk'
    """
    return f"{count} number{'s' * (count != 1)}: {what} by {', '.join(lanes)}"


def _refuse_pieces(numbers: Sequence[str], countries: Sequence[str]) -> None:
    """A shell makes several words of a number with blanks that is not in quotes."""
    pieces = [one for one in numbers if len(_digits(one)) <= LONGEST_PIECE and not _is_number(one, countries)]
    if len(pieces) > 1 and all(PIECE(one) for one in pieces):
        raise WrongInput(
            'These look like pieces of a number: put one with blanks in quotes, such as "+998 90 123-45-67". '
            "Nothing was changed."
        )


def _is_number(written: str, countries: Sequence[str]) -> bool:
    try:
        return bool(normalised(written, countries))
    except OrderRefused:
        return False


def _written(numbers: Sequence[str], file: str | None) -> Iterator[tuple[str, str]]:
    yield from ((f"number {place}", number) for place, number in enumerate(numbers, 1))
    if file is not None:
        lines = enumerate(_read(file).decode("utf-8", "replace").splitlines(), 1)
        yield from ((f"line {place}", line) for place, line in lines if line.strip())


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == STANDARD_INPUT else Path(file).read_bytes()
    except OSError as error:
        raise WrongInput(f"--file {file!r} cannot be read: {error.strerror}.") from None


def _hidden(written: str) -> str:
    return masked(_digits(written)[-MOST_DIGITS:]) or "no digits"


def _digits(written: str) -> str:
    return "".join(one for one in written if one.isdecimal())


def _in_short(refused: OrderRefused) -> str:
    """What is wrong, without what is allowed instead."""
    return refused.explanation.removeprefix("phone: ").partition(";")[0].rstrip(".")


def _some(bad: Sequence[str]) -> str:
    more = f"; and {len(bad) - MOST_NAMED} more" if len(bad) > MOST_NAMED else ""
    return "; ".join(bad[:MOST_NAMED]) + more
