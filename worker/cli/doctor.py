"""``sms doctor``: checks everything this needs, and says for each fault what to do."""

from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from worker.cli.given import WrongInput
from worker.cli.rows import json_line
from worker.cli.shown import visible
from worker.doctor.check import Finding, Outcome
from worker.doctor.rounds import CHECKS, LIMIT_SECONDS, chosen, findings, the_ground

STYLES = {
    Outcome.OK: "green",
    Outcome.NOTE: "cyan",
    Outcome.SKIPPED: "dim",
    Outcome.WARNING: "yellow",
    Outcome.FAULT: "bold red",
}
FAULTY, WIDEST = 1, max(len(check.name) for check in CHECKS)
NEIGHBOURHOODS = list(dict.fromkeys(check.name.partition(".")[0] for check in CHECKS))


def _names_beginning(incomplete: str) -> list[str]:
    names = [*NEIGHBOURHOODS, *(check.name for check in CHECKS)]
    return [name for name in names if name.startswith(incomplete)]


def doctor(
    *,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="This check or neighbourhood; may be repeated.", autocompletion=_names_beginning
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for a warning, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on each line.")] = False,
    seconds: Annotated[
        float, typer.Option("--limit", min=0.1, max=600, metavar="SECONDS", help="The most time for each check.")
    ] = LIMIT_SECONDS,
) -> None:
    """Check everything this needs, and say for each fault what to do.

    It looks at settings, the way to the gateway and the login there, Redis, the database, queues that nobody consumes,
    workers and beat, and what waits. It sends no SMS, changes nothing, and prints no secret. It runs without settings,
    too, and then says what is missing.

    Exit code 0: no fault. 1: at least one fault, with --strict at least one warning. 2: it could not be run.
    """
    try:
        checks = chosen(only or [])
    except LookupError as error:
        names = ", ".join(NEIGHBOURHOODS)
        raise WrongInput(f"--only {error}: there is no such check. Neighbourhoods are {names}.") from None
    found = findings(the_ground(), checks, limit_seconds=seconds)
    counted = _as_json(found) if json else _shown(found)
    bad = counted[Outcome.FAULT] + (counted[Outcome.WARNING] if strict else 0)
    if bad:
        raise typer.Exit(FAULTY)


def _as_json(found: Iterable[Finding]) -> Counter[Outcome]:
    counted = Counter[Outcome]()
    for one in found:
        typer.echo(json_line(one._asdict()))
        counted[one.outcome] += 1
    return counted


def _shown(found: Iterable[Finding]) -> Counter[Outcome]:
    console, counted = Console(highlight=False, markup=False, emoji=False, soft_wrap=True), Counter[Outcome]()
    for (outcome, _), alike in groupby(found, lambda one: (one.outcome, one.found)):
        these = list(alike)
        counted[outcome] += len(these)
        console.print(_drawn(these[0], these[-1] if len(these) > 1 else None, len(these)))
    said = ", ".join(f"{counted[outcome]} {outcome}" for outcome in Outcome if counted[outcome])
    console.print(Text(f"{counted.total()} checks: {said}"))
    return counted


def _drawn(one: Finding, last: Finding | None, count: int) -> Text:
    """One finding, or all from it to *last*, which say the same."""
    name = f"{one.name} to {last.name} ({count})" if last else f"{one.name:<{WIDEST}}"
    line = Text(f"{one.outcome:<8}", STYLES[one.outcome])
    line.append(f"{name}  {visible(one.found)}", "default")
    if one.outcome in {Outcome.WARNING, Outcome.FAULT}:
        line.append(f"\n        why:        {visible(one.why)}", "dim")
    if one.remedy:
        line.append(f"\n        what to do: {visible(one.remedy)}", "default")
    return line
