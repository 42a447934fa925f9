"""A phone is either one number of Uzbekistan, however it was written, or refused without being quoted."""

import re

import phonenumbers
from anything import JSON, WORDS
from hypothesis import given
from hypothesis import strategies as some
from phonenumbers import PhoneNumberType

from worker.errors import OrderRefused
from worker.phone import normalised

NATIONAL = some.integers(0, 999_999_999).map("{:09}".format)
MARKS = some.sampled_from(["", " ", "-", ".", "(", ")", "\u00a0", ") "])
PREFIXES = some.sampled_from(["998", "+998", "", " 998", "(998", "+998-"])
DIGITS = some.text("0123456789+() -.٣۹９", max_size=16)


@given(JSON | WORDS | DIGITS | some.integers(0, 10**13) | some.binary(max_size=8))
def test_anything_is_twelve_digits_or_refused_without_being_quoted(phone: object) -> None:
    try:
        found = normalised(phone)
    except OrderRefused as refused:
        assert refused.reason.startswith("phone_")
        assert not re.search("[0-9]{4}", refused.explanation.replace("998901234567", ""))
        return

    assert re.fullmatch("998[0-9]{9}", found)
    assert re.sub("[^0-9]", "", str(phone)) in {found, found[3:]}
    assert found == normalised(found) == normalised(int(found))


@given(national=NATIONAL, prefix=PREFIXES, marks=some.lists(MARKS, min_size=9, max_size=9))
def test_how_a_number_is_written_makes_no_difference(national: str, prefix: str, marks: list[str]) -> None:
    written = prefix + "".join(digit + mark for digit, mark in zip(national, marks, strict=True))

    assert outcome_of(written) == outcome_of("998" + national) == outcome_of(int("998" + national))


@given(NATIONAL)
def test_only_a_fixed_line_is_refused_among_numbers_of_the_right_length(national: str) -> None:
    fixed = phonenumbers.number_type(phonenumbers.parse("+998" + national)) == PhoneNumberType.FIXED_LINE

    assert outcome_of("998" + national) == ("phone_fixed_line" if fixed else "998" + national)


def outcome_of(phone: object) -> str:
    try:
        return normalised(phone)
    except OrderRefused as refused:
        return refused.reason
