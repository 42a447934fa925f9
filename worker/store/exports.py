"""Messages for an export: as many as there are, a slice at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, sessionmaker

from models import Message
from models.lifecycle import Lane, MessageState
from worker.store.engine import reading

SLICE = 5_000  # ids, not rows: however few meet the filters, no statement looks at more


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages are meant: those that meet all that is given."""

    states: Sequence[MessageState] = ()
    lane: Lane | None = None
    producer: str | None = None
    key_prefix: str | None = None
    phone: str | None = None  #: digits; of where it went, or of where it was ordered to
    nickname: str | None = None
    batch_id: int | None = None
    request_id: str | None = None
    since: datetime | None = None  #: of created_at
    until: datetime | None = None  #: not itself

    def criteria(self) -> list[ColumnElement[bool]]:
        """The same for a WHERE."""
        equal: tuple[tuple[InstrumentedAttribute[Any], Any], ...] = (
            (Message.lane, self.lane),
            (Message.producer, self.producer),
            (Message.nickname, self.nickname),
            (Message.batch_id, self.batch_id),
            (Message.request_id, self.request_id),
        )
        wanted = [column == value for column, value in equal if value is not None]
        if self.states:
            wanted.append(Message.state.in_(self.states))
        if self.key_prefix:
            # No LIKE: SQLite's takes capitals for small letters.
            wanted.append(func.substr(Message.key, 1, len(self.key_prefix)) == self.key_prefix)
        if self.phone:
            wanted.append(or_(Message.phone == self.phone, Message.ordered_phone == self.phone))
        if self.since:
            wanted.append(Message.created_at >= self.since)
        if self.until:
            wanted.append(Message.created_at < self.until)
        return wanted


def exported(
    sessions: sessionmaker[Session], wanted: Wanted, columns: Sequence[str], *, slice_of: int = SLICE
) -> Iterator[tuple[Any, ...]]:
    """*columns* of every message that is meant, in the order of ids, up to the newest of when it began.

    Each slice is a short transaction of its own: a row that changes meanwhile is given as it is when its turn comes.
    """
    with reading(sessions) as session:
        first, last = session.execute(select(func.min(Message.id), func.max(Message.id))).one()
    if first is None:
        return
    found = select(*(getattr(Message, name) for name in columns)).where(*wanted.criteria()).order_by(Message.id)
    for start in range(first, last + 1, slice_of):
        with reading(sessions) as session:
            within = found.where(Message.id >= start, Message.id < min(start + slice_of, last + 1))
            rows = session.execute(within).all()
        yield from (tuple(row) for row in rows)
