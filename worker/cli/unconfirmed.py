"""``sms unconfirmed``: what nobody knows to have been taken or not; looking at it, and deciding."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Annotated, Any, NamedTuple

import typer

from models.lifecycle import Lane, Verdict
from worker.cli.chosen import (
    LARGEST_ID,
    BatchId,
    Filters,
    OfLane,
    Producer,
    Reason,
    Since,
    Uids,
    Until,
    choose,
    hints,
    settled_of,
)
from worker.cli.given import WrongInput
from worker.cli.person import Who, a_person
from worker.cli.rows import ForPrograms, ForSpreadsheets, writer
from worker.cli.shown import as_lines, columns_of, counted, known
from worker.people import AT_ONCE, Person
from worker.settings import Settings, load_settings
from worker.store import doubts
from worker.store.doubts import InDoubt
from worker.store.engine import reading
from worker.store.unconfirmed import Chosen

FOR_PEOPLE = 20  # messages: some screens of them
JUST_AFTER = timedelta(microseconds=1)
EXIT_CODES = """

Exit code 0: done, or there was nothing to do.

1: not everything was done. You said no, or some messages were no longer unconfirmed.

2: wrong input or settings, a uid or batch that does not exist, an unreachable database. Nothing was changed."""
HELP = {
    Verdict.RESEND: "Let unconfirmed messages be posted again. They may arrive twice." + EXIT_CODES,
    Verdict.DROP: "Give unconfirmed messages up. They may have arrived all the same." + EXIT_CODES,
}
RISK = {
    Verdict.RESEND: "They are posted again. Those that the gateway took the first time ARRIVE TWICE.",
    Verdict.DROP: "They fail for good, and are never posted again. Those that the gateway took arrive all the same.",
}
DONE = {Verdict.RESEND: "queued to be posted again", Verdict.DROP: "dropped"}

Limit = Annotated[
    int | None,
    typer.Option(
        min=1, max=LARGEST_ID, help=f"Show at most so many ({FOR_PEOPLE} if not given; with --json and --csv all)."
    ),
]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show whole phones, and the texts.")]

unconfirmed = typer.Typer(invoke_without_command=True, add_completion=False)


@unconfirmed.callback()
def look(
    ctx: typer.Context,
    *,
    uids: Uids = None,
    batch: BatchId = None,
    lane: OfLane = None,
    producer: Producer = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = None,
    json: ForPrograms = False,
    csv: ForSpreadsheets = False,
    reveal: Reveal = False,
) -> None:
    """List the messages that may or may not have been taken by the gateway, with all that is known about them.

    Their post was cut off: nobody knows. They are never posted again until somebody decides, or their lane's policy.

    Everything that needs a person, these among it, also stands in the view v_attention of the database.

    Exit code 0: shown. 2: wrong input or settings, a uid or batch that does not exist, an unreachable database.
    """
    if ctx.invoked_subcommand:
        _refuse_what_would_be_ignored(ctx)
        return
    settings = load_settings()
    chosen = choose(settings.zone, uids or [], Filters(batch, lane, producer, reason, since, until))
    write = writer(columns_of(reveal=reveal), as_json=json, as_csv=csv)
    with a_person() as person:
        if write:
            _show(person, settings, chosen, limit, partial(known, reveal=reveal), write=write, err=True)
        else:
            written = partial(as_lines, zone=settings.zone, reveal=reveal)
            _show(person, settings, chosen, limit or FOR_PEOPLE, written, write=typer.echo)


def decide(
    ctx: typer.Context,
    arguments: Annotated[list[str] | None, typer.Argument(metavar="UID", help="These messages.")] = None,
    *,
    uids: Uids = None,
    batch: BatchId = None,
    lane: OfLane = None,
    producer: Producer = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[bool, typer.Option("--all", help="Needed where no uid and no filter is given.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and change nothing.")] = False,
    who: Who = None,
) -> None:
    """Resend or drop, by the command's name."""
    verdict = Verdict(str(ctx.command.name))
    named = [*(arguments or []), *(uids or [])]
    chosen = choose(load_settings().zone, named, Filters(batch, lane, producer, reason, since, until))
    if chosen == Chosen() and not everything:
        raise WrongInput(f"{verdict} what? Name uids or a filter such as --batch, or say --all. Nothing was changed.")
    with a_person(who) as person:
        _decide(person, verdict, chosen, yes=yes, dry_run=dry_run)


