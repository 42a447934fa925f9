"""Producers' orders: what they may say, and what we make of it."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from models.lifecycle import MessageState
from worker.envelope import Envelope
from worker.errors import OrderRefused
from worker.order_fields import (
    DEFAULT_PRODUCER,
    WORD_CHARACTERS,
    Terms,
    callback_of,
    checked,
    readable_callback,
    tags_of,
)
from worker.storable import is_storable
from worker.text import size_of

NAMESPACE = uuid.UUID("5f0b9a52-6c1e-5d0f-9b1f-0d6a3f6a7c11")  #: of uids made from a producer's key; never to change
MANY_MESSAGES = 1_000
MANY_BYTES = 512 * 1024
TASKS = ("sms.send", "sms.send_many", "sms.cancel", "sms.resolve")

Row = dict[str, Any]  #: column → value of one message to insert


@dataclass(frozen=True, slots=True)
class New:
    """An SMS to be stored."""

    row: Row = field(repr=False)
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a message that is not posted yet."""

    uid: str
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Resolve:
    """A producer's decision about unconfirmed messages."""

    uids: list[str]
    decision: Literal["resend", "drop"]
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Refusal:
    """An order, or one message of it, that cannot be accepted: kept with its body and the reason."""

    reason: str
    explanation: str
    body: bytes = field(repr=False)
    task: str | None = None
    uid: str | None = None
    producer: str | None = None
    key: str | None = None
    phone: str | None = field(default=None, repr=False)
    callback: dict[str, Any] | None = None


Order = New | Cancel | Resolve | Refusal


def read(envelope: Envelope, terms: Terms) -> Iterator[Order]:
    """What an envelope asks for: one order, or one for each message of ``sms.send_many``. Never raises."""
    reader = _READERS.get(envelope.task, _unknown)
    try:
        yield from reader(envelope, terms)
    except OrderRefused as refused:
        yield refusal(envelope, refused, fields=_named(envelope, ("phone", "text")))


def refusal(
    envelope: Envelope, refused: OrderRefused, *, fields: Mapping[str, Any], uid: str | None = None, body: bytes = b""
) -> Refusal:
    """Keep what was refused, with whatever of its *fields* can be read, so that its producer can be told."""
    known = {name: fields[name] for name in ("producer", "key", "phone") if isinstance(fields.get(name), str)}
    return Refusal(
        refused.reason,
        refused.explanation,
        body or envelope.raw,
        task=envelope.task,
        uid=uid or envelope.task_id,
        callback=readable_callback(fields.get("callback")),
        **known,
    )


def uid_of_key(producer: str, key: str) -> str:
    """The same producer and key are the same message for ever."""
    return str(uuid.uuid5(NAMESPACE, f"{producer}\0{key}"))


def uid_of_part(task_id: str, position: int) -> str:
    """The uid of message *position* (from 0) of an ``sms.send_many``."""
    try:
        base = uuid.UUID(task_id)
    except ValueError:
        # A producer may name its tasks as it likes, even by half a surrogate pair.
        base = uuid.uuid5(NAMESPACE, task_id.encode("utf-8", "replace").decode())
    return str(uuid.uuid5(base, str(position)))


def _send(envelope: Envelope, terms: Terms) -> Iterator[Order]:
    fields = _bound(envelope, ("phone", "text"))
    yield New(_row(fields, envelope.task_id, envelope, terms), envelope)


def _send_many(envelope: Envelope, terms: Terms) -> Iterator[Order]:
    defaults = _bound(envelope, ("messages",))
    messages = defaults.pop("messages", None)
    if not isinstance(messages, list) or not messages or len(messages) > MANY_MESSAGES:
        raise OrderRefused("messages_invalid", f"messages: give a list of 1 to {MANY_MESSAGES} messages.")
    if len(envelope.raw) > MANY_BYTES and _bytes_of(messages) > MANY_BYTES:
        raise OrderRefused(
            "messages_too_large", f"At most {MANY_BYTES // 1024} KiB in one sms.send_many; send several."
        )
    for position, message in enumerate(messages):
        yield _part(message, defaults, uid_of_part(envelope.task_id, position), envelope, terms)


def _bytes_of(messages: list[Any]) -> int:
    # As people count them: Celery's own escapes make a Cyrillic letter three times as long, and base64 a third more.
    return len(json.dumps(messages, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))


