"""``sms blocked``: who stands on the do-not-send list."""

import json as as_json
from datetime import datetime
from itertools import islice
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from worker.cli.chosen import LARGEST_ID, OfLane
from worker.cli.given import WrongInput, moment
from worker.cli.person import a_person
from worker.cli.shown import masked, visible
from worker.errors import OrderRefused
from worker.phone import normalised
from worker.settings import Settings, load_settings
from worker.store import blocks
from worker.store.blocks import Chosen, Listed
from worker.store.engine import reading

FOR_PEOPLE = 20  # lines: a screen of them


def blocked(
    *,
    phone: Annotated[str | None, typer.Option(help="Only this number, as people write it.")] = None,
    lane: OfLane = None,
    since: Annotated[
        str | None,
        typer.Option(
            help="Only those put there at this ISO time or later; without an offset, in SMS_GATEWAY_TIMEZONE."
        ),
    ] = None,
    lifted_too: Annotated[bool, typer.Option("--all", help="Those that were lifted, too.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=LARGEST_ID, help=f"Show at most so many ({FOR_PEOPLE} if not given; with --json all)."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on each line, instants in UTC.")] = False,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show whole phones.")] = False,
) -> None:
    """Show the do-not-send list, what was put there last at first: which number gets nothing by which lane, and why."""
    settings = load_settings()
    chosen = Chosen(_phone(phone, settings), lane, moment(since, "--since", settings.zone), lifted_too)
    with a_person() as person:
        with reading(person.sessions) as session:
            total = blocks.count(session, chosen)
        nobody = "Nobody is blocked." if chosen == Chosen() else "No block meets all of this."
        typer.echo(f"Blocks: {total}." if total else nobody, err=json)
        shown = 0
        for one in islice(person.blocked(chosen), limit if json else limit or FOR_PEOPLE):
            typer.echo(_as_json(one, reveal=reveal) if json else _as_line(one, zone=settings.zone, reveal=reveal))
            shown += 1
    if total > shown:
        typer.echo(f"Not shown: {total - shown} more. --limit {total} shows them all, filters narrow them.", err=json)


def _phone(written: str | None, settings: Settings) -> str | None:
    try:
        return None if written is None else normalised(written, settings.countries)
    except OrderRefused as refused:
        raise WrongInput(f"--{refused.explanation}") from None


def _as_line(one: Listed, *, zone: ZoneInfo, reveal: bool) -> str:
    lifted = one.lifted_at and f"; lifted {_local(one.lifted_at, zone)} by {visible(one.lifted_by or '')}"
    why = f": {visible(one.reason)}" if one.reason else ""
    since = f"since {_local(one.at, zone)} by {visible(one.who)}"
    return f"{one.phone if reveal else masked(one.phone)}  {one.lane:6}  {since}{why}{lifted or ''}"


def _as_json(one: Listed, *, reveal: bool) -> str:
    known = one._asdict() | {"phone": one.phone if reveal else masked(one.phone)}
    return as_json.dumps(known, ensure_ascii=False, default=datetime.isoformat)


def _local(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(timespec="seconds")
