"""``sms block``: put numbers on the do-not-send list."""

from typing import Annotated

import typer

from models.lifecycle import Lane
from worker.cli.given import words
from worker.cli.person import Who, a_person
from worker.cli.phones import Lanes, Numbers, OfFile, SkipBad, of_lanes, phones_of
from worker.settings import load_settings


def block(
    numbers: Numbers = None,
    *,
    lanes: Lanes = None,
    reason: Annotated[str | None, typer.Option(help="Why, for those who ask.")] = None,
    file: OfFile = None,
    skip_bad: SkipBad = False,
    who: Who = None,
) -> None:
    """Put numbers on the do-not-send list: they get nothing more, and what is queued for them is cancelled.

    Orders for them are refused as `phone_blocked`. What is being posted at this moment is not stopped.

    Exit code 0: they stand on the list, now or before. 2: wrong input or settings, an unreachable database.
    """
    words(reason, "--reason")
    by = list(dict.fromkeys(lanes or Lane))
    phones = phones_of(numbers, file, load_settings().countries, skip_bad=skip_bad)
    with a_person(who) as person:
        blocked = person.block(phones, lanes=by, reason=reason)
    stood = len(phones) * len(by) - blocked.added
    typer.echo(f"{of_lanes(len(phones), by, 'nothing more')}. Blocks added: {blocked.added}; stood before: {stood}.")
    typer.echo(f"Queued messages cancelled: {blocked.cancelled}.")
