"""Texts and pauses."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from worker.backoff import backoff, ladder
from worker.text import GSM, GSM_EXTENSION, Size, size_of

SECOND = timedelta(seconds=1)

TEXTS: list[Any] = [
    pytest.param("a" * 160, Size(1, "gsm"), id="160 characters"),
    pytest.param("a" * 161, Size(2, "gsm"), id="161 characters"),
    pytest.param("a" * 306, Size(2, "gsm"), id="two full parts"),
    pytest.param("a" * 307, Size(3, "gsm"), id="a character more than two parts"),
    pytest.param("€" * 80, Size(1, "gsm"), id="80 euros fill one part"),
    pytest.param("€" * 81, Size(2, "gsm"), id="81 euros"),
    pytest.param("a" * 158 + "[", Size(1, "gsm"), id="a bracket at the very end of one part"),
    pytest.param("a" * 152 + "[" + "a" * 151, Size(2, "gsm"), id="a bracket would straddle, and fits in the second"),
    pytest.param("a" * 152 + "[" + "a" * 152, Size(3, "gsm"), id="a bracket straddles, and pushes one out"),
    pytest.param("\f" + "a" * 158, Size(1, "gsm"), id="a form feed counts twice"),
    pytest.param("Привет", Size(1, "ucs2"), id="Cyrillic"),
    pytest.param("я" * 70, Size(1, "ucs2"), id="70 of Cyrillic"),
    pytest.param("я" * 71, Size(2, "ucs2"), id="71 of Cyrillic"),
    pytest.param("я" * 134, Size(2, "ucs2"), id="two full parts of Cyrillic"),
    pytest.param("я" * 135, Size(3, "ucs2"), id="a character more of Cyrillic"),
    pytest.param("😀" * 35, Size(1, "ucs2"), id="35 emoji fill one part"),
    pytest.param("😀" * 36, Size(2, "ucs2"), id="36 emoji"),
    pytest.param("я" * 66 + "😀" + "я" * 65, Size(2, "ucs2"), id="an emoji would straddle, and fits in the second"),
    pytest.param("я" * 66 + "😀" + "я" * 66, Size(3, "ucs2"), id="an emoji straddles, and pushes one out"),
    pytest.param("O'zbekiston", Size(1, "gsm"), id="the plain apostrophe"),
    *(
        pytest.param(f"O{mark}zbekiston", Size(1, "ucs2"), id=f"the apostrophe U+{ord(mark):04X}")
        for mark in "\u02bb\u02bc\u2018\u2019\u0060\u00b4"
    ),
    *(pytest.param(f"a{mark}", Size(1, "ucs2"), id=f"the mark U+{ord(mark):04X}") for mark in "«»“”–—…№"),
]


@pytest.mark.parametrize(("text", "size"), TEXTS)
def test_a_text_costs_so_many_parts(text: str, size: Size) -> None:
    assert size_of(text) == size


def test_the_alphabet_is_that_of_gsm_03_38() -> None:
    assert (len(set(GSM)), len(set(GSM_EXTENSION))) == (127, 10)
    assert not set(GSM) & set(GSM_EXTENSION)


@given(some.text(alphabet="ab[€\f", max_size=700))
def test_no_part_of_a_gsm_text_is_overfull(text: str) -> None:
    assert size_of(text) == Size(parts_one_by_one(text, GSM_EXTENSION, 160, 153), "gsm")


@given(some.text(alphabet="яa[😀", max_size=400).map(lambda text: "я" + text))
def test_no_part_of_another_text_is_overfull(text: str) -> None:
    assert size_of(text) == Size(parts_one_by_one(text, "😀", 70, 67), "ucs2")


def parts_one_by_one(text: str, doubles: str, single: int, part: int) -> int:
    """Fill one part after another, as a phone would."""
    widths = [2 if character in doubles else 1 for character in text]
    if sum(widths) <= single:
        return 1
    parts, used = 1, 0
    for width in widths:
        if used + width > part:
            parts, used = parts + 1, 0
        used += width
    return parts


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(0, 5), (1, 5), (2, 10), (3, 20), (7, 320), (8, 600), (10**9, 600)], ids=str
)
def test_a_pause_doubles_up_to_its_ceiling(attempt: int, seconds: int) -> None:
    assert backoff(attempt, base=5 * SECOND, ceiling=600 * SECOND) == seconds * SECOND


@pytest.mark.parametrize(("polls", "seconds"), [(0, 5), (1, 10), (2, 60), (3, 60), (9_999, 60)], ids=str)
def test_the_last_step_of_a_ladder_is_for_ever(polls: int, seconds: int) -> None:
    assert ladder((5, 10, 60), polls, lambda: 0.5) == seconds * SECOND


@given(some.integers(0, 50), some.floats(0, 1, exclude_max=True))
def test_a_step_varies_by_no_more_than_a_tenth(polls: int, dice: float) -> None:
    step = (5, 10, 60)[min(polls, 2)]

    pause = ladder((5, 10, 60), polls, lambda: dice).total_seconds()

    assert 0.9 * step <= pause <= 1.1 * step
