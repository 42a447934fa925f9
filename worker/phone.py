"""Phone numbers of Uzbekistan, as people write them, to what the gateway wants."""

import re
from collections.abc import Sequence
from typing import Any

import phonenumbers

from worker.errors import OrderRefused

COUNTRY_CODE = "998"
NATIONAL_DIGITS = 9

# Compiled once: asking the library about each number would cost more than storing it.
_metadata: Any = phonenumbers.PhoneMetadata.metadata_for_region("UZ")
_fixed_line = re.compile(_metadata.fixed_line.national_number_pattern).fullmatch
_mobile = re.compile(_metadata.mobile.national_number_pattern).fullmatch
_written = re.compile(r"\+?[0-9(][0-9 ().\-\u00a0]+").fullmatch
_punctuation = str.maketrans("", "", "+ ().-\u00a0")


def normalised(phone: object, countries: Sequence[str] = ("UZ",)) -> str:  # noqa: ARG001
    """The number as 998 and nine digits, from a text or an integer, with or without plus, 998 and punctuation.

    A range that nobody knows yet is accepted, a fixed line is not. Raises `OrderRefused` without the number in it.

    >>> normalised("+998 90 971-13-22"), normalised("90 971 13 22"), normalised(998909711322)
    ('998909711322', '998909711322', '998909711322')
    """
    if not isinstance(phone, str | int) or isinstance(phone, bool) or phone == "":
        raise OrderRefused("phone_missing", "phone: give a number such as 998901234567.")
    written = str(phone).strip()
    digits = written.translate(_punctuation)
    if len(digits) == NATIONAL_DIGITS:
        digits = COUNTRY_CODE + digits
    if not _written(written) or len(digits) != len(COUNTRY_CODE) + NATIONAL_DIGITS or not digits.isascii():
        raise OrderRefused("phone_invalid", "phone: not a number of Uzbekistan; 998 and nine digits are allowed.")
    if not digits.startswith(COUNTRY_CODE):
        raise OrderRefused("phone_foreign", "phone: not a number of Uzbekistan; it must begin with 998.")
    national = digits[len(COUNTRY_CODE) :]
    if _fixed_line(national) and not _mobile(national):
        raise OrderRefused("phone_fixed_line", "phone: a fixed line, which takes no SMS; give a mobile number.")
    return digits
