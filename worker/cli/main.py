"""The console command ``sms``."""

import importlib
import inspect
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from worker.errors import SmsError
from worker.storable import is_storable

NAMES = {"import": "campaign", "list": "listing"}  # of modules, where the command's own is a word of Python's
COMMANDS = {  # each is worker.cli.NAME.NAME: a function, or a Typer with commands of its own
    "up": "Run everything on this machine: Redis-compatible server, SQLite, sandbox gateway, worker, beat, web page.",
    "demo": "Send 1,000 messages through the whole system on this machine, show the result, stop.",
    "sandbox": "Run the vendor's gateway re-created as a local server: it answers alike and sends no SMS.",
    "send": "Order one SMS.",
    "list": "List messages, newest first, filtered, a page at a time.",
    "show": "Tell one message's whole story, from its order to its end.",
    "stats": "Show how the house stands: what waits, what goes, the gateway; live with --watch.",
    "doctor": "Check everything this needs, and say for each fault what to do.",
    "web": "Serve the web page.",
    "unconfirmed": "List the messages that may or may not have been taken by the gateway; resend or drop them.",
    "refused": "List the orders that could not be accepted, why, and what to do; or show one in whole.",
    "cancel": "Stop messages that are not posted yet.",
    "ask": "Ask the gateway once more about messages that were given up as unknown.",
    "pause": "Let nothing be posted until somebody resumes; nothing is lost.",
    "resume": "Post again at once, after you have put right what paused the account.",
    "import": "Order an SMS for each row of a CSV or Excel file; run again after a break, it goes on where it was.",
    "export": "Write messages to CSV or JSON lines, filtered, however many they are.",
    "parts": "Show how a text is encoded, how many parts it takes, and what makes it dear.",
    "costs": "Show what was sent and billed, in parts and money, by day, producer and nickname.",
    "block": "Put numbers on the do-not-send list; what is queued for them is cancelled.",
    "unblock": "Take numbers off the do-not-send list.",
    "blocked": "Show the do-not-send list.",
    "callbacks": "List what producers could not be told; tell them again.",
    "recover": "After a restore of the database: put what may have been posted since in doubt.",
    "metrics": "Print figures for Prometheus, or serve them; they are true when all workers are dead, too.",
    "completion": "Print what bash, zsh or fish reads to complete commands, options and values.",
    "db": "Bring the database to this release, or check that it is.",
}


class ImportedWhenCalled(TyperGroup):
    """Libraries of databases and servers take over a second to import: ``sms --help`` is not to wait for them."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Put the real command in the place of the one that only stands in the list."""
        name, placeholder, rest = super().resolve_command(ctx, args)
        return name, _imported(str(name)) if placeholder else None, rest

    def invoke(self, ctx: Any) -> Any:
        """Run it; what the library says of a wrong word, and of a question without an answer, in plainer words."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise
        except typer.Abort:  # at a question: a Ctrl-C elsewhere is none yet
            typer.echo(
                "\nNothing was changed: nobody answered. Where nobody can, give --yes, which does not ask.", err=True
            )
            raise typer.Exit(1) from None


def _imported(name: str) -> Any:
    structlog = importlib.import_module("structlog")
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))  # stdout is the answer's alone
    module = NAMES.get(name, name)
    command = getattr(importlib.import_module(f"worker.cli.{module}"), module)
    if isinstance(command, typer.Typer):
        return _reflowed(get_command(command))
    alone = typer.Typer(add_completion=False)
    alone.command(name)(command)
    return _reflowed(get_command(alone))


def _reflowed(command: Any) -> Any:
    """*command* with paragraphs that are as wide as the terminal, not as our source; lists stay as they are."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    command.help = "\n\n".join(one if "\n " in one or "\n- " in one else one.replace("\n", " ") for one in paragraphs)
    for inner in getattr(command, "commands", {}).values():
        _reflowed(inner)
    return command


app = typer.Typer(
    cls=ImportedWhenCalled,
    help="SMS orders from Celery, stored in SQL, posted to the GETSMS.UZ gateway: none lost, none twice.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they would print local variables, and secrets with them
)


def _say_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"sms {version('getsms-worker')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say which release.")
    ] = False,
) -> None:
    pass


for _name, _help in COMMANDS.items():
    app.command(_name, help=_help)(lambda: None)


def _refuse_broken_words(words: list[str]) -> None:
    # Bytes that are no UTF-8 come as halves of surrogate pairs, which no database takes.
    for place, word in enumerate(words):
        if not is_storable(word):
            raise SmsError(f"The word {place} of the command line is not UTF-8: write it anew.")


def main() -> None:
    """Run the command of the command line.

    An error of ours, of the database or of Redis is one line on stderr and exit code 2.
    """
    try:
        _refuse_broken_words(sys.argv)
        app()
    except Exception as error:
        line = str(error) if isinstance(error, SmsError) else _words_for(error)
        if line is None:
            raise
        sys.stderr.write(f"sms: {line}\n")
        sys.exit(2)


def _words_for(error: Exception) -> str | None:
    """What to say of an error that is not of ours; None of a mistake in our own code."""
    line: str | None = importlib.import_module("worker.cli.failures").words_for(error)
    return line


if __name__ == "__main__":
    main()
