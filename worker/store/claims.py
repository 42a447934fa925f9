"""Claiming queued messages into a batch that is about to be posted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Row, Select, bindparam, func, insert, null, select, update
from sqlalchemy.orm import Session

from models import Account, Batch, Circuit, Message
from models.lifecycle import AccountState, BatchState, CircuitState, Lane, MessageState, Room
from worker.gateway import OutgoingSms
from worker.rota import Rota
from worker.store.drafts import Draft, producers_in_turn
from worker.store.moves import Moved, move


@dataclass(frozen=True, slots=True)
class Claimed:
    """A batch to post, in plain values."""

    batch_id: int
    lane: Lane
    nickname: str | None
    messages: Sequence[OutgoingSms]
    worker: str
    claimed_at: datetime
    leaves_more: bool = False  #: whether its lane has, or may have, more that is due
    begins_by: datetime | None = None  #: where its claim has begun it, too: its first byte leaves before that, or never
    known: Mapping[int, Moved] = field(default_factory=dict, repr=False)  #: its messages as they were claimed, by id


@dataclass(frozen=True, slots=True)
class Linger:
    """Nothing was claimed: a fuller batch is to be had so soon or, without a pause, what was looked at had ended."""

    lane: Lane
    pause: timedelta


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims, by when the post begins or never does, and until when it is then taken to be under way."""

    account_id: int
    worker: str
    now: datetime
    begins_by: datetime
    lease_until: datetime
    recipients: frozenset[str] | None = None  #: the only phones that may be posted to; None: all


#: lane, messages missing to a full batch, the oldest one's instant → how long to wait for them
Patience = Callable[[Lane, int, datetime], timedelta]


def no_patience(_lane: Lane, _missing: int, _oldest_at: datetime) -> timedelta:
    """Take what is there."""
    return timedelta(0)


def claim(
    session: Session,
    claimant: Claimant,
    *,
    limit: int,
    lanes: Sequence[Lane] = tuple(Lane),
    patience: Patience = no_patience,
    rota: Rota | None = None,
) -> Claimed | Linger | None:
    """Put up to *limit* due messages of the best of *lanes* into a new batch; None if nothing is due.

    The lane's producers share a batch, and head it in turn, as *rota* remembers. Its messages share lane and nickname,
    and no phone stands twice, because nothing in the gateway's answer would tell those two apart. None is posted once
    its time is over: the batch begins before that, or never. Must be committed before the first byte leaves.
    """
    rota = rota or Rota()
    for lane in lanes:
        chosen, drained, left_out = _choose(session, claimant, lane, limit, rota)
        if not chosen and not drained:
            return Linger(lane, timedelta(0))
        if chosen:
            oldest_at = min(one.send_at for one in chosen)
            if drained and (pause := patience(lane, limit - len(chosen), oldest_at)):
                return Linger(lane, pause)
            claimed = into_batch(session, _in_time(claimant, chosen), lane, chosen)
            return replace(claimed, leaves_more=left_out or not drained)
    return None


def _in_time(claimant: Claimant, chosen: Sequence[Row[Any]]) -> Claimant:
    """The same, for a batch that begins before the first of its messages expires."""
    ends = [one.expires_at for one in chosen if one.expires_at]
    return replace(claimant, begins_by=min([claimant.begins_by, *ends]))


def begin(session: Session, claimed: Claimed, *, now: datetime, lease_until: datetime) -> bool:
    """Say that the first byte is about to leave; return False if the batch was given up, and nothing may leave.

    Either this is committed first, or upkeep's finding that nothing ever left: never both. Must be committed before the
    first byte leaves.
    """
    ours = (Batch.id == claimed.batch_id, Batch.worker == claimed.worker, Batch.created_at == claimed.claimed_at)
    untouched = (*ours, Batch.state == BatchState.POSTING, Batch.begins_by > now)
    begun = update(Batch).where(*untouched).values(begins_by=None, lease_until=lease_until).returning(Batch.id)
    return session.execute(begun).first() is not None


def best_due(session: Session, *, now: datetime, lanes: Sequence[Lane] = tuple(Lane)) -> Lane | None:
    """The first of *lanes* that has a message to post, if any has."""
    waiting = (lane for lane in lanes if session.execute(_OLDEST_DUE, {"this_lane": lane, "now": now}).first())
    return next(waiting, None)


