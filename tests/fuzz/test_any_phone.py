"""A phone is either one number of an accepted country, however it was written, or refused without being quoted."""

import re

import phonenumbers
from anything import JSON, WORDS
from hypothesis import assume, given
from hypothesis import strategies as some
from phonenumbers import PhoneNumberType

from worker.errors import OrderRefused
from worker.phone import normalised

NATIONAL = some.integers(0, 999_999_999).map("{:09}".format)
MARKS = some.sampled_from(["", " ", "-", ".", "(", ")", "\u00a0", ") ", "\t", "\u2013", "\u202f", "\u200e"])
PREFIXES = some.sampled_from(["998", "+998", "", " 998", "(998", "+998-", "00998", "(+998) ", "\u202a+998 "])
DIGITS = some.text("0123456789+() -.٣۹９", max_size=16)
ANYTHING = JSON | WORDS | DIGITS | some.integers(0, 10**13) | some.binary(max_size=8)
MANY = ("UZ", "KZ", "RU", "KG", "TJ", "TM", "US", "GB")
COUNTRIES = some.lists(some.sampled_from(MANY), min_size=1, max_size=4, unique=True)


@given(ANYTHING)
def test_anything_is_twelve_digits_or_refused_without_being_quoted(phone: object) -> None:
    found = outcome_of(phone)
    if found.startswith("phone_"):
        return

    assert re.fullmatch("998[0-9]{9}", found)
    assert re.sub("[^0-9]", "", str(phone)) in {found, found[3:], "00" + found}
    assert found == normalised(found) == normalised(int(found))


@given(national=NATIONAL, prefix=PREFIXES, marks=some.lists(MARKS, min_size=9, max_size=9))
def test_how_a_number_is_written_makes_no_difference(national: str, prefix: str, marks: list[str]) -> None:
    assume(prefix or not national.startswith("00"))  # there a country's code would follow
    written = prefix + "".join(digit + mark for digit, mark in zip(national, marks, strict=True))

    assert outcome_of(written) == outcome_of("998" + national) == outcome_of(int("998" + national))


@given(NATIONAL)
def test_only_a_fixed_line_is_refused_among_numbers_of_the_right_length(national: str) -> None:
    fixed = phonenumbers.number_type(phonenumbers.parse("+998" + national)) == PhoneNumberType.FIXED_LINE

    assert outcome_of("998" + national) == ("phone_fixed_line" if fixed else "998" + national)


@given(phone=NATIONAL.map("998{}".format) | DIGITS.filter(bool), countries=COUNTRIES)
def test_a_number_that_is_written_as_it_is_posted_is_read_as_any_other(phone: str, countries: list[str]) -> None:
    assert outcome_of(phone, countries) == outcome_of(f"{phone} ", countries)


@given(phone=ANYTHING, countries=COUNTRIES)
def test_with_any_countries_the_digits_of_one_come_out_or_it_is_refused(phone: object, countries: list[str]) -> None:
    found = outcome_of(phone, countries)
    if found.startswith("phone_"):
        return

    number = phonenumbers.parse("+" + found)
    assert set(phonenumbers.region_codes_for_country_code(number.country_code or 0)) & set(countries)
    assert phonenumbers.region_code_for_number(number) in {None, *countries}
    assert found == outcome_of("+" + found, countries) == outcome_of("00" + found, countries)


@given(country=some.sampled_from(MANY), others=COUNTRIES)
def test_a_mobile_number_is_the_same_whichever_country_comes_first(country: str, others: list[str]) -> None:
    example = phonenumbers.example_number_for_type(country, PhoneNumberType.MOBILE)
    assert example
    digits = f"{example.country_code}{example.national_number}"

    assert outcome_of("+" + digits, [*others, country]) == outcome_of(digits, [country, *others]) == digits


def outcome_of(phone: object, countries: list[str] | None = None) -> str:
    try:
        return normalised(phone, countries or ["UZ"])
    except OrderRefused as refused:
        assert refused.reason.startswith("phone_")
        assert not re.search("[0-9]{4}", refused.explanation)
        return refused.reason
