"""Refused orders a page at a time, the last one first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from models import RefusedIntake

MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which refused orders are meant: those that meet all that is given."""

    id: int | None = None
    uid: str | None = None
    queue: str | None = None
    producer: str | None = None
    key: str | None = None
    reason: str | None = None
    since: datetime | None = None  #: of created_at
    until: datetime | None = None  #: not itself

    def criteria(self) -> list[ColumnElement[bool]]:
        """The same for a WHERE."""
        equal: tuple[tuple[InstrumentedAttribute[Any], Any], ...] = (
            (RefusedIntake.id, self.id),
            (RefusedIntake.uid, self.uid),
            (RefusedIntake.queue, self.queue),
            (RefusedIntake.producer, self.producer),
            (RefusedIntake.key, self.key),
            (RefusedIntake.reason, self.reason),
        )
        chosen = [column == value for column, value in equal if value is not None]
        chosen += [RefusedIntake.created_at >= self.since] if self.since else []
        return [*chosen, RefusedIntake.created_at < self.until] if self.until else chosen


class Listed(NamedTuple):
    """A refused order, in plain values. Only *body* may hold a phone or a text."""

    id: int
    created_at: datetime
    queue: str
    task: str | None
    uid: str | None
    producer: str | None
    key: str | None
    reason: str
    explanation: str
    body_encoding: str
    body: str


COLUMNS = tuple(getattr(RefusedIntake, name) for name in Listed._fields)


def listed(session: Session, chosen: Chosen, *, before_id: int | None = None, limit: int) -> list[Listed]:
    """Up to *limit* of them, the last refused first; the next page is before the last one's id."""
    return [Listed._make(row) for row in session.execute(_newest(select(*COLUMNS), chosen, before_id).limit(limit))]


def count(session: Session, chosen: Chosen) -> int:
    """How many meet *chosen*, counted up to one more than `MOST_COUNTED`."""
    some = select(RefusedIntake.id).where(*chosen.criteria()).limit(MOST_COUNTED + 1)
    return session.scalars(select(func.count()).select_from(some.subquery())).one()


def _newest(rows: Select[Any], chosen: Chosen, before_id: int | None) -> Select[Any]:
    older = [] if before_id is None else [RefusedIntake.id < before_id]
    # An expression for a uid's few: PostgreSQL may else walk the primary key until it meets them.
    by = RefusedIntake.id if chosen.uid is None else RefusedIntake.id + 0
    return rows.where(*chosen.criteria(), *older).order_by(by.desc())
