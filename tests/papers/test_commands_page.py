"""docs/commands.md says what the commands' own help says. Run as a script, this file writes it anew."""

import re
import shlex
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command

from worker.cli.main import COMMANDS, _imported, app

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/commands.md"
HEAD = """# Commands

Written by `make docs` from the commands' own help, which `sms COMMAND --help` shows.

- Phones and texts are masked; where there is a `--reveal`, it shows them.
- What prints rows prints them for programs with `--json` (one object on each line, instants in UTC), and for
  spreadsheets with `--csv`; people get instants in `SMS_GATEWAY_TIMEZONE`. Rows are on standard output, all else that
  is said about them then is on standard error.
- Exit code 0: done. 1: not all was done, it was refused, or faults were found. 2: wrong input or settings, or a
  database or Redis that does not answer; one line says which. 130: ended by Ctrl-C.
- `celery -A worker sms COMMAND …` runs the same commands.
- `sms completion bash`, `zsh` or `fish` prints what the shell needs to complete commands, options and values.
- Settings come as for every other process: see [settings.md](settings.md).

"""
DEFAULT_EXITS = "0: done. 2: wrong input or settings, an unreachable database."
EXITS = {  # of those that do not say it in their help
    "up": "0: ended by Ctrl-C or SIGTERM. 2: wrong settings, or a part that cannot start.",
    "demo": "0: all messages came to their end. 1: not all. 2: wrong settings, or a part that cannot start.",
    "sandbox": "0: ended by Ctrl-C or SIGTERM. 2: wrong input.",
    "import": "0: every row is ordered, now or before. 1: some are refused, or you said no. 2: wrong input or "
    "settings, an unreadable file, an unreachable database. 130: broken off; run again, it goes on.",
}
EXAMPLES = {
    "up": "sms up",
    "demo": "sms demo",
    "sandbox": "sms sandbox",
    "send": 'sms send "90 123 45 67" "Your code is 4821" --lane otp --key login-77 --wait',
    "list": "sms list --state failed --since 2026-11-30T09:00 --producer shop",
    "show": "sms show 0b9a5000",
    "stats": "sms stats --watch",
    "doctor": "sms doctor",
    "web": "sms web",
    "unconfirmed": "sms unconfirmed --lane otp",
    "unconfirmed resend": "sms unconfirmed resend --batch 4711",
    "unconfirmed drop": "sms unconfirmed drop --lane otp --until 2026-11-30T09:00",
    "refused": "sms refused --producer shop --since 2026-11-30T09:00",
    "cancel": "sms cancel --producer shop --key order-1001",
    "ask": "sms ask 0b9a5000-0000-4000-8000-000000000001",
    "pause": 'sms pause --reason "wrong text in the campaign"',
    "resume": "sms resume",
    "import": "sms import clients.csv --template 'Dear {name}, your order is ready' --campaign autumn",
    "export": "sms export --key-prefix autumn: --output autumn.csv",
    "parts": 'sms parts "Sizning kodingiz: 4821"',
    "costs": "sms costs --since 2026-11-01 --by producer,nickname",
    "block": 'sms block "90 123 45 67" --reason "asked us to stop"',
    "unblock": 'sms unblock "90 123 45 67"',
    "blocked": 'sms blocked --phone "90 123 45 67"',
    "callbacks": "sms callbacks --state failed",
    "callbacks retry": "sms callbacks retry --receiver shop.example",
    "recover": "sms recover --since 2026-11-30T03:00",
    "metrics": "sms metrics",
    "completion": 'eval "$(sms completion bash)"',
    "db": "sms db upgrade",
    "db upgrade": "sms db upgrade",
    "db check": "sms db check",
}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its words, those within others behind them."""
    for name in COMMANDS:
        command = _imported(name)
        yield name, command
        for inner, one in getattr(command, "commands", {}).items():
            yield f"{name} {inner}", one


def options(command: Any) -> list[Any]:
    return [one for one in command.params if one.param_type_name == "option" and one.name != "help"]


def page() -> str:
    return HEAD + "\n".join("\n".join(section(name, command)) for name, command in commands())


def section(name: str, command: Any) -> Iterator[str]:
    said, exits = parted(command.help or COMMANDS.get(name, ""))
    yield f"{'#' * (2 + name.count(' '))} `sms {name}`\n"
    yield f"{said}\n"
    yield f"```\n{EXAMPLES[name]}\n```\n"
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    if rows := [*map(argument_row, arguments), *map(option_row, options(command))]:
        yield "| option | meaning |\n|---|---|"
        yield "\n".join(rows) + "\n"
    yield f"Exit code {EXITS.get(name) or exits or DEFAULT_EXITS}\n"


def parted(said: str) -> tuple[str, str]:
    """What it is for, and its exit codes."""
    text, _, exits = said.partition("Exit code ")
    return text.strip(), re.sub(r"\s+", " ", exits).strip()


def argument_row(one: Any) -> str:
    name = one.metavar or (one.name or "").upper()
    return f"| `{cell(name.strip('[]'))}` | {cell(one.help or '')} |"


def option_row(one: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
    words = f" One of {', '.join(choices)}." if (choices := choices_of(one)) else ""
    shown = one.default not in (None, False, ()) and not callable(one.default)
    default = f" Default: {getattr(one.default, 'value', one.default)}." if shown else ""
    return f"| {names} | {cell(one.help or '')}{words}{default} |"


def choices_of(one: Any) -> list[str]:
    kind = one.type_descriptor.annotation
    kind = next(iter(get_args(kind)), kind)
    return [str(word) for word in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []


def cell(words: str) -> str:
    return words.replace("|", "\\|").replace("<", "&lt;")


@pytest.mark.check
def test_the_page_says_what_the_help_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


@pytest.mark.check
def test_every_command_and_every_option_is_on_the_page_and_says_what_it_means() -> None:
    written = PAGE.read_text(encoding="utf-8")
    for name, command in commands():
        _, _, rest = written.partition(f"# `sms {name}`\n")
        its_own = rest.partition("\n## ")[0]
        for one in options(command):
            assert one.help, (name, one.name)
            assert all(f"`{word}`" in its_own for word in one.opts), (name, one.opts)


@pytest.mark.check
def test_every_example_is_a_command_that_there_is() -> None:
    for name, command in commands():
        words = shlex.split(EXAMPLES[name])
        given = {word for word in words if word.startswith("--")}

        known = {option for one in options(command) for option in one.opts}
        assert name.split()[0] in EXAMPLES[name]
        assert given <= known or name == "db", (name, given - known)


@pytest.mark.check
def test_each_command_stands_in_the_list() -> None:
    assert list(get_command(app).commands) == list(COMMANDS)  # type: ignore[attr-defined]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
