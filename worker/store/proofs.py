"""Reports that prove that an unconfirmed message was taken.

Where one request_id stands for a whole request, asking for one message of a batch also brings those of which the answer
to the post said nothing. Never by chance: the row must name the phone and the very text, must have been received on a
day of the post, must be no row of another message of ours, and must be the only one that fits. Nor may there be another
message of that phone and text that was ever posted and has no message_id: the row might be its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Batch, Message
from models.lifecycle import MessageState, Verdict
from worker.gateway import Report
from worker.store import decisions
from worker.store.moves import move

A_DAY = timedelta(days=1)  # request_ids come again by chance, years apart; the zone of the gateway's dates is a setting


class Sibling(NamedTuple):
    """A message that the gateway took, and the batch that it went with."""

    request_id: str
    batch_id: int


class _Doubtful(NamedTuple):
    id: int
    uid: str
    batch_id: int
    phone: str
    text: str
    reason: str | None
    created_at: datetime
    finished_at: datetime


def confirm(
    session: Session, siblings: Iterable[Sibling], answers: Mapping[str, Sequence[Report] | None], *, now: datetime
) -> int:
    """Move what *answers* prove to have been taken to submitted, to be asked for at once; return how many."""
    rows = _unclaimed(session, answers)
    batches = {sibling.batch_id for sibling in siblings if sibling.request_id in rows} if rows else set()
    doubtful = _doubtful(session, batches) if batches else []
    pairs = [
        (one, request_id, report)
        for request_id, batch_id in sorted(set(siblings) if doubtful else ())
        for one in doubtful
        if one.batch_id == batch_id and (report := _proof(one, rows.get(request_id, ())))
    ]
    sure = [(one, request_id, report) for one, request_id, report in pairs if not _has_twin(session, one)]
    return sum(_confirm(session, one, request_id, report, now) for one, request_id, report in sure)


def _unclaimed(session: Session, answers: Mapping[str, Sequence[Report] | None]) -> dict[str, list[Report]]:
    """The rows that are not known to be of a message of ours; what names no message_id is among them."""
    wanted = [request_id for request_id, reports in answers.items() if reports and len(reports) > 1]
    if not wanted:
        return {}
    ours = select(Message.request_id, Message.message_id).where(Message.request_id.in_(wanted))
    known = {tuple(row) for row in session.execute(ours)}
    strange = {
        request_id: [row for row in answers[request_id] or () if (request_id, row.message_id or "") not in known]
        for request_id in wanted
    }
    return {request_id: rows for request_id, rows in strange.items() if rows}


def _doubtful(session: Session, batches: Iterable[int]) -> list[_Doubtful]:
    columns = (Message.id, Message.uid, Message.batch_id, Message.phone, Message.text, Message.reason)
    unconfirmed = (
        select(*columns, Batch.created_at, Batch.finished_at)
        .join(Batch, Message.batch_id == Batch.id)
        .where(Message.batch_id.in_(list(batches)), Message.state == MessageState.UNCONFIRMED)
    )
    return [_Doubtful(*row) for row in session.execute(unconfirmed)]  # type: ignore[arg-type]


def _proof(one: _Doubtful, rows: Sequence[Report]) -> Report | None:
    fitting = [row for row in rows if (row.recipient, row.text) == (one.phone, one.text) and _is_of_that_day(one, row)]
    return fitting[0] if len(fitting) == 1 and fitting[0].message_id else None


def _is_of_that_day(one: _Doubtful, row: Report) -> bool:
    return row.received_at is not None and one.created_at - A_DAY <= row.received_at <= one.finished_at + A_DAY


def _has_twin(session: Session, one: _Doubtful) -> bool:
    """Whether the row may as well be of another message, which looks the same and may have been taken."""
    alike = (Message.phone == one.phone, Message.text == one.text, Message.id != one.id)
    nameless = (Message.attempts > 0, Message.message_id.is_(None))
    return session.scalars(select(Message.id).where(*alike, *nameless).limit(1)).first() is not None


def _confirm(session: Session, one: _Doubtful, request_id: str, report: Report, now: datetime) -> int:
    ids = {"request_id": request_id, "message_id": report.message_id, "submitted_at": now, "next_poll_at": now}
    this = (Message.id == one.id, Message.batch_id == one.batch_id)
    moved = move(session, MessageState.SUBMITTED, *this, now=now, sources=[MessageState.UNCONFIRMED], split=None, **ids)
    who = f"report of request {request_id}"
    decisions.audit(session, Verdict.CONFIRM, {sms.uid: one.reason for sms in moved}, now=now, who=who)
    return len(moved)
