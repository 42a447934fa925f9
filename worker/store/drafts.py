"""A batch in the making: whose turn it is in a lane, and which of their messages go together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Row, Select, bindparam, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session

from models import Block, Message
from models.lifecycle import Lane, MessageState
from worker.store.moves import move

ROUNDS = 5  # how often a claim looks past messages that cannot go with its first one
AHEAD = 1_000  # messages that one such look passes at most
SHARERS = 16  # producers that share a batch
PASSED = 100  # producers that a claim passes at most, to find some that have something due
BLOCKED = "blocked"
NOT_ALLOWED = "phone_not_allowed"

# Each statement is built once, with names for what differs: building it costs more than running it.
_queued = (Message.state == MessageState.QUEUED, Message.lane == bindparam("lane"))


class Turn(NamedTuple):
    """Whose turn it is in a lane."""

    producers: Sequence[str]  #: up to `SHARERS` of those that have something queued; none if the lane is empty
    is_all: bool  #: whether nobody else has anything due


def producers_in_turn(session: Session, lane: Lane, *, after: str, now: datetime) -> Turn:
    """The producers that come after *after*, in the order of the database, and from the beginning again.

    Hops from each producer to the next by ix_messages_fair, so that it costs the same however many messages and
    producers there are. Where a hundred in a row have nothing due, the last of them is all that it finds.
    """
    rows = session.execute(_turn(), {"lane": lane, "after": after, "now": now}).all()
    return Turn([row.producer for row in rows], len(rows) < SHARERS and all(row.hop < PASSED for row in rows))


@cache
def _turn() -> Select[Any]:
    start = select(_next_producer(bindparam("after")).label("producer")).subquery("start")
    first = select(start.c.producer, start.c.producer.label("first"), literal(1).label("hop"))
    turns = first.cte("turns", recursive=True)
    is_new = or_(turns.c.hop == 1, turns.c.producer != turns.c.first)
    hop = select(_next_producer(turns.c.producer), turns.c.first, turns.c.hop + 1)
    turns = turns.union_all(hop.where(turns.c.producer.is_not(None), turns.c.hop < PASSED, is_new))
    # No EXISTS: it might be planned as a join with all that is queued.
    oldest = select(Message.send_at).where(*_queued, Message.producer == turns.c.producer).order_by(Message.send_at)
    is_due = oldest.limit(1).scalar_subquery() <= bindparam("now")
    is_new = or_(turns.c.hop == 1, turns.c.producer != turns.c.first)
    return select(turns.c.producer, turns.c.hop).where(is_new, or_(is_due, turns.c.hop == PASSED)).limit(SHARERS)


def _next_producer(after: ColumnElement[str]) -> ColumnElement[str | None]:
    queued = select(Message.producer).where(*_queued).order_by(Message.producer).limit(1)
    return func.coalesce(queued.where(Message.producer > after).scalar_subquery(), queued.scalar_subquery())


@dataclass(slots=True)
class Draft:
    """What is chosen for a batch so far. Whatever it looked at is locked until the end of the transaction.

    What is found to be expired, blocked or not for *recipients* (None: everybody) is moved to its end on the way. Where
    *outlives* is given, only what does not expire until then is looked at.
    """

    session: Session
    lane: Lane
    limit: int
    now: datetime
    recipients: frozenset[str] | None = None
    outlives: datetime | None = None
    left_out: bool = False  #: whether something that it looked at could not go with the others
    _of_phone: dict[str, Row[Any]] = field(default_factory=dict)

    @property
    def messages(self) -> Sequence[Row[Any]]:
        """They share nickname and split, and no phone stands twice."""
        return list(self._of_phone.values())

    @property
    def head(self) -> Row[Any] | None:
        """The first one, which decides what can go with it."""
        return next(iter(self._of_phone.values()), None)

    @property
    def is_full(self) -> bool:
        """Whether no more goes into it."""
        return len(self._of_phone) == self.limit

    def fill(self, producers: Sequence[str | None]) -> bool:
        """Take an equal share from each of *producers*, oldest first, and what some do not use from the others.

        None stands for all producers together. Return whether none of them has more.
        """
        last: dict[str | None, Row[Any] | None] = dict.fromkeys(producers)
        for _ in range(ROUNDS):
            share = -(-self.limit // len(last))
            for producer in list(last):
                candidates = self._look(producer, last[producer], share)
                self._take(candidates)
                if self.is_full:
                    return False
                if len(candidates) < share:
                    del last[producer]
                else:
                    last[producer] = candidates[-1]
            if not last:
                return True
        return False

    def _look(self, producer: str | None, last: Row[Any] | None, share: int) -> Sequence[Row[Any]]:
        """The next *share* messages after *last*; once they have to go with the head, only those that can."""
        named: dict[str, Any] = {"lane": self.lane, "now": self.now, "share": share}
        named |= {"producer": producer} if producer is not None else {}
        named |= {"outlives": self.outlives} if self.outlives else {}
        named |= {"send_at": last.send_at, "id": last.id} if last else {}
        if not (last and self.head):
            return self.session.execute(_oldest(frozenset(named)), named).all()
        step = {"nickname": self.head.nickname, "split": self.head.split}
        ids = self.session.scalars(_in_step(frozenset(named)), named | step).all()
        found = self.session.execute(_of_ids(), {"lane": self.lane, "ids": ids}).all() if ids else []
        return [one for one in found if one.state == MessageState.QUEUED]

    def _take(self, candidates: Sequence[Row[Any]]) -> None:
        for one in self._fit_to_post(candidates):
            head = self.head
            if not self.is_full and (head is None or (one.nickname, one.split) == (head.nickname, head.split)):
                self._of_phone.setdefault(one.phone, one)
            self.left_out |= self._of_phone.get(one.phone) is not one

    def _fit_to_post(self, candidates: Sequence[Row[Any]]) -> list[Row[Any]]:
        fit: list[Row[Any]] = []
        late, blocked, not_allowed = list[int](), list[int](), list[int]()
        for one in candidates:
            if one.expires_at and one.expires_at <= self.now:
                late.append(one.id)
            elif one.block_id:
                blocked.append(one.id)
            elif self.recipients is not None and one.phone not in self.recipients:
                not_allowed.append(one.id)
            else:
                fit.append(one)
        self._end(MessageState.EXPIRED, late, None)
        self._end(MessageState.CANCELLED, blocked, BLOCKED)
        self._end(MessageState.CANCELLED, not_allowed, NOT_ALLOWED)
        return fit

    def _end(self, state: MessageState, ids: Sequence[int], reason: str | None) -> None:
        if ids:
            move(self.session, state, Message.id.in_(ids), now=self.now, reason=reason)


@cache
def _oldest(named: frozenset[str]) -> Select[Any]:
    """Messages that are due, oldest first, locked; narrowed down by whatever is *named*."""
    # SQLite ignores the lock: there BEGIN IMMEDIATE lets one claim at a time.
    oldest = _select().where(*_due(named)).order_by(Message.send_at, Message.id)
    return oldest.limit(bindparam("share", type_=Integer)).with_for_update(skip_locked=True)


@cache
def _in_step(named: frozenset[str]) -> Select[Any]:
    """The ids of those among the next `AHEAD` that can go with the head."""
    columns = (Message.id, Message.nickname, Message.split, Message.send_at)
    ahead = select(*columns).where(*_due(named)).order_by(Message.send_at, Message.id).limit(AHEAD).subquery("ahead")
    fit = select(ahead.c.id).where(
        ahead.c.nickname.is_not_distinct_from(bindparam("nickname")),
        ahead.c.split.is_not_distinct_from(bindparam("split")),
    )
    return fit.order_by(ahead.c.send_at, ahead.c.id).limit(bindparam("share", type_=Integer))


@cache
def _of_ids() -> Select[Any]:
    """These messages, locked, whatever became of them meanwhile.

    Their state is looked at by the caller: with old statistics PostgreSQL might read all that is queued to find them.
    """
    these = _select().where(Message.id.in_(bindparam("ids", expanding=True)))
    return these.order_by(Message.send_at, Message.id).with_for_update(skip_locked=True)


def _due(named: frozenset[str]) -> list[ColumnElement[bool]]:
    due = [*_queued, Message.send_at <= bindparam("now")]
    if "producer" in named:
        due.append(Message.producer == bindparam("producer"))
    if "outlives" in named:
        due.append(or_(Message.expires_at.is_(None), Message.expires_at > bindparam("outlives")))
    if "id" in named:
        last = tuple_(bindparam("send_at", type_=Message.send_at.type), bindparam("id", type_=Message.id.type))
        due.append(tuple_(Message.send_at, Message.id) > last)
    return due


def _select() -> Select[Any]:
    phone = func.coalesce(Message.ordered_phone, Message.phone)
    block = select(Block.id).where(Block.phone == phone, Block.lane == bindparam("lane"), Block.lifted_at.is_(None))
    return select(
        Message.id,
        Message.producer,
        Message.phone,
        Message.text,
        Message.nickname,
        Message.split,
        Message.state,
        Message.send_at,
        Message.expires_at,
        # No EXISTS: PostgreSQL might read all blocks into memory instead of looking for these few in their index.
        block.limit(1).scalar_subquery().label("block_id"),
    )
