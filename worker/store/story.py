"""What the database knows about one message, as facts in the order of time; `worker.story` puts them into words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from models import Account, Batch, Callback, Circuit, Decision, Message, RefusedIntake, Report
from models.lifecycle import AccountState, BatchState, CallbackState, CircuitState, MessageState, Room
from worker.receivers import receiver_of
from worker.store.listing import Listed

MOST = 200  # rows of one kind: nobody reads more, and a refused order may come again for ever
ENDED = (MessageState.FAILED, MessageState.UNKNOWN, MessageState.CANCELLED, MessageState.EXPIRED)


class Event(NamedTuple):
    """One thing that happened, or is to happen. No phone and no text stands in its fields."""

    at: datetime
    kind: str  #: of `worker.story.SENTENCES`
    fields: dict[str, Any]
    certain: bool = True  #: False if the instant, or the whole of it, is concluded from other facts


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one uid."""

    uid: str
    message: Listed | None  #: None if it was only ever refused
    events: Sequence[Event]  #: in the order of time
    ahead: Sequence[Event]  #: what it waits for
    ordered_text: str | None = None  #: as it was ordered, where it was changed
    operator: str | None = None
    expires_at: datetime | None = None
    next_poll_at: datetime | None = None
    polls: int = 0
    resends: int = 0


def story_of(session: Session, uid: str) -> Story | None:
    """The story of *uid*; None if neither a message nor a refused order is known by it. A few look-ups by index."""
    one = session.scalars(select(Message).where(Message.uid == uid)).first()
    refused = _refused(session, uid)
    if one is None:
        return Story(uid, None, refused, []) if refused else None
    batch = session.get(Batch, one.batch_id) if one.batch_id is not None else None
    callbacks = _rows(session, Callback, Callback.sms_id == one.id)
    told = [event for row in callbacks for event in _told(row)]
    reported = [_reported(row) for row in _rows(session, Report, Report.sms_id == one.id)]
    events = [
        *refused,
        *_ordered(one),
        *(_posted(one, batch) if batch else ()),
        *reported,
        *_decided(session, uid),
        *_ended(one),
        *told,
    ]
    return Story(
        uid,
        Listed._make(getattr(one, name) for name in Listed._fields),
        sorted(events, key=lambda event: event.at),
        [*_ahead(session, one, batch), *(event for row in callbacks for event in _to_tell(row))],
        **{name: getattr(one, name) for name in ("ordered_text", "operator", "expires_at", "next_poll_at")},
        polls=one.polls,
        resends=one.resends,
    )


def _rows(session: Session, table: type[Any], of_it: Any) -> Sequence[Any]:
    return session.scalars(select(table).where(of_it).order_by(table.id).limit(MOST)).all()


def _refused(session: Session, uid: str) -> list[Event]:
    rows = _rows(session, RefusedIntake, RefusedIntake.uid == uid)
    names = ("queue", "reason", "explanation")
    return [Event(row.created_at, "order_refused", {name: getattr(row, name) for name in names}) for row in rows]


def _ordered(one: Message) -> Iterator[Event]:
    names = ("producer", "key", "lane", "nickname", "parts", "encoding")
    yield Event(one.created_at, "ordered", {name: getattr(one, name) for name in names})
    if one.ordered_text is not None:
        yield Event(one.created_at, "text_changed", {})
    if one.ordered_phone is not None:
        yield Event(one.created_at, "sent_elsewhere", {})
    if one.send_at > one.created_at:
        yield Event(one.created_at, "held_back", {"until": one.send_at})


def _posted(one: Message, batch: Batch) -> Iterator[Event]:
    if one.attempts > 1:
        yield Event(batch.created_at, "earlier_batches", {"batches": one.attempts - 1}, certain=False)
    others = {"batch_id": batch.id, "others": batch.size - 1, "worker": batch.worker}
    yield Event(batch.created_at, "claimed", others)
    if batch.finished_at is None:
        begun = "post_not_begun" if batch.begins_by else "post_began"
        yield Event(batch.created_at, begun, {"batch_id": batch.id}, certain=bool(batch.begins_by))
        return
    if batch.answer_ms is not None:
        began_at = max(batch.created_at, batch.finished_at - timedelta(milliseconds=batch.answer_ms))
        yield Event(began_at, "post_began", {"batch_id": batch.id}, certain=False)
    yield _answered(one, batch, batch.finished_at)
    if one.submitted_at:
        yield Event(one.submitted_at, "accepted", {"request_id": one.request_id, "message_id": one.message_id})


