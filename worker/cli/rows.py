"""How rows are written for programs and spreadsheets: one way for all commands."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import typer

from worker.campaigns.written import csv_writer, harmless
from worker.cli.given import WrongInput
from worker.cli.shown import visible

ForPrograms = Annotated[bool, typer.Option("--json", help="One JSON object on each line, instants in UTC.")]
ForSpreadsheets = Annotated[bool, typer.Option("--csv", help="CSV with a line of names, instants in UTC.")]

Write = Callable[[Mapping[str, Any]], None]


def writer(columns: Sequence[str], *, as_json: bool, as_csv: bool) -> Write | None:
    """What writes a row of these *columns* to standard output; None if it is for people. Raises `WrongInput`."""
    if as_json and as_csv:
        raise WrongInput("Choose one of --json and --csv.")
    if as_json:
        return lambda row: typer.echo(json_line(row))
    return _csv(columns) if as_csv else None


def json_line(known: Any) -> str:
    r"""JSON on one line that no terminal obeys, whoever wrote the words in it.

    >>> json_line({"day": date(2026, 11, 30), "key": "ў\x1b[2J\u202e"})
    '{"day": "2026-11-30", "key": "ў\\u001b[2J\\u202e"}'
    """
    written = json.dumps(known, ensure_ascii=False, default=_plain)
    # What is not printable stands within a text, where an escape says the same.
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in written)


def _csv(columns: Sequence[str]) -> Write:
    write = csv_writer(sys.stdout).writerow
    write(columns)
    return lambda row: write([_cell(row.get(name)) for name in columns])


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list | tuple):
        value = json_line(value)
    if isinstance(value, date):
        value = value.isoformat()
    return harmless(visible(value)) if isinstance(value, str) else value


def _plain(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not for JSON")
