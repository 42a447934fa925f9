"""Deciding about messages that a person names by their uids, or as their producer does."""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Annotated

import typer

from worker.cli.chosen import MOST_NAMED, MOST_UIDS, settled_of
from worker.cli.given import WrongInput, words
from worker.cli.person import a_person
from worker.cli.shown import visible
from worker.orders import uid_of_key
from worker.people import Person
from worker.store import doubts
from worker.store.engine import reading

Uids = Annotated[list[str] | None, typer.Argument(metavar="UID…", help="The messages, by their uids.")]
Keys = Annotated[list[str] | None, typer.Option("--key", help="A message by its producer's key; may be repeated.")]
Producer = Annotated[str, typer.Option(help="Whose keys these are.")]


def by_key(producer: str, keys: Sequence[str] | None) -> dict[str, str]:
    """The uids of the messages to which *producer* gave these keys, and how a person calls each."""
    words(producer, "--producer")
    return {uid_of_key(producer, key): f"key {key}" for key in keys or () if words(key, "--key")}


def decide(
    uids: Sequence[str] | None,
    keyed: Mapping[str, str],
    who: str | None,
    carry_out: Callable[[Person, Sequence[str]], set[str]],
    *,
    done: str,
) -> None:
    """Carry it out on *uids* and those that are *keyed*, and say of each whether it is *done*, or what it is instead.

    Raises `WrongInput` for one that nobody has, before anything is changed; exits with 1 if something was left.
    """
    named = {**{uid: uid for uid in uids or () if words(uid, "UID")}, **keyed}
    if not named:
        raise WrongInput("Which messages? Name their uids, or a --key. Nothing was changed.")
    if len(named) > MOST_UIDS:
        raise WrongInput(f"{len(named)} messages are too many: give at most {MOST_UIDS}.")
    with a_person(who) as person:
        with reading(person.sessions) as session:
            _refuse_unknown_keys(keyed, doubts.states_of(session, list(keyed)))
            settled_of(session, list(named))
        moved = carry_out(person, list(named))
        with reading(person.sessions) as session:
            states = doubts.states_of(session, list(named))
    for uid, called in named.items():
        typer.echo(f"{visible(called)}: {done if uid in moved else f'left as it is, {states.get(uid)}'}.")
    if len(moved) < len(named):
        raise typer.Exit(1)


def _refuse_unknown_keys(keyed: Mapping[str, str], there: Container[str]) -> None:
    if missing := [visible(called) for uid, called in keyed.items() if uid not in there]:
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        some = ", ".join(missing[:MOST_NAMED])
        raise WrongInput(f"There is no message {some}{more} of this producer: correct the key, or give its --producer.")
