"""Whose range a number is in. A hint only: numbers may be moved between operators."""

from functools import lru_cache

import phonenumbers
from phonenumbers import carrier


@lru_cache(maxsize=100_000)
def _of_range(digits: str) -> str | None:
    number = phonenumbers.parse(f"+{digits}")
    return carrier.name_for_number(number, "en") or None


def operator_of(phone: str) -> str | None:
    """The operator of an international number (digits only), if its range is known."""
    return _of_range(phone)
