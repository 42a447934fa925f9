"""Each promise in docs/guarantees.md names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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
@pytest.mark.parametrize(("file", "name"), named_tests(), ids=lambda word: str(word))
def test_a_test_that_holds_a_promise_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))

    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
