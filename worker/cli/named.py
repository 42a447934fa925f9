"""Deciding about messages that a person names by their uids."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from worker.cli.chosen import MOST_UIDS, settled_of
from worker.cli.given import WrongInput, words
from worker.cli.person import a_person
from worker.cli.shown import visible
from worker.people import Person
from worker.store import doubts
from worker.store.engine import reading

Uids = Annotated[list[str], typer.Argument(metavar="UID…", help="The messages, by their uids.")]


def decide(
    uids: Sequence[str], who: str | None, carry_out: Callable[[Person, Sequence[str]], set[str]], *, done: str
) -> None:
    """Carry it out on *uids*, and say of each whether it is *done*, or what it is instead.

    Raises `WrongInput` for a uid that nobody has, before anything is changed; exits with 1 if something was left.
    """
    named = list(dict.fromkeys(uid for uid in uids if words(uid, "UID")))
    if len(named) > MOST_UIDS:
        raise WrongInput(f"{len(named)} uids are too many: give at most {MOST_UIDS}.")
    with a_person(who) as person:
        with reading(person.sessions) as session:
            settled_of(session, named)
        moved = carry_out(person, named)
        with reading(person.sessions) as session:
            states = doubts.states_of(session, named)
    for uid in named:
        typer.echo(f"{visible(uid)}: {done if uid in moved else f'left as it is, {states.get(uid)}'}.")
    if len(moved) < len(named):
        raise typer.Exit(1)
