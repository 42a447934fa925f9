"""After the clock was set back, what was planned by the wrong time would wait for it to come again."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from models import Account, Batch, Callback, Circuit, Message
from models.lifecycle import AccountState, BatchState, CallbackState, CircuitState, MessageState

TOLERANCE = timedelta(minutes=1)  # hosts' clocks differ a little


class Longest(NamedTuple):
    """The farthest off that each kind of plan can be when it is made."""

    lease: timedelta
    poll: timedelta
    callback: timedelta
    probe: timedelta


def was_set_back(session: Session, *, now: datetime) -> bool:
    """Whether something that stands in the table was made later than now."""
    message = select(Message.created_at).order_by(Message.id.desc()).limit(1)
    batch = select(Batch.created_at).order_by(Batch.id.desc()).limit(1)
    # The newest rows may be from after the step; the latest end is from before it, until time has caught up with it.
    end = select(Message.finalized_at).where(Message.finalized_at.is_not(None))
    ended = end.order_by(Message.finalized_at.desc()).limit(1)
    latest = [at for query in (message, batch, ended) for at in session.scalars(query) if at]
    return bool(latest) and max(latest) > now + TOLERANCE


def bring_forward(session: Session, *, now: datetime, longest: Longest) -> int:
    """Bring every plan that is farther off than it can be back to where it may be; return how many.

    What a producer asked to be sent at a later time stays as it is.
    """
    at_once = (Message.state == MessageState.QUEUED, Message.created_at > now, Message.send_at <= Message.created_at)
    plans: list[tuple[InstrumentedAttribute[datetime | None], timedelta, ColumnElement[bool]]] = [
        (Message.next_poll_at, longest.poll, Message.state == MessageState.SUBMITTED),
        (Batch.begins_by, longest.lease, Batch.state == BatchState.POSTING),
        (Batch.lease_until, longest.lease, Batch.state == BatchState.POSTING),
        (Callback.next_try_at, longest.callback, Callback.state == CallbackState.OWED),
        (Account.probe_at, longest.probe, Account.state == AccountState.PAUSED),
        (Circuit.probe_at, longest.probe, Circuit.state == CircuitState.OPEN),
    ]
    queued = update(Message).where(*at_once, Message.send_at > now).values(send_at=now)
    count = len(session.execute(queued.returning(Message.id)).all())
    for column, farthest, is_open in plans:
        too_far = (is_open, column > now + farthest)
        plan = update(column.class_).where(*too_far).values({column.key: now + farthest})
        count += len(session.execute(plan.returning(column)).all())
    return count
