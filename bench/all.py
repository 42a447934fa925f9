"""All benches one after the other, each in a process of its own; what they find is kept as JSON and PNG.

The short form takes five minutes and shows the same tables, of less. The long one takes half a working day, and wants a
machine that does nothing else; it can be run in parts, and writes into docs/performance, and docs/performance.md anew.
A bench that fails is named at the end, and so is what was measured all the same.

    .venv/bin/python bench/all.py [--long] [--only latency,polling] [--into FOLDER]
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

BENCH = Path(__file__).parent
KEPT = BENCH.parent / "docs" / "performance"


class Part(NamedTuple):
    """A bench of this folder, and what it is told beside where its JSON and PNG go."""

    name: str  #: of the files that it writes
    minutes: float  #: of its long form, on two quiet cores
    script: str = ""  #: if it is called otherwise
    words: Sequence[str] = ()
    is_short: bool = False  #: five minutes have room for it
    plots: bool = True


PARTS = (
    Part("throughput", 47, is_short=True),
    Part("flame", 0.5),
    Part("latency", 22, is_short=True),
    Part("latency_tls", 22, script="latency", words=("--tls",)),
    Part("polling", 6, is_short=True),
    Part("poll_plan", 1.5),
    Part("reading", 0.2, is_short=True, plots=False),
    Part("database_costs", 3, plots=False),
    Part("growth", 13),
    Part("old_snapshot", 3, plots=False),
    Part("retention", 5, plots=False),
    Part("soak", 61),
    Part("soak_log", 21, script="soak", words=("--minutes", "20", "--max-wal-size", "16GB")),
)


def chosen(options: argparse.Namespace) -> list[Part]:
    """Those that are named, or all that there is time for. Exits where a name is wrong."""
    if not options.only:
        return [part for part in PARTS if options.long or part.is_short]
    names = options.only.split(",")
    if wrong := set(names) - {part.name for part in PARTS}:
        sys.exit(f"{', '.join(sorted(wrong))}: there are {', '.join(part.name for part in PARTS)}.")
    return [part for part in PARTS if part.name in names]


def command(part: Part, into: Path, *, is_long: bool) -> Iterator[str]:
    """What is to be run."""
    yield from (sys.executable, str(BENCH / f"{part.script or part.name}.py"), *part.words)
    yield from ("--json", str(into / f"{part.name}.json"))
    if part.plots:
        yield from ("--png", str(into / f"{part.name}.png"))
    if not is_long:
        yield "--short"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="everything, as docs/performance.md shows it")
    listed = ", ".join(f"{part.name} ({part.minutes:g})" for part in PARTS)
    parser.add_argument("--only", metavar="NAME,…", help=f"of these, with the minutes of their long form: {listed}")
    parser.add_argument("--into", type=Path, help="where JSON and PNG go (long: docs/performance; short: .sms/bench)")
    options = parser.parse_args()
    into: Path = options.into or (KEPT if options.long else BENCH.parent / ".sms" / "bench")
    into.mkdir(parents=True, exist_ok=True)
    console, failed = Console(), list[str]()
    for part in chosen(options):
        console.rule(part.name)
        began = time.monotonic()
        if subprocess.run([*command(part, into, is_long=options.long)], check=False).returncode:
            failed.append(part.name)
        console.print(f"{part.name} took {(time.monotonic() - began) / 60:.1f} minutes")
    console.rule(f"JSON and PNG are in {into}")
    if into == KEPT:
        subprocess.run([sys.executable, str(BENCH / "pages.py")], check=True)
    if failed:
        sys.exit(f"These failed: {', '.join(failed)}; what they said stands above.")


if __name__ == "__main__":
    main()