class Way(StrEnum):
    """What is before a message that comes by a lane now."""

    CLEAR = "clear"  #: nothing: it may be posted at once
    BEHIND = "behind"  #: something due, which goes first
    KEPT = "kept"  #: the account is held or paused, or the circuit open: nothing is posted as usual


def way_for(
    session: Session, account_id: int, lane: Lane, *, now: datetime, lanes: Sequence[Lane] = tuple(Lane)
) -> Way:
    """What is before a message that comes by *lane* now.

    What is due there or by an earlier lane goes first, if it is one of *lanes*: those that may be posted by now.
    """
    before = tuple(one for one in Lane if one in lanes and not _is_later(one, lane))
    row = session.connection().execute(_way(before), {"this_account": account_id, "now": now}).first()
    if row is None:
        return Way.KEPT
    return Way.CLEAR if row[0] is None else Way.BEHIND


def _is_later(one: Lane, other: Lane) -> bool:
    order = tuple(Lane)
    return order.index(one) > order.index(other)


def _oldest_due(lane: Lane | BindParameter[Lane]) -> Select[Any]:
    # In the index's order: else PostgreSQL walks the table where much is queued, past all that was ever claimed.
    return (
        select(Message.id)
        .where(Message.state == MessageState.QUEUED, Message.lane == lane, Message.send_at <= bindparam("now"))
        .order_by(Message.send_at)
        .limit(1)
    )


@cache
def _way(lanes: Sequence[Lane]) -> Select[Any]:
    """No row if the account is kept from posting; else a message that is due by one of *lanes*, or NULL."""
    # SQLite's coalesce takes two values or more. Both databases look no further than for the first that is there.
    due = func.coalesce(*(_oldest_due(lane).scalar_subquery() for lane in lanes), null(), null())
    return (
        select(due)
        .select_from(Account)
        .join(Circuit, (Circuit.account_id == Account.id) & (Circuit.room == Room.POSTING))
        .where(Account.id == bindparam("this_account"), Account.held_at.is_(None))
        .where(Account.state == AccountState.ACTIVE, Circuit.state == CircuitState.CLOSED)
    )


_OLDEST_DUE = _oldest_due(bindparam("this_lane"))


class _Choice(NamedTuple):
    """The messages of the next batch."""

    messages: Sequence[Row[Any]]
    drained: bool  #: whether all that the lane has was looked at, and they are fewer than the limit
    left_out: bool  #: whether some of that could not go with them


def _choose(session: Session, claimant: Claimant, lane: Lane, limit: int, rota: Rota) -> _Choice:
    turn = producers_in_turn(session, lane, after=rota.head(lane), now=claimant.now)
    if not turn.producers:
        return _Choice([], drained=True, left_out=False)
    for outlives in [claimant.begins_by, None] if rota.hurries else [None]:
        draft = Draft(session, lane, limit, claimant.now, claimant.recipients, outlives)
        drained = draft.fill(turn.producers)
        head = draft.head.producer if draft.head else turn.producers[-1]
        if not turn.is_all and not draft.is_full:
            drained = draft.fill([None])
        if draft.head:
            break
    rota.note_head(lane, head)
    return _Choice(draft.messages, drained, draft.left_out)


def into_batch(session: Session, claimant: Claimant, lane: Lane, chosen: Sequence[Any]) -> Claimed:
    """Put these locked messages (1 to 100, of one nickname) into a new batch."""
    batch = {
        "account_id": claimant.account_id,
        "lane": lane,
        "nickname": chosen[0].nickname,
        "state": BatchState.POSTING,
        "size": len(chosen),
        "worker": claimant.worker,
        "created_at": claimant.now,
        "begins_by": claimant.begins_by,
        "lease_until": claimant.lease_until,
    }
    batch_id = session.scalars(insert(Batch).returning(Batch.id), [batch]).one()
    moved = move(
        session,
        MessageState.POSTING,
        Message.id.in_([one.id for one in chosen]),
        now=claimant.now,
        sources=[MessageState.QUEUED],
        batch_id=batch_id,
        attempts=Message.attempts + 1,
        posted_at=claimant.now,
    )
    if len(moved) != len(chosen):
        raise RuntimeError("a locked message was moved by somebody else")
    messages = [OutgoingSms(one.id, one.phone, one.text) for one in chosen]
    known = {one.id: one for one in moved}
    return Claimed(batch_id, lane, chosen[0].nickname, messages, claimant.worker, claimant.now, known=known)
