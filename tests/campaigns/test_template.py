"""A template knows the names of columns, and nothing else."""

import pytest

from worker.campaigns.rows import UnreadableFile, column
from worker.campaigns.template import template, text_column
from worker.errors import OrderRefused

HEADER = ("phone", "Name", "Sum", "client.name")
CELLS = ("998901234567", " Ali ", "", "{phone}")


@pytest.mark.parametrize(
    ("written", "filled"),
    [
        pytest.param("Salom", "Salom", id="no column"),
        pytest.param("Salom, {Name}!", "Salom, Ali!", id="a column, without the blanks around its cell"),
        pytest.param("{name}{NAME}", "AliAli", id="however it is capitalised"),
        pytest.param("{{{name}}}", "{Ali}", id="braces"),
        pytest.param("{client.name}", "{phone}", id="a name with a dot; what it holds is not filled again"),
    ],
)
def test_names_are_filled(written: str, filled: str) -> None:
    assert template(written, HEADER)(CELLS) == filled


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("{name.__class__}", id="an attribute"),
        pytest.param("{name[0]}", id="an element"),
        pytest.param("{name!r}", id="a conversion"),
        pytest.param("{name:>1000000000}", id="a format"),
        pytest.param("{name:{sum}}", id="a format of a column"),
        pytest.param("{}", id="no name"),
        pytest.param("{0}", id="a place"),
        pytest.param("{city}", id="no column"),
    ],
)
def test_anything_else_is_refused_with_the_columns_there_are(written: str) -> None:
    with pytest.raises(UnreadableFile, match=r"The columns are: 'phone', 'Name', 'Sum', 'client.name'."):
        template(written, HEADER)


@pytest.mark.parametrize("written", ["Salom {name", "Salom }", " "], ids=["not closed", "not opened", "empty"])
def test_what_is_no_template_is_refused(written: str) -> None:
    with pytest.raises(UnreadableFile, match="--template"):
        template(written, HEADER)


def test_an_empty_cell_is_refused_unless_it_may_be() -> None:
    with pytest.raises(OrderRefused, match="'Sum' is empty") as refused:
        template("{sum} so'm", HEADER)(CELLS)

    assert refused.value.reason == "value_missing"
    assert template("{sum} so'm", HEADER, allow_empty=True)(CELLS) == " so'm"


def test_a_column_may_hold_the_whole_text() -> None:
    assert text_column("client.NAME", HEADER)(CELLS) == "{phone}"


def test_a_near_name_is_guessed() -> None:
    with pytest.raises(UnreadableFile, match=r"no column 'phon'. Did you mean 'phone'\?"):
        column(HEADER, "phon")


def test_a_name_that_stands_twice_is_refused() -> None:
    with pytest.raises(UnreadableFile, match="'phone' stands 2 times"):
        column(("Phone", "phone"), "phone")
