"""Files for people and their spreadsheets: whole or not there, and nobody else's to read."""

import csv
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TextIO

from sqlalchemy.engine import make_url

from worker.campaigns.outcome import Outcome
from worker.errors import SmsError

FORMULA = ("=", "+", "-", "@", "\t", "\r")
_shortened = re.compile(r"\d[.,]\d+E\+\d+", re.IGNORECASE).fullmatch
_written_phone = re.compile(r"\+[0-9 ().-]+").fullmatch
BESIDE_SQLITE = ("", "-wal", "-shm", "-journal")  # what SQLite writes next to a database's file
LONGEST_LINE = 1 << 20  # bytes
REPORT_COLUMNS = ("line", "phone", "uid", "key", "outcome", "reason", "explanation", "parts", "state")


class Unwritable(SmsError):
    """A file could not be written; the message is the one line that says which, and why."""


def refuse_to_replace(file: Path, option: str, *, columns: Iterable[Sequence[str]], database_url: str) -> None:
    """Raise `Unwritable` if *file*, which *option* names, has no folder, or is there and nothing that may be replaced.

    That are empty files, and earlier ones of ours: their first line has one of these *columns*, as CSV or as JSON.
    """
    try:
        wrong = _why_not(file, {tuple(one) for one in columns}, database_url)
    except OSError as error:
        wrong = f"cannot be written: {error.strerror or error}"
    if wrong:
        raise Unwritable(f"{file} {wrong}. Name another file with {option}; nothing was changed.")


def _why_not(file: Path, columns: set[tuple[str, ...]], database_url: str) -> str | None:
    if not file.parent.is_dir():
        return f"cannot be written: there is no folder {file.parent}"
    if file.is_dir():
        return "cannot be written: it is a folder"
    if file.resolve() in _of_the_database(database_url):
        return "is a file of the database"
    if file.is_file() and not _is_ours(file, columns):
        return "is there already, and is no earlier one of ours"
    return None


def _of_the_database(url: str) -> set[Path]:
    made = make_url(url)
    if made.get_backend_name() != "sqlite" or not made.database:
        return set()
    file = Path(made.database.removeprefix("file:").partition("?")[0]).resolve()
    return {file.with_name(file.name + end) for end in BESIDE_SQLITE}


def _is_ours(file: Path, columns: set[tuple[str, ...]]) -> bool:
    with file.open("rb") as opened:
        first = opened.readline(LONGEST_LINE)
    try:
        line = first.decode().strip()
        known = json.loads(line) if line.startswith("{") else line.split(",")
    except (ValueError, RecursionError):
        return False
    return not first or tuple(known) in columns


@contextmanager
def whole(file: Path) -> Iterator[TextIO]:
    """A text file that takes the place of *file* once it is whole; only its owner can read it.

    Raises `Unwritable` for every error of the system's in between; *file* is then as it was.
    """
    try:
        if file.exists() and not file.is_file():  # a device or a pipe has no place that could be taken
            with file.open("w", encoding="utf-8", newline="") as opened:
                yield opened
            return
        with _beside(file.resolve()) as opened:
            yield opened
    except OSError as error:
        raise Unwritable(f"{file} cannot be written: {error.strerror or error}.") from None


@contextmanager
def _beside(file: Path) -> Iterator[TextIO]:
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")  # mode 600
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as opened:
            yield opened
            opened.flush()
            os.fsync(handle)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def csv_writer(out: IO[str]) -> Any:
    """Rows of CSV as RFC 4180 has them: with another end of lines, Python would leave a CR in a cell unquoted."""
    return csv.writer(out, lineterminator="\r\n")


def harmless(cell: object) -> object:
    """*cell* so that no spreadsheet takes it for a formula; a phone with a plus is none.

    >>> harmless("=cmd|' /C calc'!A1"), harmless("+998 90 123-45-67"), harmless(-1)
    ("'=cmd|' /C calc'!A1", '+998 90 123-45-67', -1)
    """
    is_formula = isinstance(cell, str) and cell.startswith(FORMULA) and not _written_phone(cell)
    return f"'{cell}" if is_formula else cell


def explained(one: Outcome) -> str | None:
    """Why it was refused; of a number that has lost its last digits, also who took them."""
    if one.explanation and _shortened(one.line.phone.strip()):
        return f"{one.explanation} Excel shortened it: make the column text, and fill it anew."
    return one.explanation


def reported(outcomes: Iterable[Outcome], out: IO[str]) -> Iterator[Outcome]:
    """Write what became of each row to *out* as it passes."""
    write = csv_writer(out).writerow
    write(REPORT_COLUMNS)
    for one in outcomes:
        line = one.line
        row = (line.line, line.phone, line.uid, line.key, one.became.value)
        write([harmless(cell) for cell in (*row, one.reason, explained(one), one.parts, one.state)])
        yield one
