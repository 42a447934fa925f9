"""Finding what a crash left half done, and what time has overtaken."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from models import Batch, Message
from models.lifecycle import FINAL, BatchState, Lane, MessageState
from worker.store import decisions
from worker.store.moves import move
from worker.store.outcomes import leave_unconfirmed

AT_ONCE = 1_000  # rows in one transaction: it never holds others up for long
WORKER_DIED = "worker_died"
BY_POLICY = "dropped_by_policy"


def rescue_dead_posts(session: Session, *, now: datetime) -> int:
    """Batches whose lease ran out become unconfirmed, because their post may have arrived; return their messages."""
    dead = session.scalars(
        select(Batch.id)
        .where(Batch.state == BatchState.POSTING, Batch.lease_until < now)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    return sum(leave_unconfirmed(session, batch_id, WORKER_DIED, now=now) for batch_id in dead)


def expire_late(session: Session, *, now: datetime) -> int:
    """Messages that were not posted in time are expired; return how many."""
    late = session.scalars(
        select(Message.id)
        .where(Message.state == MessageState.QUEUED, Message.expires_at <= now)
        .order_by(Message.expires_at)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)
    ).all()
    return len(move(session, MessageState.EXPIRED, Message.id.in_(late), now=now)) if late else 0


def apply_policy(session: Session, lane: Lane, policy: str, *, now: datetime, most_resends: int) -> int:
    """Do with the lane's unconfirmed messages what its owner has set; return how many moved.

    A message is resent at most *most_resends* times; after that it waits for a person, whatever the policy.
    """
    if policy == "hold":
        return 0
    waiting = select(Message.id).where(Message.state == MessageState.UNCONFIRMED, Message.lane == lane)
    if policy == "resend":
        waiting = waiting.where(Message.resends < most_resends)
    ids = session.scalars(waiting.limit(AT_ONCE).with_for_update(skip_locked=True)).all()
    if policy == "resend":
        return decisions.resend(session, Message.id.in_(ids), now=now)
    return decisions.drop(session, Message.id.in_(ids), now=now, reason=BY_POLICY)


def delete_old(session: Session, *, before: datetime) -> int:
    """Delete final messages that ended before *before*, with their reports and callbacks; return how many."""
    old = (
        select(Message.id)
        .where(Message.finalized_at < before, Message.state.in_(FINAL))
        .order_by(Message.finalized_at)
        .limit(AT_ONCE)
    )
    deleted = session.execute(delete(Message).where(Message.id.in_(old)).returning(Message.id))
    return len(deleted.all())
