"""How the house stands, in figures, each by one query that stays cheap however many old messages there are."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import Account, Batch, Callback, Circuit, Message, RefusedIntake
from models.lifecycle import AccountState, BatchState, CallbackState, CircuitState, Lane, MessageState

MOST = 100_000  #: for a person this is many, and counting on would make the page wait


class Queue(NamedTuple):
    """What a lane has queued."""

    waiting: int  #: what may be posted now
    later: int  #: what is for a later time
    oldest_at: datetime | None  #: since when the oldest of what waits may be posted


class Standing(NamedTuple):
    """Whether we may post."""

    paused: bool
    held: bool


def queues(session: Session, *, now: datetime) -> dict[str, Queue]:
    """By lane. Reads all of ix_messages_fair or ix_messages_claim: either holds the queued messages alone.

    Where 1,000,000 are queued this takes a tenth of a second: see `queue_up_to` for what a person waits for.
    """
    due = Message.send_at <= now
    columns = (func.count().filter(due), func.count().filter(~due), func.min(Message.send_at).filter(due))
    queued = select(Message.lane, *columns).where(Message.state == MessageState.QUEUED).group_by(Message.lane)
    return {lane: Queue._make(counts) for lane, *counts in session.execute(queued)}


def queue_up_to(session: Session, lane: Lane, most: int, *, now: datetime) -> Queue:
    """The same of one lane, where each count stops at *most*. Reads so much of ix_messages_claim."""
    queued = select(Message.send_at).where(Message.state == MessageState.QUEUED, Message.lane == lane)
    # In the index's order, or PostgreSQL may walk the table, past all that was ever claimed.
    due = queued.where(Message.send_at <= now).order_by(Message.send_at).limit(most).subquery()
    later = queued.where(Message.send_at > now).order_by(Message.send_at).limit(most).subquery()
    counts = (
        select(func.count().label("waiting"), func.min(due.c.send_at).label("oldest_at")).select_from(due).subquery()
    )
    count_later = select(func.count()).select_from(later).scalar_subquery()
    return Queue._make(session.execute(select(counts.c.waiting, count_later, counts.c.oldest_at)).one())


def posting(session: Session) -> int:
    """Messages that are being posted. Reads ix_batches_lease_until, the open batches, and their messages."""
    # No join: without statistics SQLite would begin it at the messages, all of them.
    in_batch = Message.batch_id.in_(select(Batch.id).where(Batch.state == BatchState.POSTING))
    return session.scalars(select(func.count()).where(in_batch, Message.state == MessageState.POSTING)).one()


def submitted(session: Session, *, most: int | None = None) -> int:
    """Messages whose report is awaited, counted up to *most*. Reads ix_messages_poll, which holds these alone."""
    awaited = select(Message.id).where(Message.state == MessageState.SUBMITTED)
    if most:
        awaited = awaited.order_by(Message.next_poll_at).limit(most)
    return session.scalars(select(func.count()).select_from(awaited.subquery())).one()


def unconfirmed(session: Session) -> dict[str, int]:
    """By lane. Reads ix_messages_unconfirmed, which holds these alone."""
    in_doubt = select(Message.lane, func.count()).where(Message.state == MessageState.UNCONFIRMED)
    return {lane: messages for lane, messages in session.execute(in_doubt.group_by(Message.lane))}  # noqa: C416


def oldest_unconfirmed_at(session: Session) -> datetime | None:
    """When the oldest of these was posted. Reads ix_messages_unconfirmed, which holds these alone."""
    return session.scalars(select(func.min(Message.posted_at)).where(Message.state == MessageState.UNCONFIRMED)).one()


def callbacks(session: Session, state: CallbackState) -> int:
    """Those that are owed or failed. Reads ix_callbacks_next_try_at or ix_callbacks_failed, which hold these alone."""
    return session.scalars(select(func.count()).where(Callback.state == state)).one()


def refused(session: Session) -> int:
    """Orders that were refused. Reads an index of all of refused_intakes, a table of what somebody has to mend."""
    return session.scalars(select(func.count()).select_from(RefusedIntake)).one()


def standing(session: Session, login: str) -> Standing:
    """Whether the account of *login* is paused by its own trouble, or held by a person."""
    row = session.execute(select(Account.state, Account.held_at).where(Account.login == login)).first()
    return Standing(row.state == AccountState.PAUSED, row.held_at is not None) if row else Standing(False, False)


def open_circuits(session: Session, login: str) -> set[str]:
    """The rooms of *login* whose circuit is open."""
    circuits = select(Circuit.room).join(Account, Circuit.account_id == Account.id)
    return set(session.scalars(circuits.where(Account.login == login, Circuit.state == CircuitState.OPEN)))