def _answered(one: Message, batch: Batch, at: datetime) -> Event:
    why = {name: getattr(batch, name) for name in ("reason", "error_no", "http_status", "answer_ms")}
    if batch.state == BatchState.ACCEPTED:
        counts = {"batch_id": batch.id, "accepted": batch.accepted, "refused": batch.refused}
        return Event(at, "answered", counts | {"answer_ms": batch.answer_ms})
    kinds = {BatchState.REFUSED: "batch_refused", BatchState.RELEASED: "released", BatchState.UNCONFIRMED: "cut_off"}
    kind = kinds[BatchState(batch.state)]
    if kind == "batch_refused" and one.split is not None and one.split // 2 == batch.id:
        kind = "split"
    return Event(at, kind, {"batch_id": batch.id} | why)


def _reported(row: Report) -> Event:
    ids = {"request_id": row.request_id, "message_id": row.message_id}
    if row.gateway_status is None:
        refused = row.error_no is not None
        answer = {"error_no": row.error_no, "error_text": row.answer.get("error_text")} if refused else ids
        return Event(row.received_at, "refused_alone" if refused else "accepted_late", answer)
    said = {name: getattr(row, name) for name in ("gateway_status", "state", "error_no", "billed_parts")}
    return Event(row.received_at, "reported", said | {"delivered": row.delivered_at} | ids)


def _decided(session: Session, uid: str) -> Iterator[Event]:
    for row in _rows(session, Decision, Decision.uid == uid):
        yield Event(row.at, f"decided_{row.what}", {"who": row.who, "reason": row.reason})


def _ended(one: Message) -> Iterator[Event]:
    if one.delivered_at:
        yield Event(one.delivered_at, "delivered", {"billed_parts": one.billed_parts})
    elif one.finalized_at and one.state in ENDED:
        yield Event(one.finalized_at, one.state, {"reason": one.reason, "error_no": one.error_no})


def _told(row: Callback) -> Iterator[Event]:
    about = {"told": row.event.get("state"), "receiver": receiver_of(row.target)}
    yield Event(row.created_at, "callback_owed", about)
    if row.retried_at:
        yield Event(row.retried_at, "callback_retried", about | {"who": row.retried_by})
    if row.finished_at:
        kind = "callback_told" if row.state == CallbackState.TOLD else "callback_failed"
        yield Event(row.finished_at, kind, about | {"attempts": row.attempts, "reason": row.reason})


def _to_tell(row: Callback) -> Iterator[Event]:
    if row.next_try_at:
        about = {"told": row.event.get("state"), "receiver": receiver_of(row.target)}
        yield Event(row.next_try_at, "callback_next", about | {"attempts": row.attempts, "reason": row.reason})


def _ahead(session: Session, one: Message, batch: Batch | None) -> Iterator[Event]:
    state = MessageState(one.state)
    if state is MessageState.QUEUED:
        yield Event(one.send_at, "waits", {"lane": one.lane})
        yield from _in_the_way(session)
        if one.expires_at:
            yield Event(one.expires_at, "expires", {})
    elif state is MessageState.POSTING and batch and batch.lease_until:
        yield Event(batch.lease_until, "answer_awaited", {"batch_id": batch.id})
    elif one.next_poll_at:
        yield Event(one.next_poll_at, "next_poll", {"polls": one.polls, "request_id": one.request_id})
    elif state is MessageState.UNCONFIRMED:
        since = (batch and batch.finished_at) or one.posted_at or one.created_at
        yield Event(since, "to_decide", {"uid": one.uid})
    elif state is MessageState.UNKNOWN:
        yield Event(one.finalized_at or one.created_at, "to_ask", {"uid": one.uid})


def _in_the_way(session: Session) -> Iterator[Event]:
    """What keeps everything from being posted; of another login nothing ever does."""
    in_trouble = or_(Account.state == AccountState.PAUSED, Account.held_at.is_not(None))
    for account in session.scalars(select(Account).where(in_trouble)):
        if account.held_at:
            yield Event(account.held_at, "account_held", {"who": account.held_by})
        if account.paused_at:
            yield Event(account.paused_at, "account_paused", {"reason": account.reason, "error_no": account.error_no})
    is_open = (Circuit.room == Room.POSTING, Circuit.state == CircuitState.OPEN)
    for circuit in session.scalars(select(Circuit).where(*is_open)):
        if circuit.opened_at:
            why = {"reason": circuit.reason, "http_status": circuit.http_status}
            yield Event(circuit.opened_at, "circuit_open", why)


def uids_beginning(session: Session, prefix: str, *, limit: int = 10) -> list[str]:
    """Up to *limit* uids that begin with *prefix*, which is of digits, a to f and dashes as UUIDs are."""
    # By the range, which the index knows in every collation; it is as good as empty of others.
    among = (Message.uid >= prefix, Message.uid <= f"{prefix}zz", func.substr(Message.uid, 1, len(prefix)) == prefix)
    return list(session.scalars(select(Message.uid).where(*among).order_by(Message.uid).limit(limit)))