def _part(message: Any, defaults: Row, uid: str, envelope: Envelope, terms: Terms) -> New | Refusal:
    if not isinstance(message, dict):
        refused = OrderRefused("message_invalid", "Each of messages is an object with at least phone and text.")
        return refusal(envelope, refused, fields=defaults, uid=uid, body=json.dumps(message).encode())
    fields = {**defaults, **message}
    try:
        return New(_row(fields, uid, envelope, terms), envelope)
    except OrderRefused as refused:
        return refusal(envelope, refused, fields=fields, uid=uid, body=json.dumps(fields).encode())


def _unknown(_envelope: Envelope, _terms: Terms) -> Iterator[Order]:
    raise OrderRefused("task_unknown", f"There is no such task here; there are {', '.join(TASKS)}.")


def _cancel(envelope: Envelope, _terms: Terms) -> Iterator[Order]:
    fields = _bound(envelope, ("uid",))
    uid, key = fields.get("uid"), fields.get("key")
    named = (uid, key, fields.get("producer"))
    if not all(is_storable(name) for name in named if isinstance(name, str)):
        raise OrderRefused("uid_invalid", "uid, producer and key hold neither NUL nor half a surrogate pair.")
    if uid is None and isinstance(key, str):
        uid = uid_of_key(fields.get("producer") or DEFAULT_PRODUCER, key)
    if not isinstance(uid, str):
        raise OrderRefused("uid_missing", "Name the message by uid, or by producer and key.")
    yield Cancel(uid, envelope)


def _resolve(envelope: Envelope, _terms: Terms) -> Iterator[Order]:
    fields = _bound(envelope, ("uids", "decision"))
    uids, decision = fields.get("uids"), fields.get("decision")
    if not isinstance(uids, list) or not uids or not all(_is_name(uid) for uid in uids):
        raise OrderRefused("uids_invalid", "uids: give a list of the uids of unconfirmed messages.")
    if decision not in ("resend", "drop"):
        raise OrderRefused("decision_invalid", "decision: resend or drop.")
    yield Resolve(uids, decision, envelope)


def _is_name(uid: object) -> bool:
    return isinstance(uid, str) and is_storable(uid)


_READERS: dict[str, Callable[[Envelope, Terms], Iterator[Order]]] = {
    "sms.send": _send,
    "sms.send_many": _send_many,
    "sms.cancel": _cancel,
    "sms.resolve": _resolve,
}


def _named(envelope: Envelope, positional: Sequence[str]) -> Row:
    return {**envelope.kwargs, **dict(zip(positional, envelope.args, strict=False))}


def _bound(envelope: Envelope, positional: Sequence[str]) -> Row:
    if len(envelope.args) > len(positional) or any(
        name in envelope.kwargs for name in positional[: len(envelope.args)]
    ):
        raise OrderRefused(
            "arguments_invalid", f"{envelope.task} takes {', '.join(positional)} by position, all else by name, once."
        )
    return _named(envelope, positional)


def _row(fields: Row, task_id: str, envelope: Envelope, terms: Terms) -> Row:
    said = {name: value for name, value in fields.items() if value is not None}
    sms = checked({"send_at": envelope.eta, "expires_at": _expires(envelope.expires)} | said, terms)
    size = size_of(sms.text)
    if size.parts > terms.max_parts:
        raise OrderRefused("text_too_long", f"text: {size.parts} parts; at most {terms.max_parts} are allowed.")
    return {
        "uid": uid_of_key(sms.producer, sms.key) if sms.key else _uid(task_id),
        "lane": terms.lane.value,
        "state": MessageState.QUEUED.value,
        "nickname": sms.nickname or terms.nickname,
        "parts": size.parts,
        "encoding": size.encoding,
        "attempts": 0,
        "resends": 0,
        "polls": 0,
        "tags": tags_of(sms),
        "callback": callback_of(sms, terms),
        "created_at": terms.now,
        "send_at": sms.send_at or terms.now,
        "expires_at": sms.expires_at,
    } | {name: getattr(sms, name) for name in ("producer", "key", "phone", "text")}


def _uid(task_id: str) -> str:
    if len(task_id) > WORD_CHARACTERS or not is_storable(task_id):
        raise OrderRefused(
            "task_id_invalid", f"The task id is the message's uid: at most {WORD_CHARACTERS} characters."
        )
    return task_id


def _expires(expires: Any) -> Any:
    """Celery writes an instant; a number of seconds comes only from other hands and means nothing without a start."""
    return expires if isinstance(expires, str) else None
