"""A phone, however it is written, becomes international digits, or is refused without being quoted."""

import re
from typing import Any

import phonenumbers
import pytest

from worker.errors import OrderRefused
from worker.phone import normalised

WRITTEN: list[Any] = [
    pytest.param("998909711322", id="as the gateway wants it"),
    pytest.param("+998909711322", id="with a plus"),
    pytest.param("+998 90 971-13-22", id="with blanks and dashes"),
    pytest.param("90 971 13 22", id="without 998"),
    pytest.param(" 90-971-13-22\n", id="without 998, with dashes and blanks around"),
    pytest.param("909711322", id="nine digits"),
    pytest.param("(90) 971-13-22", id="with the range in brackets"),
    pytest.param("+998 (90) 971-13-22", id="with all punctuation"),
    pytest.param("(+998) 90 971 13 22", id="with the code in brackets"),
    pytest.param("998[90]9711322", id="with square brackets"),
    pytest.param("90.971.13.22", id="with dots"),
    pytest.param("90/971/13/22", id="with slashes"),
    pytest.param("+998\u00a090\u00a0971\u00a013\u00a022", id="with spaces that do not break"),
    pytest.param("+998\u202f90\u2009971\u20071322", id="with narrow, thin and figure spaces"),
    pytest.param("90\t971\t13\t22", id="with tabs"),
    pytest.param("90\u2010971\u201113\u201222", id="with hyphens of Unicode"),
    pytest.param("90\u2013971\u201413\u221222", id="with dashes of Unicode and a minus"),
    pytest.param("\u202a+998 90 971\u00ad13\u200b22\u202c", id="copied from an address book, with marks not seen"),
    pytest.param("\ufeff998909711322", id="with a byte order mark"),
    pytest.param("\uff0b998909711322", id="with a wide plus"),
    pytest.param("00998909711322", id="with the prefix for calls abroad"),
    pytest.param("00 998 90 971-13-22", id="with that prefix and blanks"),
    pytest.param(998909711322, id="as a number"),
    pytest.param(909711322, id="as a number without 998"),
]
REFUSED: list[Any] = [
    pytest.param(None, "phone_missing", id="none"),
    pytest.param("", "phone_missing", id="empty"),
    pytest.param(True, "phone_missing", id="a truth value"),
    pytest.param(998909711322.0, "phone_missing", id="a fraction"),
    pytest.param(["998901234567"], "phone_missing", id="a list"),
    pytest.param(" ", "phone_invalid", id="a space"),
    pytest.param("+", "phone_invalid", id="a plus alone"),
    pytest.param("00", "phone_invalid", id="a prefix alone"),
    pytest.param("90123456", "phone_invalid", id="eight digits"),
    pytest.param("9012345678", "phone_invalid", id="ten digits"),
    pytest.param("99890123456", "phone_invalid", id="a digit too few"),
    pytest.param("9989012345678", "phone_invalid", id="a digit too many"),
    pytest.param("99890123456x", "phone_invalid", id="a letter"),
    pytest.param("998901234567 ext. 1", "phone_invalid", id="an extension"),
    pytest.param("998901234567\n998907654321", "phone_invalid", id="two numbers"),
    pytest.param("+998+901234567", "phone_invalid", id="two pluses"),
    pytest.param("٩٩٨٩٠١٢٣٤٥٦٧", "phone_invalid", id="digits of another script"),
    pytest.param("9989012345²7", "phone_invalid", id="a superscript"),
    pytest.param("8901234567", "phone_invalid", id="with the old long-distance prefix"),
    pytest.param("8 90 123 45 67", "phone_invalid", id="with that prefix and blanks"),
    pytest.param("1234", "phone_invalid", id="a short number"),
    pytest.param("9" * 5_000, "phone_invalid", id="thousands of digits"),
    pytest.param(10**5_000, "phone_invalid", id="a number that cannot be written"),
    pytest.param(-998901234567, "phone_invalid", id="a negative number"),
    pytest.param(0, "phone_invalid", id="zero"),
    pytest.param("799012345678", "phone_foreign", id="of another country"),
    pytest.param("+7 701 123 45 67", "phone_foreign", id="of another country, with a plus"),
    pytest.param("+90 123 45 67", "phone_foreign", id="nine digits whose plus makes them Turkish"),
    pytest.param("998711234567", "phone_fixed_line", id="a fixed line of Tashkent"),
    pytest.param("71 123-45-67", "phone_fixed_line", id="the same without 998"),
]
OF_OTHERS: list[Any] = [
    pytest.param("8 (701) 123-45-67", ["KZ"], "77011234567", id="Kazakhstan, as it is dialled there"),
    pytest.param("7011234567", ["KZ"], "77011234567", id="Kazakhstan, without its code"),
    pytest.param("77011234567", ["UZ", "KZ"], "77011234567", id="Kazakhstan, second, without a plus"),
    pytest.param("90 123 45 67", ["UZ", "KZ"], "998901234567", id="Uzbekistan, first, without its code"),
    pytest.param("998901234567", ["KZ", "UZ"], "998901234567", id="Uzbekistan, second, without a plus"),
    pytest.param("0 700 123 456", ["KG"], "996700123456", id="Kyrgyzstan, as it is dialled there"),
    pytest.param("+996 (700) 12-34-56", ["UZ", "KG"], "996700123456", id="Kyrgyzstan, second"),
    pytest.param("917 123456", ["TJ", "UZ"], "992917123456", id="Tajikistan, without its code"),
    pytest.param("+993 65 123456", ["UZ", "TM"], "99365123456", id="Turkmenistan"),
    pytest.param("0532 123 45 67", ["TR"], "905321234567", id="Turkey, as it is dialled there"),
    pytest.param("07400 123456", ["GB"], "447400123456", id="Britain, as it is dialled there"),
    pytest.param("8 916 123-45-67", ["RU"], "79161234567", id="Russia, as it is dialled there"),
    pytest.param(
        "(202) 555-0123", ["US"], "12025550123", id="the United States, where a mobile looks like a fixed line"
    ),
    pytest.param("+1 416 555 0123", ["UZ", "CA"], "14165550123", id="Canada"),
    pytest.param(77011234567, ["UZ", "KZ"], "77011234567", id="as a number"),
    pytest.param("00 7 701 123 45 67", ["UZ", "KZ"], "77011234567", id="with the prefix for calls abroad"),
    pytest.param("8 10 998 90 123 45 67", ["RU", "UZ"], "998901234567", id="with Russia's own prefix for calls abroad"),
]
NOT_OF_OTHERS: list[Any] = [
    pytest.param("+998 90 123 45 67", ["KZ"], "phone_foreign", id="Uzbekistan where it is not named"),
    pytest.param("+7 916 123 45 67", ["KZ"], "phone_foreign", id="Russia, whose code is Kazakhstan's too"),
    pytest.param("8 916 123 45 67", ["KZ"], "phone_foreign", id="Russia, as it is dialled in Kazakhstan"),
    pytest.param("+7 701 123 45 67", ["RU"], "phone_foreign", id="Kazakhstan, whose code is Russia's too"),
    pytest.param("+1 202 555 0123", ["CA"], "phone_foreign", id="the United States, whose code is Canada's too"),
    pytest.param("+1 416 555 0123", ["US"], "phone_foreign", id="Canada, whose code is the United States' too"),
    pytest.param("8 7172 12 34 56", ["KZ"], "phone_fixed_line", id="a fixed line of Astana"),
    pytest.param("+7 800 100 00 00", ["RU"], "phone_invalid", id="toll-free"),
    pytest.param("+44 906 701 2345", ["GB"], "phone_invalid", id="premium"),
    pytest.param("+44 7640 123456", ["GB"], "phone_invalid", id="a pager"),
    pytest.param("112", ["KZ"], "phone_invalid", id="short"),
    pytest.param("555-0123", ["US"], "phone_invalid", id="complete in its own town only"),
    pytest.param("+7 701 123 45 6", ["KZ"], "phone_invalid", id="a digit too few"),
    pytest.param("+7 701 123 45 678", ["KZ"], "phone_invalid", id="a digit too many"),
    pytest.param("+800 1234 5678", ["UZ", "KZ"], "phone_foreign", id="of no country"),
    pytest.param("+999 123 456 789", ["UZ", "KZ"], "phone_invalid", id="of a code that nobody has"),
]


