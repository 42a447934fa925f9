"""``sms callbacks``: what producers could not be told, or not yet; looking at it, and telling them again."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from models.lifecycle import CallbackState
from worker import callbacks as room
from worker.cli.chosen import LARGEST_ID, MOST_NAMED
from worker.cli.given import WrongInput, moment, words
from worker.cli.person import Who, a_person
from worker.cli.rows import ForPrograms, ForSpreadsheets, writer
from worker.cli.shown import masked, visible
from worker.people import Person
from worker.receivers import receiver_of
from worker.settings import load_settings
from worker.store import callbacks as store
from worker.store.callbacks import Chosen, Listed
from worker.store.engine import reading

FOR_PEOPLE = 20  # callbacks: some screens of them
MOST_IDS = 1_000
OF_EVENT = ("event_id", "producer", "uid", "key", "phone")
NOT_TOLD = (CallbackState.FAILED, CallbackState.OWED)
EXIT_CODES = """

Exit code 0: done, or there was nothing to do.

1: not everything was done. You said no, or some callbacks had not failed, or not any more.

2: wrong input or settings, an id that does not exist, an unreachable database. Nothing was changed."""

State = Annotated[str | None, typer.Option(help="Only those that are owed, or that failed.")]
Producer = Annotated[str | None, typer.Option(help="Only this producer's.")]
Receiver = Annotated[
    str | None, typer.Option(help="Only for this receiver: a host, with its port if it has one, or a queue.")
]
Since = Annotated[
    str | None,
    typer.Option(help="Only what came to be owed at this ISO time or later; without an offset, in the gateway's zone."),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1, max=LARGEST_ID, help=f"Show at most so many ({FOR_PEOPLE} if not given; with --json and --csv all)."
    ),
]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show whole phones, and whole addresses.")]

callbacks = typer.Typer(invoke_without_command=True, add_completion=False)


@callbacks.callback()
def look(
    ctx: typer.Context,
    *,
    state: State = None,
    producer: Producer = None,
    receiver: Receiver = None,
    since: Since = None,
    limit: Limit = None,
    json: ForPrograms = False,
    csv: ForSpreadsheets = False,
    reveal: Reveal = False,
) -> None:
    """List the callbacks that failed, and those that are still owed.

    A callback fails when its producer could not be told for a day. Nothing is lost by it: mend the receiver, and
    have it told with sms callbacks retry.

    Exit code 0: shown. 2: wrong input or settings, an unreachable database.
    """
    if ctx.invoked_subcommand:
        _refuse_what_would_be_ignored(ctx)
        return
    zone = load_settings().zone
    chosen = _choose(zone, state, producer, since)
    write = writer(_columns(reveal=reveal), as_json=json, as_csv=csv)
    for_people, most = write is None, limit or (None if write else FOR_PEOPLE)
    with a_person() as person:
        found = _found(person, chosen, receiver)
        counts = Counter(one.state for one in _found(person, chosen, receiver))
        typer.echo(_counted(counts), err=not for_people)
        if receiver and not counts:
            typer.echo(_nothing_for(receiver, _found(person, chosen, None)), err=True)
        for one in islice(found, most):
            if write:
                write(_known(one, reveal=reveal))
            else:
                typer.echo(_as_lines(one, zone=zone, reveal=reveal))
    _say_what_is_not_shown(counts, most, err=not for_people)


@callbacks.command(help="Tell producers what they could not be told, for another day." + EXIT_CODES)
def retry(
    ids: Annotated[list[int] | None, typer.Argument(metavar="ID", min=1, max=LARGEST_ID, help="These.")] = None,
    *,
    producer: Producer = None,
    receiver: Receiver = None,
    since: Since = None,
    everything: Annotated[bool, typer.Option("--all", help="Needed where no id and no filter is given.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and change nothing.")] = False,
    who: Who = None,
) -> None:
    """Owe again what failed."""
    chosen = _choose(load_settings().zone, CallbackState.FAILED, producer, since, tuple(dict.fromkeys(ids or ())))
    if chosen == Chosen(state=CallbackState.FAILED) and not receiver and not everything:
        raise WrongInput("retry what? Name ids or a filter such as --receiver, or say --all. Nothing was changed.")
    with a_person(who) as person:
        others = _not_failed(person, chosen.ids)
        found = list(_found(person, chosen, receiver))
        _explain(found)
        if dry_run:
            typer.echo("Nothing was changed: this was a dry run.")
            return
        if found and not yes and not typer.confirm(f"Tell {len(found)} again?"):
            typer.echo("Nothing was changed.")
            raise typer.Exit(1)
        retried = room.retry(person.sessions, [one.id for one in found], now=person.now, who=person.who)
    if found:
        typer.echo(f"{retried} owed again, as {visible(person.who)} decided.")
    if others or retried < len(found):
        raise typer.Exit(1)


def _choose(
    zone: ZoneInfo, state: str | None, producer: str | None, since: str | None, ids: Sequence[int] = ()
) -> Chosen:
    if state is not None and state not in NOT_TOLD:
        raise WrongInput(f"--state {state!r} is none to choose: give owed or failed.")
    if len(ids) > MOST_IDS:
        raise WrongInput(f"{len(ids)} ids are too many: give at most {MOST_IDS}, or a filter like --receiver.")
    at: datetime | None = moment(since, "--since", zone)
    return Chosen(ids, CallbackState(state) if state else None, words(producer, "--producer"), at)


def _found(person: Person, chosen: Chosen, receiver: str | None) -> Iterator[Listed]:
    wanted = words(receiver, "--receiver")
    every = store.listed(partial(reading, person.sessions), chosen)
    return (one for one in every if wanted is None or wanted in _names_of(receiver_of(one.target)))


def _nothing_for(receiver: str, others: Iterator[Listed]) -> str:
    there = Counter(receiver_of(one.target) for one in others).most_common(MOST_NAMED)
    instead = f" Others have: {', '.join(visible(name) for name, _ in there)}." if there else ""
    return f"The receiver {visible(receiver)} has none of these.{instead}"


def _names_of(receiver: str) -> set[str]:
    """As it is shown, and without what stands before the colon.

    >>> sorted(_names_of("queue:shop")), sorted(_names_of("https://shop.example:8443"))
    (['queue:shop', 'shop'], ['https://shop.example:8443', 'shop.example:8443'])
    """
    return {receiver, receiver.partition(":")[2].removeprefix("//")}


def _not_failed(person: Person, ids: Sequence[int]) -> int:
    """Say which of *ids* did not fail, and return how many. Raises `WrongInput` for those that nobody ever had."""
    with reading(person.sessions) as session:
        states = store.states_of(session, ids) if ids else {}
    if missing := [str(one) for one in ids if one not in states]:
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        these = ("is no callback", "id") if len(missing) == 1 else ("are no callbacks", "ids")
        some = ", ".join(missing[:MOST_NAMED])
        raise WrongInput(f"There {these[0]} {some}{more}: correct the {these[1]} and try again.")
    others = {one: state for one, state in states.items() if state != CallbackState.FAILED}
    for one, state in sorted(others.items()):
        typer.echo(f"{one} is {state}, not failed.", err=True)
    return len(others)


def _explain(found: Sequence[Listed]) -> None:
    if not found:
        typer.echo("No failed callback meets all of this.")
        return
    receivers = Counter(receiver_of(one.target) for one in found).most_common(MOST_NAMED)
    named = ", ".join(f"{visible(receiver)} {count}" for receiver, count in receivers)
    typer.echo(f"To tell again: {len(found)}; by receiver: {named}.")


def _columns(*, reveal: bool) -> list[str]:
    hidden = {"event"} if reveal else {"event", "target"}
    return [*(name for name in Listed._fields if name not in hidden), *OF_EVENT, "told", "receiver"]


def _known(one: Listed, *, reveal: bool) -> dict[str, Any]:
    """One of them for programs."""
    event = {name: one.event.get(name) for name in OF_EVENT}
    known = one._asdict() | event | {"told": one.event.get("state"), "receiver": receiver_of(one.target)}
    if not reveal:
        del known["target"]
        known["phone"] = event["phone"] and masked(str(event["phone"]))
    del known["event"]
    return known


def _as_lines(one: Listed, *, zone: ZoneInfo, reveal: bool) -> str:
    """The same for people; its times in *zone*."""
    event = {name: visible(str(value)) for name, value in one.event.items() if value is not None}
    phone = event.get("phone", "") if reveal else masked(event.get("phone", ""))
    of = ", ".join(f"{name} {event[name]}" for name in ("producer", "key") if name in event)
    receiver = receiver_of(one.target) if not reveal else one.target.get("url") or receiver_of(one.target)
    lines = [
        f"{one.id}  {one.state}  {event.get('state')} of {event.get('uid', 'no uid')}  {phone}  {of}",
        f"to {visible(receiver)}: {visible(one.reason or 'not tried yet')}, attempts {one.attempts}",
        f"owed since {_local(one.created_at, zone)}" + _and_then(one, zone),
    ]
    return "\n  ".join(lines)


def _and_then(one: Listed, zone: ZoneInfo) -> str:
    ends = f", given up {_local(one.finished_at, zone)}" if one.finished_at else ""
    next_try = f", next try {_local(one.next_try_at, zone)}" if one.next_try_at else ""
    retried = f", retried {_local(one.retried_at, zone)} by {visible(str(one.retried_by))}" if one.retried_at else ""
    return retried + ends + next_try


def _local(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(timespec="seconds")


def _counted(counts: Counter[str]) -> str:
    return "; ".join(f"{state.capitalize()}: {counts[state]}" for state in NOT_TOLD) + "."


def _say_what_is_not_shown(counts: Counter[str], limit: int | None, *, err: bool) -> None:
    hidden = counts.total() - (limit or counts.total())
    if hidden > 0:
        more = f"Not shown: {hidden} more. --limit {counts.total()} shows them all, filters narrow them."
        typer.echo(more, err=err)
    if counts[CallbackState.FAILED] and not err:
        typer.echo("To tell the failed ones again: sms callbacks retry, with ids or the same filters.")


def _refuse_what_would_be_ignored(ctx: typer.Context) -> None:
    if any(ctx.params.values()):
        raise WrongInput(f"Filters stand behind the command: sms callbacks {ctx.invoked_subcommand} …")
