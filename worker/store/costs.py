"""What was sent and billed, summed up. A report: it reads every batch once, and the messages of those in its period."""

from collections.abc import Collection, Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, case, extract, func, or_, select, text
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import coalesce

from models import Batch, Message
from models.lifecycle import MessageState
from worker.store.decisions import DROPPED
from worker.store.sweeps import DROPPED_BY_POLICY

GROUPS = ("day", "producer", "nickname", "lane")
QUARTER_SECONDS = 900  # every zone is a whole number of quarters of an hour off UTC, so none of them lies in two days


class Days(NamedTuple):
    """From *first* to *last*, both of them whole, by the clocks of *zone*."""

    first: date
    last: date
    zone: ZoneInfo

    def begin(self) -> datetime:
        """The first instant."""
        return datetime.combine(self.first, time(), tzinfo=self.zone)

    def end(self) -> datetime:
        """The first instant after them."""
        return datetime.combine(self.last + timedelta(days=1), time(), tzinfo=self.zone)


class Sent(NamedTuple):
    """What the messages of one group came to; each counts on the day on which it was posted last."""

    messages: int = 0  #: that the gateway took
    delivered: int = 0  #: of these
    parts: int = 0  #: of these, by our own count
    billed_parts: int = 0  #: by the gateway's, as far as it is known
    billed_more: int = 0  #: by how much the gateway's count exceeds ours, where it is known
    unbilled_parts: int = 0  #: by our own count, where the gateway's is not known
    in_doubt: int = 0  #: posts that were cut off: the gateway may have taken, and billed, them
    in_doubt_parts: int = 0  #: of these, by our own count

    def plus(self, other: "Sent") -> "Sent":
        """Both together."""
        return Sent(*(ours + theirs for ours, theirs in zip(self, other, strict=True)))


def sent(session: Session, days: Days, by: Collection[str]) -> dict[tuple[Any, ...], Sent]:
    """What was sent in *days*, by (day, producer, nickname, lane), where what *by* does not name is None.

    The nickname is always told, because prices hang on it.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SET LOCAL statement_timeout = '10min'"))  # of ten million messages, on a slow disk
    sums: dict[tuple[Any, ...], Sent] = {}
    for quarter, *names, found in _rows(session, days, by):
        group = (_day(quarter, days.zone), *names)
        sums[group] = sums.get(group, Sent()).plus(found)
    return sums


def _day(quarter: int | None, zone: ZoneInfo) -> date | None:
    return None if quarter is None else datetime.fromtimestamp(int(quarter) * QUARTER_SECONDS, zone).date()


def _rows(session: Session, days: Days, by: Collection[str]) -> Iterator[tuple[Any, ...]]:
    columns = {"day": _quarter(session), "producer": Message.producer, "lane": Message.lane}
    groups = {name: column for name, column in columns.items() if name in by} | {"nickname": Message.nickname}
    query = _summed(days).add_columns(*groups.values()).group_by(*groups.values())
    for row in session.execute(query):
        found = dict(zip(groups, row[len(Sent._fields) :], strict=True))
        yield (*map(found.get, GROUPS), Sent(*map(int, row[: len(Sent._fields)])))


def _quarter(session: Session) -> ColumnElement[int]:
    if session.get_bind().dialect.name == "postgresql":
        return func.floor(extract("epoch", Batch.created_at) / QUARTER_SECONDS)
    whole_seconds = func.substr(Batch.created_at, 1, 19)  # SQLite would round the last half of a millisecond up
    return extract("epoch", whole_seconds) // QUARTER_SECONDS


def _summed(days: Days) -> Select[*tuple[Any, ...]]:
    taken, billed = Message.request_id.is_not(None), Message.billed_parts.is_not(None)
    dropped = Message.reason.in_([DROPPED, DROPPED_BY_POLICY])
    unknown = or_(Message.state == MessageState.UNCONFIRMED, (Message.state == MessageState.FAILED) & dropped)
    # Whatever was posted again had been in doubt before, each time.
    doubts = Message.resends + case((~taken & unknown, 1), else_=0)
    return (
        select(
            func.count().filter(taken),
            func.count().filter(Message.state == MessageState.DELIVERED),
            _sum(Message.parts, taken),
            _sum(Message.billed_parts, taken),
            _sum(Message.billed_parts - Message.parts, taken),
            _sum(Message.parts, taken & ~billed),
            _sum(doubts),
            _sum(doubts * Message.parts),
        )
        # The sum keeps SQLite, which knows no sizes, from reading all messages and looking for the batch of each.
        .join_from(Batch, Message, Message.batch_id == Batch.id + 0)
        .where(Batch.created_at >= days.begin(), Batch.created_at < days.end(), or_(taken, doubts > 0))
    )


def _sum(what: ColumnElement[Any] | Any, where: ColumnElement[bool] | None = None) -> ColumnElement[int]:
    summed = func.sum(what)
    return coalesce(summed if where is None else summed.filter(where), 0)
