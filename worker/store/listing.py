"""Messages a page at a time, newest first: at once, whatever is asked for and however many there are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from models import Batch, Message
from models.lifecycle import BatchState, Lane, MessageState

SLICE = 20_000  # ids that one statement looks at
LED = 5_000  # messages that an index leads to, each on a page of its own of the table
SLICES = 10  # statements for one page, where no index leads to what is meant
FEW = 10_000  # rows that are counted one by one, or sorted
AS_MANY = 200_000  # of an index alone
SAMPLES, SAMPLE = 8, 2_000  # places, and ids at each, by which a count is guessed
# Workers read their clocks before they insert, and clocks differ: ids only about follow created_at. Where very many
# messages are of the time that is meant, it is turned into ids with so much to spare; fewer are found by created_at.
SKEW = timedelta(minutes=10)


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
    key: str | None = None  #: exactly
    uid: str | None = None

    @property
    def asks_more(self) -> bool:
        """Whether something is asked that no index serves."""
        of_phone = self.phone and (self.states or self.since or self.until)
        return any((self.lane, self.producer, self.nickname, self.key_prefix, of_phone))

    def criteria(self) -> list[ColumnElement[bool]]:
        """The same for a WHERE."""
        equal: tuple[tuple[InstrumentedAttribute[Any], Any], ...] = (
            (Message.uid, self.uid),
            (Message.lane, self.lane),
            (Message.producer, self.producer),
            (Message.key, self.key),
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


class Listed(NamedTuple):
    """A message, in plain values."""

    id: int
    uid: str
    producer: str
    key: str | None
    lane: str
    phone: str
    ordered_phone: str | None
    nickname: str | None
    state: str
    reason: str | None
    error_no: int | None
    gateway_status: str | None
    request_id: str | None
    message_id: str | None
    batch_id: int | None
    parts: int
    encoding: str
    billed_parts: int | None
    attempts: int
    created_at: datetime
    send_at: datetime
    posted_at: datetime | None
    submitted_at: datetime | None
    delivered_at: datetime | None
    finalized_at: datetime | None
    text: str


class Page(list[Listed]):
    """Messages, newest first, and where to go on."""

    #: The next page is what comes before this id; None if there is nothing more. A page that is not full, or even
    #: empty, may have one: then so many messages were looked at that the person is shown what was found so far.
    next_before_id: int | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """About how many messages are meant."""

    count: int
    exact: bool


class Span(NamedTuple):
    """Ids: both ends are in it."""

    first: int
    last: int


COLUMNS = tuple(getattr(Message, name) for name in Listed._fields)
S = MessageState
ENDED_EARLY = frozenset({S.FAILED, S.UNKNOWN, S.CANCELLED, S.EXPIRED})
WAITING = {  # the states that may have few messages or millions, and their indexes
    S.QUEUED: (Message.lane, Message.send_at, Message.id),
    S.SUBMITTED: (Message.next_poll_at,),
}


class _Way(NamedTuple):
    """A condition that an index serves."""

    condition: ColumnElement[bool]
    in_order: bool = False  #: whether it gives them by their ids
    is_exact: bool = False  #: whether it leads to so few that their time is asked of each, instead of guessing ids


def page(
    session: Session, wanted: Wanted, *, before_id: int | None = None, after_id: int | None = None, limit: int
) -> Page:
    """The *limit* newest messages that are meant, of those before *before_id*, newest first.

    With *after_id* alone, those that come next after it: the page before. No page takes long: see `Page`.
    Where more than `FEW` are of the time of `Wanted.since` and `until`, and no uid, request, key, batch or phone is
    given, those that a clock wrong by more than `SKEW` dated are not found.
    """
    ways = _ways(session, wanted)
    span = _span(session, wanted, before_id, after_id, by_time=not _is_exact(ways))
    if span is None:
        return Page()
    backwards = after_id is not None and before_id is None
    look = _by_index if ways else _walked
    made = look(session, wanted, ways, span, limit, backwards=backwards)
    if backwards:
        made.reverse()
        made.next_before_id = made[-1].id if made else None
    return made


def estimate(session: Session, wanted: Wanted) -> Estimate:
    """About how many messages are meant; exactly, where they, or those to be looked at, are few."""
    ways = _ways(session, wanted)
    span = _span(session, wanted, None, None, by_time=not _is_exact(ways))
    if span is None:
        return Estimate(0, exact=True)
    is_near = _near(session, wanted, ways, span, backwards=False) == span
    if (ways and is_near) or span.last - span.first < FEW:
        found = (_few(wanted, way, span) for way in ways or [_Way(_within(span), in_order=True)])
        count = sum(session.scalars(select(func.count()).select_from(one.subquery())).one() for one in found)
        if count <= FEW:
            return Estimate(count, exact=True)
    if wanted == Wanted(states=wanted.states) and len(wanted.states) == 1 and wanted.states[0] in WAITING:
        # They lie together at one end, where no sample may meet them.
        count = _waiting(session, wanted.states[0], AS_MANY)
        return Estimate(count, exact=count < AS_MANY)
    return Estimate(_guessed(session, wanted, span), exact=False)


def _waiting(session: Session, state: MessageState, most: int) -> int:
    # In the index's order, or PostgreSQL may read the table for them.
    some = select(Message.id).where(Message.state == state).order_by(*WAITING[state]).limit(most)
    return session.scalars(select(func.count()).select_from(some.subquery())).one()


def _by_index(
    session: Session, wanted: Wanted, ways: Sequence[_Way], span: Span, limit: int, *, backwards: bool
) -> Page:
    """By each of *ways*; what two lead to stands there once."""
    found: dict[int, Listed] = {}
    near = _near(session, wanted, ways, span, backwards=backwards)
    for way in ways:
        rows = select(*COLUMNS).where(way.condition, *wanted.criteria(), _within(near))
        ordered = _ordered(rows, backwards=backwards, by_key=way.in_order)
        found |= {row.id: Listed._make(row) for row in session.execute(ordered.limit(limit + 1))}
    newest = sorted(found.values(), key=lambda row: row.id, reverse=not backwards)
    made = Page(newest[:limit])
    if len(newest) > limit:
        made.next_before_id = made[-1].id
    elif near.first > span.first:
        made.next_before_id = near.first
    return made


def _near(session: Session, wanted: Wanted, ways: Sequence[_Way], span: Span, *, backwards: bool) -> Span:
    """*span*, cut where one of *ways* leads to more messages than can be looked at for what else is asked of them."""
    if not wanted.asks_more:
        return span
    for way in ways:
        of_way = _ordered(select(Message.id).where(way.condition, _within(span)), backwards=backwards, by_key=True)
        edge = session.scalars(of_way.offset(LED).limit(1)).first() if way.in_order else None
        if edge is not None:
            span = Span(span.first, edge) if backwards else Span(edge, span.last)
    return span


def _walked(session: Session, wanted: Wanted, _: object, span: Span, limit: int, *, backwards: bool) -> Page:
    """By looking at one id after the other, but at no more than a person waits for."""
    made = Page()
    rows = _ordered(select(*COLUMNS).where(*wanted.criteria()), backwards=backwards, by_key=True)
    for _slice in range(SLICES):
        here = _end(span, SLICE, backwards=backwards)
        found = session.execute(rows.where(_within(here)).limit(limit + 1 - len(made)))
        made += [Listed._make(row) for row in found]
        if len(made) > limit:
            del made[limit:]
            made.next_before_id = made[-1].id
            return made
        span = Span(here.last + 1, span.last) if backwards else Span(span.first, here.first - 1)
        if span.first > span.last:
            return made
    made.next_before_id = span.last + 1
    return made


def _end(span: Span, ids: int, *, backwards: bool) -> Span:
    if backwards:
        return Span(span.first, min(span.last, span.first + ids - 1))
    return Span(max(span.first, span.last - ids + 1), span.last)


def _ordered(rows: Select[Any], *, backwards: bool, by_key: bool) -> Select[Any]:
    # An expression for those that are few: PostgreSQL may else walk the primary key until it meets enough of them.
    by = Message.id if by_key else Message.id + 0
    return rows.order_by(by if backwards else by.desc())


def _within(span: Span) -> ColumnElement[bool]:
    return Message.id.between(span.first, span.last)


def _span(
    session: Session, wanted: Wanted, before_id: int | None, after_id: int | None, *, by_time: bool
) -> Span | None:
    """The ids between which all that is meant must lie, *by_time* about; None if there are none."""
    # Each by itself: for both at once, SQLite would read all of them.
    first, last = (session.scalars(select(end(Message.id))).one_or_none() for end in (func.min, func.max))
    if first is None or last is None:
        return None
    if by_time and wanted.since:
        first = _id_at(session, wanted.since - SKEW, otherwise=last + 1)
    if by_time and wanted.until:
        last = _id_at(session, wanted.until + SKEW, otherwise=last)
    first = first if after_id is None else max(first, after_id + 1)
    last = last if before_id is None else min(last, before_id - 1)
    return Span(first, last) if first <= last else None


def _id_at(session: Session, at: datetime, *, otherwise: int) -> int:
    """The first message that was ordered at *at* or later; *otherwise*, if there is none."""
    found = select(Message.id).where(Message.created_at >= at).order_by(Message.created_at).limit(1)
    first = session.scalars(found).first()
    return otherwise if first is None else first


def _ways(session: Session, wanted: Wanted) -> list[_Way]:
    """Ways that together lead to all that is meant; none if no index does."""
    for column, value in (
        (Message.uid, wanted.uid),
        (Message.request_id, wanted.request_id),
        (Message.key, wanted.key),
        (Message.batch_id, wanted.batch_id),
    ):
        if value is not None:
            return [_Way(column == value, is_exact=True)]
    if wanted.phone:
        by_phone = _Way(Message.phone == wanted.phone, in_order=True, is_exact=True)
        return [by_phone, _Way(Message.ordered_phone == wanted.phone, is_exact=True)]
    if of_time := _of_time(session, wanted):
        return [of_time]
    ways = [_of_state(session, state, wanted.lane) for state in dict.fromkeys(wanted.states)]
    return [way for some in ways if some for way in some] if all(ways) else []


def _is_exact(ways: Sequence[_Way]) -> bool:
    return bool(ways) and all(way.is_exact for way in ways)


def _of_time(session: Session, wanted: Wanted) -> _Way | None:
    """By created_at itself, where few are of the time that is meant."""
    within = Wanted(since=wanted.since, until=wanted.until).criteria()
    if not within:
        return None
    some = select(Message.id).where(*within).order_by(Message.created_at).limit(FEW + 1)
    if session.scalars(select(func.count()).select_from(some.subquery())).one() > FEW:
        return None
    return _Way(Message.id.in_(some), is_exact=True)


def _of_state(session: Session, state: MessageState, lane: Lane | None) -> list[_Way] | None:
    is_in = Message.state == state
    if state in ENDED_EARLY:
        return [_Way(is_in, in_order=True)]
    if state == S.UNCONFIRMED:
        return [_Way(is_in & (Message.lane == one), in_order=True) for one in ([lane] if lane else Lane)]
    if state == S.POSTING:
        return [_Way(is_in & Message.batch_id.in_(select(Batch.id).where(Batch.state == BatchState.POSTING)))]
    if state not in WAITING:
        return None
    # In the index's order, or PostgreSQL may read the table for them.
    some = select(Message.id).where(is_in).order_by(*WAITING[state]).limit(FEW + 1)
    if session.scalars(select(func.count()).select_from(some.subquery())).one() > FEW:
        return None
    return [_Way(is_in & Message.id.in_(some))]


def _few(wanted: Wanted, way: _Way, span: Span) -> Select[Any]:
    rows = select(Message.id).where(way.condition, *wanted.criteria(), _within(span))
    return _ordered(rows, backwards=True, by_key=way.in_order).limit(FEW + 1)


def _guessed(session: Session, wanted: Wanted, span: Span) -> int:
    """As many as there would be if all were as those at some places."""
    step = max(1, (span.last - span.first + 1) // SAMPLES)
    samples = [Span(start, start + min(SAMPLE, step) - 1) for start in range(span.first, span.last + 1, step)]
    counts = (select(func.count()).where(*wanted.criteria(), _within(one)).select_from(Message) for one in samples)
    found = sum(session.scalars(count).one() for count in counts)
    looked_at = sum(one.last - one.first + 1 for one in samples)
    return round(found / looked_at * (span.last - span.first + 1))
