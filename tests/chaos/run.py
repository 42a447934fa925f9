"""The long run: ``python -m tests.chaos.run``. Prints what became of every message; exit code 1 if a promise broke.

The plan of kills and troubles follows from the seed and the numbers alone; how long each takes is up to the machine.
"""

import argparse
import contextlib
import json
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

from tests.chaos import plan
from tests.chaos.database import Postgres, Sqlite
from tests.chaos.rampage import Rampage
from tests.chaos.settle import verdict_of
from tests.chaos.verdict import Verdict
from tests.chaos.world import World

MESSAGES = {"postgresql": 100_000, "sqlite": 20_000}
KILLS = {"postgresql": 210, "sqlite": 60}
KILLS_PER_TROUBLE = 4
CALLBACK_EVERY = 3  # blocks of numbers
LONGEST_SECONDS = 3 * 3600.0


def arguments() -> argparse.Namespace:
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("--database", choices=["postgresql", "sqlite", "both"], default="both")
    reader.add_argument("--messages", type=int, help=f"how many at least; {MESSAGES}")
    reader.add_argument("--kills", type=int, help=f"how many that hit; {KILLS}")
    reader.add_argument("--troubles", type=int, help="how many other faults; a quarter of the kills")
    reader.add_argument("--per-second", type=float, default=150.0, help="how fast the producer may order")
    reader.add_argument("--seed", type=int, default=None, help="of the plan; without it a new one")
    reader.add_argument("--json", type=Path, help="where the verdicts are written, too")
    reader.add_argument("--keep", action="store_true", help="keep logs, journal and notes")
    return reader.parse_args()


def main() -> int:
    """Run on each database that was asked for."""
    asked, console = arguments(), Console()
    seed = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    kinds = ["postgresql", "sqlite"] if asked.database == "both" else [asked.database]
    verdicts = []
    for kind in kinds:
        verdict = run(kind, seed, asked, console)
        verdict.show(console)
        verdicts.append(verdict)
        if asked.json:
            asked.json.write_text(json.dumps([one.as_json() for one in verdicts], indent=2) + "\n")
    return int(any(verdict.complaints() for verdict in verdicts))


def run(kind: str, seed: int, asked: argparse.Namespace, console: Console) -> Verdict:
    """One run, with everything of its own."""
    messages, kills = asked.messages or MESSAGES[kind], asked.kills or KILLS[kind]
    troubles = kills // KILLS_PER_TROUBLE if asked.troubles is None else asked.troubles
    chosen = plan.make(seed, messages=messages, kills=kills, troubles=troubles, database=kind)
    again = f"--database {kind} --messages {messages} --kills {kills} --troubles {troubles} --seed {seed}"
    command = f"python -m tests.chaos.run {again} --per-second {asked.per_second:g}"
    console.print(command)
    began = time.monotonic()
    with a_folder(keep=asked.keep) as folder, a_world(kind, folder) as world, console.status("") as status:
        rampage = Rampage(
            world, chosen, messages=messages, fast_per_second=asked.per_second, tell=progress(status.update)
        )
        try:
            rampage.run(seconds=LONGEST_SECONDS)
        except AssertionError as unsettled:
            console.print(f"[red]{unsettled}[/red]")
        return verdict_of(world, seed=seed, command=command, seconds=time.monotonic() - began)


def progress(show: Callable[[str], None]) -> Callable[[str], None]:
    began = time.monotonic()
    return lambda words: show(f"{time.monotonic() - began:5.0f} s  {words}")


@contextlib.contextmanager
def a_folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sms-chaos-"))
    try:
        yield folder
    finally:
        if keep:
            sys.stderr.write(f"kept in {folder}\n")
        else:
            shutil.rmtree(folder)


@contextlib.contextmanager
def a_world(kind: str, folder: Path) -> Iterator[World]:
    world = World(folder, Postgres() if kind == "postgresql" else Sqlite(folder), callback_every=CALLBACK_EVERY)
    try:
        yield world.start()
    finally:
        world.stop()


if __name__ == "__main__":
    sys.exit(main())
