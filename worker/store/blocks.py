"""The do-not-send list: who gets nothing by which lane."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from models.lifecycle import Lane


class Blocked(NamedTuple):
    """What came of it."""

    added: int  #: blocks that did not stand before
    cancelled: int  #: messages that were queued for these numbers


def block(
    session: Session, phones: Sequence[str], *, lanes: Sequence[Lane], now: datetime, who: str, reason: str | None
) -> Blocked:
    """Let *phones* get nothing more by *lanes*; what is queued for them is cancelled, and its producers are told."""
    return None  # type: ignore[return-value]


def lift(session: Session, phones: Sequence[str], *, lanes: Sequence[Lane], now: datetime, who: str) -> int:
    """Let *phones* be written to again by *lanes*; return how many blocks that lifted."""
    return None  # type: ignore[return-value]


def blocked_of(session: Session, phones: Iterable[str], lane: Lane) -> set[str]:
    """Those of *phones* that get nothing by *lane*."""
    return None  # type: ignore[return-value]
