"""docs/texts.md says what the code does: every number, every spelling, every character."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from worker.cli.main import app
from worker.latin import RUSSIAN, RUSSIAN_LETTERS, in_latin
from worker.rewriting import LOOK_ALIKES, rewritten
from worker.text import is_gsm, measure, size_of

PAGE = "docs/texts.md"
WORDS = (Path(__file__).parents[2] / PAGE).read_text(encoding="utf-8")
NAMED = {"a blank": " ", "a line end": "\n", "nothing": ""}

pytestmark = pytest.mark.check


def table(head: str) -> list[list[str]]:
    """The rows of the table that begins with these words."""
    _, _, rest = WORDS.partition(f"| {head} ")
    rows = rest.split("\n\n")[0].splitlines()[2:]
    assert rows, head
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]


def test_so_many_characters_fit() -> None:
    for parts, gsm, ucs2 in table("parts"):
        for character, room in (("a", int(gsm)), ("ў", int(ucs2))):
            assert size_of(character * room).parts == int(parts)
            assert size_of(character * (room + 1)).parts == int(parts) + 1


def test_the_characters_named_count_as_it_says() -> None:
    twice = "^ { } \\ [ ~ ] | €"
    assert f"`{twice}` and the form feed count twice" in WORDS
    assert measure(twice.replace(" ", "") + "\f").units == 20

    inside, outside = "Ç é è à ö ü Ö Ü ñ", "ç ş ğ õ á"
    assert f"`{inside}` are in it; `{outside}` and all of Cyrillic are not" in " ".join(WORDS.split())
    assert is_gsm(inside)
    assert not any(is_gsm(letter) for letter in outside.split())
    assert "👍🏽 counts four times, 👨\u200d👩\u200d👧 eight times" in WORDS
    assert (measure("👍🏽").units, measure("👨\u200d👩\u200d👧").units) == (4, 8)


def test_the_examples_cost_what_it_says() -> None:
    for text, encoding, parts in table("text"):
        assert size_of(text.strip("`")) == (int(parts), encoding)


def test_the_settings_make_of_a_text_what_it_says() -> None:
    for row in table("ordered"):
        text, fold, latin, both = (cell.strip("`") for cell in row)
        assert rewritten(text, fold=True, transliterate=False) == fold
        assert rewritten(text, fold=False, transliterate=True) == latin
        assert rewritten(text, fold=True, transliterate=True) == both


def test_it_names_every_look_alike() -> None:
    named = {NAMED.get(plain, plain.strip("`")): characters(signs) for plain, signs in table("written")}

    assert named == {plain: set(signs) for plain, signs in LOOK_ALIKES.items()}


def characters(written: str) -> set[str]:
    found: set[str] = set()
    for one in written.split():
        first, _, last = one.removeprefix("U+").partition("–")
        found.update(map(chr, range(int(first, 16), int(last or first, 16) + 1)))
    return found


def test_the_rules_of_latin_letters_have_true_examples() -> None:
    for _, examples in table("rule"):
        for pair in examples.split(", "):
            cyrillic, latin = pair.split()
            assert in_latin(cyrillic) == latin


def test_it_names_the_words_that_are_taken_for_russian() -> None:
    assert f"`{' '.join(RUSSIAN)}`" in WORDS
    letters = re.search(r"a word of one letter out of `([^`]+)`", WORDS)
    assert letters
    assert set(letters[1].split()) == set(RUSSIAN_LETTERS.lower())


def test_ours_of_the_compared_words_are_true() -> None:
    for cyrillic, ours, *_ in table("Cyrillic"):
        assert in_latin(cyrillic) == ours


def test_the_command_shows_what_it_says(
    fenced: Callable[[str, str], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (block,) = fenced(PAGE, "console")
    typed, _, shown = block.partition("\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMS_PRICE_CURRENCY", raising=False)

    answer = CliRunner().invoke(app, shlex.split(typed.removeprefix("$ sms ")))

    assert [line.rstrip() for line in answer.stdout.splitlines()] == shown.splitlines()
