"""Messages, orders and rooms with a default for everything, so that a test names only what it is about."""

import base64
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import insert, select
from sqlalchemy.orm import Session, sessionmaker

from models import Batch, Message
from models.lifecycle import FINAL, TAKEN, BatchState, Lane, MessageState
from worker.gateway import Gateway
from worker.gateway.memory import MemoryGateway
from worker.intake import Intake, Taken
from worker.order_fields import Terms
from worker.polling import Polling
from worker.store.accounts import account_id_of
from worker.store.claims import Claimed
from worker.store.clocks import Longest
from worker.submission import Submission
from worker.upkeep import Upkeep

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
TASHKENT = ZoneInfo("Asia/Tashkent")
MIDDLE = 0.5  #: dice that neither shorten nor lengthen a pause
Sessions = sessionmaker[Session]

LONGEST = Longest(
    lease=timedelta(minutes=2), poll=timedelta(minutes=15), callback=timedelta(hours=2), probe=timedelta(minutes=20)
)

IN_A_BATCH = frozenset({MessageState.POSTING, MessageState.UNCONFIRMED}) | TAKEN


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def advance(self, **by: float) -> None:
        self.at += timedelta(**by)

    def sleep(self, seconds: float) -> None:
        self.advance(seconds=seconds)


def a_phone(number: int = 0) -> str:
    """A mobile number, another one for each *number*."""
    return f"99890{number:07}"


def an_sms(**changes: Any) -> dict[str, Any]:
    """A row of ``messages``, queued unless *changes* say otherwise, that holds what its state asks for."""
    state = changes.get("state", MessageState.QUEUED)
    row: dict[str, Any] = {
        "uid": str(uuid.uuid4()),
        "producer": "shop",
        "lane": Lane.NORMAL,
        "phone": a_phone(uuid.uuid4().int % 10_000_000),
        "text": "Your order is on its way",
        "state": state,
        "parts": 1,
        "encoding": "gsm",
        "attempts": 0,
        "resends": 0,
        "polls": 0,
        "tags": {},
        "created_at": NOON,
        "send_at": NOON,
    }
    if state in IN_A_BATCH:
        row |= {"posted_at": NOON, "attempts": 1}
    if state in TAKEN:
        row |= {"request_id": "5001", "message_id": str(uuid.uuid4().int % 10**8), "submitted_at": NOON}
    if state == MessageState.SUBMITTED:
        row |= {"next_poll_at": NOON}
    if state == MessageState.DELIVERED:
        row |= {"delivered_at": NOON}
    if state in FINAL:
        row |= {"finalized_at": NOON}
    return row | changes


def a_batch(session: Session, **changes: Any) -> int:
    """Store a batch that is being posted, unless *changes* say otherwise; return its id."""
    row: dict[str, Any] = {
        "account_id": account_id_of(session, "login"),
        "lane": Lane.NORMAL,
        "state": BatchState.POSTING,
        "size": 1,
        "worker": "worker@test",
        "created_at": NOON,
    }
    if changes.get("state", BatchState.POSTING) == BatchState.POSTING:
        row |= {"lease_until": NOON + timedelta(minutes=1)}
    else:
        row |= {"finished_at": NOON}
    return session.scalars(insert(Batch).returning(Batch.id), [row | changes]).one()


def a_claimed(batch_id: int, **changes: Any) -> Claimed:
    """What the worker that claimed a batch of `a_batch` holds of it; of its messages it needs none to begin or end."""
    claimed = Claimed(batch_id, Lane.NORMAL, None, [], worker="worker@test", claimed_at=NOON)
    return replace(claimed, **changes)


def stored(sessions: Sessions, **changes: Any) -> int:
    """Store one SMS, in a batch of its own if its state asks for one; return its id."""
    with sessions.begin() as session:
        row = an_sms(**changes)
        if row["state"] in IN_A_BATCH and "batch_id" not in row:
            row["batch_id"] = a_batch(session, **_batch_of(row["state"]))
        return session.scalars(insert(Message).returning(Message.id), [row]).one()


def _batch_of(state: MessageState) -> dict[str, Any]:
    if state == MessageState.POSTING:
        return {}
    if state == MessageState.UNCONFIRMED:
        return {"state": BatchState.UNCONFIRMED}
    return {"state": BatchState.ACCEPTED, "accepted": 1, "refused": 0}


def many_stored(sessions: Sessions, count: int, **changes: Any) -> list[int]:
    """Store *count* SMS of different phones; return their ids."""
    with sessions.begin() as session:
        rows = [an_sms(**{"phone": a_phone(number)} | changes) for number in range(count)]
        ids = insert(Message).returning(Message.id, sort_by_parameter_order=True)
        return list(session.scalars(ids, rows)) if rows else []


def the_sms(sessions: Sessions, sms_id: int) -> Message:
    with sessions() as session:
        return session.scalars(select(Message).where(Message.id == sms_id)).one()


def the_batch(sessions: Sessions, batch_id: int) -> Batch:
    with sessions() as session:
        return session.scalars(select(Batch).where(Batch.id == batch_id)).one()


def all_of(sessions: Sessions, table: type[Any]) -> list[Any]:
    """Every row of *table*, in order of its id."""
    with sessions() as session:
        return list(session.scalars(select(table).order_by(table.id)))


