"""CSV is read as programs and spreadsheets write it; what cannot be read is said, with its line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from worker.campaigns.csv_file import CsvFile
from worker.campaigns.rows import Row, UnreadableFile

Read = Callable[..., CsvFile]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """A file of this content."""

    def read(content: str | bytes, *, encoding: str | None = None, delimiter: str | None = None) -> CsvFile:
        file = tmp_path / "clients.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return CsvFile(file, encoding=encoding, delimiter=delimiter)

    return read


def the_cells(file: CsvFile) -> list[list[str]]:
    return [list(row.cells) for row in file]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"], ids=["comma", "semicolon", "tab", "bar"])
def test_the_delimiter_is_found(read: Read, delimiter: str) -> None:
    file = read(f"phone{delimiter}name\n1{delimiter}Ali\n")

    assert file.header == ("phone", "name")
    assert the_cells(file) == [["1", "Ali"]]


def test_a_delimiter_in_quotes_is_none(read: Read) -> None:
    assert read('"a, b, c";phone\n1;2\n').header == ("a, b, c", "phone")


def test_the_delimiter_may_be_given(read: Read) -> None:
    assert the_cells(read("phone^name, first\n1^Ali\n", delimiter="^")) == [["1", "Ali"]]
    assert read("a\tb,c,d\n", delimiter="tab").header == ("a", "b,c,d")


def test_one_column_needs_none(read: Read) -> None:
    assert the_cells(read("phone\n998901234567\n")) == [["998901234567"]]


@pytest.mark.parametrize(
    ("encoding", "given"),
    [
        pytest.param("utf-8", None, id="UTF-8"),
        pytest.param("utf-8-sig", None, id="UTF-8 with a BOM"),
        pytest.param("utf-16", None, id="UTF-16 of this machine"),
        pytest.param("cp1251", "cp1251", id="Windows' Cyrillic, if that is said"),
        pytest.param("utf-8-sig", "cp1251", id="a BOM knows better than what is said"),
    ],
)
def test_encodings_are_read(read: Read, encoding: str, given: str | None) -> None:
    file = read("phone,исм\n1,Ўктам\n".replace("Ў", "У").encode(encoding), encoding=given)

    assert file.header == ("phone", "исм")
    assert the_cells(file) == [["1", "Уктам"]]


def test_big_endian_is_read_by_its_bom(read: Read) -> None:
    assert read(b"\xfe\xff" + "phone\n1\n".encode("utf-16-be")).header == ("phone",)


def test_another_encoding_is_refused_with_its_line_and_a_hint(read: Read) -> None:
    content = "phone,name\n1,Ali\n2,Алишер\n".encode("cp1251")

    with pytest.raises(UnreadableFile, match=r"^Line 3 is not UTF-8: .*--encoding cp1251"):
        read(content)


def test_an_encoding_that_nobody_knows_is_refused(read: Read) -> None:
    with pytest.raises(UnreadableFile, match=r"--encoding 'latin-17'"):
        read("phone\n", encoding="latin-17")


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n"], ids=["none", "two", "a quote", "a line's end"])
def test_what_delimits_nothing_is_refused(read: Read, delimiter: str) -> None:
    with pytest.raises(UnreadableFile, match="--delimiter"):
        read("phone\n", delimiter=delimiter)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["Unix", "Windows", "old Mac"])
def test_lines_are_counted_as_an_editor_does(read: Read, end: str) -> None:
    file = read(end.join(["phone,name", "1,Ali", "", '2,"Ali', 'the second"', " , ", "3,Vali"]))

    assert [(row.line, row.cells[0]) for row in file] == [(2, "1"), (4, "2"), (7, "3")]


def test_a_line_break_in_quotes_is_part_of_the_cell(read: Read) -> None:
    assert the_cells(read('phone,text\n1,"Salom,\n""Ali"""\n')) == [["1", 'Salom,\n"Ali"']]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param("2", "It has 1 columns, the header has 2", id="too few columns"),
        pytest.param("2,Ali,3", "It has 3 columns, the header has 2", id="too many columns"),
        pytest.param('2,"Ali" Vali', "A quote", id="words behind a quote"),
    ],
)
def test_a_wrong_row_is_told_by_its_line_and_holds_up_no_other(read: Read, line: str, why: str) -> None:
    first, wrong, last = read(f"phone,name\n1,Ali\n{line}\n3,Vali\n")

    assert (first.line, last) == (2, Row(4, ["3", "Vali"]))
    assert wrong.line == 3
    assert (wrong.wrong or "").startswith(why)


def test_empty_columns_behind_the_last_are_none(read: Read) -> None:
    assert the_cells(read("phone,name\n1,Ali,,\n")) == [["1", "Ali"]]


@pytest.mark.parametrize("rest", ["", "9" * 200_000], ids=["to the end of the file", "for too long"])
def test_a_quote_that_is_never_closed_ends_the_reading(read: Read, rest: str) -> None:
    file = read(f'phone,name\n1,Ali\n2,"Vali\n3,Aziz\n{rest}')

    with pytest.raises(UnreadableFile, match=r"^Line 3: a quote"):
        list(file)


@pytest.mark.parametrize("content", ["", "\n\n", " , \n"], ids=["nothing", "empty lines", "blanks"])
def test_a_file_without_a_header_is_refused(read: Read, content: str) -> None:
    with pytest.raises(UnreadableFile, match="It is empty"):
        read(content)


def test_a_row_in_the_place_of_the_header_is_refused_without_its_phone(read: Read) -> None:
    with pytest.raises(UnreadableFile, match="It has no header") as refused:
        read("998901234567,Ali\n998901234568,Vali\n")

    assert "4567" not in str(refused.value)


def test_a_header_with_a_broken_quote_is_refused(read: Read) -> None:
    with pytest.raises(UnreadableFile, match="Line 1, the header"):
        read('"phone" x,name\n1,Ali\n')


def test_the_file_can_be_read_twice(read: Read) -> None:
    file = read("phone\n1\n2\n")

    assert the_cells(file) == the_cells(file) == [["1"], ["2"]]


def test_a_cell_that_no_sms_could_hold_is_not_blamed_on_a_quote_alone(read: Read) -> None:
    file = read(f"phone,name\n1,{'x' * 200_000}\n")

    with pytest.raises(UnreadableFile, match=r"Line 2: .* or a cell is far too long"):
        the_cells(file)
