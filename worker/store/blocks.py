"""The do-not-send list: who gets nothing by which lane."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from models import Block, Message
from models.lifecycle import Lane, MessageState
from worker.store import lots
from worker.store.moves import move

AT_ONCE = 500  # no database takes any number of values in one statement
FEW = 100  # blocks: a list so short is read whole
BY_ORDER = "order:"  # begins what is known of who asked, where that was a producer's order
REASON = "blocked"  # of the messages that are cancelled

# Of any lane: where another lane has many, there is no index that would find this one's few. By the connection, for it
# is asked with each lot of orders: that is twice as fast.
_FEW = select(Block.phone, Block.lane).where(Block.lifted_at.is_(None)).limit(FEW)
_Pair = tuple[str, str]  # phone, lane


class Blocked(NamedTuple):
    """What came of it."""

    added: int  #: blocks that did not stand before
    cancelled: int  #: messages that were queued for these numbers


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which blocks are meant: those that meet all that is given."""

    phone: str | None = None
    lane: Lane | None = None
    since: datetime | None = None
    lifted_too: bool = False

    def criteria(self) -> list[ColumnElement[bool]]:
        """The same for a WHERE."""
        chosen: list[ColumnElement[bool]] = [] if self.lifted_too else [Block.lifted_at.is_(None)]
        equal: tuple[tuple[InstrumentedAttribute[str], str | None], ...] = (
            (Block.phone, self.phone),
            (Block.lane, self.lane),
        )
        chosen += [column == value for column, value in equal if value is not None]
        return [*chosen, Block.at >= self.since] if self.since else chosen


class Listed(NamedTuple):
    """One number that gets, or got, nothing by one lane."""

    id: int
    phone: str
    lane: str
    reason: str | None
    who: str
    at: datetime
    lifted_at: datetime | None
    lifted_by: str | None


def block(
    session: Session, phones: Sequence[str], *, lanes: Sequence[Lane], now: datetime, who: str, reason: str | None
) -> Blocked:
    """Let *phones* get nothing more by *lanes*; what is queued for them is cancelled, and its producers are told.

    What stands already stays as it is, whoever asked for it. An order (*who* is ``order:TASK_ID``) that comes again
    does not put back a block of its own that was lifted since.
    """
    added = cancelled = 0
    # Always in the same order, so that two of these wait for each other in one direction only.
    for some in _slices(sorted(phones)):
        settled = _lifted(session, some, Block.who == who) if who.startswith(BY_ORDER) else set()
        pairs = [pair for phone in some for lane in sorted(set(lanes)) if (pair := (phone, lane)) not in settled]
        if pairs:
            rows = [{"phone": phone, "lane": lane, "reason": reason, "who": who, "at": now} for phone, lane in pairs]
            added += len(session.scalars(_insert_new(session).returning(Block.id), rows).all())
            cancelled += _cancel(session, some, set(pairs), now)
    return Blocked(added, cancelled)


def lift(session: Session, phones: Sequence[str], *, lanes: Sequence[Lane], now: datetime, who: str) -> int:
    """Let *phones* be written to again by *lanes*; return how many blocks that lifted.

    An order that comes again does not lift what was put where it has lifted a block before.
    """
    lifted = 0
    older = aliased(Block)
    again = (
        select(older.id).where(older.phone == Block.phone, older.lane == Block.lane, older.lifted_by == who).exists()
    )
    not_again = [~again] if who.startswith(BY_ORDER) else []
    for some in _slices(sorted(phones)):
        standing = (Block.phone.in_(some), Block.lane.in_(lanes), Block.lifted_at.is_(None))
        statement = update(Block).where(*standing, *not_again).values(lifted_at=now, lifted_by=who).returning(Block.id)
        lifted += len(session.execute(statement, execution_options={"synchronize_session": False}).all())
    return lifted


def blocked_of(session: Session, phones: Iterable[str], lane: Lane) -> set[str]:
    """Those of *phones* that get nothing by *lane*."""
    wanted, few = set(phones), session.connection().execute(_FEW).all()
    if len(few) < FEW:
        return wanted & {one.phone for one in few if one.lane == lane}
    standing = select(Block.phone).where(Block.lifted_at.is_(None), Block.lane == lane)
    return set(session.scalars(standing.where(lots.among(session, Block.phone, wanted))))


def listed(session: Session, chosen: Chosen, *, before_id: int | None = None, limit: int = 100) -> list[Listed]:
    """Up to *limit* of them, the last put on the list first; the next page is before the last one's id."""
    columns = [getattr(Block, name) for name in Listed._fields]
    older = [] if before_id is None else [Block.id < before_id]
    found = select(*columns).where(*chosen.criteria(), *older).order_by(Block.id.desc()).limit(limit)
    return [Listed._make(row) for row in session.execute(found)]


def count(session: Session, chosen: Chosen) -> int:
    """How many meet *chosen*."""
    return session.scalars(select(func.count()).select_from(Block).where(*chosen.criteria())).one()


def _slices(phones: Iterable[str]) -> Iterator[list[str]]:
    wanted = list(dict.fromkeys(phones))
    return (wanted[start : start + AT_ONCE] for start in range(0, len(wanted), AT_ONCE))


def _insert_new(session: Session) -> Any:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    standing = {"index_elements": ["phone", "lane"], "index_where": Block.lifted_at.is_(None)}
    return dialect.insert(Block).on_conflict_do_nothing(**standing)


def _lifted(session: Session, phones: Sequence[str], *criteria: ColumnElement[bool]) -> set[_Pair]:
    lifted = select(Block.phone, Block.lane).where(Block.phone.in_(phones), Block.lifted_at.is_not(None), *criteria)
    return {(phone, lane) for phone, lane in session.execute(lifted)}


def _cancel(session: Session, phones: Sequence[str], pairs: set[_Pair], now: datetime) -> int:
    found = select(Message.id, Message.lane, Message.phone, Message.ordered_phone)
    # Not by their state: with a stale idea of how few are queued, PostgreSQL would look for a phone among all of these.
    of_phone = found.where(Message.phone.in_(phones), Message.finalized_at.is_(None))
    of_ordered = found.where(Message.ordered_phone.in_(phones), Message.finalized_at.is_(None))
    open_ones = [*session.execute(of_phone), *session.execute(of_ordered)]
    # Where staging sends elsewhere it is the ordered number that counts, as it does for orders and for claims.
    ids = sorted({id_ for id_, lane, phone, ordered in open_ones if (ordered or phone, lane) in pairs})
    slices = (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))
    return sum(
        len(move(session, MessageState.CANCELLED, Message.id.in_(some), now=now, reason=REASON)) for some in slices
    )
