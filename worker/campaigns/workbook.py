"""Excel workbooks. Unlike CSV, a whole sheet lies in memory while it is read."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, WorksheetNotFound, load_workbook

from worker.campaigns.rows import Row, UnreadableFile, header_of

MAGIC = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  #: of xlsx (and of ods), and of the older xls


class Workbook:
    """One sheet of it, the first if none is named. Raises `UnreadableFile`."""

    def __init__(self, file: Path, *, sheet: str | None) -> None:
        self._sheet = _sheet(file, sheet)
        first = next(self._rows(), None)
        if first is None:
            raise UnreadableFile(f"The sheet {self._sheet.name!r} is empty: its first row has to name the columns.")
        self._header_line, cells = first
        self.header = header_of(cells)

    def __iter__(self) -> Iterator[Row]:
        """The rows behind the header."""
        return (Row(line, cells) for line, cells in self._rows() if line > self._header_line)

    def _rows(self) -> Iterator[tuple[int, Sequence[str]]]:
        for line, values in enumerate(self._sheet.iter_rows(), 1):
            cells = [_written(value) for value in values]
            if any(cell.strip() for cell in cells):
                yield line, cells


def _sheet(file: Path, name: str | None) -> CalamineSheet:
    book: CalamineWorkbook | None = None
    try:
        book = load_workbook(str(file))
        return book.get_sheet_by_name(book.sheet_names[0] if name is None else name)
    except WorksheetNotFound:
        names = ", ".join(map(repr, book.sheet_names)) if book else ""
        raise UnreadableFile(f"There is no sheet {name!r}. The sheets are: {names}.") from None
    except (CalamineError, IndexError) as error:
        raise UnreadableFile(f"Excel's format, but it cannot be read ({error}): save it anew, or as CSV.") from None


def _written(value: object) -> str:
    """A cell as a person would write it into an SMS: whole numbers without a fraction, days as in 30.11.2026.

    >>> _written(998901234567.0), _written(0.1 + 0.2), _written(date(2026, 11, 30)), _written(True)
    ('998901234567', '0.3', '30.11.2026', 'true')
    """
    match value:
        case bool():
            return str(value).lower()
        case float():
            return str(int(value)) if value.is_integer() else f"{value:.15g}"  # as many digits as Excel shows
        case datetime():
            return value.strftime("%d.%m.%Y %H:%M")
        case date():
            return value.strftime("%d.%m.%Y")
        case time():
            return value.strftime("%H:%M")
    return str(value)
