"""How settings of more than one word are written: lists with commas, hours, prices."""

from typing import Annotated

import phonenumbers
from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from worker import quiet
from worker.quiet import QuietHours

MONTH_SECONDS = 30 * 24 * 3600
Seconds = Annotated[float, Field(le=MONTH_SECONDS, gt=0)]


def _words(value: object) -> object:
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _steps(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return [float(step) for step in value.split(",")]
    except ValueError:
        raise ValueError("must be seconds separated by commas, such as 5,10,60") from None


def _regions(value: object) -> object:
    regions = _words(value)
    if isinstance(regions, list) and not (regions and set(regions) <= phonenumbers.SUPPORTED_REGIONS):
        raise ValueError("must be countries by their two capital letters (ISO 3166), separated by commas: UZ,KZ")
    return regions


def _phones(value: object) -> object:
    phones = _words(value)
    if not isinstance(phones, list):
        return phones
    digits = [phone.removeprefix("+") for phone in phones]
    # A list of nothing would let everybody be sent to, which is the last that whoever writes a comma wants.
    if not (digits and all(map(_is_international, digits))):
        raise ValueError("must be international numbers, digits only, separated by commas: 998901234567,998911234567")
    return digits


def _is_international(phone: str) -> bool:
    if not (phone.isascii() and phone.isdecimal()):
        return False
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(f"+{phone}"))
    except phonenumbers.NumberParseException:
        return False


def _hours(value: object) -> object:
    return quiet.read(value) if isinstance(value, str) else value


def _prices(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [word.rpartition("=") for word in value.split(",") if word.strip()]
    try:
        prices = {name.strip(): float(price) for name, _, price in pairs}
    except ValueError:
        prices = {"": 0}
    if len(prices) < len(pairs) or not all(name and price >= 0 for name, price in prices.items()):
        raise ValueError("must be prices of nicknames, separated by commas: SHOP=95,BANK=120.5")
    return prices


Ladder = Annotated[tuple[Seconds, ...], NoDecode, BeforeValidator(_steps), Field(min_length=1)]
Regions = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_regions)]
Phones = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_phones)]
Hours = Annotated[QuietHours, NoDecode, BeforeValidator(_hours)]
Prices = Annotated[dict[str, float], NoDecode, BeforeValidator(_prices)]
