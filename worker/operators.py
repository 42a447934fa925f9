"""Whose range a number is in. A hint only: numbers may be moved between operators."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import phonenumbers
from phonenumbers.carrierdata import CARRIER_DATA

BEGINNING = 5  # digits; within them, a country's ranges are few and of few lengths


class _Country(NamedTuple):
    """What there is to know of the numbers of one calling code that begin alike."""

    lengths: Sequence[int]  #: of the prefixes whose operator is named, the longest first
    code_digits: int
    is_mobile: Callable[[str, int], Any]  #: matches from where the code ends


def operator_of(phone: str) -> str | None:
    """The operator of an international number (digits only), if its range is known. Never raises.

    >>> operator_of("998901234567"), operator_of("998711234567")
    ('Beeline', None)
    """
    country = _country_of(phone[:BEGINNING])
    for length in country.lengths:
        if names := CARRIER_DATA.get(phone[:length]):
            # The ranges named are wider than those in use, and some are of fixed lines.
            return names.get("en") if country.is_mobile(phone, country.code_digits) else None
    return None


@lru_cache(maxsize=1_000)
def _country_of(beginning: str) -> _Country:
    code = next((beginning[:digits] for digits in (1, 2, 3) if beginning[:digits] in _CODES), None)
    if code is None:
        return _Country((), 0, re.compile("(?!)").fullmatch)
    named = {len(one) for one in _prefixes_of(code) if one.startswith(beginning) or beginning.startswith(one)}
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]
    known: list[Any] = [phonenumbers.PhoneMetadata.metadata_for_region(region) for region in regions]
    patterns = {f"(?:{one.mobile.national_number_pattern})" for one in known if one and one.mobile}
    return _Country(sorted(named, reverse=True), len(code), re.compile("|".join(sorted(patterns)) or "(?!)").fullmatch)


@lru_cache
def _prefixes_of(code: str) -> Sequence[str]:
    return [prefix for prefix in CARRIER_DATA if prefix.startswith(code)]


_CODES = frozenset(map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE))
