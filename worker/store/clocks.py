"""After the clock was set back, what was planned by the wrong time would wait for it to come again."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, inspect, select, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from models import Account, Batch, Callback, Circuit, Message
from models.lifecycle import AccountState, BatchState, CallbackState, CircuitState, MessageState

TOLERANCE = timedelta(minutes=1)  # hosts' clocks differ a little
AT_ONCE = 1_000  # rows in one transaction, so that claims always find some that are free


class Longest(NamedTuple):
    """The farthest off that each kind of plan can be when it is made."""

    lease: timedelta
    poll: timedelta
    callback: timedelta
    probe: timedelta


def steps(longest: Longest) -> Iterator[Callable[..., int]]:
    """What brings plans forward that are farther off than they can be; each step is to be repeated until it finds none.

    What a producer asked to be sent at a later time stays as it is.
    """
    yield _queue_at_once
    plans: list[tuple[InstrumentedAttribute[datetime | None], timedelta, ColumnElement[bool]]] = [
        (Message.next_poll_at, longest.poll, Message.state == MessageState.SUBMITTED),
        (Batch.begins_by, longest.lease, Batch.state == BatchState.POSTING),
        (Batch.lease_until, longest.lease, Batch.state == BatchState.POSTING),
        (Callback.next_try_at, longest.callback, Callback.state == CallbackState.OWED),
        (Account.probe_at, longest.probe, Account.state == AccountState.PAUSED),
        (Circuit.probe_at, longest.probe, Circuit.state == CircuitState.OPEN),
    ]
    for column, farthest, is_open in plans:
        yield partial(_bring_forward, column=column, farthest=farthest, is_open=is_open)


def _queue_at_once(session: Session, *, now: datetime) -> int:
    """Messages that were to be sent at once when they were ordered, by the wrong time."""
    if not _was_set_back(session, now):
        return 0
    late = (Message.state == MessageState.QUEUED, Message.created_at > now, Message.send_at <= Message.created_at)
    some = select(Message.id).where(*late, Message.send_at > now).limit(AT_ONCE).with_for_update(skip_locked=True)
    ids = session.scalars(some).all()
    if ids:
        session.execute(update(Message).where(Message.id.in_(ids)).values(send_at=now))
    return len(ids)


def _was_set_back(session: Session, now: datetime) -> bool:
    """Whether something that stands in the table was made later than now."""
    message = select(Message.created_at).order_by(Message.id.desc()).limit(1)
    batch = select(Batch.created_at).order_by(Batch.id.desc()).limit(1)
    # The newest rows may be from after the step; the latest end is from before it, until time has caught up with it.
    end = select(Message.finalized_at).where(Message.finalized_at.is_not(None))
    ended = end.order_by(Message.finalized_at.desc()).limit(1)
    latest = [at for query in (message, batch, ended) for at in session.scalars(query) if at]
    return bool(latest) and max(latest) > now + TOLERANCE


def _bring_forward(
    session: Session,
    *,
    now: datetime,
    column: InstrumentedAttribute[datetime | None],
    farthest: timedelta,
    is_open: ColumnElement[bool],
) -> int:
    table = column.class_
    keys = _keys_of(table)
    too_far = select(*keys).where(is_open, column > now + farthest + TOLERANCE).limit(AT_ONCE)
    found = session.execute(too_far.with_for_update(skip_locked=True)).all()
    if found:
        these = tuple_(*keys).in_([tuple(row) for row in found])
        session.execute(update(table).where(these).values({column.key: now + farthest}))
    return len(found)


def _keys_of(table: Any) -> list[Any]:
    return [getattr(table, key.key) for key in inspect(table).primary_key]
