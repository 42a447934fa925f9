"""Finding what a crash left half done, and what time has overtaken."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, delete, exists, func, or_, select
from sqlalchemy.orm import Session

from models import Batch, Callback, Decision, Message, RefusedIntake
from models.lifecycle import FINAL, BatchState, Lane, MessageState
from worker.store import decisions
from worker.store.moves import move
from worker.store.outcomes import NOT_ANSWERED, leave_unconfirmed, release_untouched
from worker.store.recovery import RESTORED

AT_ONCE = 1_000  # rows in one transaction: it never holds others up for long
DELETED_AT_ONCE = 200  # each takes its reports and callbacks with it
WORKER_DIED = "worker_died"
BY_POLICY = "policy"
DROPPED_BY_POLICY = "dropped_by_policy"
LATE_ANSWERS = timedelta(minutes=1)


def release_never_begun(session: Session, *, now: datetime) -> int:
    """Batches that were to begin by now and did not are released: nothing of them left. Return their messages."""
    dead = _dead(session, Batch.begins_by <= now)
    return sum(release_untouched(session, batch_id, WORKER_DIED, now=now) for batch_id in dead)


def rescue_dead_posts(session: Session, *, now: datetime) -> int:
    """Batches whose lease ran out become unconfirmed, because their post may have arrived; return their messages."""
    dead = _dead(session, Batch.begins_by.is_(None), Batch.lease_until < now)
    return sum(leave_unconfirmed(session, batch_id, WORKER_DIED, now=now) for batch_id in dead)


def _dead(session: Session, *criteria: ColumnElement[bool]) -> Sequence[int]:
    left = select(Batch.id).where(Batch.state == BatchState.POSTING, *criteria)
    return session.scalars(left.limit(AT_ONCE).with_for_update(skip_locked=True)).all()


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


def apply_policy(session: Session, *, lane: Lane, policy: str, now: datetime, most_resends: int) -> int:
    """Do with the lane's unconfirmed messages what its owner has set; return how many moved.

    A message is resent at most *most_resends* times; after that it waits for a person, whatever the policy. So does
    what a restored database put in doubt: nobody who set a policy thought of a whole queue at once.
    """
    if policy == "hold":
        return 0
    # A worker that only seemed dead may still bring its answer, and a report may tell what an answer left out; a worker
    # that said itself that it was cut off has none.
    answer_may_come = func.coalesce(Message.reason, "").in_([WORKER_DIED, NOT_ANSWERED])
    no_answer_comes = or_(~answer_may_come, Batch.finished_at < now - LATE_ANSWERS)
    not_restored = Message.reason.is_distinct_from(RESTORED)
    waiting = (
        select(Message.id)
        .join(Batch, Message.batch_id == Batch.id)
        .where(Message.state == MessageState.UNCONFIRMED, Message.lane == lane, no_answer_comes, not_restored)
        .with_for_update(of=Message, skip_locked=True)
    )
    if policy == "resend":
        waiting = waiting.where(Message.resends < most_resends)
    ids = session.scalars(waiting.limit(AT_ONCE)).all()
    if not ids:
        return 0
    if policy == "resend":
        return decisions.resend(session, Message.id.in_(ids), now=now, who=BY_POLICY)
    return decisions.drop(session, Message.id.in_(ids), now=now, who=BY_POLICY, reason=DROPPED_BY_POLICY)


def delete_old(session: Session, *, before: datetime) -> int:
    """Delete final messages that ended before *before*, with their reports and callbacks; return how many."""
    ended = (Message.finalized_at < before, Message.state.in_(FINAL))
    old = select(Message.id).where(*ended).order_by(Message.finalized_at).limit(DELETED_AT_ONCE)
    return _delete(session, Message, old, *ended)


def delete_old_refusals(session: Session, *, before: datetime) -> int:
    """Delete orders that were refused before *before*: they hold phones and texts as well; return how many."""
    old = select(RefusedIntake.id).where(RefusedIntake.created_at < before).order_by(RefusedIntake.created_at)
    return _delete(session, RefusedIntake, old.limit(DELETED_AT_ONCE))


def delete_old_callbacks(session: Session, *, before: datetime) -> int:
    """Delete what was told of refused orders before *before*; a message's callbacks go with it. Return how many."""
    of_refused = (Callback.sms_id.is_(None), Callback.finished_at < before)
    old = select(Callback.id).where(*of_refused).order_by(Callback.id).limit(DELETED_AT_ONCE)
    return _delete(session, Callback, old, *of_refused)


def delete_old_decisions(session: Session, *, before: datetime) -> int:
    """Delete what was decided before *before*; return how many."""
    return _delete(
        session, Decision, select(Decision.id).where(Decision.at < before).order_by(Decision.at).limit(DELETED_AT_ONCE)
    )


def delete_empty_batches(session: Session, *, before: datetime) -> int:
    """Delete batches that ended before *before* and have no message any more, but the last; return how many."""
    in_use = exists().where(Message.batch_id == Batch.id)
    not_last = Batch.id < select(func.max(Batch.id)).scalar_subquery()
    old = select(Batch.id).where(Batch.finished_at < before, ~in_use, not_last).order_by(Batch.finished_at)
    return _delete(session, Batch, old.limit(DELETED_AT_ONCE))


#: what is deleted when it is old, each to be called again until it finds nothing more
OF_THE_OLD = (delete_old, delete_old_refusals, delete_old_callbacks, delete_empty_batches, delete_old_decisions)


def _delete(
    session: Session,
    table: type[Message | RefusedIntake | Callback | Batch | Decision],
    ids: Select[int],
    *still: ColumnElement[bool],
) -> int:
    """Delete these; *still* is asked again of a row that somebody changed while its deletion waited for it."""
    return len(session.execute(delete(table).where(table.id.in_(ids), *still).returning(table.id)).all())
