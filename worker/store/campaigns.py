"""What stands in the table of the messages that a campaign orders."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import coalesce

from models import Message, RefusedIntake

AT_ONCE = 1_000  # no database takes any number of values in one statement


class Found(NamedTuple):
    """A message, by what was ordered."""

    phone: str
    text: str
    state: str
    parts: int
    created_at: datetime


class Why(NamedTuple):
    """A refused order: the later one has the larger id."""

    id: int
    reason: str
    explanation: str


def found(session: Session, uids: Sequence[str]) -> dict[str, Found]:
    """Those of *uids* that are stored."""
    ordered = (coalesce(Message.ordered_phone, Message.phone), coalesce(Message.ordered_text, Message.text))
    columns = select(Message.uid, *ordered, Message.state, Message.parts, Message.created_at)
    rows = (row for some in _slices(uids) for row in session.execute(columns.where(Message.uid.in_(some))))
    return {row[0]: Found._make(row[1:]) for row in rows}


def refusals(session: Session, uids: Sequence[str], *, since: datetime | None = None) -> dict[str, Why]:
    """Why each of *uids* was refused (*since* then, if that is given), the last time if more than once."""
    columns = select(RefusedIntake.uid, RefusedIntake.id, RefusedIntake.reason, RefusedIntake.explanation)
    wheres = (RefusedIntake.uid.in_(some) for some in _slices(uids))
    columns = columns.where(RefusedIntake.created_at >= since) if since else columns
    rows = (row for where in wheres for row in session.execute(columns.where(where).order_by(RefusedIntake.id)))
    return {str(row[0]): Why._make(row[1:]) for row in rows}


def _slices(uids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (uids[start : start + AT_ONCE] for start in range(0, len(uids), AT_ONCE))
