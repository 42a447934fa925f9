"""``sms unblock``: take numbers off the do-not-send list."""

import typer

from models.lifecycle import Lane
from worker.cli.person import Who, a_person
from worker.cli.phones import Lanes, Numbers, OfFile, SkipBad, of_lanes, phones_of
from worker.settings import load_settings


def unblock(
    numbers: Numbers = None,
    *,
    lanes: Lanes = None,
    file: OfFile = None,
    skip_bad: SkipBad = False,
    who: Who = None,
) -> None:
    """Take numbers off the do-not-send list: they may be written to again. What was cancelled stays cancelled.

    Exit code 0: they do not stand on the list. 2: wrong input or settings, an unreachable database.
    """
    by = list(dict.fromkeys(lanes or Lane))
    phones = phones_of(numbers, file, load_settings().countries, skip_bad=skip_bad)
    with a_person(who) as person:
        lifted = person.unblock(phones, lanes=by)
    if lifted:
        typer.echo(f"{of_lanes(len(phones), by, 'may be written to again')}. Blocks lifted: {lifted}.")
    else:
        typer.echo(f"{of_lanes(len(phones), by, 'not blocked')}. Nothing to do.")
