"""Producers' orders: what they may say, and what we make of it."""

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Literal

from models.lifecycle import Lane, MessageState
from worker.envelope import Envelope, refuse_unsupported, trace_of
from worker.errors import OrderRefused
from worker.operators import operator_of
from worker.order_fields import (
    DEFAULT_PRODUCER,
    NEVER,
    WORD_CHARACTERS,
    BlockFields,
    CancelFields,
    ManySms,
    ResolveFields,
    Sms,
    Terms,
    callback_of,
    checked,
    given,
    is_word,
    readable_callback,
    tags_of,
)
from worker.rewriting import rewritten
from worker.storable import is_storable
from worker.text import size_of

NAMESPACE = uuid.UUID("5f0b9a52-6c1e-5d0f-9b1f-0d6a3f6a7c11")  #: of uids made from a producer's key; never to change
MANY_BYTES = 512 * 1024
QUEUED = MessageState.QUEUED.value
NOTHING_SAID: dict[str, Any] = {"phone": "", "text": ""}
TASKS = ("sms.send", "sms.send_many", "sms.cancel", "sms.resolve", "sms.block", "sms.unblock")

Row = dict[str, Any]  #: column → value of one message to insert


@dataclass(slots=True)  # as with `Envelope`: there is one for each message
class New:
    """An SMS to be stored. It is never changed."""

    row: Row = field(repr=False)
    envelope: Envelope
    fields: Row = field(default_factory=dict, repr=False)  #: as they came, with the defaults of many


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
class Block:
    """Numbers that get nothing more by these lanes or, if it *lifts*, that may be written to again."""

    phones: Sequence[str] = field(repr=False)
    lanes: Sequence[Lane]
    reason: str | None
    lifts: bool
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Refusal:
    """An order, or one message of it, that cannot be accepted: kept with its body and the reason."""

    reason: str
    explanation: str
    body: bytes = field(repr=False)
    task: str | None = None
    order: str | None = None  #: the id of the Celery message
    uid: str | None = None
    producer: str | None = None
    key: str | None = None
    phone: str | None = field(default=None, repr=False)
    callback: dict[str, Any] | None = None


Order = New | Cancel | Resolve | Block | Refusal


def read(envelope: Envelope, terms: Terms) -> Sequence[Order]:
    """What an envelope asks for: one order, or one for each message of ``sms.send_many``. Never raises."""
    reader = _READERS.get(envelope.task, _unknown)
    try:
        refuse_unsupported(envelope)
        return reader(envelope, terms)
    except OrderRefused as refused:
        return [refusal(envelope, refused, fields=_named(envelope, ("phone", "text")))]


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
        order=envelope.task_id,
        uid=_uid_by_key(envelope, fields, uid) or uid or envelope.task_id,
        callback=readable_callback(fields.get("callback")),
        **known,
    )


def _uid_by_key(envelope: Envelope, fields: Mapping[str, Any], uid: str | None) -> str | None:
    """The uid that a message with a key has for ever, also where the order is refused before it is made a message."""
    key, producer = fields.get("key"), fields.get("producer") or DEFAULT_PRODUCER
    if (envelope.task == "sms.send" or uid) and is_word(key) and is_word(producer):
        return uid_of_key(producer, key)
    return None


def uid_of_key(producer: str, key: str) -> str:
    """The same producer and key are the same message for ever."""
    return _uuid5(NAMESPACE.bytes, f"{producer}\0{key}")


def uid_of_part(task_id: str, position: int) -> str:
    """The uid of message *position* (from 0) of an ``sms.send_many``."""
    return _uuid5(_namespace_of(task_id), str(position))


@lru_cache(maxsize=8)  # asked for once for each of up to 1,000 messages of an order
def _namespace_of(task_id: str) -> bytes:
    try:
        return uuid.UUID(task_id).bytes
    except ValueError:
        # A producer may name its tasks as it likes, even by half a surrogate pair.
        return uuid.uuid5(NAMESPACE, task_id.encode("utf-8", "replace").decode()).bytes