@pytest.mark.parametrize("written", WRITTEN)
def test_a_phone_may_be_written_in_many_ways(written: str | int) -> None:
    assert normalised(written) == "998909711322"


@pytest.mark.parametrize("written", WRITTEN)
def test_more_countries_change_nothing_for_the_first(written: str | int) -> None:
    assert normalised(written, ["UZ", "KZ", "RU", "KG", "TJ"]) == "998909711322"


@pytest.mark.parametrize(("written", "reason"), REFUSED)
def test_what_takes_no_sms_is_refused(written: object, reason: str) -> None:
    assert refusal_of(written).reason == reason


@pytest.mark.parametrize(("written", "countries", "expected"), OF_OTHERS)
def test_other_countries_are_accepted_where_they_are_named(
    written: str | int, countries: list[str], expected: str
) -> None:
    assert normalised(written, countries) == expected


@pytest.mark.parametrize(("written", "countries", "reason"), NOT_OF_OTHERS)
def test_what_takes_no_sms_abroad_is_refused(written: str, countries: list[str], reason: str) -> None:
    assert refusal_of(written, countries).reason == reason


@pytest.mark.parametrize("phone", ["998290000000", "29 000 00 00"], ids=["with 998", "without"])
def test_a_mobile_range_that_nobody_knows_yet_is_accepted(phone: str) -> None:
    assert normalised(phone) == "998290000000"


def test_a_range_of_a_shared_code_that_nobody_knows_is_accepted_for_either_country() -> None:
    unknown = "+7 600 123 45 67"
    assert phonenumbers.region_code_for_number(phonenumbers.parse(unknown)) is None

    assert normalised(unknown, ["RU"]) == normalised(unknown, ["KZ"]) == "76001234567"


def test_a_known_mobile_of_a_later_country_comes_before_an_unknown_range_of_the_first() -> None:
    assert normalised("77011234567", ["AT"]) == "4377011234567"
    assert normalised("77011234567", ["AT", "KZ"]) == "77011234567"


def test_a_foreign_number_is_refused_with_the_countries_that_are_allowed() -> None:
    refused = refusal_of("+49 151 23456789", ["UZ", "KZ"])

    assert refused.explanation.endswith("allowed are UZ (+998 and 9 digits), KZ (+7 and 10 digits).")


def test_a_number_that_is_no_mobile_is_refused_with_what_it_is() -> None:
    assert refusal_of("+7 800 100 00 00", ["RU"]).explanation.startswith("phone: a toll-free number")


@pytest.mark.parametrize("written", ["998901234567x", "+7 701 123 45 67", "998711234567", "99890123456"])
def test_a_refusal_does_not_quote_the_phone(written: str) -> None:
    assert not re.search("[0-9]{4}", str(refusal_of(written)))


def refusal_of(written: object, countries: list[str] | None = None) -> OrderRefused:
    with pytest.raises(OrderRefused) as refused:
        normalised(written, countries or ["UZ"])
    return refused.value
