"""Words and JSON that nobody expects, for Hypothesis, and an empty database for each example."""

import json
from typing import Any

from builders import Sessions
from hypothesis import settings
from hypothesis import strategies as some
from sqlalchemy import delete

from models import Base

ODD = ["\0", "\ud800", "", " \n", "a" * 300, "٣", "\U0001f600", "998901234567"]
WORDS = some.sampled_from(ODD) | some.text(some.characters(), max_size=8)  #: halves of surrogate pairs included
JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | WORDS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


def written(value: Any) -> bytes:
    """*value* as JSON, half surrogate pairs and infinities included."""
    return json.dumps(value).encode()


def fewer(by: int) -> settings:
    """So many times fewer examples than the run's profile says, for tests that touch a database or a socket."""
    usual = settings.default
    assert usual
    return settings(max_examples=max(1, usual.max_examples // by))


def more(by: int) -> settings:
    """So many times more, for tests that cost nothing."""
    usual = settings.default
    assert usual
    return settings(max_examples=usual.max_examples * by)


def emptied(sessions: Sessions) -> Sessions:
    """The same database without a row: Hypothesis runs many examples in one test."""
    with sessions.begin() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(delete(table))
    return sessions
