"""A database that came from a backup knows nothing of what was posted since: nothing of it may go out unseen."""

from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from models import Batch, Message
from models.lifecycle import BatchState, Lane, MessageState, Verdict
from worker.store import claims, decisions
from worker.store.claims import Claimant
from worker.store.outcomes import leave_unconfirmed

RESTORED = "database_restored"
LARGEST_BATCH = 100
AT_ONCE = 1_000  # messages in one transaction


def last_batch(session: Session) -> int:
    """The number of the last batch; 0 if there never was one. Retention keeps it."""
    return session.scalar(select(func.max(Batch.id))) or 0


def is_new(session: Session) -> bool:
    """Whether nothing was ever stored here."""
    return not session.scalars(select(Message.id).limit(1)).all() and last_batch(session) == 0


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
    """Some of what waited at the backup and was due by now becomes unconfirmed; return how many messages."""
    return sum(_doubt_lane(session, lane, Claimant(account_id, who, now, now, now), since) for lane in Lane)


def doubt_again(session: Session, *, since: datetime, now: datetime, who: str) -> int:
    """What was unconfirmed at the backup may have been decided about since: no policy decides about it again.

    Return how many messages.
    """
    in_doubt = (Message.state == MessageState.UNCONFIRMED, Message.reason.is_distinct_from(RESTORED))
    some = select(Message.id).where(*in_doubt, Message.created_at <= since).limit(AT_ONCE).with_for_update()
    marked = update(Message).where(Message.id.in_(session.scalars(some).all())).values(reason=RESTORED)
    uids = session.scalars(marked.returning(Message.uid)).all()
    decisions.audit(session, Verdict.RECOVER, dict.fromkeys(uids, RESTORED), now=now, who=who)
    return len(uids)


def _doubt_lane(session: Session, lane: Lane, claimant: Claimant, since: datetime) -> int:
    waiting = (
        select(Message.id, Message.nickname, Message.phone, Message.text)
        .where(Message.state == MessageState.QUEUED, Message.lane == lane, Message.send_at <= claimant.now)
        .where(Message.created_at <= since)
        .order_by(Message.send_at, Message.id)  # by the claims' index, so that each look costs the same
        .limit(AT_ONCE)
        .with_for_update()
    )
    rows = sorted(session.execute(waiting).all(), key=lambda row: row.nickname or "")
    for _, alike in groupby(rows, key=lambda row: row.nickname):
        ours = list(alike)
        for start in range(0, len(ours), LARGEST_BATCH):
            batch = claims.into_batch(session, claimant, lane, ours[start : start + LARGEST_BATCH])
            _doubt(session, batch.batch_id, claimant.now, claimant.worker)
    return len(rows)


def _doubt(session: Session, batch_id: int, now: datetime, who: str) -> int:
    in_batch = (Message.batch_id == batch_id, Message.state == MessageState.POSTING)
    uids = session.scalars(select(Message.uid).where(*in_batch)).all()
    decisions.audit(session, Verdict.RECOVER, dict.fromkeys(uids, RESTORED), now=now, who=who)
    return leave_unconfirmed(session, batch_id, RESTORED, now=now)
