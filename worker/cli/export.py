"""``sms export``: messages as CSV or JSON lines, however many they are."""

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from models.lifecycle import MessageState
from worker.campaigns.written import Unwritable, csv_writer, harmless, refuse_to_replace, whole
from worker.cli.chosen import LARGEST_ID, BatchId, OfLane, Producer
from worker.cli.given import WrongInput, moment, words
from worker.cli.person import a_person
from worker.cli.shown import masked
from worker.errors import OrderRefused
from worker.phone import normalised
from worker.settings import load_settings
from worker.store.exports import Wanted, exported

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


States = Annotated[list[MessageState] | None, typer.Option("--state", help="Only in this state; may be repeated.")]
KeyPrefix = Annotated[str | None, typer.Option(help="Only whose key begins so: a campaign's name and a colon, say.")]
Phone = Annotated[str | None, typer.Option(help="Only to this number.")]
Nickname = Annotated[str | None, typer.Option(help="Only from this sender name.")]
RequestId = Annotated[str | None, typer.Option(help="Only of this request of the gateway's.")]
Since = Annotated[
    str | None, typer.Option(help="Only ordered at this ISO time or later; without an offset, in SMS_GATEWAY_TIMEZONE.")
]
Until = Annotated[str | None, typer.Option(help="Only ordered before this ISO time; see --since.")]
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
    key_prefix: KeyPrefix = None,
    phone: Phone = None,
    nickname: Nickname = None,
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
    """Write messages to a file or standard output, in the order in which they were stored; instants are UTC."""
    settings = load_settings()
    wanted = Wanted(
        states=states or (),
        lane=lane,
        producer=words(producer, "--producer"),
        key_prefix=words(key_prefix, "--key-prefix"),
        phone=_number(phone, settings.countries),
        nickname=words(nickname, "--nickname"),
        batch_id=batch,
        request_id=words(request_id, "--request-id"),
        **_times(settings.zone, since, until),
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


def _number(written: str | None, countries: Iterable[str]) -> str | None:
    try:
        return normalised(written, tuple(countries)) if words(written, "--phone") else None
    except OrderRefused as refused:
        raise WrongInput(f"--{refused.explanation}") from None


def _times(zone: ZoneInfo, since: str | None, until: str | None) -> dict[str, datetime | None]:
    times = {"since": moment(since, "--since", zone), "until": moment(until, "--until", zone)}
    if times["since"] and times["until"] and times["since"] >= times["until"]:
        raise WrongInput("--since is not before --until, so that no message can lie between them: exchange them.")
    return times


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
    return _each(rows, lambda row: write([harmless(_json(cell) if isinstance(cell, dict) else cell) for cell in row]))


def _as_jsonl(rows: Iterable[list[Any]], columns: tuple[str, ...], out: IO[str]) -> int:
    return _each(rows, lambda row: out.write(_json(dict(zip(columns, row, strict=True))) + "\n"))


def _each(rows: Iterable[list[Any]], write: Callable[[list[Any]], object]) -> int:
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007 - how many there were
        write(row)
    return count


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
