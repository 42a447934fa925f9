"""Claiming queued messages into a batch that is about to be posted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, select, tuple_
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
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class Linger:
    """Nothing was claimed, because a fuller batch is to be had so soon."""

    pause: timedelta


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims, and until when it is taken to be alive."""

    account_id: int
    worker: str
    now: datetime
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
            return _batch(session, claimant, lane, chosen)
    return None


def is_due(session: Session, *, now: datetime, lanes: Sequence[Lane] = tuple(Lane)) -> bool:
    """Whether any message of *lanes* waits to be posted."""
    due = (Message.state == MessageState.QUEUED, Message.send_at <= now)
    return any(session.execute(select(Message.id).where(*due, Message.lane == lane).limit(1)).first() for lane in lanes)


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


def _batch(session: Session, claimant: Claimant, lane: Lane, chosen: list[Row[Any]]) -> Claimed:
    batch = {
        "account_id": claimant.account_id,
        "lane": lane,
        "nickname": chosen[0].nickname,
        "state": BatchState.POSTING,
        "size": len(chosen),
        "worker": claimant.worker,
        "created_at": claimant.now,
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
    return Claimed(batch_id, lane, chosen[0].nickname, messages, claimant.lease_until)
