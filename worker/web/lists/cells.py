"""Values of a row, as a visitor of a role may see them."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context

from worker.receivers import receiver_of
from worker.web.lists.sheets import Column, Kind
from worker.web.templating import masked

DIGITS = re.compile(r"\+?\d(?:(?:_|[^\w,;]){0,3}\d){6,}")  # seven or more, whatever little stands between them
MADE: Mapping[str, Callable[[Any], Any]] = {
    # columns that stand in no table
    "receiver": lambda row: receiver_of(row.target),
    "tells": lambda row: row.event.get("state"),
}


def value_of(row: Any, column: Column, *, reveal: bool) -> Any:
    """What the row holds, masked unless *reveal*: a JSON object is text; None of what may not be seen at all."""
    made = MADE.get(column.name)
    value = made(row) if made else getattr(row, column.name)
    if column.kind == Kind.SECRET and not reveal:
        return None
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, indent=1)
    if reveal or value is None:
        return value
    if column.kind == Kind.PHONE:
        return masked(value)
    return masked_words(value) if column.kind == Kind.WRITTEN else value


def masked_words(written: str) -> str:
    """*written* with all long numbers masked, which may be phones.

    >>> masked_words("asked for by +998 (90) 123.45.67 on day 12"), masked_words("otp-998901234567")
    ('asked for by ********4567 on day 12', 'otp-********4567')
    """
    return DIGITS.sub(lambda found: masked("".join(one for one in found[0] if one.isdecimal())), written)


@pass_context
def as_seen(known: Context, written: str | None) -> str | None:
    """A template's filter for words of others: as the visitor may see them."""
    visitor = known.get("visitor")
    return written if not written or (visitor and visitor.reveals) else masked_words(written)


def plain(value: Any) -> Any:
    """The same for files: instants in UTC as ISO 8601."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
