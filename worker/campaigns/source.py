"""A file of recipients, of either kind."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from worker.campaigns.csv_file import CsvFile
from worker.campaigns.rows import Rows, UnreadableFile
from worker.campaigns.workbook import MAGIC, Workbook

DIGEST_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Source:
    """What was found in it."""

    file: Path
    rows: Rows
    digest: str  #: of its content, wherever it lies and whatever it is called
    changed: tuple[int, int]  #: its size, and when it was written last

    def refuse_if_changed(self) -> None:
        """Raise `UnreadableFile` if somebody wrote to it since, or took it away."""
        try:
            is_changed = _changed(self.file) != self.changed
        except OSError as error:
            raise UnreadableFile(f"{self.file} cannot be read any more: {error.strerror or error}.") from None
        if is_changed:
            raise UnreadableFile(f"{self.file}: it was written to since it was looked at. Run the command again.")


def open_source(
    file: Path, *, encoding: str | None = None, delimiter: str | None = None, sheet: str | None = None
) -> Source:
    """Look at what *file* is, whatever its name. Raises `UnreadableFile`, with the file in its line."""
    try:
        _refuse_what_is_no_file(file)
        changed, digest = _changed(file), _digest(file, sheet)
        rows = _rows(file, encoding=encoding, delimiter=delimiter, sheet=sheet)
    except UnreadableFile as error:
        raise UnreadableFile(f"{file}: {error}") from None
    except OSError as error:
        raise UnreadableFile(f"{file} cannot be read: {error.strerror or error}.") from None
    return Source(file, rows, digest, changed)


def _refuse_what_is_no_file(file: Path) -> None:
    if not file.is_file():
        raise UnreadableFile("not a file that can be read twice." if file.exists() else "there is no such file.")


def _rows(file: Path, *, encoding: str | None, delimiter: str | None, sheet: str | None) -> Rows:
    with file.open("rb") as opened:
        is_workbook = opened.read(4) in MAGIC
    if is_workbook:
        if encoding or delimiter:
            raise UnreadableFile("a workbook of Excel's: --encoding and --delimiter are for CSV.")
        return Workbook(file, sheet=sheet)
    if sheet is not None:
        raise UnreadableFile("not a workbook of Excel's: --sheet is for those.")
    return CsvFile(file, encoding=encoding, delimiter=delimiter)


def _digest(file: Path, sheet: str | None) -> str:
    with file.open("rb") as opened:
        content = hashlib.file_digest(opened, "sha256").hexdigest()
    named = hashlib.sha256(f"{content}\0{sheet}".encode()).hexdigest() if sheet else content
    return named[:DIGEST_CHARACTERS]


def _changed(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns
