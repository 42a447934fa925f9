"""The one statement that moves messages, and the callbacks it owes."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, insert, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import coalesce

from models import Callback, Message
from models.lifecycle import FINAL, TOLD, CallbackState, MessageState, sources_of
from worker import tracing

OWED = "callbacks_owed"  #: in a session's info once it has written a callback; its room rings after the commit
MOVED = "messages_moved"  #: in a session's info, a list of `Seen`: what its transaction moved, in that order


class Moved(NamedTuple):
    """A message that really moved, with what its producer is told and what is counted and traced of it."""

    id: int
    uid: str
    key: str | None
    producer: str
    phone: str
    parts: int
    callback: dict[str, Any] | None
    reason: str | None
    lane: str = ""
    batch_id: int | None = None
    request_id: str | None = None
    error_no: int | None = None
    created_at: datetime | None = None  #: this and what follows: only where `_columns` says
    send_at: datetime | None = None
    delivered_at: datetime | None = None
    posted_at: datetime | None = None
    submitted_at: datetime | None = None
    traceparent: str | None = None


class Seen(NamedTuple):
    """One move: *message* as it stands since, the *state* it reached, and when. A new one is in no batch yet."""

    message: Moved
    state: MessageState
    at: datetime


_MOVED = (
    Message.id,
    Message.uid,
    Message.key,
    Message.producer,
    coalesce(Message.ordered_phone, Message.phone),  # as its producer knows it
    Message.parts,
    Message.callback,
    Message.reason,
    Message.lane,
    Message.batch_id,
    Message.request_id,
    Message.error_no,
    Message.created_at,
    Message.send_at,
    Message.delivered_at,
    Message.posted_at,
    Message.submitted_at,
    Message.traceparent,
)
_LEAST = 1 + Moved._fields.index("error_no")
_LOOKED_AT = {
    MessageState.POSTING: 1 + Moved._fields.index("send_at"),  # for when it is accepted
    MessageState.SUBMITTED: 1 + Moved._fields.index("send_at"),
    MessageState.DELIVERED: 1 + Moved._fields.index("delivered_at"),
}
# What belongs to one state only, and goes when the message leaves it.
_LEFT_BEHIND: dict[str, Any] = {"next_poll_at": None, "delivered_at": None, "reason": None}


def move(
    session: Session,
    target: MessageState,
    *criteria: ColumnElement[bool],
    now: datetime,
    sources: Collection[MessageState] | None = None,
    **values: Any,
) -> Sequence[Moved]:
    """Move the messages that meet *criteria* to *target*, and return those that really moved.

    *sources* narrows the states they may come from; by default all from which `MOVES` leads there. Callbacks are owed
    in the same transaction.
    """
    allowed = sources_of(target) if sources is None else frozenset(sources)
    if not allowed <= sources_of(target):
        raise ValueError(f"no message moves from {sorted(allowed)} to {target}")
    statement = (
        update(Message)
        .where(Message.state.in_(allowed), *criteria)
        .values({"state": target, "finalized_at": now if target in FINAL else None} | _LEFT_BEHIND | values)
        .returning(*_columns(target))
    )
    moved = [Moved(*row) for row in session.execute(statement, execution_options={"synchronize_session": False})]
    session.info.setdefault(MOVED, []).extend(Seen(one, target, now) for one in moved)
    owe(session, moved, target, now=now)
    return moved


def _columns(target: MessageState) -> Sequence[Any]:
    """No more than somebody looks at: each instant costs a microsecond a message, and a message moves four times."""
    return _MOVED if tracing.WANTED else _MOVED[: _LOOKED_AT.get(target, _LEAST)]


def owe(session: Session, moved: Sequence[Moved], state: MessageState, *, now: datetime) -> None:
    """Write down what the producers of *moved* want to be told."""
    if state not in TOLD:
        return
    owed = [owed_callback(one.callback, event_of(one, state, now), now, one.id) for one in moved if one.callback]
    if owed:
        session.execute(insert(Callback), owed)
        session.info[OWED] = True


def event_of(moved: Moved, state: str, at: datetime) -> dict[str, Any]:
    """What is told of a message: the contract's keys."""
    told = {name: getattr(moved, name) for name in ("uid", "key", "producer", "reason", "phone", "parts")}
    return {"event_id": str(uuid.uuid4()), "state": str(state), "at": at.isoformat(), **told}


def owed_callback(target: dict[str, Any], event: dict[str, Any], now: datetime, sms_id: int | None) -> dict[str, Any]:
    """The row of a callback that is to be told at once."""
    return {
        "event_id": event["event_id"],
        "sms_id": sms_id,
        "target": target,
        "event": event,
        "state": CallbackState.OWED,
        "attempts": 0,
        "created_at": now,
        "next_try_at": now,
    }
