"""``sms blocked``: who stands on the do-not-send list."""

from datetime import datetime
from itertools import islice
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from worker.cli.chosen import LARGEST_ID, OfLane
from worker.cli.given import moment
from worker.cli.person import a_person
from worker.cli.rows import ForPrograms, ForSpreadsheets, writer
from worker.cli.shown import masked, visible
from worker.cli.wanted import number
from worker.settings import load_settings
from worker.store import blocks
from worker.store.blocks import Chosen, Listed
from worker.store.engine import reading

FOR_PEOPLE = 20  # lines: a screen of them

Phone = Annotated[str | None, typer.Option(help="Only this number, as people write it.")]
Since = Annotated[
    str | None,
    typer.Option(help="Only those put there at this ISO time or later; without an offset, in SMS_GATEWAY_TIMEZONE."),
]
LiftedToo = Annotated[bool, typer.Option("--all", help="Those that were lifted, too.")]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1, max=LARGEST_ID, help=f"Show at most so many ({FOR_PEOPLE} if not given; with --json and --csv all)."
    ),
]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show whole phones.")]


def blocked(
    *,
    phone: Phone = None,
    lane: OfLane = None,
    since: Since = None,
    lifted_too: LiftedToo = False,
    limit: Limit = None,
    json: ForPrograms = False,
    csv: ForSpreadsheets = False,
    reveal: Reveal = False,
) -> None:
    """Show the do-not-send list, what was put there last at first: which number gets nothing by which lane, and why.

    Exit code 0: shown. 2: wrong input or settings, an unreachable database.
    """
    settings = load_settings()
    write = writer(Listed._fields, as_json=json, as_csv=csv)
    chosen = Chosen(number(phone, settings.countries), lane, moment(since, "--since", settings.zone), lifted_too)
    with a_person() as person:
        with reading(person.sessions) as session:
            total = blocks.count(session, chosen)
        nobody = "Nobody is blocked." if chosen == Chosen() else "No block meets all of this."
        typer.echo(f"Blocks: {total}." if total else nobody, err=write is not None)
        shown = 0
        for one in islice(person.blocked(chosen), limit if write else limit or FOR_PEOPLE):
            if write:
                write(_known(one, reveal=reveal))
            else:
                typer.echo(_as_line(one, zone=settings.zone, reveal=reveal))
            shown += 1
    if total > shown:
        typer.echo(
            f"Not shown: {total - shown} more. --limit {total} shows them all, filters narrow them.",
            err=write is not None,
        )


def _as_line(one: Listed, *, zone: ZoneInfo, reveal: bool) -> str:
    lifted = one.lifted_at and f"; lifted {_local(one.lifted_at, zone)} by {visible(one.lifted_by or '')}"
    why = f": {visible(one.reason)}" if one.reason else ""
    since = f"since {_local(one.at, zone)} by {visible(one.who)}"
    return f"{one.phone if reveal else masked(one.phone)}  {one.lane:6}  {since}{why}{lifted or ''}"


def _known(one: Listed, *, reveal: bool) -> dict[str, Any]:
    return one._asdict() | {"phone": one.phone if reveal else masked(one.phone)}


def _local(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(timespec="seconds")
