"""Looking for secrets where they must not be: in the logs of all processes, and in what a worker tells of its tasks."""

import re
from collections.abc import Iterable
from pathlib import Path

from tests.chaos.numbered import SECRET

#: The sandbox is the vendor, and the producer knows its own secrets.
OVERHEARD = ("w*.log", "beat.log", "inspect.log", "postgres.log")
LONGEST_QUOTE = 200
#: What a worker says when it meets an error that it did not expect: no fault of the surroundings may look like that.
MISTAKES = re.compile(
    '"(room_broke|post_broke|poll_broke|order_broke_the_reader|answer_not_recorded|a mistake of ours)"'
)


def overheard(folder: Path, *secrets: str) -> list[str]:
    """File and line of each text, whole phone or secret that a log holds."""
    pattern = re.compile("|".join([re.escape(SECRET), "Kodingiz", r"\+?99890\d{7}", *map(re.escape, secrets)]))
    return [found for name in OVERHEARD for file in sorted(folder.glob(name)) for found in _lines(file, pattern)]


def mistakes(folder: Path) -> list[str]:
    """File and line of each error that a worker did not expect."""
    return [found for file in sorted(folder.glob("w*.log")) for found in _lines(file, MISTAKES)]


def _lines(file: Path, pattern: re.Pattern[str]) -> Iterable[str]:
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if pattern.search(line):
                yield f"{file.name}:{number} {line.strip()[:LONGEST_QUOTE]}"
