"""What is shown of messages: no text, and no more of a phone than its last four digits, unless it is asked for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from worker.errors import OrderRefused
from worker.phone import MOST_DIGITS, normalised
from worker.store.unconfirmed import Unconfirmed

SHOWN_DIGITS = 4


def masked(phone: str) -> str:
    """All but the last four digits hidden.

    >>> masked("998901234567")
    '********4567'
    """
    return "*" * max(0, len(phone) - SHOWN_DIGITS) + phone[-SHOWN_DIGITS:]


def masked_as_written(phone: str, countries: Sequence[str]) -> str:
    """The same of a number as people write it, however they do; empty if there is no digit in it.

    >>> [masked_as_written(one, ["UZ"]) for one in ("+998 90 123-45-67", "901234567", "71 123-45-67", "Ali")]
    ['********4567', '********4567', '*****4567', '']
    """
    try:
        return masked(normalised(phone, countries))
    except OrderRefused:
        return masked("".join(one for one in phone if one.isdecimal())[-MOST_DIGITS:])


def visible(words: str) -> str:
    r"""*words* of other hands without what a terminal would obey or break the line at.

    >>> visible("order-1\x1b[2J")
    'order-1\\x1b[2J'
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in words)


def as_lines(one: Unconfirmed, *, policy: str, zone: ZoneInfo, reveal: bool) -> str:
    """A message in doubt, for people; its times in *zone*."""
    key = f", key {visible(one.key)}" if one.key is not None else ""
    broke = visible(one.reason or "no reason is known") + (f", HTTP {one.http_status}" if one.http_status else "")
    phone = one.phone if reveal else masked(one.phone)
    size = f"{one.batch_size} message{'s' * (one.batch_size != 1)}"
    tries = f"attempts {one.attempts}, resends {one.resends}, the lane's policy is {policy}"
    lines = [
        f"{visible(one.uid)}  {one.lane}  {phone}  producer {visible(one.producer)}{key}",
        f"posted {_local(one.posted_at, zone)}, unconfirmed since {_local(one.unconfirmed_at, zone)}: {broke}",
        f"batch {one.batch_id} ({size}) by {visible(one.worker)}, {tries}",
        *([f"text: {visible(one.text)}"] if reveal else []),
    ]
    return "\n  ".join(lines)


def columns_of(*, reveal: bool) -> list[str]:
    """The names of what `known` knows; ``text`` is there only if it is to be revealed."""
    return [*(name for name in Unconfirmed._fields if reveal or name != "text"), "policy"]


def known(one: Unconfirmed, *, policy: str, reveal: bool) -> dict[str, Any]:
    """The same for programs."""
    row = one._asdict() | {"phone": one.phone if reveal else masked(one.phone), "policy": policy}
    return {name: row[name] for name in columns_of(reveal=reveal)}


def counted(messages: int, parts: int) -> str:
    """How many that is.

    >>> counted(1, 2), counted(12, 12)
    ('1 message (2 parts)', '12 messages (12 parts)')
    """
    return f"{messages} message{'s' * (messages != 1)} ({parts} part{'s' * (parts != 1)})"


def _local(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(timespec="seconds")
