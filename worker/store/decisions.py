"""What people and producers decide about a message."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from models import Message
from models.lifecycle import MessageState
from worker.store.moves import move

DROPPED = "dropped"
AT_ONCE = 1_000  # no database takes any number of values in one statement


def cancel(session: Session, uid: str, *, now: datetime, reason: str) -> tuple[bool, bool]:
    """Stop a message that is not posted yet; return whether there is such a message at all, and whether it stopped."""
    # By its id: with a stale idea of how few are queued, PostgreSQL would look for the uid among all of them.
    found = session.scalars(select(Message.id).where(Message.uid == uid)).first()
    if found is None:
        return False, False
    return True, bool(move(session, MessageState.CANCELLED, Message.id == found, now=now, reason=reason))


def resend(session: Session, *criteria: ColumnElement[bool], now: datetime, by: str) -> int:
    """Let unconfirmed messages be posted again, which may make them arrive twice; return how many."""
    again = {"resends": Message.resends + 1, "resolved_by": by}
    return len(move(session, MessageState.QUEUED, *criteria, now=now, sources=_UNCONFIRMED, **again))


def drop(session: Session, *criteria: ColumnElement[bool], now: datetime, by: str, reason: str = DROPPED) -> int:
    """Give unconfirmed messages up, which may have arrived all the same; return how many."""
    given_up = {"reason": reason, "resolved_by": by}
    return len(move(session, MessageState.FAILED, *criteria, now=now, sources=_UNCONFIRMED, **given_up))


def resolve(session: Session, uids: Sequence[str], decision: str, *, now: datetime, by: str) -> int:
    """Carry out a producer's decision about those of *uids* that are unconfirmed.

    *by* names the decision: redelivered, it is not carried out on a message that was cut off anew meanwhile.
    """
    not_yet = Message.resolved_by.is_distinct_from(by)
    decide = resend if decision == "resend" else drop
    slices = (uids[start : start + AT_ONCE] for start in range(0, len(uids), AT_ONCE))
    return sum(decide(session, Message.uid.in_(some), not_yet, now=now, by=by) for some in slices)


_UNCONFIRMED = frozenset({MessageState.UNCONFIRMED})
