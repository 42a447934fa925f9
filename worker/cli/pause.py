"""``sms pause``: let nothing be posted until somebody resumes."""

from typing import Annotated

import typer

from worker.cli.given import words
from worker.cli.person import Who, a_person
from worker.cli.shown import visible
from worker.people import standing_of


def pause(
    reason: Annotated[str | None, typer.Option(help="Why, for the audit: table decisions.")] = None,
    who: Who = None,
) -> None:
    """Let nothing be posted, by any worker, until `sms resume`: not even a probe. Nothing is lost.

    Posts that are under way finish. Orders are still taken and stored, the gateway is still asked about what it has.

    Exit code 0: paused, now or before. 2: wrong input or settings, an unreachable database; nothing was changed.
    """
    words(reason, "--reason")
    with a_person(who) as person:
        paused = person.pause(reason)
        account = standing_of(person.sessions, person.login)
    if paused:
        typer.echo(
            "Paused: no worker posts until sms resume. Orders are still taken and stored; posts under way finish."
        )
    elif account and account.held_at:
        since = account.held_at.isoformat(timespec="seconds")
        typer.echo(f"Paused already, since {since} by {visible(account.held_by or 'somebody')}: nothing to do.")
    else:
        typer.echo("Somebody has resumed at this very moment. Try again if it is still to be paused.")
