"""Each promise in docs/guarantees.md names tests that exist."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
KINDS = ("postgresql", "sqlite")
MARK = "Any\nseed can be run again."
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def named_tests() -> list[tuple[str, str]]:
    return NAMED.findall((ROOT / "docs/guarantees.md").read_text(encoding="utf-8"))


@pytest.mark.check
def test_every_promise_names_its_tests() -> None:
    """A row of a table of promises without a test would be a claim."""
    lines = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8").splitlines()
    first, last = (lines.index(line) for line in ("## 1. No accepted message is ever lost", "## The last long run"))
    rows = [line for line in lines[first:last] if line.startswith("| ") and "held by" not in line]

    assert len(rows) > 20
    assert [row for row in rows if not NAMED.search(row)] == []


@pytest.mark.check
@pytest.mark.parametrize(("file", "name"), named_tests(), ids=str)
def test_a_test_that_holds_a_promise_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))

    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.check
def test_the_table_of_the_long_run_is_what_was_measured() -> None:
    """A column for each database, from the harness' own JSON, and nothing that it does not say."""
    runs = [json.loads((ROOT / f"docs/long-run-{kind}.json").read_text(encoding="utf-8"))[0] for kind in KINDS]

    page = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")

    assert long_run_table(runs) in page
    assert all((run["messages"]["lost"], run["messages"]["posted_twice"]) == (0, 0) for run in runs)
    assert [run["complaints"] for run in runs] == [[], []]


def long_run_table(runs: list[Any]) -> str:
    """The page's table: messages, kills by step, other faults, circumstances."""
    rows = [["", *(run["database"] for run in runs)], ["---"] * (len(runs) + 1)]
    rows += [[name.replace("_", " "), *(f"{run['messages'][name]:,}" for run in runs)] for name in runs[0]["messages"]]
    rows += [["**effective kills**", *(f"**{run['effective_kills']}**" for run in runs)]]
    rows += [[f"killed at `{step}`", *(str(run["kills"][step]) for run in runs)] for step in runs[0]["kills"]]
    faults = sorted({fault for run in runs for fault in run["faults"]})
    rows += [[f"hits: {fault}", *(str(run["faults"].get(fault, "–")) for run in runs)] for fault in faults]
    rows += [[name, *(str(run[name]) for run in runs)] for name in ("date", "seconds", "seed", "valkey")]
    rows += [["command", *(f"`{run['command']}`" for run in runs)]]
    rows += [[name, *(str(run["machine"][name]) for run in runs)] for name in runs[0]["machine"]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def write_the_table() -> None:
    """``python tests/papers/test_guarantees.py``: put the table of the last long run into the page."""
    page = ROOT / "docs/guarantees.md"
    before = page.read_text(encoding="utf-8").partition(MARK)[0]
    runs = [json.loads((ROOT / f"docs/long-run-{kind}.json").read_text(encoding="utf-8"))[0] for kind in KINDS]
    page.write_text(f"{before}{MARK}\n\n{long_run_table(runs)}\n", encoding="utf-8")


if __name__ == "__main__":
    write_the_table()
