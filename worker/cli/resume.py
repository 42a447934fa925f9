"""``sms resume``: post again at once, after a person has put right what paused the account."""

import typer

from worker import upkeep
from worker.cli.db import looking_at
from worker.settings import load_settings
from worker.store.engine import make_sessions
from worker.store.schema import check_schema


def resume() -> None:
    """Let posting go on at once, instead of at the next probe."""
    settings = load_settings()
    with looking_at(settings.database_url) as engine:
        check_schema(engine)
        resumed = upkeep.resume(make_sessions(engine), settings.gateway_login)
    typer.echo("Posting goes on." if resumed else "The account was not paused: nothing to do.")
