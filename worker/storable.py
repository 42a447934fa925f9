"""JSON from other hands: how it is read, and what every database can store of it."""

import json
import re
from collections.abc import Callable
from math import isfinite
from typing import Any

import orjson

DEEPEST = 20  #: lists and objects within each other; nobody means more
TOO_DEEP = "…"

DEEP = 700  # levels; with a few hundred more they are too many for the standard library, but not for orjson
_LONG_NUMBER = b"0" * 19  # digits; of more than 64 bits orjson makes a float
_digits_as_zero = bytes.maketrans(b"123456789", b"000000000")
_half_a_pair = re.compile("[\ud800-\udfff]").search


def parsed(written: bytes | str, *, long_numbers: bool = True) -> Any:
    """The same as `json.loads`, which reads what orjson refuses, or would read otherwise. Raises as that does.

    Without *long_numbers* an integer of more than 64 bits may become a float; to look for one takes a third of the
    time.

    >>> parsed(b"[18446744073709551616, Infinity]")
    [18446744073709551616, inf]
    """
    raw = written if isinstance(written, bytes) else written.encode("utf-8", "surrogatepass")
    if not (long_numbers and _may_be_long(raw)) and not (len(raw) > 2 * DEEP and _may_be_deep(raw)):
        try:
            return orjson.loads(raw)
        except ValueError:
            pass  # infinities, halves of surrogate pairs, UTF-16: the standard library takes them, others it refuses
    return json.loads(written)


def _may_be_long(raw: bytes) -> bool:
    return raw.translate(_digits_as_zero).find(_LONG_NUMBER) >= 0


def _may_be_deep(raw: bytes) -> bool:
    """Whether there may be more than `DEEP` levels; of two objects side by side, neither is within the other."""
    opened = raw.count(b"{") + raw.count(b"[")
    return opened > DEEP and opened - raw.count(b"}, {") - raw.count(b"},{") > DEEP


def is_storable(text: str) -> bool:
    """Whether a database and an SMS can hold *text*: no NUL, no half of a surrogate pair."""
    return "\0" not in text and (text.isascii() or not _half_a_pair(text))


def storable(value: Any, *, named: Callable[[str], str] = str, depth: int = DEEPEST) -> Any:
    """*value* as JSON that every database can hold; what none can is replaced. *named* sees every key.

    >>> storable({"a": [1, float("nan")]})
    {'a': [1, 'nan']}
    """
    if isinstance(value, str):
        return _words(value)
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, list | dict) and not depth:
        return TOO_DEEP
    if isinstance(value, list):
        return [storable(element, named=named, depth=depth - 1) for element in value]
    if isinstance(value, dict):
        return {
            named(_words(key) if isinstance(key, str) else storable(key, depth=depth)): (
                element if isinstance(element, int) else storable(element, named=named, depth=depth - 1)
            )
            for key, element in value.items()
        }
    return value


def _words(text: str) -> str:
    if text.isascii() and "\0" not in text:
        return text  # as most are
    return text.replace("\0", "\ufffd").encode("utf-8", errors="replace").decode()