def _uuid5(namespace: bytes, name: str) -> str:
    """What `str` of `uuid.uuid5` is, at half its cost.

    >>> _uuid5(NAMESPACE.bytes, "1") == str(uuid.uuid5(NAMESPACE, "1"))
    True
    """
    digest = hashlib.sha1(namespace + name.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) % 4]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def _send(envelope: Envelope, terms: Terms) -> Sequence[Order]:
    fields = _bound(envelope, ("phone", "text"))
    return [New(_row(fields, lambda: envelope.task_id, envelope, terms), envelope)]


def _send_many(envelope: Envelope, terms: Terms) -> Sequence[Order]:
    defaults = _bound(envelope, ("messages",))
    messages = checked(ManySms, {"messages": defaults.pop("messages", None)}, terms).messages
    if len(envelope.raw) > MANY_BYTES and _bytes_of(messages) > MANY_BYTES:
        raise OrderRefused(
            "messages_too_large", f"At most {MANY_BYTES // 1024} KiB in one sms.send_many; send several."
        )
    return [
        _part(message, defaults, partial(uid_of_part, envelope.task_id, position), envelope, terms)
        for position, message in enumerate(messages)
    ]


def _bytes_of(messages: list[Any]) -> int:
    # As people count them: Celery's own escapes make a Cyrillic letter three times as long, and base64 a third more.
    return len(json.dumps(messages, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))


def _part(message: Any, defaults: Row, uid: Callable[[], str], envelope: Envelope, terms: Terms) -> New | Refusal:
    if not isinstance(message, dict):
        refused = OrderRefused("message_invalid", "Each of messages is an object with at least phone and text.")
        return refusal(envelope, refused, fields=defaults, uid=uid(), body=json.dumps(message).encode())
    fields = {**defaults, **given(message)}
    try:
        return New(_row(fields, uid, envelope, terms), envelope, fields)
    except OrderRefused as refused:
        return refusal(envelope, refused, fields=fields, uid=uid(), body=json.dumps(fields).encode())


def _unknown(_envelope: Envelope, _terms: Terms) -> Sequence[Order]:
    raise OrderRefused("task_unknown", f"There is no such task here; there are {', '.join(TASKS)}.")


def _cancel(envelope: Envelope, terms: Terms) -> Sequence[Order]:
    named = checked(CancelFields, _bound(envelope, ("uid",)), terms)
    uid = named.uid or (uid_of_key(named.producer, named.key) if named.key else None)
    if uid is None:
        raise OrderRefused("uid_missing", "Name the message by uid, or by producer and key.")
    return [Cancel(uid, envelope)]


def _resolve(envelope: Envelope, terms: Terms) -> Sequence[Order]:
    fields = checked(ResolveFields, _bound(envelope, ("uids", "decision")), terms)
    return [Resolve(fields.uids, fields.decision, envelope)]


def _block(envelope: Envelope, terms: Terms) -> Sequence[Order]:
    fields = checked(BlockFields, _bound(envelope, ("phones",)), terms)
    _uid(envelope.task_id)  # it stands in each row of the list
    lifts = envelope.task == "sms.unblock"
    return [Block(fields.phones, fields.lanes, fields.reason, lifts, envelope)]


_READERS: dict[str, Callable[[Envelope, Terms], Sequence[Order]]] = {
    "sms.send": _send,
    "sms.send_many": _send_many,
    "sms.cancel": _cancel,
    "sms.resolve": _resolve,
    "sms.block": _block,
    "sms.unblock": _block,
}


def _named(envelope: Envelope, positional: Sequence[str]) -> Row:
    return envelope.kwargs | dict(zip(positional, envelope.args, strict=False))


