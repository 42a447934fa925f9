"""Workbooks of Excel's are read as a person sees them."""

from datetime import datetime
from pathlib import Path

import pytest
from workbooks import Cell, write_workbook

from worker.campaigns.rows import UnreadableFile
from worker.campaigns.source import open_source
from worker.campaigns.workbook import Workbook


def a_workbook(folder: Path, *rows: tuple[Cell, ...], **sheets: list[tuple[Cell, ...]]) -> Path:
    return write_workbook(folder / "clients.xlsx", {"Clients": list(rows), **sheets})


def test_rows_have_the_numbers_that_excel_shows(tmp_path: Path) -> None:
    file = a_workbook(tmp_path, (), (), ("phone", "name"), ("1", "Ali"), (), ("2", "Vali"))

    found = Workbook(file, sheet=None)

    assert found.header == ("phone", "name")
    assert [(row.line, list(row.cells)) for row in found] == [(4, ["1", "Ali"]), (6, ["2", "Vali"])]


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        pytest.param(998901234567.0, "998901234567", id="a phone that Excel takes for a number"),
        pytest.param(1500000, "1500000", id="a sum"),
        pytest.param(12.5, "12.5", id="a fraction"),
        pytest.param(37.050000000000004, "37.05", id="a computed fraction, as Excel shows it"),
        pytest.param(datetime(2026, 11, 30), "30.11.2026", id="a day"),  # noqa: DTZ001
        pytest.param(datetime(2026, 11, 30, 9, 5), "30.11.2026 09:05", id="a moment"),  # noqa: DTZ001
        pytest.param(True, "true", id="a yes"),
        pytest.param(None, "", id="nothing"),
        pytest.param("o'g'il & <qiz>", "o'g'il & <qiz>", id="words"),
    ],
)
def test_cells_become_words(tmp_path: Path, cell: Cell, written: str) -> None:
    (row,) = Workbook(a_workbook(tmp_path, ("phone", "x"), ("1", cell)), sheet=None)

    assert list(row.cells) == ["1", written]


def test_a_sheet_may_be_named(tmp_path: Path) -> None:
    file = a_workbook(tmp_path, ("a",), Second=[("phone",), ("1",)])

    assert Workbook(file, sheet=None).header == ("a",)
    assert Workbook(file, sheet="Second").header == ("phone",)


def test_a_sheet_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    file = a_workbook(tmp_path, ("a",), Second=[("phone",)])

    with pytest.raises(UnreadableFile, match=r"no sheet 'Third'. The sheets are: 'Clients', 'Second'"):
        Workbook(file, sheet="Third")


def test_an_empty_sheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="'Clients' is empty"):
        Workbook(a_workbook(tmp_path), sheet=None)


def test_a_workbook_is_known_by_its_content(tmp_path: Path) -> None:
    file = a_workbook(tmp_path, ("phone",), ("1",)).rename(tmp_path / "clients.csv")

    assert [list(row.cells) for row in open_source(file).rows] == [["1"]]


@pytest.mark.parametrize(
    ("content", "options", "why"),
    [
        pytest.param(b"PK\x03\x04 and no more", {}, "cannot be read", id="a broken workbook"),
        pytest.param(b"phone\n1\n", {"sheet": "One"}, "--sheet", id="a sheet of CSV"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, content: bytes, options: dict[str, str], why: str) -> None:
    file = tmp_path / "clients"
    file.write_bytes(content)

    with pytest.raises(UnreadableFile, match=why):
        open_source(file, **options)


def test_a_workbook_has_no_encoding(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="--encoding and --delimiter are for CSV"):
        open_source(a_workbook(tmp_path, ("phone",)), encoding="cp1251")


@pytest.mark.parametrize("name", ["nowhere.csv", "."], ids=["a file that is not there", "a folder"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableFile, match=r"there is no such file|not a file"):
        open_source(tmp_path / name)


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    for name, content in (("a.csv", "phone\n1\n"), ("b.csv", "phone\n1\n"), ("c.csv", "phone\n2\n")):
        (tmp_path / name).write_text(content)

    a, b, c = (open_source(tmp_path / name).digest for name in ("a.csv", "b.csv", "c.csv"))

    assert a == b != c
