"""A database that came from a backup knows nothing of what was posted since: nothing of it may go out unseen."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from models import Batch, Message
from models.lifecycle import BatchState, Lane, MessageState, Verdict
from worker.store import claims, decisions
from worker.store.claims import Claimant
from worker.store.outcomes import leave_unconfirmed

RESTORED = "database_restored"
LARGEST_BATCH = 100


def last_batch(session: Session) -> int:
    """The number of the last batch; 0 if there never was one. Retention keeps it."""
    return session.scalar(select(func.max(Batch.id))) or 0


class Newer(NamedTuple):
    """Messages that were stored after the moment of the backup, so that they cannot be from it."""

    messages: int
    newest_at: datetime | None


def newer_than(session: Session, since: datetime) -> Newer:
    """Messages stored after *since* that might be posted."""
    waiting = Message.state.in_([MessageState.QUEUED, MessageState.POSTING])
    newer = select(func.count(), func.max(Message.created_at)).where(waiting, Message.created_at > since)
    return Newer(*session.execute(newer).one())


def doubt_posting(session: Session, *, since: datetime, now: datetime, who: str) -> int:
    """Batches under way with messages of the backup become unconfirmed, begun or not; return how many messages."""
    of_backup = exists().where(Message.batch_id == Batch.id, Message.created_at <= since)
    under_way = session.scalars(select(Batch.id).where(Batch.state == BatchState.POSTING, of_backup)).all()
    return sum(_doubt(session, batch_id, now, who) for batch_id in under_way)


def doubt_queued(session: Session, *, account_id: int, since: datetime, now: datetime, who: str) -> int:
    """Up to a batch of what waited at the backup and was due by now becomes unconfirmed; return how many messages."""
    waiting = (
        select(Message.id, Message.lane, Message.nickname, Message.phone, Message.text)
        .where(Message.state == MessageState.QUEUED, Message.send_at <= now, Message.created_at <= since)
        .order_by(Message.lane, Message.nickname, Message.id)
        .limit(LARGEST_BATCH)
        .with_for_update()
    )
    rows = session.execute(waiting).all()
    alike = [row for row in rows if (row.lane, row.nickname) == (rows[0].lane, rows[0].nickname)]
    if not alike:
        return 0
    claimant = Claimant(account_id, who, now, begins_by=now, lease_until=now)
    return _doubt(session, claims.into_batch(session, claimant, Lane(alike[0].lane), alike).batch_id, now, who)


def _doubt(session: Session, batch_id: int, now: datetime, who: str) -> int:
    in_batch = (Message.batch_id == batch_id, Message.state == MessageState.POSTING)
    uids = session.scalars(select(Message.uid).where(*in_batch)).all()
    decisions.audit(session, Verdict.RECOVER, dict.fromkeys(uids, RESTORED), now=now, who=who)
    return leave_unconfirmed(session, batch_id, RESTORED, now=now)
