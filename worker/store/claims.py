"""Claiming queued messages into a batch that is about to be posted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, select, tuple_, update
from sqlalchemy.orm import Session

from models import Batch, Message
from models.lifecycle import BatchState, Lane, MessageState
from worker.gateway import OutgoingSms
from worker.store.moves import move

ROUNDS = 5  # how far a claim looks past messages that cannot go with its first one


@dataclass(frozen=True, slots=True)
class Claimed:
    """A batch to post, in plain values."""

    batch_id: int
    lane: Lane
    nickname: str | None
    messages: Sequence[OutgoingSms]
    worker: str
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class Linger:
    """Nothing was claimed, because a fuller batch is to be had so soon."""

    pause: timedelta


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims, by when the post begins or never does, and until when it is then taken to be under way."""

    account_id: int
    worker: str
    now: datetime
    begins_by: datetime
    lease_until: datetime


#: lane, messages missing to a full batch, the oldest one's instant → how long to wait for them
Patience = Callable[[Lane, int, datetime], timedelta]


def at_once(_lane: Lane, _missing: int, _oldest_at: datetime) -> timedelta:
    """No patience: take what is there."""
    return timedelta(0)


def claim(
    session: Session,
    claimant: Claimant,
    *,
    limit: int,
    lanes: Sequence[Lane] = tuple(Lane),
    patience: Patience = at_once,
) -> Claimed | Linger | None:
    """Put up to *limit* due messages of the best of *lanes* into a new batch; None if nothing is due.

    They share lane and nickname, and no phone stands twice, because nothing in the gateway's answer would tell those
    two apart. Must be committed before the first byte leaves.
    """
    for lane in lanes:
        chosen, drained = _choose(session, lane, limit, claimant.now)
        if chosen and drained and (pause := patience(lane, limit - len(chosen), chosen[0].send_at)):
            return Linger(pause)
        if chosen:
            return into_batch(session, claimant, lane, chosen)
    return None


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
    due = (Message.state == MessageState.QUEUED, Message.send_at <= now)
    waiting = (
        lane for lane in lanes if session.execute(select(Message.id).where(*due, Message.lane == lane).limit(1)).first()
    )
    return next(waiting, None)


def _choose(session: Session, lane: Lane, limit: int, now: datetime) -> tuple[list[Row[Any]], bool]:
    """The messages of the next batch, and whether they are all that the lane has and fewer than *limit*."""
    chosen: dict[str, Row[Any]] = {}
    query = _due(lane, limit, now)
    for _ in range(ROUNDS):
        candidates = session.execute(query).all()
        alive = _expire_others(session, candidates, now)
        head = next(iter(chosen.values()), None) or next(iter(alive), None)
        for one in alive:
            if head and (one.nickname, one.split) == (head.nickname, head.split) and len(chosen) < limit:
                chosen.setdefault(one.phone, one)
        if len(candidates) < limit or len(chosen) == limit:
            break
        query = _after(_due(lane, limit, now), candidates[-1], head)
    return list(chosen.values()), len(candidates) < limit


def _due(lane: Lane, limit: int, now: datetime) -> Any:
    return (
        select(
            Message.id,
            Message.phone,
            Message.text,
            Message.nickname,
            Message.split,
            Message.send_at,
            Message.expires_at,
        )
        .where(Message.state == MessageState.QUEUED, Message.lane == lane, Message.send_at <= now)
        .order_by(Message.send_at, Message.id)
        .limit(limit)
        .with_for_update(skip_locked=True)  # SQLite ignores it: there BEGIN IMMEDIATE lets one claim at a time
    )


def _after(query: Any, last: Row[Any], head: Row[Any] | None) -> Any:
    query = query.where(tuple_(Message.send_at, Message.id) > (last.send_at, last.id))
    if head is None:
        return query
    return query.where(
        Message.nickname.is_not_distinct_from(head.nickname), Message.split.is_not_distinct_from(head.split)
    )


def _expire_others(session: Session, candidates: Sequence[Row[Any]], now: datetime) -> list[Row[Any]]:
    late = [one.id for one in candidates if one.expires_at and one.expires_at <= now]
    if late:
        move(session, MessageState.EXPIRED, Message.id.in_(late), now=now)
    return [one for one in candidates if not one.expires_at or one.expires_at > now]


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
    return Claimed(batch_id, lane, chosen[0].nickname, messages, claimant.worker, claimant.now)
