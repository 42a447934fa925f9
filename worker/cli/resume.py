"""``sms resume``: post again at once, after a person has put right what paused the account."""

import typer

from worker.cli.person import Who, a_person


def resume(who: Who = None) -> None:
    """Let posting go on at once, instead of at the next probe: after `sms pause`, account trouble, an open circuit."""
    with a_person(who) as person:
        resumed = person.resume()
    typer.echo("Posting goes on." if resumed else "Nothing kept the account from posting: nothing to do.")