def states_of(sessions: Sessions) -> list[str]:
    """The states of all messages, in order of their ids."""
    return [message.state for message in all_of(sessions, Message)]


def an_envelope(
    task: str = "sms.send",
    *args: Any,
    task_id: str | None = None,
    headers: dict[str, Any] | None = None,
    properties: dict[str, Any] | None = None,
    embed: dict[str, Any] | None = None,
    priority: int = 0,
    queue: str = "sms.normal",
    **kwargs: Any,
) -> bytes:
    """What Celery 5.6 and Kombu push to a queue's list for ``send_task(task, args, kwargs)``; see its own test."""
    given_id = task_id or str(uuid.uuid4())
    unset = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = json.dumps([list(args), kwargs, unset | (embed or {})]).encode()
    message = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": _headers(task, given_id, args, kwargs) | (headers or {}),
        "properties": _properties(given_id, queue, priority) | (properties or {}),
    }
    return json.dumps(message).encode()


def _headers(task: str, task_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    empty = ("shadow", "eta", "expires", "group", "group_index", "parent_id", "stamped_headers")
    return dict.fromkeys(empty) | {
        "lang": "py",
        "task": task,
        "id": task_id,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": task_id,
        "argsrepr": repr(list(args)),
        "kwargsrepr": repr(kwargs),
        "origin": "gen1@shop",
        "ignore_result": False,
        "replaced_task_nesting": 0,
        "stamps": {},
    }


def _properties(task_id: str, queue: str, priority: int) -> dict[str, Any]:
    return {
        "correlation_id": task_id,
        "reply_to": "00000000-0000-3000-8000-000000000000",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": priority,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }


def a_send(phone: str = "998901234567", text: str = "Your code is 4821", **changes: Any) -> bytes:
    """One ``sms.send`` as it lies on the broker."""
    return an_envelope("sms.send", phone, text, **changes)


def some_terms(lane: Lane = Lane.NORMAL, **changes: Any) -> Terms:
    terms: dict[str, Any] = {
        "lane": lane,
        "now": NOON,
        "zone": TASHKENT,
        "nickname": None,
        "max_parts": 10,
        "signs_callbacks": True,
    }
    return Terms(**terms | changes)


class OneIntake(Intake):
    """The room where orders come in, with both of its steps in one."""

    def take_raw(self, raws: Sequence[bytes], lane: Lane) -> Taken:
        """Read and store what lies on a lane's list; all of it is queued."""
        return self.store(self.read(raws, lane))


def an_intake(sessions: Sessions, clock: Callable[[], datetime] | None = None, **changes: Any) -> OneIntake:
    """The room where orders come in; *changes* are of its terms."""
    now = clock or Clock()
    return OneIntake(sessions, lambda lane: some_terms(lane, **{"now": now()} | changes), now)


def a_submission(
    sessions: Sessions, gateway: Gateway | None = None, clock: Clock | None = None, **changes: Any
) -> Submission:
    """The room where messages are posted; to wait is to let its clock go on."""
    clock = clock or Clock()
    with sessions.begin() as session:
        account_id = account_id_of(session, "login")
    options: dict[str, Any] = {
        "sessions": sessions,
        "gateway": gateway or MemoryGateway(now=clock),
        "account_id": account_id,
        "worker": "worker@test",
        "batch_max_messages": 50,
        "connect_timeout": timedelta(seconds=5),
        "call_timeout": timedelta(seconds=35),
        "slow_after": timedelta(seconds=15),
        "first_poll_after": lambda: timedelta(seconds=5),
        "now": clock,
        "wait": clock.sleep,
        "on_owed": lambda: None,
    }
    return Submission(**options | changes)


def a_polling(sessions: Sessions, gateway: Gateway, clock: Clock, **changes: Any) -> Polling:
    """The room where the gateway is asked."""
    with sessions.begin() as session:
        account_id = account_id_of(session, "login")
    options: dict[str, Any] = {
        "sessions": sessions,
        "gateway": gateway,
        "connections": 1,
        "account_id": account_id,
        "slow_after": timedelta(seconds=15),
        "ladder_seconds": (5, 60, 600),
        "give_up_after": timedelta(hours=48),
        "call_timeout": timedelta(seconds=35),
        "now": clock,
        "dice": lambda: MIDDLE,
        "turn": lambda: 0.0,
        "leaving": lambda: False,
        "on_owed": lambda: None,
    }
    return Polling(**options | changes)


def an_upkeep(sessions: Sessions, clock: Callable[[], datetime] | None = None, **changes: Any) -> Upkeep:
    """The keeper of the house."""
    with sessions.begin() as session:
        account_id = account_id_of(session, "login")
    options: dict[str, Any] = {
        "sessions": sessions,
        "policy": lambda _lane: "hold",
        "retention": None,
        "now": clock or Clock(),
        "longest": LONGEST,
        "account_id": account_id,
        "wait": lambda _seconds: None,
    }
    return Upkeep(**options | changes)


def post_all(room: Submission, *, most: int = 100) -> int:
    """Post until there is nothing left; return how many steps that took."""
    for steps in range(most):
        if not room.post_next():
            return steps
    raise AssertionError(f"still something to post after {most} steps")
