"""``sms recover``: bring a database that came from a backup back to life, without posting anything twice."""

from datetime import datetime
from typing import Annotated

import typer
from redis.exceptions import RedisError

from worker.cli.given import WrongInput, moment
from worker.cli.person import Who, a_person
from worker.clock import utc_now
from worker.errors import SettingsError
from worker.lanes import DEAD_AFTER_SECONDS, LaneLists
from worker.people import Person
from worker.settings import Settings, load_settings
from worker.store import doubts, recovery
from worker.store.engine import reading
from worker.urls import without_secrets
from worker.wiring import make_redis

REDIS_SECONDS = 3
WHAT_IT_DOES = (
    "What waited in the backup may have been posted after it: the backup cannot know. Those messages are put in doubt "
    "(unconfirmed, reason database_restored), so that no worker posts them by itself, whatever the lane's policy."
)


def recover(
    since: Annotated[
        str,
        typer.Option(help="When the backup was made: ISO 8601; without an offset it is read in SMS_GATEWAY_TIMEZONE."),
    ],
    *,
    leave_newer: Annotated[
        bool, typer.Option("--leave-newer", help="Leave messages as they are that were stored after the backup.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would do, and change nothing.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="No worker runs: do not ask where the broker is not Redis.")
    ] = False,
    who: Who = None,
) -> None:
    """After a restore of the database, and before any worker starts: put what may have been posted since in doubt.

    Then look with `sms unconfirmed`, resend or drop, and start the workers.

    Exit code 0: done, or there was nothing to do.

    1: you did not say that no worker runs. Nothing was changed.

    2: workers run, messages are newer than the backup, wrong input or settings. Nothing was changed.
    """
    settings = load_settings()
    at = moment(since, "--since", settings.zone)
    if at is None or at > utc_now():
        raise WrongInput(f"--since {since!r} is in the future: give the moment at which the backup was made.")
    if not dry_run:
        _make_sure_that_no_worker_runs(settings, yes=yes)
    with a_person(who) as person:
        if dry_run:
            _say_what_would_be(person, at, _alive(settings))
            return
        doubtful = person.recover(at, leave_newer=leave_newer)
    _say_what_was(doubtful)


def _make_sure_that_no_worker_runs(settings: Settings, *, yes: bool) -> None:
    if alive := _alive(settings):
        raise WrongInput(
            f"{_workers(alive)}. Stop them first, and try again; one that was killed still shows for "
            f"{DEAD_AFTER_SECONDS:.0f} seconds. Nothing was changed."
        )
    if settings.broker_is_redis or yes:
        return
    typer.echo("Only Redis could tell whether workers run. One that runs now could post what is to be put in doubt.")
    if not typer.confirm("Is every worker stopped?"):
        typer.echo("Nothing was changed.")
        raise typer.Exit(1)


def _alive(settings: Settings) -> list[str]:
    """The workers that show that they run. Raises `SettingsError` if Redis does not answer."""
    if not settings.broker_is_redis:
        return []
    with make_redis(settings.redis_url, timeout_seconds=REDIS_SECONDS) as redis:
        try:
            return LaneLists(redis, owner="", prefix=settings.redis_key_prefix).alive()
        except RedisError as error:
            why = str(error).splitlines()[0].rstrip(".")
            raise SettingsError(
                f"SMS_REDIS_URL: Redis at {without_secrets(settings.redis_url)} does not answer, so that nobody can "
                f"tell whether workers run: {why}. Start it first. Nothing was changed."
            ) from None


def _workers(alive: list[str]) -> str:
    return f"{len(alive)} worker{'s run' if len(alive) > 1 else ' runs'}: {', '.join(alive)}"


def _say_what_would_be(person: Person, since: datetime, alive: list[str]) -> None:
    with reading(person.sessions) as session:
        doubtful = doubts.would_doubt(session, since=since, now=person.now())
        newer = recovery.newer_than(session, since)
    typer.echo(WHAT_IT_DOES)
    typer.echo(
        f"Being posted at the time of the backup: {doubtful.under_way}. Waiting then, and due: {doubtful.waiting}."
    )
    if newer.messages:
        typer.echo(
            f"But {newer.messages} that wait were stored after {since.isoformat()}, the last at {newer.newest_at}: "
            "either --since is too early, or workers have run already. Without --leave-newer it would be refused."
        )
    if alive:
        typer.echo(f"And {_workers(alive)}: it would be refused until they are stopped.")
    typer.echo("Nothing was changed: this was a dry run.")


def _say_what_was(doubtful: int) -> None:
    if not doubtful:
        typer.echo("Nothing in the backup waited to be posted: nothing to do. Start the workers.")
        return
    typer.echo(f"{doubtful} messages are now in doubt. {WHAT_IT_DOES}")
    typer.echo("Next: look with sms unconfirmed --reason database_restored, then resend or drop.")
    typer.echo("Then start the workers. What was stored after the backup is not in this database any more.")