def _bound(envelope: Envelope, positional: Sequence[str]) -> Row:
    named = dict(zip(positional, envelope.args, strict=False))
    if len(envelope.args) > len(positional) or not named.keys().isdisjoint(envelope.kwargs):
        raise OrderRefused(
            "arguments_invalid", f"{envelope.task} takes {', '.join(positional)} by position, all else by name, once."
        )
    return envelope.kwargs | named


def _row(fields: Row, keyless_uid: Callable[[], str], envelope: Envelope, terms: Terms) -> Row:
    sms = checked(Sms, fields, terms, defaults=_meant_by(envelope))
    uid = uid_of_key(sms.producer, sms.key) if sms.key else _uid(keyless_uid())
    phone, ordered_phone = _recipient(sms.phone, terms)
    text, ordered_text = _words(sms.text, terms)
    parts, encoding = size_of(text)
    callback = callback_of(sms, terms)
    send_at, expires_at = _times(sms, uid, terms)
    return {
        "uid": uid,
        "producer": sms.producer,
        "key": sms.key,
        "lane": terms.lane.value,
        "state": QUEUED,
        "nickname": sms.nickname or terms.nickname,
        "attempts": 0,
        "resends": 0,
        "polls": 0,
        "tags": tags_of(sms),
        "callback": callback,
        "created_at": terms.now,
        "traceparent": trace_of(envelope),
        "phone": phone,
        "ordered_phone": ordered_phone,
        "operator": operator_of(phone),
        "text": text,
        "ordered_text": ordered_text,
        "parts": parts,
        "encoding": encoding,
        "send_at": send_at,
        "expires_at": expires_at,
    }


def _meant_by(envelope: Envelope) -> Row:
    """What counts where an order does not say it: Celery's own times."""
    if envelope.eta is None and envelope.expires is None:
        return NOTHING_SAID
    # Celery writes an instant; a number of seconds comes only from other hands and means nothing without a start.
    expires_at = envelope.expires if isinstance(envelope.expires, str) else None
    return NOTHING_SAID | {"send_at": envelope.eta, "expires_at": expires_at}


def _recipient(ordered: str, terms: Terms) -> tuple[str, str | None]:
    """To whom it goes, and who was ordered, if that is another."""
    if not terms.staging_recipients or ordered in terms.staging_recipients:
        return ordered, None
    # The same number always stands in for the same one.
    return terms.staging_recipients[int(ordered) % len(terms.staging_recipients)], ordered


def _words(ordered: str, terms: Terms) -> tuple[str, str | None]:
    """What is posted, and what was ordered, if that is another."""
    text = rewritten(ordered, fold=terms.fold_text, transliterate=terms.transliterate_text)
    return text, ordered if text != ordered else None


def _times(sms: Sms, uid: str, terms: Terms) -> tuple[datetime, datetime | None]:
    """From when until when it may be posted."""
    try:
        send_at = _spread(sms, uid, sms.send_at or terms.now)
        expires_at = sms.expires_at
        if expires_at is None and terms.expires_after:
            expires_at = max(send_at, terms.now) + terms.expires_after
    except OverflowError:
        raise OrderRefused("send_at_invalid", "send_at: it is too near to the end of the calendar.") from None
    return send_at, expires_at


def _spread(sms: Sms, uid: str, send_at: datetime) -> datetime:
    if not sms.spread_seconds:
        return send_at
    left = sms.spread_seconds if sms.expires_at is None else max(sms.expires_at - send_at, NEVER)
    return send_at + min(sms.spread_seconds, left) * share_of(uid)


def share_of(uid: str) -> float:
    """Where in a window a message lies: from 0 to less than 1, evenly over many uids, and always the same for one.

    >>> share_of("a") == share_of("a"), 0 <= share_of("b") < 1
    (True, True)
    """
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:6]) / 2**48


def _uid(task_id: str) -> str:
    if len(task_id) > WORD_CHARACTERS or not is_storable(task_id):
        raise OrderRefused(
            "task_id_invalid", f"The task id is the message's uid: at most {WORD_CHARACTERS} characters."
        )
    return task_id