for _verdict, _help in HELP.items():
    unconfirmed.command(_verdict.value, help=_help)(decide)


def _decide(person: Person, verdict: Verdict, chosen: Chosen, *, yes: bool, dry_run: bool) -> None:
    settled = _count(person, chosen).settled
    with reading(person.sessions) as session:
        found = doubts.chosen_ones(session, chosen)
    if found:
        _explain(verdict, found)
    if dry_run:
        typer.echo("Nothing was changed: this was a dry run.")
        return
    if found and not yes and not typer.confirm(f"{verdict.capitalize()} {len(found)} now?"):
        typer.echo("Nothing was changed.")
        raise typer.Exit(1)
    moved = _carry_out(person, verdict, found)
    if found:
        typer.echo(f"{moved} {DONE[verdict]}, as {person.who} decided.")
    left = settled + len(found) - moved
    if left:
        typer.echo(f"{left} no longer unconfirmed, and left as {'it is' if left == 1 else 'they are'}.")
        raise typer.Exit(1)


def _explain(verdict: Verdict, found: Sequence[InDoubt]) -> None:
    lanes = Counter(one.lane for one in found)
    in_lanes = ", ".join(f"{lane} {lanes[lane]}" for lane in Lane if lanes[lane])
    typer.echo(f"To {verdict}: {counted(len(found), sum(one.parts for one in found))}; by lane: {in_lanes}.")
    typer.echo(RISK[verdict])


def _carry_out(person: Person, verdict: Verdict, found: Sequence[InDoubt]) -> int:
    """Decide about those that were shown, but not about one that was posted again and cut off anew since."""
    moved = 0
    for start in range(0, len(found), AT_ONCE):
        some = found[start : start + AT_ONCE]
        shown_until = max(one.posted_at for one in some) + JUST_AFTER
        moved += person.decide(verdict, Chosen(uids=[one.uid for one in some], posted_until=shown_until))
    return moved


class _Count(NamedTuple):
    messages: int
    parts: int
    settled: int  #: of the uids that were named: those that are not unconfirmed


def _count(person: Person, chosen: Chosen, *, err: bool = False) -> _Count:
    """How many messages are meant; says which names lead to none, and if nothing is left."""
    with reading(person.sessions) as session:
        settled = settled_of(session, chosen.uids)
        messages, parts = doubts.count(session, chosen)
        notes = [*settled, *([] if messages else hints(session, chosen))]
    for note in notes:
        typer.echo(note, err=True)
    if not messages:
        nothing = "Nothing is unconfirmed." if chosen == Chosen() else "Nothing unconfirmed meets all of this."
        typer.echo(nothing, err=err)
    return _Count(messages, parts, len(settled))


def _show(
    person: Person,
    settings: Settings,
    chosen: Chosen,
    limit: int | None,
    written: Callable[..., Any],
    *,
    write: Callable[[Any], None],
    err: bool = False,
) -> None:
    """*write* one after the other, as *written* has it, and say about them what is to be said, by *err* on stderr."""
    messages, parts, _ = _count(person, chosen, err=err)
    if messages:
        typer.echo(f"Unconfirmed: {counted(messages, parts)}.", err=err)
    shown = 0
    for one in islice(person.unconfirmed(chosen), limit):
        write(written(one, policy=settings.unconfirmed_policy(Lane(one.lane))))
        shown += 1
    if messages > shown:
        more = f"Not shown: {messages - shown} more. --limit {messages} shows them all, filters narrow them."
        typer.echo(more, err=err)
    if shown and not err:
        typer.echo("To decide: sms unconfirmed resend, or sms unconfirmed drop, with uids or the same filters.")


def _refuse_what_would_be_ignored(ctx: typer.Context) -> None:
    if any(ctx.params.values()):
        raise WrongInput(f"Filters stand behind the command: sms unconfirmed {ctx.invoked_subcommand} …")
