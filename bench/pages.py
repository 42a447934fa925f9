"""docs/performance.md shows what docs/performance/*.json says: every table between its two marks is written by this.

    .venv/bin/python bench/pages.py [--check] [--from FOLDER] [--page FILE]

A table begins with ``<!-- table: NAME -->`` and ends with ``<!-- end -->``. With --check nothing is written: it ends
with 1, and says what is missing, if the page is not what the JSON says.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from bench.tables import TABLES, markdown  # noqa: E402

PAGE, KEPT = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance"
PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


class NotMeasured(Exception):
    """The JSON of this bench is not there."""

    def __str__(self) -> str:
        return f"not measured yet: `.venv/bin/python bench/all.py --long --only {self.args[0]}`"


def reader(folder: Path) -> Callable[[str], Any]:
    """Reads the JSON of a bench by its name, once; it raises `NotMeasured`."""

    @cache
    def read(name: str) -> Any:
        file = folder / f"{name}.json"
        if not file.exists():
            raise NotMeasured(name)
        return json.loads(file.read_text("utf-8"))

    return read


def rendered(page: str, folder: Path) -> tuple[str, dict[str, str]]:
    """The page as the JSON of *folder* has it; and what is missing, by table. Raises `KeyError` for a wrong name."""
    read, missing = reader(folder), dict[str, str]()

    def fill(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        try:
            tables = "\n\n".join(map(markdown, TABLES[name](read)))
        except NotMeasured as error:
            tables = missing[name] = str(error)
        return f"{begin}\n{tables}\n\n{end}"

    return PLACE.sub(fill, page), missing


def differing(before: str, after: str) -> list[str]:
    """The tables that are not what they should be."""
    were, are = PLACE.finditer(before), PLACE.finditer(after)
    return [now[2] for then, now in zip(were, are, strict=True) if then[0] != now[0]]


def complaint(page: str, folder: Path) -> str:
    """What is wrong with the page; nothing if it is what the JSON says."""
    after, missing = rendered(page, folder)
    if missing:
        return "\n".join(f"{name}: {why}" for name, why in missing.items())
    if wrong := differing(page, after):
        return f"{', '.join(wrong)}: not what the JSON says; run `.venv/bin/python bench/pages.py`"
    return ""


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--from", dest="folder", type=Path, default=KEPT)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    before = options.page.read_text("utf-8")
    if options.check:
        sys.exit(complaint(before, options.folder) or None)
    after, missing = rendered(before, options.folder)
    options.page.write_text(after, "utf-8")
    sys.stdout.writelines(f"{name}: {why}\n" for name, why in missing.items())


if __name__ == "__main__":
    main()
