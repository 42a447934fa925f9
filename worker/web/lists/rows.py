"""Rows of any table with growing ids, at once however many they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Label, Select, func, select
from sqlalchemy.orm import Session

from models.base import Base
from worker.web.lists.sheets import Asked, Counted, Found

WINDOW = 100_000  # ids that one statement looks at where no index leads to what is meant
WINDOWS = 5  # statements for one page
FEW = 10_000  # rows that are counted one by one
# Whoever stores a row reads the clock before: one that is stored later may be of a little earlier.
SKEW = timedelta(minutes=10)


class _Span(NamedTuple):
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one table. Filters name columns, but for ``since`` and ``until``, which are of *at*."""

    table: type[Base]
    at: str  #: the column with when it was stored
    filters: Mapping[str, str]
    indexed: Sequence[str] = ()  #: filters that an index serves
    beside: Sequence[Label[Any]] = field(default_factory=tuple)  #: what is shown of other tables

    def page(self, session: Session, asked: Asked, *, before: int | None, after: int | None, limit: int) -> Found:
        """See `Source`. A page that is not full may have older ones: then so many ids were looked at."""
        span = self._span(session, asked)
        if span is None:
            return Found(())
        if after is not None and before is None:
            return self._newer(session, asked, _Span(max(span.first, after + 1), span.last), limit)
        return self._older(
            session, asked, _Span(span.first, min(span.last, before - 1) if before else span.last), limit
        )

    def counted(self, session: Session, asked: Asked) -> Counted | None:
        """See `Source`: without a filter from the ids, with one only where few rows are to be looked at."""
        span = self._span(session, asked)
        if span is None:
            return Counted(0, exact=True)
        size = span.last - span.first + 1
        if size > FEW and not self._is_indexed(asked):
            return None if self._criteria(asked) else Counted(size, exact=False)
        meant = select(self._id).where(self._within(span), *self._criteria(asked)).limit(FEW + 1).subquery()
        count = session.scalars(select(func.count()).select_from(meant)).one()
        return Counted(min(count, FEW), exact=count <= FEW)

    def one(self, session: Session, number: int) -> Any | None:
        """See `Source`."""
        return session.execute(self._select().where(self._id == number)).first()

    def _older(self, session: Session, asked: Asked, span: _Span, limit: int) -> Found:
        rows: list[Any] = []
        for window in _windows(span, self._window(asked), downwards=True):
            found = self._select().where(self._within(window), *self._criteria(asked)).order_by(self._id.desc())
            rows += session.execute(found.limit(limit + 1 - len(rows))).all()
            reached = window.first
            if len(rows) > limit:
                return Found(rows[:limit], older=rows[limit - 1].id)
        more = span.first <= span.last and reached > span.first
        return Found(rows, older=reached if more else None)

    def _newer(self, session: Session, asked: Asked, span: _Span, limit: int) -> Found:
        rows: list[Any] = []
        for window in _windows(span, self._window(asked), downwards=False):
            found = self._select().where(self._within(window), *self._criteria(asked)).order_by(self._id)
            rows += session.execute(found.limit(limit + 1 - len(rows))).all()
            reached = window.last
            if len(rows) > limit:
                return Found(rows[:limit][::-1], older=rows[0].id, newer=rows[limit - 1].id)
        more = span.first <= span.last and reached < span.last
        return Found(rows[::-1], older=rows[0].id if rows else span.first, newer=reached if more else None)

    def _column(self, name: str) -> ColumnElement[Any]:
        return self.table.__table__.c[name]

    @property
    def _id(self) -> ColumnElement[int]:
        return self._column("id")

    def _select(self) -> Select[Any]:
        return select(*self.table.__table__.columns, *self.beside)

    def _criteria(self, asked: Asked) -> list[ColumnElement[bool]]:
        equal = [self._column(self.filters[name]) == value for name, value in asked.items() if name in self.filters]
        since = [self._column(self.at) >= asked["since"]] if "since" in asked else []
        return [*equal, *since, *([self._column(self.at) < asked["until"]] if "until" in asked else [])]

    def _is_indexed(self, asked: Asked) -> bool:
        return any(name in asked for name in self.indexed)

    def _window(self, asked: Asked) -> int | None:
        return None if self._is_indexed(asked) or not self._criteria(asked) else WINDOW

    def _within(self, span: _Span) -> ColumnElement[bool]:
        return self._id.between(span.first, span.last)

    def _span(self, session: Session, asked: Asked) -> _Span | None:
        ends = (
            select(end(self._id)).scalar_subquery() for end in (func.min, func.max)
        )  # SQLite reads all for both at once
        first, last = session.execute(select(*ends)).one()
        if first is None:
            return None
        if "since" in asked:
            first = self._first_since(session, asked["since"] - SKEW, _Span(first, last))
        if "until" in asked:
            last = self._first_since(session, asked["until"] + SKEW, _Span(first, last))
        return _Span(first, last)

    def _first_since(self, session: Session, at: datetime, span: _Span) -> int:
        """The id from which rows are of *at* or later, by halves: ids grow with time, and *at* may have no index."""
        low, high = span
        while low < high:
            middle = (low + high) // 2
            found = (
                select(self._id, self._column(self.at))
                .where(self._within(_Span(middle, high)))
                .order_by(self._id)
                .limit(1)
            )
            number, when = session.execute(found).first() or (high, at)
            low, high = (number + 1, high) if when < at else (low, middle)
        return low


def _windows(span: _Span, size: int | None, *, downwards: bool) -> list[_Span]:
    """The first `WINDOWS` windows of *span*; all of it where there is no need of them."""
    if size is None or span.last < span.first:
        return [span]
    if downwards:
        return [_Span(max(span.first, end - size + 1), end) for end in range(span.last, span.first - 1, -size)][
            :WINDOWS
        ]
    return [_Span(start, min(span.last, start + size - 1)) for start in range(span.first, span.last + 1, size)][
        :WINDOWS
    ]
