"""What needs a person, put together by kind, lane and reason: the view v_attention shows the same row by row.

However much there is, no more than `SAMPLE` rows of a kind and lane are looked at.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from models import Account, Batch, Callback, Circuit, Message, RefusedIntake
from models.lifecycle import AccountState, CallbackState, CircuitState, Lane, MessageState
from worker.store.accounts import BY_RESTORE

SAMPLE = 1_000

# As in v_attention.
LOOK = "sms unconfirmed: look, then resend or drop"
PUT_RIGHT = "put it right with the vendor; sms resume tries at once"
RESUME = "sms resume"
RECOVER = "stop all workers, then sms recover --since TIME"
BY_ITSELF = "the gateway is tried again by itself"
MEND_RECEIVER = "mend the receiver, then sms callbacks retry"
EXPLAINED = (
    "its explanation in refused_intakes says what to do, and whether the producer is to be mended or a rule held"
)


class Attention(NamedTuple):
    """One thing to look at, which may stand for many rows."""

    kind: str  #: as in v_attention
    uid: str | None  #: of one of the rows, for an example
    lane: str | None  #: of refused orders the queue
    since: datetime | None  #: the oldest of those that were looked at
    reason: str | None
    remedy: str
    rows: int = 1
    at_least: bool = False  #: whether there may be more than *rows*


def attention(session: Session, *, limit: int, refused_since: datetime | None = None) -> list[Attention]:
    """Up to *limit* of them: first what stops everything, then by kind, what there is most of first.

    Orders that were refused before *refused_since* are left out: nobody can settle them, and they stay for years.
    """
    first = [*_accounts(session), *_circuits(session)]
    rest = [*_unconfirmed(session), *_callbacks(session), *_refused(session, refused_since)]
    return (first + rest)[:limit]


def _accounts(session: Session) -> Iterator[Attention]:
    found = session.scalars(select(Account).order_by(Account.id)).all()
    for one in found:
        if one.held_at:
            remedy = RECOVER if (one.held_by or "").startswith(BY_RESTORE) else RESUME
            yield Attention("account held", None, None, one.held_at, f"held by {one.held_by}", remedy)
    for one in found:
        if one.state == AccountState.PAUSED:
            yield Attention("account paused", None, None, one.paused_at, one.reason, PUT_RIGHT)


def _circuits(session: Session) -> Iterator[Attention]:
    is_open = select(Circuit).where(Circuit.state == CircuitState.OPEN)
    for one in session.scalars(is_open.order_by(Circuit.room.desc(), Circuit.account_id)):
        yield Attention("circuit open", None, None, one.opened_at, f"{one.room}: {one.reason}", BY_ITSELF)


def _unconfirmed(session: Session) -> list[Attention]:
    """Reads the oldest of each lane in ix_messages_unconfirmed, and their batches."""
    columns = (Message.uid, Message.lane, Message.reason, Batch.finished_at.label("since"))
    in_doubt = select(*columns).join(Batch, Batch.id == Message.batch_id).order_by(Message.id)
    wheres = ((Message.state == MessageState.UNCONFIRMED, Message.lane == lane) for lane in Lane)
    return [one for where in wheres for one in _grouped(session, "unconfirmed", in_doubt.where(*where), LOOK)]


def _callbacks(session: Session) -> list[Attention]:
    """Reads the newest in ix_callbacks_failed, and their messages."""
    columns = (Message.uid, Message.lane, Callback.reason, Callback.finished_at.label("since"))
    failed = select(*columns).select_from(Callback).outerjoin(Message, Message.id == Callback.sms_id)
    newest = failed.where(Callback.state == CallbackState.FAILED).order_by(Callback.id.desc())
    return _grouped(session, "callback failed", newest, MEND_RECEIVER)


def _refused(session: Session, since: datetime | None) -> list[Attention]:
    """Reads the newest in ix_refused_intakes_created_at."""
    columns = (RefusedIntake.uid, RefusedIntake.queue.label("lane"), RefusedIntake.reason)
    newest = select(*columns, RefusedIntake.created_at.label("since")).order_by(RefusedIntake.created_at.desc())
    recent = newest if since is None else newest.where(RefusedIntake.created_at > since)
    return _grouped(session, "order refused", recent, EXPLAINED)


def _grouped(session: Session, kind: str, rows: Select[Any, Any, Any, Any], remedy: str) -> list[Attention]:
    sample = rows.limit(SAMPLE).subquery()
    columns = (func.min(sample.c.uid), sample.c.lane, func.min(sample.c.since), sample.c.reason, func.count())
    grouped = select(*columns).group_by(sample.c.lane, sample.c.reason).order_by(func.count().desc(), sample.c.reason)
    found = session.execute(grouped).all()
    at_least = sum(rows for *_, rows in found) >= SAMPLE
    return [
        Attention(kind, uid, lane, since, reason, remedy, rows, at_least) for uid, lane, since, reason, rows in found
    ]
