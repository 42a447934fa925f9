"""Phones, texts and pauses."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from worker.backoff import backoff, ladder
from worker.errors import OrderRefused
from worker.phone import normalised
from worker.text import GSM, GSM_EXTENSION, Size, size_of

SECOND = timedelta(seconds=1)

WRITTEN: list[Any] = [
    pytest.param("998901234567", id="as the gateway wants it"),
    pytest.param("+998901234567", id="with a plus"),
    pytest.param("+998 (90) 123-45-67", id="with punctuation"),
    pytest.param(" 90 123 45 67 ", id="without 998"),
    pytest.param("+998\u00a090\u00a01234567", id="with spaces that do not break"),
    pytest.param("90.123.45.67", id="with dots"),
    pytest.param(998901234567, id="as a number"),
    pytest.param(901234567, id="as a number without 998"),
]
REFUSED: list[Any] = [
    pytest.param(None, "phone_missing", id="none"),
    pytest.param("", "phone_missing", id="empty"),
    pytest.param(True, "phone_missing", id="a truth value"),
    pytest.param(["998901234567"], "phone_missing", id="a list"),
    pytest.param(" ", "phone_invalid", id="a space"),
    pytest.param("99890123456", "phone_invalid", id="a digit too few"),
    pytest.param("9989012345678", "phone_invalid", id="a digit too many"),
    pytest.param("99890123456x", "phone_invalid", id="a letter"),
    pytest.param("998901234567\n998907654321", "phone_invalid", id="two numbers"),
    pytest.param("٩٩٨٩٠١٢٣٤٥٦٧", "phone_invalid", id="digits of another script"),
    pytest.param("9989012345²7", "phone_invalid", id="a superscript"),
    pytest.param("8901234567", "phone_invalid", id="with the old long-distance prefix"),
    pytest.param("799012345678", "phone_foreign", id="of another country"),
    pytest.param("998711234567", "phone_fixed_line", id="a fixed line of Tashkent"),
]


@pytest.mark.parametrize("written", WRITTEN)
def test_a_phone_may_be_written_in_many_ways(written: str | int) -> None:
    assert normalised(written) == "998901234567"


@pytest.mark.parametrize(("written", "reason"), REFUSED)
def test_what_takes_no_sms_is_refused(written: object, reason: str) -> None:
    with pytest.raises(OrderRefused) as refused:
        normalised(written)

    assert refused.value.reason == reason


def test_a_mobile_range_that_nobody_knows_yet_is_accepted() -> None:
    assert normalised("998290000000") == "998290000000"


def test_a_refusal_does_not_quote_the_phone() -> None:
    with pytest.raises(OrderRefused) as refused:
        normalised("998901234567x")

    assert "1234567" not in str(refused.value)


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
