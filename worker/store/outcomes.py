"""What becomes of a posted batch: one function for each outcome.

*took* is the time from the first byte of the post to the end of the answer; None where nothing ever left.

All of them also take a batch that upkeep had given up as unconfirmed: the gateway's own answer, however late, knows
better. What a person has decided meanwhile stands.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, Table, Text, column, insert, select, update, values
from sqlalchemy.orm import Session

from models import Batch, Message, Report
from models.base import BigId, listed
from models.lifecycle import BatchState, MessageState
from worker.errors import GatewayError
from worker.gateway import Acceptance, AcceptedSms, RefusedSms
from worker.store.claims import Claimed
from worker.store.lots import EachRow
from worker.store.moves import MOVED, Seen, move, owe

OPEN = frozenset({MessageState.POSTING, MessageState.UNCONFIRMED})
NO_TROUBLE = {"reason": None, "error_no": None, "http_status": None}
NOT_ANSWERED = "not_in_the_answer"
LONGEST_MS = 2**31 - 1  #: what the column holds; a clock may be set forward by years while a post is under way


_OPEN_BATCH = f"state IN ({listed(frozenset({BatchState.POSTING, BatchState.UNCONFIRMED}))})"
_ACCEPT_BATCHES = EachRow(
    cast("Table", Batch.__table__),
    keys=("id", "worker", "created_at"),
    sets=("accepted", "answer_ms", "finished_at"),
    fixed="state = 'accepted', refused = 0, lease_until = NULL, begins_by = NULL, reason = NULL, error_no = NULL, "
    "http_status = NULL",
    where=_OPEN_BATCH,
)
_ACCEPT = EachRow(
    cast("Table", Message.__table__),
    keys=("id", "batch_id"),
    sets=("request_id", "message_id", "submitted_at", "next_poll_at"),
    fixed="state = 'submitted', finalized_at = NULL, delivered_at = NULL, reason = NULL, split = NULL",
    where=f"state IN ({listed(OPEN)})",
)


class NotAsClaimed(Exception):
    """A batch or a message is not any more what it was when it was claimed."""


def lock(session: Session, claimed: Claimed) -> bool:
    """Lock the batch before its messages, as upkeep does: else the two could wait for each other.

    Return False if it is another batch of the same number: then the database came from a backup meanwhile, and an
    answer to what it has forgotten must not be taken for one to what has that number now.
    """
    ours = (Batch.id == claimed.batch_id, Batch.worker == claimed.worker, Batch.created_at == claimed.claimed_at)
    return session.execute(select(Batch.id).where(*ours).with_for_update()).first() is not None


class Accepted(NamedTuple):
    """A batch of which the gateway took every message."""

    claimed: Claimed
    answer: Acceptance
    took: timedelta | None
    first_poll_at: datetime


def accept_all(session: Session, accepted: Sequence[Accepted], *, now: datetime) -> None:
    """Store the ids of batches that the gateway took whole. Raises `NotAsClaimed` if something came between.

    Then nothing may be committed: `accept_batch` knows for each of them what to do.
    """
    batches = [
        (one.claimed.batch_id, one.claimed.worker, one.claimed.claimed_at, len(one.answer.accepted), _ms(one.took), now)
        for one in accepted
    ]
    messages = [
        (sms.reference, one.claimed.batch_id, sms.request_id, sms.message_id, now, one.first_poll_at)
        for one in accepted
        for sms in one.answer.accepted
    ]
    if _ACCEPT_BATCHES.run(session, batches) != len(batches) or _ACCEPT.run(session, messages) != len(messages):
        raise NotAsClaimed
    moved = [
        one.claimed.known[sms.reference]._replace(request_id=sms.request_id, submitted_at=now)
        for one in accepted
        for sms in one.answer.accepted
    ]
    session.info.setdefault(MOVED, []).extend(Seen(one, MessageState.SUBMITTED, now) for one in moved)
    owe(session, moved, MessageState.SUBMITTED, now=now)


def accept_batch(
    session: Session,
    batch_id: int,
    acceptance: Acceptance,
    *,
    now: datetime,
    first_poll_at: datetime,
    took: timedelta | None = None,
) -> None:
    """The gateway answered message by message: taken, refused for good, given back, or not mentioned at all."""
    accepted = _submit(session, batch_id, acceptance.accepted, now, first_poll_at)
    refused = _refuse_each(session, batch_id, acceptance.refused, now)
    if acceptance.returned:
        returned = (_of(batch_id), Message.id.in_([one.reference for one in acceptance.returned]))
        move(session, MessageState.QUEUED, *returned, now=now, sources=OPEN, posted_at=None)
    # Whatever of the batch is still open, named as unanswered or not: nobody would ever look for it again.
    move(session, MessageState.UNCONFIRMED, _of(batch_id), now=now, reason=NOT_ANSWERED)
    _close(session, batch_id, BatchState.ACCEPTED, now, took, accepted=accepted, refused=refused)


def refuse_batch(
    session: Session, batch_id: int, error: GatewayError, *, now: datetime, took: timedelta | None = None
) -> None:
    """The gateway refused the request for good: all its messages fail with that reason."""
    outcome = {"reason": error.reason, "error_no": error.error_no}
    move(session, MessageState.FAILED, _of(batch_id), now=now, sources=OPEN, **outcome)
    _close(session, batch_id, BatchState.REFUSED, now, took, **outcome, http_status=error.http_status)


def split_batch(
    session: Session, batch_id: int, error: GatewayError, *, now: datetime, took: timedelta | None = None
) -> None:
    """Something in the batch is at fault: each half queues again, to be posted apart from the other."""
    open_ids = select(Message.id).where(_of(batch_id), Message.state.in_(OPEN)).order_by(Message.id)
    ids = session.scalars(open_ids).all()
    middle = (len(ids) + 1) // 2
    for side, half in enumerate((ids[:middle], ids[middle:])):
        split = 2 * batch_id + side  # no two halves ever share a number, because batches do not
        move(session, MessageState.QUEUED, Message.id.in_(half), now=now, sources=OPEN, split=split, posted_at=None)
    outcome = {"reason": error.reason, "error_no": error.error_no, "http_status": error.http_status}
    _close(session, batch_id, BatchState.REFUSED, now, took, **outcome)


def release_batch(
    session: Session, batch_id: int, error: GatewayError, *, now: datetime, took: timedelta | None = None
) -> None:
    """The gateway certainly took nothing: its messages queue again, at their old place."""
    move(session, MessageState.QUEUED, _of(batch_id), now=now, sources=OPEN, posted_at=None)
    outcome = {"reason": error.reason, "error_no": error.error_no, "http_status": error.http_status}
    _close(session, batch_id, BatchState.RELEASED, now, took, **outcome)


def release_untouched(session: Session, batch_id: int, reason: str, *, now: datetime) -> int:
    """Nothing of it ever left: its messages queue again, at their old place. Return how many."""
    moved = move(session, MessageState.QUEUED, _of(batch_id), now=now, sources=[MessageState.POSTING], posted_at=None)
    _close(session, batch_id, BatchState.RELEASED, now, None, reason=reason)
    return len(moved)


def leave_unconfirmed(
    session: Session,
    batch_id: int,
    reason: str,
    *,
    now: datetime,
    http_status: int | None = None,
    took: timedelta | None = None,
) -> int:
    """Nobody knows whether it was taken: keep it out of every loop that posts. Return how many messages that is."""
    moved = move(session, MessageState.UNCONFIRMED, _of(batch_id), now=now, reason=reason)
    _close(session, batch_id, BatchState.UNCONFIRMED, now, took, reason=reason, http_status=http_status)
    return len(moved)


def _of(batch_id: int) -> ColumnElement[bool]:
    return Message.batch_id == batch_id


def _close(
    session: Session, batch_id: int, state: BatchState, now: datetime, took: timedelta | None, **outcome: Any
) -> None:
    if took is not None:
        outcome["answer_ms"] = _ms(took)
    session.execute(
        update(Batch)
        .where(Batch.id == batch_id, Batch.state.in_([BatchState.POSTING, BatchState.UNCONFIRMED]))
        .values({"state": state, "finished_at": now, "lease_until": None, "begins_by": None} | NO_TROUBLE | outcome),
        execution_options={"synchronize_session": False},
    )


def _ms(took: timedelta | None) -> int | None:
    return None if took is None else min(max(0, round(took / timedelta(milliseconds=1))), LONGEST_MS)


def _submit(
    session: Session, batch_id: int, accepted: Sequence[AcceptedSms], now: datetime, first_poll_at: datetime
) -> int:
    if not accepted:
        return 0
    names = (column("id", BigId), column("request_id", Text), column("message_id", Text))
    given = [(one.reference, one.request_id, one.message_id) for one in accepted]
    answers = values(*names, name="answers").data(given).cte("answers")
    moved = move(
        session,
        MessageState.SUBMITTED,
        Message.id == answers.c.id,
        _of(batch_id),
        now=now,
        sources=OPEN,
        request_id=answers.c.request_id,
        message_id=answers.c.message_id,
        submitted_at=now,
        next_poll_at=first_poll_at,
        split=None,
    )
    # What had been decided about meanwhile stands, but that the gateway took it is known now, and kept.
    late = {one.reference for one in accepted} - {one.id for one in moved}
    if late:
        session.execute(insert(Report), [_report_of(one, now) for one in accepted if one.reference in late])
    return len(moved)


def _refuse_each(session: Session, batch_id: int, refused: Sequence[RefusedSms], now: datetime) -> int:
    moved = 0
    for one in refused:
        of_batch = (_of(batch_id), Message.id == one.reference)
        outcome = {"reason": one.reason, "error_no": one.error_no}
        if move(session, MessageState.FAILED, *of_batch, now=now, sources=OPEN, **outcome):
            session.execute(insert(Report), [_report_of(one, now) | {"state": MessageState.FAILED}])
            moved += 1
    return moved


def _report_of(said: AcceptedSms | RefusedSms, now: datetime) -> dict[str, Any]:
    """A row for what the gateway answered to a post; a refused message may bear ids all the same."""
    ids = {name: str(said.answer[name]) for name in ("request_id", "message_id") if said.answer.get(name)}
    if isinstance(said, AcceptedSms):
        ids = {"request_id": said.request_id} | ({"message_id": said.message_id} if said.message_id else {})
    error_no = said.error_no if isinstance(said, RefusedSms) else None
    return {"sms_id": said.reference, "error_no": error_no, "received_at": now, "answer": said.answer} | ids
