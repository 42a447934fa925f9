"""``celery -A worker sms …``: the commands of ``sms``, where people look for those of Celery."""

import sys

import click

from worker.cli.main import main


@click.command(
    "sms",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    short_help="The commands of sms: list, show, stats, doctor …",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def sms(words: tuple[str, ...]) -> None:
    """Run a command of ``sms``: it reads its settings as it does alone, and ends this process with its exit code."""
    sys.argv[:] = ["celery -A worker sms", *words]
    main()
