"""``sms list``: messages, newest first, a page at a time."""

import shlex
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from sqlalchemy.orm import Session, sessionmaker

from models.lifecycle import MessageState
from worker.cli.chosen import LARGEST_ID, BatchId, OfLane, Producer
from worker.cli.given import said
from worker.cli.person import a_person
from worker.cli.rows import ForPrograms, ForSpreadsheets, Write, writer
from worker.cli.shown import masked, visible
from worker.cli.wanted import Key, KeyPrefix, Nickname, Phone, RequestId, Since, States, Uid, Until, wanted_of
from worker.settings import load_settings
from worker.store.engine import reading
from worker.store.listing import Listed, Page, Wanted, estimate, page

FOR_PEOPLE = 50  # messages: some screens of them
AT_ONCE = 500
MOST = 100_000
LOOKS = 3  # where no index helps: each looks at some hundred thousand
PHONES = ("phone", "ordered_phone")

Limit = Annotated[int, typer.Option(min=1, max=MOST, help="Show at most so many.")]
Before = Annotated[
    int | None, typer.Option(min=1, max=LARGEST_ID, metavar="ID", help="Only those before this id: the next page.")
]
Reveal = Annotated[bool, typer.Option("--reveal", help="Whole phones, and the texts.")]


def listing(
    ctx: typer.Context,
    *,
    states: States = None,
    lane: OfLane = None,
    phone: Phone = None,
    producer: Producer = None,
    key: Key = None,
    key_prefix: KeyPrefix = None,
    nickname: Nickname = None,
    uid: Uid = None,
    batch: BatchId = None,
    request_id: RequestId = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = FOR_PEOPLE,
    before: Before = None,
    json: ForPrograms = False,
    csv: ForSpreadsheets = False,
    reveal: Reveal = False,
) -> None:
    """List messages, newest first, filtered; the last line says how to go on.

    It answers at once, however many messages there are. Where a filter leads to few of many and no index helps, it
    shows what it found among the newest, and says from where to go on. Where more than 10,000 are of the time that is
    meant, those are missing whose worker's clock was wrong by more than 10 minutes. sms export writes all of them.

    Exit code 0: done, even if there is none. 2: wrong input or settings, an unreachable database.
    """
    settings = load_settings()
    named = {"phone": phone, "request_id": request_id, "producer": producer, "key": key, "key_prefix": key_prefix}
    others = {"nickname": nickname, "uid": uid, "since": since, "until": until}
    wanted = wanted_of(settings, states=states, lane=lane, batch=batch, **named, **others)
    write = writer(columns_of(reveal=reveal), as_json=json, as_csv=csv)
    found = _asked(wanted, before, limit, counts=write is None)
    _show(found, write, settings.zone, reveal=reveal)
    if found.next_before_id:
        typer.echo(_go_on(ctx, found, limit), err=write is not None)


def _asked(wanted: Wanted, before: int | None, limit: int, *, counts: bool) -> Page:
    with a_person() as person:
        if counts:
            typer.echo(_counted(person.sessions, wanted))
        return _found(person.sessions, wanted, before, limit)


def _show(found: Page, write: Write | None, zone: ZoneInfo, *, reveal: bool) -> None:
    for one in found:
        if write:
            write(known(one, reveal=reveal))
        else:
            typer.echo(as_line(one, zone=zone, reveal=reveal))


def columns_of(*, reveal: bool) -> list[str]:
    """The names of what is known of a message; its text only if it is to be revealed."""
    return [name for name in Listed._fields if reveal or name != "text"]


def known(one: Listed, *, reveal: bool) -> dict[str, Any]:
    """The same, with what they name."""
    row = one._asdict() | ({} if reveal else {name: _masked(getattr(one, name)) for name in PHONES})
    return {name: row[name] for name in columns_of(reveal=reveal)}


def as_line(one: Listed, *, zone: ZoneInfo, reveal: bool) -> str:
    """A message for people; its time in *zone*."""
    phone = one.phone if reveal else masked(one.phone)
    why = f" ({visible(one.reason)})" if one.reason else ""
    key = f", key {visible(one.key)}" if one.key is not None else ""
    line = f"{one.id}  {_local(one.created_at, zone)}  {one.lane:6}  {phone}  {one.state:11}  {visible(one.uid)}"
    text = f"\n  text: {visible(one.text)}" if reveal else ""
    later = is_planned(one) and f", not before {_local(one.send_at, zone)}"
    return f"{line}  {visible(one.producer)}{key}{why}{later or ''}{text}"


def is_planned(one: Listed) -> bool:
    """Whether it was ordered, or put off, for later, and still waits."""
    return one.state == MessageState.QUEUED and one.send_at > one.created_at


def _found(sessions: sessionmaker[Session], wanted: Wanted, before: int | None, limit: int) -> Page:
    made = Page()
    made.next_before_id = before
    for _ in range(limit // AT_ONCE + LOOKS):
        with reading(sessions) as session:
            some = page(session, wanted, before_id=made.next_before_id, limit=min(AT_ONCE, limit - len(made)))
        made += some
        made.next_before_id = some.next_before_id
        if len(made) >= limit or some.next_before_id is None:
            break
    return made


def _counted(sessions: sessionmaker[Session], wanted: Wanted) -> str:
    with reading(sessions) as session:
        count = estimate(session, wanted)
    if count.exact and not count.count:
        return "No message meets all of this."
    return f"Messages: {'' if count.exact else 'about '}{count.count:,}."


def _go_on(ctx: typer.Context, found: Page, limit: int) -> str:
    full = len(found) >= limit
    looked = f"Looked back to message {found.next_before_id}; older ones may be meant, too. Go on:"
    begins = "More:" if full else looked
    return f"{begins} {shlex.join(['sms', 'list', *said(ctx), '--before', str(found.next_before_id)])}"


def _masked(phone: str | None) -> str | None:
    return phone and masked(phone)


def _local(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(sep=" ", timespec="seconds")
