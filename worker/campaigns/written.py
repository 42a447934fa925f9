"""Files for people and their spreadsheets: whole or not there, and nobody else's to read."""

import csv
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TextIO

from worker.campaigns.outcome import Outcome
from worker.errors import SmsError

FORMULA = ("=", "+", "-", "@", "\t", "\r")
_written_phone = re.compile(r"\+[0-9 ().-]+").fullmatch
REPORT_COLUMNS = ("line", "phone", "uid", "key", "outcome", "reason", "explanation", "parts", "state")


class Unwritable(SmsError):
    """A file could not be written; the message is the one line that says which, and why."""


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


def reported(outcomes: Iterable[Outcome], out: IO[str]) -> Iterator[Outcome]:
    """Write what became of each row to *out* as it passes."""
    write = csv_writer(out).writerow
    write(REPORT_COLUMNS)
    for one in outcomes:
        line = one.line
        row = (line.line, line.phone, line.uid, line.key, one.became.value)
        write([harmless(cell) for cell in (*row, one.reason, one.explanation, one.parts, one.state)])
        yield one
