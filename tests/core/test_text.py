"""What stands beside the number of parts: how full they are, and what makes a text dear."""

from collections import Counter

import pytest

from worker.text import GSM, GSM_EXTENSION, Measure, dear, is_gsm, measure


@pytest.mark.parametrize(
    ("text", "expected", "left"),
    [
        pytest.param("", Measure(1, "gsm", 0, 0, 160), 160, id="nothing"),
        pytest.param("a" * 160, Measure(1, "gsm", 160, 0, 160), 0, id="one full part"),
        pytest.param("a" * 161, Measure(2, "gsm", 161, 0, 306), 145, id="a character more"),
        pytest.param("€" * 80, Measure(1, "gsm", 160, 0, 160), 0, id="80 that count twice fill one part"),
        pytest.param("a" * 152 + "€" * 8, Measure(2, "gsm", 168, 1, 306), 137, id="an escape stays with its character"),
        pytest.param("a" * 152 + "\f" * 8, Measure(2, "gsm", 168, 1, 306), 137, id="a form feed is escaped, too"),
        pytest.param("a" * 151 + "€" * 5, Measure(2, "gsm", 161, 0, 306), 145, id="an escape fits at the end"),
        pytest.param("€" * 81, Measure(2, "gsm", 162, 1, 306), 143, id="76 of two septets in 153, the 77th moves on"),
        pytest.param("я" * 70, Measure(1, "ucs2", 70, 0, 70), 0, id="70 of Cyrillic"),
        pytest.param("я" * 71, Measure(2, "ucs2", 71, 0, 134), 63, id="71 of Cyrillic"),
        pytest.param("😀" * 36, Measure(2, "ucs2", 72, 1, 134), 61, id="33 emoji in 67, the 34th moves on"),
        pytest.param("я" * 66 + "😀" + "я" * 66, Measure(3, "ucs2", 134, 1, 201), 66, id="one pushed out"),
    ],
)
def test_a_text_fills_its_parts_so_far(text: str, expected: Measure, left: int) -> None:
    found = measure(text)

    assert (found, found.left) == (expected, left)


@pytest.mark.parametrize("character", ["Ç", "\n", "\r", "\f", "€", "¤", "§", "Δ", "à", "Ü", "ß"], ids=ascii)
def test_it_is_in_gsm_03_38(character: str) -> None:
    assert is_gsm(character)


@pytest.mark.parametrize(
    "character",
    ["ç", "\t", "\0", "\x1b", "\xa0", "\v", "`", "´", "á", "È", "µ", "ş", "ğ", "õ", "Α", "°", "²", "e\u0301"],
    ids=ascii,
)
def test_it_is_not_in_gsm_03_38(character: str) -> None:
    assert not is_gsm(character)


def test_characters_outside_the_alphabet_make_a_text_dear_before_those_that_count_twice() -> None:
    assert dear("oʻn € soʻm — [x]") == Counter({"ʻ": 2, "—": 1})
    assert dear("€ [x] €") == Counter({"€": 2, "[": 1, "]": 1})
    assert not dear("Kod: 4821\r\n")


def test_all_of_the_alphabet_takes_as_many_septets_as_the_standard_says() -> None:
    assert measure(GSM).units == 127
    assert measure(GSM_EXTENSION).units == 20
