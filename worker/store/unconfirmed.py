"""What nobody knows to have been taken or not: looking at it, and choosing what to decide about."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from models import Batch, Message
from models.lifecycle import Lane, MessageState


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which of the unconfirmed messages are meant: those that meet all that is given."""

    uids: Sequence[str] = ()
    batch_id: int | None = None
    lane: Lane | None = None
    producer: str | None = None
    reason: str | None = None
    posted_since: datetime | None = None
    posted_until: datetime | None = None

    def criteria(self) -> list[ColumnElement[bool]]:
        """The same for a WHERE."""
        equal: tuple[tuple[InstrumentedAttribute[Any], Any], ...] = (
            (Message.batch_id, self.batch_id),
            (Message.lane, self.lane),
            (Message.producer, self.producer),
            (Message.reason, self.reason),
        )
        chosen = [Message.state == MessageState.UNCONFIRMED, *(column == value for column, value in equal if value)]
        if self.uids:
            chosen.append(Message.uid.in_(self.uids))
        if self.posted_since:
            chosen.append(Message.posted_at >= self.posted_since)
        if self.posted_until:
            chosen.append(Message.posted_at < self.posted_until)
        return chosen


class Unconfirmed(NamedTuple):
    """One message in doubt, with all that is known about its post."""

    id: int
    uid: str
    lane: str
    producer: str
    key: str | None
    phone: str
    text: str
    posted_at: datetime
    unconfirmed_at: datetime
    batch_id: int
    batch_size: int
    worker: str
    reason: str | None
    http_status: int | None
    attempts: int
    resends: int


class Post(NamedTuple):
    """A message, and the batch in which it may have been taken."""

    sms_id: int
    batch_id: int


def listed(session: Session, chosen: Chosen, *, after_id: int = 0, limit: int = 100) -> list[Unconfirmed]:
    """Up to *limit* of them behind *after_id*, in the order of their ids."""
    names = ("id", "uid", "lane", "producer", "key", "phone", "text", "posted_at")
    columns = (
        *(getattr(Message, name) for name in names),
        Batch.finished_at,
        Batch.id,
        Batch.size,
        Batch.worker,
        Message.reason,
        Batch.http_status,
        Message.attempts,
        Message.resends,
    )
    found = (
        select(*columns)
        .join(Batch, Message.batch_id == Batch.id)
        .where(*chosen.criteria(), Message.id > after_id)
        .order_by(Message.id)
        .limit(limit)
    )
    return [Unconfirmed(*row) for row in session.execute(found)]


def posts(session: Session, chosen: Chosen) -> list[Post]:
    """All of them, each with the post that is in doubt, in the order of their ids."""
    found = select(Message.id, Message.batch_id).where(*chosen.criteria()).order_by(Message.id)
    return [Post(*row) for row in session.execute(found)]  # type: ignore[arg-type]
