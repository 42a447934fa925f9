"""What every database can store of a text or of JSON from other hands."""

import re
from collections.abc import Callable
from math import isfinite
from typing import Any

DEEPEST = 20  #: lists and objects within each other; nobody means more
TOO_DEEP = "…"


def is_storable(text: str) -> bool:
    """Whether a database and an SMS can hold *text*: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not re.search("[\ud800-\udfff]", text)


def storable(value: Any, *, named: Callable[[str], str] = str, depth: int = DEEPEST) -> Any:
    """*value* as JSON that every database can hold; what none can is replaced. *named* sees every key.

    >>> storable({"a": [1, float("nan")]})
    {'a': [1, 'nan']}
    """
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", errors="replace").decode()
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, list | dict) and not depth:
        return TOO_DEEP
    if isinstance(value, list):
        return [storable(element, named=named, depth=depth - 1) for element in value]
    if isinstance(value, dict):
        return {
            named(storable(key, depth=depth)): storable(element, named=named, depth=depth - 1)
            for key, element in value.items()
        }
    return value
