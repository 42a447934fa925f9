"""What a list's address asks for, read and checked."""

from collections.abc import Mapping, Sequence
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from worker.errors import OrderRefused
from worker.phone import MOST_DIGITS, normalised
from worker.settings import Settings
from worker.storable import is_storable
from worker.web.lists.sheets import Asked, Filter, Sheet, Sort
from worker.web.templating import _

LARGEST_ID = 2**63 - 2  # "after" it is one that a database can hold, too
LONGEST = 500


class CannotBeRead(Exception):
    """A filter's value is none; the message says which and what is allowed, in the visitor's language."""


def asked_of(sheet: Sheet, given: Mapping[str, str], settings: Settings) -> Asked:
    """The filters that are given; what is empty is not given. Raises `CannotBeRead`."""
    written = [(one, given.get(one.name, "").strip()) for one in sheet.filters]
    return {one.name: _value(one, words, settings) for one, words in written if words}


def number_of(given: Mapping[str, str], name: str) -> int | None:
    """An id in the address; None if there is none, or something else."""
    written = given.get(name, "")
    is_one = written.isascii() and written.isdecimal() and len(written) < 20  # noqa: PLR2004 - digits of LARGEST_ID
    return min(int(written), LARGEST_ID) if is_one else None


def phone_of(written: str, countries: Sequence[str]) -> str:
    """The digits of a number as people write it; of one that is none here, the digits alone."""
    try:
        return normalised(written, tuple(countries))
    except OrderRefused:
        return "".join(one for one in written if one.isascii() and one.isdecimal())[:MOST_DIGITS]


def _value(one: Filter, written: str, settings: Settings) -> Any:
    named = {"name": one.label, "value": written[:60]}
    if len(written) > LONGEST or not is_storable(written):
        raise CannotBeRead(_("%(name)s: this is too long, or no text.") % named)
    if one.sort == Sort.CHOICE and written not in one.choices:
        raise CannotBeRead(_("%(name)s: “%(value)s” is none to choose.") % named)
    if one.sort == Sort.NUMBER:
        number = number_of({"": written}, "")
        if number is None:
            raise CannotBeRead(_("%(name)s: “%(value)s” is no number.") % named)
        return number
    if one.sort == Sort.MOMENT:
        return _moment(written, settings.zone, named)
    if one.sort == Sort.PHONE:
        return phone_of(written, settings.countries)
    return written


def _moment(written: str, zone: ZoneInfo, named: dict[str, str]) -> datetime:
    try:
        at = datetime.fromisoformat(written)
        known = (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        known = datetime.min.replace(tzinfo=UTC)
    if not MINYEAR < known.year < MAXYEAR:  # something must be before it, and after
        raise CannotBeRead(_("%(name)s: “%(value)s” is no time; write 2026-11-30 09:00.") % named)
    return known
