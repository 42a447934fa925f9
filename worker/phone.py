"""Phone numbers, as people write them, to what the gateway wants: international digits."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberType, ValidationResult

from worker.errors import OrderRefused

MOST_DIGITS = 15  # E.164
SURELY_WITH_CODE = 11  # digits; a shorter number that cannot be read is more likely a slip than from abroad
CACHED = 10_000  # numbers that only the library could read
TAKES_SMS = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE, PhoneNumberType.UNKNOWN})

# What stands between digits: brackets, dots, slashes, blanks and dashes of any width, marks that are not seen.
_BETWEEN = "()[]./-\u2212\ufe58\ufe63\uff0d \t\u00a0\u3000\u00ad\u061c\ufeff"
_WIDE_AND_UNSEEN = map(chr, [*range(0x2000, 0x2016), *range(0x202A, 0x2030), *range(0x205F, 0x2070)])
_punctuation = str.maketrans("\uff0b", "+", _BETWEEN + "".join(_WIDE_AND_UNSEEN))


class _Known(NamedTuple):
    """Mobile ranges, compiled once: asking the library about each number would cost more than storing it."""

    code: str
    of_first: Callable[[str], Any]  #: matches a number of the first country without its code
    with_code: Callable[[str], Any]
    as_is: Callable[[str], Any]  #: matches one to which nothing need be done


def normalised(phone: object, countries: Sequence[str] = ("UZ",)) -> str:
    """A mobile number as international digits, from a text or an integer, however it is punctuated.

    *countries* (ISO 3166, two letters) are those whose numbers are accepted. After ``+`` or ``00`` stands a country's
    code; without either it may be left out by numbers of the first country. A range that nobody knows yet is accepted
    if it has a mobile number's length, a fixed line is not. Which of the countries that share a calling code (+1, +7)
    a number is of, its range tells; where that is not known, it is accepted if any country of that code is.
    Raises `OrderRefused` without the number in it.

    >>> normalised("+998 90 971-13-22"), normalised("90 971 13 22"), normalised(998909711322)
    ('998909711322', '998909711322', '998909711322')
    >>> normalised("8 (701) 123-45-67", ["KZ", "UZ"]), normalised("00998909711322", ["KZ", "UZ"])
    ('77011234567', '998909711322')
    """
    countries = tuple(countries)
    known = _known(countries)
    if isinstance(phone, str) and known.as_is(phone):
        return phone
    digits = _digits(phone, countries)
    if known.of_first(digits):
        return known.code + digits
    if known.with_code(digits):
        return digits.removeprefix("+")
    return _by_library(digits, countries)


def _digits(phone: object, countries: Sequence[str]) -> str:
    """The digits alone, behind a plus where a country's code certainly comes first."""
    if not isinstance(phone, str | int) or isinstance(phone, bool) or phone == "":
        raise OrderRefused("phone_missing", f"phone: give a mobile number; allowed are {_allowed(countries)}.")
    if isinstance(phone, int):
        digits = str(phone) if 0 < phone < 10**MOST_DIGITS else ""  # others may be too long to be written at all
    else:
        digits = phone.strip().translate(_punctuation)
    if digits.startswith("00"):
        digits = "+" + digits[2:]
    bare = digits.removeprefix("+")
    if not (bare.isascii() and bare.isdecimal() and len(bare) <= MOST_DIGITS):
        raise _no_number(countries)
    return digits


@lru_cache
def _known(countries: tuple[str, ...]) -> _Known:
    first, alone = countries[0], [one for one in countries if _mobile_of(one)]
    # Where the first shares its code, one of its own numbers may look like another country's with the code.
    plus = r"\+?" if first in alone else r"\+"
    with_code = "|".join(f"{_code_of(one)}(?:{_mobile_of(one)})" for one in alone) or "(?!)"
    of_first = _mobile_of(first) or "(?!)"
    as_is = rf"(?!(?:{of_first})\Z)(?:{with_code})" if plus.endswith("?") else "(?!)"
    patterns = (of_first, f"{plus}(?:{with_code})", as_is)
    return _Known(_code_of(first), *(re.compile(pattern, re.ASCII).fullmatch for pattern in patterns))


