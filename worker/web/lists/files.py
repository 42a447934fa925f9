"""A list as a file: all rows that its filters mean, newest first, however many."""

import csv
import json
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from worker.campaigns.written import harmless
from worker.store.engine import reading
from worker.web.lists.cells import plain, value_of
from worker.web.lists.sheets import Asked, Column, Kind, Sheet

AT_ONCE = 500  # rows: a short transaction each

Values = list[Any]


def columns_of(sheet: Sheet, *, reveal: bool) -> list[Column]:
    """What stands in the file: without what its reader may not see."""
    return [column for column in sheet.columns if reveal or column.kind != Kind.SECRET]


def as_csv(rows: Iterator[Values], columns: list[Column]) -> Iterator[str]:
    """Lines with the columns' names first. No cell is a formula for a spreadsheet."""
    yield _line([column.name for column in columns])
    for row in rows:
        yield _line([harmless(cell) for cell in row])


def as_jsonl(rows: Iterator[Values], columns: list[Column]) -> Iterator[str]:
    """A JSON object on each line."""
    names = [column.name for column in columns]
    for row in rows:
        yield json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n"


WRITERS: dict[str, tuple[str, Callable[[Iterator[Values], list[Column]], Iterator[str]]]] = {
    "csv": ("text/csv", as_csv),
    "jsonl": ("application/x-ndjson", as_jsonl),
}


def rows_of(sessions: sessionmaker[Session], sheet: Sheet, asked: Asked, *, reveal: bool) -> Iterator[Values]:
    """Every row that is meant and was there when it began."""
    columns = columns_of(sheet, reveal=reveal)
    before: int | None = None
    while True:
        with reading(sessions) as session:
            found = sheet.source.page(session, asked, before=before, after=None, limit=AT_ONCE)
        yield from ([plain(value_of(row, column, reveal=reveal)) for column in columns] for row in found.rows)
        if found.older is None:
            return
        before = found.older


def _line(cells: Values) -> str:
    out = StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
