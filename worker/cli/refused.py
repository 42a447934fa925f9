"""``sms refused``: orders that could not be accepted, why, and what to do."""

import shlex
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from models.lifecycle import Lane
from worker.cli.chosen import LARGEST_ID, OfLane, Producer
from worker.cli.given import WrongInput, said, span, words
from worker.cli.listing import FOR_PEOPLE, Before, Limit
from worker.cli.person import a_person
from worker.cli.rows import ForPrograms, ForSpreadsheets, Write, writer
from worker.cli.shown import visible
from worker.cli.wanted import Key
from worker.settings import load_settings
from worker.store.engine import reading
from worker.store.refused import MOST_COUNTED, Chosen, Listed, count
from worker.store.refused import listed as of_store

Id = Annotated[
    int | None, typer.Argument(metavar="[ID]", min=1, max=LARGEST_ID, help="This one alone, with all that is known.")
]
Uid = Annotated[str | None, typer.Option(help="Only of this uid, each with all that is known.")]
Reason = Annotated[str | None, typer.Option(help="Only those refused for this reason: phone_invalid, say.")]
Queue = Annotated[str | None, typer.Option(help="Only those that came by this queue.")]
Since = Annotated[
    str | None, typer.Option(help="Only refused at this ISO time or later; without an offset, in SMS_GATEWAY_TIMEZONE.")
]
Until = Annotated[str | None, typer.Option(help="Only refused before this ISO time; see --since.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="The orders as they came, with whole phones and texts.")]


def refused(
    ctx: typer.Context,
    id_: Id = None,
    *,
    producer: Producer = None,
    reason: Reason = None,
    lane: OfLane = None,
    queue: Queue = None,
    key: Key = None,
    uid: Uid = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = FOR_PEOPLE,
    before: Before = None,
    json: ForPrograms = False,
    csv: ForSpreadsheets = False,
    reveal: Reveal = False,
) -> None:
    """List the orders that could not be accepted, the last one first: why, what is allowed, and what to do.

    They are kept as they came, and nothing was sent. An order as it came may hold phones and texts: --reveal shows it.

    Exit code 0: shown, even if there is none. 2: there is no such ID, wrong input or settings, an unreachable database.
    """
    settings = load_settings()
    named = {"producer": producer, "reason": reason, "key": key, "uid": uid, "queue": _queue(lane, queue)}
    chosen = _chosen(id_, since, until, settings.zone, named)
    write = writer(columns_of(reveal=reveal), as_json=json, as_csv=csv)
    with a_person() as person, reading(person.sessions) as session:
        total = count(session, chosen)
        found = of_store(session, chosen, before_id=before, limit=limit + 1)
    if id_ is not None and not found:
        raise WrongInput(f"There is no refused order {id_}{_narrowed(chosen)}: correct it, or look with sms refused.")
    if write:
        _write(found[:limit], write, reveal=reveal)
    else:
        shape = partial(as_line if id_ is None and uid is None else as_lines, zone=settings.zone, reveal=reveal)
        typer.echo("\n".join([*_counted(total, id_), *map(shape, found[:limit])]))
    if len(found) > limit:
        typer.echo(_go_on(ctx, found[limit - 1]), err=write is not None)


def _chosen(
    id_: int | None, since: str | None, until: str | None, zone: ZoneInfo, named: Mapping[str, str | None]
) -> Chosen:
    first, end = span(since, until, zone)
    wanted = {name: words(written, f"--{name}") for name, written in named.items()}
    return Chosen(id=id_, since=first, until=end, **wanted)


def _write(found: Iterable[Listed], write: Write, *, reveal: bool) -> None:
    for one in found:
        write(known(one, reveal=reveal))


def columns_of(*, reveal: bool) -> list[str]:
    """The names of what is known of a refused order; its body only if it is to be revealed."""
    return [name for name in Listed._fields if reveal or name != "body"]


def known(one: Listed, *, reveal: bool) -> dict[str, Any]:
    """The same, with what they name."""
    return {name: getattr(one, name) for name in columns_of(reveal=reveal)}


def as_line(one: Listed, zone: ZoneInfo, *, reveal: bool) -> str:
    """A refused order for people, and below it what to do; its time in *zone*."""
    names = [f"{name} {visible(word)}" for name in ("producer", "key", "uid") if (word := getattr(one, name))]
    head = f"{one.id}  {_local(one.created_at, zone)}  {visible(one.queue)}  {visible(one.reason)}"
    body = f"\n  body: {visible(one.body)}" if reveal else ""
    return f"{head}  {', '.join(names) or 'nobody knows whose'}\n  {visible(one.explanation)}{body}"


def as_lines(one: Listed, zone: ZoneInfo, *, reveal: bool) -> str:
    """All that is known of it, a line for each."""
    hidden = f"{len(one.body):,} characters; --reveal shows them, phones and texts too"
    facts = one._asdict() | {"created_at": _local(one.created_at, zone), "body": one.body if reveal else hidden}
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {'-' if fact is None else visible(str(fact))}" for name, fact in facts.items())


def _queue(lane: Lane | None, queue: str | None) -> str | None:
    if lane and queue:
        raise WrongInput("Choose one of --lane and --queue.")
    return f"sms.{lane}" if lane else queue


def _narrowed(chosen: Chosen) -> str:
    return "" if chosen == Chosen(id=chosen.id) else " that meets all of this"


def _counted(total: int, id_: int | None) -> list[str]:
    if id_ is not None:
        return []
    if not total:
        return ["No refused order meets all of this."]
    return [f"Refused orders: {f'more than {MOST_COUNTED:,}' if total > MOST_COUNTED else f'{total:,}'}."]


def _go_on(ctx: typer.Context, last: Listed) -> str:
    return f"More: {shlex.join(['sms', 'refused', *said(ctx), '--before', str(last.id)])}"


def _local(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(sep=" ", timespec="seconds")