def _mobile_of(country: str) -> str | None:
    """The pattern of its mobile numbers without the code; None if it shares the code, or has no ranges of their own."""
    metadata: Any = phonenumbers.PhoneMetadata.metadata_for_region(country)
    shared = len(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[metadata.country_code]) > 1
    return None if shared or not metadata.mobile else metadata.mobile.national_number_pattern


def _code_of(country: str) -> str:
    return str(phonenumbers.country_code_for_region(country))


@lru_cache(CACHED)
def _by_library(digits: str, countries: tuple[str, ...]) -> str:
    verdicts = [(one, _refusal(one, countries)) for one in _readings(digits, countries[0])]
    accepted = [one for one, refused in verdicts if not refused]
    if accepted:
        # A number that is known to be mobile comes before one of a range that nobody knows.
        number = next(filter(phonenumbers.is_valid_number, accepted), accepted[0])
        return f"{number.country_code}{phonenumbers.national_significant_number(number)}"
    refusals = [refused for _, refused in verdicts if refused] or [_no_number(countries)]
    raise refusals[-1] if len(digits) >= SURELY_WITH_CODE else refusals[0]


def _readings(digits: str, first: str) -> Iterator[PhoneNumber]:
    """What the digits may mean: a number as it is dialled in the *first* country, or one with a country's code."""
    if not digits.startswith("+"):
        with suppress(NumberParseException):
            yield phonenumbers.parse(digits, first)
    with suppress(NumberParseException):
        yield phonenumbers.parse("+" + digits.removeprefix("+"))


def _refusal(number: PhoneNumber, countries: Sequence[str]) -> OrderRefused | None:
    region = phonenumbers.region_code_for_number(number)
    regions = {region} if region else set(phonenumbers.region_codes_for_country_code(number.country_code or 0))
    if regions.isdisjoint(countries):
        return OrderRefused("phone_foreign", f"phone: a number of another country; allowed are {_allowed(countries)}.")
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        return _no_number(countries)
    kind = phonenumbers.number_type(number)
    if kind == PhoneNumberType.FIXED_LINE:
        return OrderRefused("phone_fixed_line", "phone: a fixed line, which takes no SMS; give a mobile number.")
    if kind not in TAKES_SMS:
        named = PhoneNumberType.to_string(kind).lower().replace("_", "-")
        return OrderRefused("phone_invalid", f"phone: a {named} number, which takes no SMS; give a mobile number.")
    return None if kind != PhoneNumberType.UNKNOWN or _long_as_a_mobile(number) else _no_number(countries)


def _long_as_a_mobile(number: PhoneNumber) -> bool:
    found = phonenumbers.is_possible_number_for_type_with_reason(number, PhoneNumberType.MOBILE)
    return bool(found == ValidationResult.IS_POSSIBLE)


def _no_number(countries: Sequence[str]) -> OrderRefused:
    return OrderRefused("phone_invalid", f"phone: not a possible number; allowed are {_allowed(countries)}.")


def _allowed(countries: Sequence[str]) -> str:
    """Countries with the shape of their numbers.

    >>> _allowed(["UZ", "KZ"])
    'UZ (+998 and 9 digits), KZ (+7 and 10 digits)'
    """
    return ", ".join(f"{one} (+{_code_of(one)} and {_lengths_of(one)} digits)" for one in countries)


def _lengths_of(country: str) -> str:
    metadata: Any = phonenumbers.PhoneMetadata.metadata_for_region(country)
    lengths = (metadata.mobile and metadata.mobile.possible_length) or metadata.general_desc.possible_length
    return " or ".join(map(str, lengths))
