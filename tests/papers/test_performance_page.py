"""docs/performance.md has its figures from what bench/ measured."""

import json
from pathlib import Path

import pytest

from bench.pages import KEPT, PAGE, PLACE, complaint, rendered
from bench.tables import TABLES

pytestmark = pytest.mark.check
PAGE_OF_ONE = "Before.\n<!-- table: reading -->\n<!-- end -->\nAfter.\n"


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    (tmp_path / "reading.json").write_text(json.dumps({"microseconds": {"sms.send": 13.75}}), encoding="utf-8")
    return tmp_path


def test_the_page_says_what_was_measured() -> None:
    assert complaint(PAGE.read_text(encoding="utf-8"), KEPT) == ""


def test_every_table_stands_on_the_page_once() -> None:
    named = [found[2] for found in PLACE.finditer(PAGE.read_text(encoding="utf-8"))]

    assert sorted(named) == sorted(TABLES)


def test_a_table_is_written_between_its_marks_and_nothing_else_is_touched(measured: Path) -> None:
    page, missing = rendered(PAGE_OF_ONE, measured)

    assert missing == {}
    assert page.startswith("Before.\n<!-- table: reading -->\n")
    assert "| sms.send | 13.75 |" in page
    assert page.endswith("\n<!-- end -->\nAfter.\n")
    assert rendered(page, measured) == (page, {})


def test_a_figure_that_was_changed_by_hand_is_found(measured: Path) -> None:
    page, _ = rendered(PAGE_OF_ONE, measured)

    assert complaint(page, measured) == ""
    assert complaint(page.replace("13.75", "3.75"), measured).startswith("reading: not what the JSON says")


def test_what_was_not_measured_is_named_with_its_command(tmp_path: Path) -> None:
    assert complaint(PAGE_OF_ONE, tmp_path) == (
        "reading: not measured yet: `.venv/bin/python bench/all.py --long --only reading`"
    )
