"""docs/logs.md names exactly the events of the code, with their levels and fields."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
WRITTEN = (ROOT / "docs/logs.md").read_text(encoding="utf-8")
LEVELS = ("debug", "info", "warning", "error", "critical", "exception")
MORE = "…"  #: fields whose names are known only when it happens
pytestmark = pytest.mark.check


class Call(NamedTuple):
    """One place of the code that writes a line."""

    event: object
    level: str
    fields: frozenset[str]
    where: str


def calls(names: Sequence[str], of: str) -> Iterator[tuple[ast.Call, str, str]]:
    """The calls of *of*.NAME (or of NAME alone, where *of* is empty) in the worker's code."""
    for file in sorted((ROOT / "worker").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                owner, _, name = ast.unparse(node.func).rpartition(".")
                if name in names and owner == of:
                    yield node, name, f"{file.relative_to(ROOT)}:{node.lineno}"


def written() -> Sequence[Call]:
    return [
        Call(
            getattr(node.args[0], "value", None) if len(node.args) == 1 else None,
            level,
            frozenset(keyword.arg or MORE for keyword in node.keywords),
            where,
        )
        for node, level, where in calls(LEVELS, "log")
    ]


def rows(heading: str) -> Sequence[list[str]]:
    """The rows of the table whose first column is so named."""
    (table,) = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", WRITTEN, re.MULTILINE)
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()]


def test_every_line_has_a_fixed_name_in_small_letters() -> None:
    assert len(written()) > 30
    assert [one.where for one in written() if not re.fullmatch("[a-z]+(_[a-z]+)+", str(one.event))] == []


def test_the_page_names_every_event_with_its_levels_and_fields() -> None:
    levels: dict[object, set[str]] = defaultdict(set)
    fields: dict[object, set[str]] = defaultdict(set)
    for one in written():
        levels[one.event].add(one.level)
        fields[one.event] |= one.fields

    told = {row[0].strip("`"): row for row in rows("event")}
    assert set(told) == set(levels)
    assert {event: set(row[1].split(", ")) for event, row in told.items()} == levels
    assert {event: set(re.findall(rf"[a-z_]+|{MORE}", row[2])) for event, row in told.items()} == fields


def test_the_page_names_what_is_bound_to_lines() -> None:
    bound = {keyword.arg for node, _, _ in calls(["bound_contextvars"], "") for keyword in node.keywords}

    assert set(re.findall(r"`([a-z_]+)`", " ".join(row[0] for row in rows("field")))) == bound


def test_no_field_can_hold_a_phone_a_text_or_a_password() -> None:
    names = {field for one in written() for field in one.fields}
    names |= {keyword.arg or MORE for node, _, _ in calls(["bound_contextvars"], "") for keyword in node.keywords}

    assert not [name for name in names if re.search("phone|text|body|password|secret|tags|words", name)]


def test_every_event_says_what_to_do() -> None:
    assert [row[0] for row in rows("event") if len(row[3].split()) < 3] == []
