"""What people and producers decide about a message."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from models import Message
from models.lifecycle import MessageState
from worker.store.moves import move

DROPPED = "dropped"


def cancel(session: Session, uid: str, *, now: datetime, reason: str) -> bool:
    """Stop a message that is not posted yet; return False if there is no such message at all."""
    moved = move(session, MessageState.CANCELLED, Message.uid == uid, now=now, reason=reason)
    return bool(moved) or session.scalars(select(Message.id).where(Message.uid == uid)).first() is not None


def resend(session: Session, *criteria: ColumnElement[bool], now: datetime) -> int:
    """Let unconfirmed messages be posted again, which may make them arrive twice; return how many."""
    again = {"resends": Message.resends + 1}
    return len(move(session, MessageState.QUEUED, *criteria, now=now, sources=_UNCONFIRMED, **again))


def drop(session: Session, *criteria: ColumnElement[bool], now: datetime, reason: str = DROPPED) -> int:
    """Give unconfirmed messages up, which may have arrived all the same; return how many."""
    return len(move(session, MessageState.FAILED, *criteria, now=now, sources=_UNCONFIRMED, reason=reason))


def resolve(session: Session, uids: Sequence[str], decision: str, *, now: datetime) -> int:
    """Carry out a producer's decision about those of *uids* that are unconfirmed."""
    of_uids = Message.uid.in_(uids)
    return resend(session, of_uids, now=now) if decision == "resend" else drop(session, of_uids, now=now)


_UNCONFIRMED = frozenset({MessageState.UNCONFIRMED})
