"""``sms export``: messages as CSV or JSON lines, however many they are."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from worker.campaigns.written import Unwritable, csv_writer, harmless, refuse_to_replace, whole
from worker.cli.chosen import LARGEST_ID, BatchId, OfLane, Producer
from worker.cli.person import a_person
from worker.cli.rows import json_line
from worker.cli.shown import masked, visible
from worker.cli.wanted import Key, KeyPrefix, Nickname, Phone, RequestId, Since, States, Uid, Until, wanted_of
from worker.settings import load_settings
from worker.store.exports import exported

PHONES = ("phone", "ordered_phone")
COLUMNS = (
    *("id", "uid", "producer", "key", "lane", "phone", "ordered_phone", "operator", "nickname", "state", "reason"),
    *("error_no", "gateway_status", "request_id", "message_id", "batch_id", "parts", "encoding", "billed_parts"),
    *("attempts", "resends", "created_at", "send_at", "expires_at", "posted_at", "submitted_at", "delivered_at"),
    "finalized_at",
)
REVEALED = ("text", "ordered_text", "tags")  # behind the others, if they are asked for


class Format(StrEnum):
    """How it is written."""

    CSV = "csv"
    JSONL = "jsonl"


Limit = Annotated[int | None, typer.Option(min=1, max=LARGEST_ID, help="At most so many, the oldest first.")]
AsFormat = Annotated[Format, typer.Option("--format", help="csv or jsonl: one JSON object on each line.")]
ForPrograms = Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")]
Output = Annotated[Path | None, typer.Option(help="The file to write; standard output if not given.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Whole phones, and the texts and tags.")]


def export(
    *,
    states: States = None,
    lane: OfLane = None,
    producer: Producer = None,
    key: Key = None,
    key_prefix: KeyPrefix = None,
    phone: Phone = None,
    nickname: Nickname = None,
    uid: Uid = None,
    since: Since = None,
    until: Until = None,
    batch: BatchId = None,
    request_id: RequestId = None,
    limit: Limit = None,
    written: AsFormat = Format.CSV,
    for_programs: ForPrograms = False,
    output: Output = None,
    reveal: Reveal = False,
) -> None:
    """Write messages to a file or standard output, in the order in which they were stored; instants are UTC.

    Exit code 0: done, even if there is none. 2: wrong input or settings, an unreachable database, a file or standard
    output that cannot be written.
    """
    settings = load_settings()
    named = {"producer": producer, "key": key, "key_prefix": key_prefix, "nickname": nickname, "uid": uid}
    times = {"since": since, "until": until}
    wanted = wanted_of(
        settings, states=states, lane=lane, batch=batch, phone=phone, request_id=request_id, **times, **named
    )
    if output is not None:
        ours = (COLUMNS, (*COLUMNS, *REVEALED))
        refuse_to_replace(output, "--output", columns=ours, database_url=settings.database_url)
    with a_person() as person, _opened(output) as out:
        columns = (*COLUMNS, *(REVEALED if reveal else ()))
        rows = _shown(exported(person.sessions, wanted, columns), columns, reveal=reveal)
        write = _as_jsonl if for_programs or written == Format.JSONL else _as_csv
        count = write(islice(rows, limit), columns, out)
    typer.echo(f"{count:,} message{'s' * (count != 1)}" + (f" in {output}" if output else ""), err=True)


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[str]]:
    if output is not None:
        with whole(output) as file:
            yield file
        return
    out = typer.get_text_stream("stdout")
    try:
        yield out
        out.flush()
    except OSError as error:
        if error.errno == errno.EPIPE:  # whoever read has enough of it
            raise
        with Path(os.devnull).open("wb") as nowhere:  # or what is still buffered fails once more when Python ends
            os.dup2(nowhere.fileno(), out.fileno())
        raise Unwritable(f"Standard output cannot be written: {error.strerror}.") from None


def _shown(rows: Iterable[tuple[Any, ...]], columns: tuple[str, ...], *, reveal: bool) -> Iterator[list[Any]]:
    hidden = () if reveal else tuple(columns.index(name) for name in PHONES)
    for row in rows:
        cells = [cell.isoformat() if isinstance(cell, datetime) else cell for cell in row]
        for place in hidden:
            cells[place] = cells[place] and masked(cells[place])
        yield cells


def _as_csv(rows: Iterable[list[Any]], columns: tuple[str, ...], out: IO[str]) -> int:
    write = csv_writer(out).writerow
    write(columns)
    to_terminal = out.isatty()
    return _each(rows, lambda row: write([_cell(cell, to_terminal=to_terminal) for cell in row]))


def _cell(value: Any, *, to_terminal: bool) -> object:
    if isinstance(value, dict):
        value = _json(value)
    # A file holds the text as it was ordered; a terminal would obey it.
    return harmless(visible(value) if to_terminal and isinstance(value, str) else value)


def _as_jsonl(rows: Iterable[list[Any]], columns: tuple[str, ...], out: IO[str]) -> int:
    return _each(rows, lambda row: out.write(_json(dict(zip(columns, row, strict=True))) + "\n"))


def _each(rows: Iterable[list[Any]], write: Callable[[list[Any]], object]) -> int:
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007 - how many there were
        write(row)
    return count


def _json(value: Any) -> str:
    return json_line(value)
