"""What somebody who decides about unconfirmed messages, or is about to recover, wants to know before."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from models import Batch, Message
from models.lifecycle import BatchState, MessageState
from worker.store.unconfirmed import Chosen


class InDoubt(NamedTuple):
    """An unconfirmed message, as far as a decision needs it."""

    uid: str
    lane: str
    parts: int
    posted_at: datetime


class Doubtful(NamedTuple):
    """What `sms recover` would put in doubt."""

    under_way: int  #: messages in batches that were being posted
    waiting: int  #: messages that waited, and were due


def chosen_ones(session: Session, chosen: Chosen) -> list[InDoubt]:
    """All that meet *chosen*, in the order they were stored."""
    columns = (Message.uid, Message.lane, Message.parts, Message.posted_at)
    found = select(*columns).where(*chosen.criteria()).order_by(Message.id)
    return [InDoubt._make(row) for row in session.execute(found)]


def count(session: Session, chosen: Chosen) -> tuple[int, int]:
    """How many messages meet *chosen*, and their parts."""
    messages, parts = session.execute(
        select(func.count(), func.coalesce(func.sum(Message.parts), 0)).where(*chosen.criteria())
    ).one()
    return messages, parts


def states_of(session: Session, uids: Sequence[str]) -> dict[str, str]:
    """The state of each of *uids* that there is. At most a thousand: no database takes any number of values."""
    found = session.execute(select(Message.uid, Message.state).where(Message.uid.in_(uids)))
    return {uid: state for uid, state in found}  # noqa: C416


def batch_state(session: Session, batch_id: int) -> str | None:
    """The state of a batch; None if there is no such batch."""
    return session.scalars(select(Batch.state).where(Batch.id == batch_id)).first()


def most_frequent(
    session: Session, column: InstrumentedAttribute[str] | InstrumentedAttribute[str | None]
) -> list[str]:
    """The values of *column* that unconfirmed messages have, the most frequent first; at most a hundred."""
    unconfirmed = (Message.state == MessageState.UNCONFIRMED, column.is_not(None))
    found = select(column).where(*unconfirmed).group_by(column).order_by(func.count().desc(), column).limit(100)
    return [str(value) for value in session.scalars(found)]


def would_doubt(session: Session, *, since: datetime, now: datetime) -> Doubtful:
    """What a recovery of the backup made at *since* would put in doubt now."""
    older = aliased(Message)
    of_backup = exists().where(older.batch_id == Batch.id, older.created_at <= since)
    in_batch = Message.batch_id.in_(select(Batch.id).where(Batch.state == BatchState.POSTING, of_backup))
    under_way = select(func.count()).where(in_batch, Message.state == MessageState.POSTING)
    due = (Message.state == MessageState.QUEUED, Message.send_at <= now, Message.created_at <= since)
    waiting = select(func.count()).where(*due)
    return Doubtful(session.scalars(under_way).one(), session.scalars(waiting).one())
