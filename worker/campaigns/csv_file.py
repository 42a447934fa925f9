"""CSV as programs and spreadsheets write it: row by row, so that a million of them take no memory."""

import codecs
import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TextIO

from worker.campaigns.rows import Row, UnreadableFile, header_of

BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
DELIMITERS = (",", ";", "\t", "|")
NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t"}
AT_ONCE = 1 << 20  # bytes
NEVER_CLOSED = ("unexpected end of data", "field larger than field limit")  # in the words of Python's csv


class CsvFile:
    """Raises `UnreadableFile` for an encoding that it is not in, and for a file without a header."""

    def __init__(self, file: Path, *, encoding: str | None, delimiter: str | None) -> None:
        self._file = file
        self._encoding = _encoding_of(file, encoding)
        _refuse_other_encodings(file, self._encoding)
        self._delimiter = _delimiter(delimiter)
        with self._open() as lines:
            if self._delimiter is None:
                self._delimiter = _sniffed(lines)
            line, cells = next(self._parsed(lines), (1, []))
        if not cells:
            raise UnreadableFile("It is empty: its first line has to name the columns.")
        if isinstance(cells, str):
            raise UnreadableFile(f"Line {line}, the header: {cells}")
        self.header = header_of(cells)

    def __iter__(self) -> Iterator[Row]:
        """The rows behind the header."""
        with self._open() as lines:
            parsed = self._parsed(lines)
            next(parsed)
            for line, cells in parsed:
                yield self._row(line, cells)

    def _row(self, line: int, cells: Sequence[str] | str) -> Row:
        if isinstance(cells, str):
            return Row(line, wrong=cells)
        width = len(self.header)
        if len(cells) < width or any(cell.strip() for cell in cells[width:]):
            return Row(line, wrong=f"It has {len(cells)} columns, the header has {width}; is a quote missing?")
        return Row(line, cells[:width])

    def _open(self) -> TextIO:
        return self._file.open(encoding=self._encoding, newline="")

    def _parsed(self, lines: TextIO) -> Iterator[tuple[int, list[str] | str]]:
        """Each row that is not empty, with the line it begins at; or what is wrong with its quotes."""
        lines.seek(0)
        reader = csv.reader(lines, delimiter=self._delimiter or ",", strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if str(error).startswith(NEVER_CLOSED):
                    raise UnreadableFile(
                        f'Line {line}: a quote (") opens there and is never closed, or a cell is far too long.'
                    ) from None
                yield line, 'A quote (") in the middle of a cell: put the cell into quotes, and each in it twice.'
                continue
            if any(cell.strip() for cell in cells):
                yield line, cells


def _encoding_of(file: Path, given: str | None) -> str:
    with file.open("rb") as opened:
        start = opened.read(4)
    found = next((encoding for bom, encoding in BOMS.items() if start.startswith(bom)), None)
    if found or not given:
        return found or "utf-8"
    try:
        return codecs.lookup(given).name
    except LookupError:
        raise UnreadableFile(f"--encoding {given!r} is none that is known: utf-8, cp1251 or koi8-r, say.") from None


def _refuse_other_encodings(file: Path, encoding: str) -> None:
    """Raise `UnreadableFile`, with the line, for the first byte that is none of *encoding*."""
    with file.open("rb") as opened:
        try:
            _decode(opened, encoding)
        except (UnicodeError, ValueError, LookupError):
            line = _line_of_trouble(file, encoding)
            raise UnreadableFile(
                f"Line {line} is not {encoding.removesuffix('-sig').upper()}: "
                "say how the file is written, such as --encoding cp1251 for Windows' Cyrillic."
            ) from None


def _decode(opened: BinaryIO, encoding: str) -> None:
    decoder = codecs.getincrementaldecoder(encoding)()
    while some := opened.read(AT_ONCE):
        decoder.decode(some)
    decoder.decode(b"", final=True)


def _line_of_trouble(file: Path, encoding: str) -> int:
    with file.open(encoding=encoding, errors="replace", newline="") as lines:
        return next((number for number, line in enumerate(lines, 1) if "\ufffd" in line), 1)


def _delimiter(given: str | None) -> str | None:
    delimiter = NAMED_DELIMITERS.get(given or "", given)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n '):
        raise UnreadableFile(f"--delimiter {given!r} is none: give one character, or tab.")
    return delimiter


def _sniffed(lines: TextIO) -> str:
    """The most frequent one outside the quotes of the header; a header of one column has none, and any does."""
    header = next((line for line in lines if line.strip()), "")
    bare = "".join(header.split('"')[::2])
    counts = Counter({delimiter: bare.count(delimiter) for delimiter in DELIMITERS})
    return max(DELIMITERS, key=counts.__getitem__)
