"""The verdict: a table for people, JSON for machines, and one line for each promise that was broken."""

import json
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.crew import Crew, Death
from tests.chaos.ledger import Ledger
from tests.chaos.steps import STEPS, Step
from tests.chaos.unconfirmed import Explained

FIRST_NUMBERS = 20


def this_machine() -> dict[str, Any]:
    """What it runs on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "cpu": models[0] if models else platform.machine(),
        "python": platform.python_version(),
    }


@dataclass(frozen=True)
class Circumstances:
    """What a run needs to be compared, and to be run again."""

    seed: int
    seconds: float
    database: str
    valkey: str
    command: str
    machine: Mapping[str, Any] = field(default_factory=this_machine)


@dataclass(frozen=True)
class Verdict:
    """What became of every message, and what was broken meanwhile."""

    ledger: Ledger
    explained: Explained
    crew: Crew
    hits: Mapping[str, int]  #: by trouble, how often it really hit
    overheard: Sequence[str]  #: places where a text, a phone or the password was found in a log
    mistakes: Sequence[str]  #: errors that a worker did not expect
    callback_every: int
    circumstances: Circumstances
    stories: Sequence[str] = ()  #: of the first of those whose account does not add up

    def figures(self) -> dict[str, int]:
        """The messages, counted."""
        ledger = self.ledger
        unconfirmed = ledger.in_state("unconfirmed")
        journal = {number: times for number, times in ledger.journal.items() if number}
        return {
            "published": len(ledger.published),
            "stored": len(ledger.by_number),
            "posted_once": sum(times == 1 for times in journal.values()),
            "posted_twice": len(ledger.posted_twice),
            "lost": len(ledger.lost),
            "delivered": len(ledger.in_state("delivered")),
            "failed": len(ledger.in_state("failed")),
            "unconfirmed": len(unconfirmed),
            "unconfirmed_taken": len(unconfirmed & journal.keys()),
            "unconfirmed_not_taken": len(unconfirmed - journal.keys()),
            "unconfirmed_by_kill": len(self.explained.by_kill),
            "unconfirmed_by_gateway": len(self.explained.by_gateway),
            "callbacks_told": len(ledger.told),
        }

    def kills(self) -> dict[str, int]:
        """Kills that hit work, by the step of the thread that died, or of any thread if the kill came from outside."""
        effective = [death for death in self.crew.deaths if death.is_effective]
        own = Counter(death.at.name.lower() for death in effective if death.at)
        outside = sum(not death.at for death in effective)
        return {step.name.lower(): own[step.name.lower()] for step in STEPS} | {"anywhere": outside}

    def hit_meanwhile(self) -> dict[str, int]:
        """Threads with work, by step, in all workers that were killed."""
        hands = Counter(hand.step for death in self.crew.deaths for hand in death.hands)
        return {step.name.lower(): hands[step] for step in STEPS}

    def complaints(self) -> list[str]:
        """One sentence for each promise that was broken; none if all held."""
        ledger, explained = self.ledger, self.explained
        broken: dict[str, Sequence[object]] = {
            "lost": ledger.lost,
            "posted twice": ledger.posted_twice,
            "stored twice": ledger.stored_twice,
            "in no final state": ledger.unsettled,
            "failed, though the gateway took them": ledger.failed_though_taken,
            "unconfirmed for no reason": explained.unexplained,
            "known, though nobody can know": explained.missing,
            "not told to their producer": ledger.untold(callback_every=self.callback_every),
            "strange": ledger.strange,
            "heard in a log": self.overheard,
            "mistakes of a worker": self.mistakes,
            "workers that ended by themselves": self.crew.crashed,
            "workers that did not go in good order": [one for one in self.crew.went if one[1]],
        }
        numbers = {
            "orders refused": ledger.refused,
            "callbacks still owed": ledger.owed,
            "batches cut off by nobody": explained.too_many,
        }
        lists = [f"{len(found)} {what}: {_first(found)}" for what, found in broken.items() if found]
        return [*lists, *(f"{number} {what}" for what, number in numbers.items() if number), *self.stories]

    def suspects(self) -> list[int]:
        """Numbers whose story is worth reading."""
        ledger, explained = self.ledger, self.explained
        suspects = [ledger.lost, ledger.posted_twice, ledger.unsettled, explained.unexplained, explained.missing]
        return [number for numbers in suspects for number in numbers if number > 0]

    def as_json(self) -> dict[str, Any]:
        circumstances = self.circumstances
        return {
            "messages": self.figures(),
            "kills": self.kills(),
            "effective_kills": sum(self.kills().values()),
            "ineffective_kills": sum(not death.is_effective for death in self.crew.deaths),
            "threads_hit": self.hit_meanwhile(),
            "faults": dict(self.hits),
            "complaints": self.complaints(),
            "date": datetime.now(UTC).date().isoformat(),
            "seed": circumstances.seed,
            "seconds": round(circumstances.seconds, 1),
            "database": circumstances.database,
            "valkey": circumstances.valkey,
            "machine": dict(circumstances.machine),
            "command": circumstances.command,
        }

    def show(self, console: Console) -> None:
        """Print the table."""
        figures = self.as_json()
        table = Table(title=f"{figures['database']}: {figures['effective_kills']} effective kills", show_header=False)
        for name, value in figures["messages"].items():
            table.add_row(name.replace("_", " "), f"{value:,}")
        table.add_section()
        for name, value in figures["kills"].items():
            table.add_row(f"killed: {name}", f"{value} ({figures['threads_hit'].get(name, '-')} threads)")
        table.add_section()
        for name, value in figures["faults"].items():
            table.add_row(f"fault: {name}", f"{value} hits")
        table.add_section()
        for name in ("date", "seed", "seconds", "valkey", "command"):
            table.add_row(name, str(figures[name]))
        for name, value in figures["machine"].items():
            table.add_row(name, str(value))
        console.print(table)
        for complaint in self.complaints():
            console.print(f"[red]{complaint}[/red]")

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(self.as_json(), indent=2) + "\n")


def missed(deaths: Sequence[Death]) -> list[Step]:
    """Steps at which no worker killed itself."""
    return [step for step in STEPS if not any(death.at == step for death in deaths)]


def _first(found: Sequence[object]) -> str:
    return ", ".join(str(one) for one in found[:FIRST_NUMBERS]) + (" …" if len(found) > FIRST_NUMBERS else "")
