"""Order SMS: one file to copy into an application that has Celery. Python 3.9 or newer, nothing else of ours.

    sms = Producer(Celery("shop", broker=BROKER_URL), "shop")
    uid = sms.send(Sms("+998 90 123-45-67", "Your code is 4821", key="login-77"), lane="otp")

Publishing may raise what Celery raises (`kombu.exceptions.OperationalError`). Nobody knows then whether the order
arrived: **repeat it with the same key**, which is harmless; without a key a repeat is a second SMS. A wrong field is a
`ValueError` that names the field, before anything is published.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, TypedDict

CONTRACT = "1.1"
NAMESPACE = uuid.UUID("5f0b9a52-6c1e-5d0f-9b1f-0d6a3f6a7c11")  #: of uids made from keys; never to change
MANY_MESSAGES = 1_000  #: the most in one Celery message, of SMS as of numbers
MANY_BYTES = 512 * 1024
WORD_CHARACTERS = 255  #: the most in a key, producer, nickname or uid
LONGEST_SPREAD = timedelta(days=30)

Lane = Literal["otp", "normal", "bulk"]
Decision = Literal["resend", "drop"]


class CeleryApp(Protocol):
    """Your Celery app, of which only this is used. Its tasks must be JSON, not compressed: Celery's defaults."""

    def send_task(self, name: str, args: Any = ..., kwargs: Any = ..., **options: Any) -> Any: ...


class _Task(TypedDict):
    task: str


class TaskCallback(_Task, total=False):
    """Tell by sending this Celery task, with the event as its only argument; without a queue to "celery"."""

    queue: str


class UrlCallback(TypedDict):
    """Tell by a signed post to this address; see `is_ours`."""

    url: str


@dataclass(frozen=True)
class Sms:
    """One SMS. Number and text stay out of its repr. Raises ValueError for what the workers would refuse anyway."""

    phone: str | int = field(repr=False)  #: as people write it
    text: str = field(repr=False)
    key: str | None = None  #: your own name for it: the same producer and key are the same SMS for ever
    nickname: str | None = None  #: the sender name
    send_at: datetime | None = None  #: aware; not to be posted before
    expires_at: datetime | None = None  #: aware; not to be posted from then on
    spread: timedelta | float | None = None  #: posted at some moment of so long a window; a number is seconds
    callback: TaskCallback | UrlCallback | None = None  #: whom to tell what became of it
    tags: Mapping[str, Any] | None = None  #: JSON of your own, stored beside it

    def __post_init__(self) -> None:
        if not str(self.phone).strip():
            raise ValueError("phone: give a number such as 998901234567.")
        if not self.text.strip() or not _is_storable(self.text):
            raise ValueError("text: give words, without NUL and without half of a surrogate pair.")
        _check_words("key", self.key)
        _check_words("nickname", self.nickname)
        _check_moment("send_at", self.send_at)
        _check_moment("expires_at", self.expires_at)
        if self.spread is not None and not 0 < _seconds(self.spread) <= LONGEST_SPREAD.total_seconds():
            raise ValueError("spread: give more than 0 seconds, and at most 30 days.")
        _check_callback(self.callback)

    def fields(self) -> dict[str, Any]:
        """What is given of it, as the workers read it."""
        every = {
            "phone": self.phone,
            "text": self.text,
            "key": self.key,
            "nickname": self.nickname,
            "send_at": self.send_at and self.send_at.isoformat(),
            "expires_at": self.expires_at and self.expires_at.isoformat(),
            "spread_seconds": None if self.spread is None else _seconds(self.spread),
            "callback": self.callback,
            "tags": None if self.tags is None else dict(self.tags),
        }
        return {name: value for name, value in every.items() if value is not None}


@dataclass(frozen=True)
class Producer:
    """Orders SMS under one name. Publishing blocks; what it may raise, and what to do then, stands above."""

    app: CeleryApp = field(repr=False)
    name: str = "default"

    def __post_init__(self) -> None:
        _check_words("producer", self.name)

    def send(self, sms: Sms, *, lane: Lane) -> str:
        """Order one SMS; return its uid."""
        task_id = str(uuid.uuid4())
        self._order("sms.send", lane, task_id, producer=self.name, **sms.fields())
        return task_id if sms.key is None else uid_of_key(self.name, sms.key)

    def send_many(self, messages: Iterable[Sms], *, lane: Lane) -> list[str]:
        """Order many SMS in as few Celery messages as they fit into; return their uids, in the same order.

        When it raises, the first of them may be ordered already: repeat all, with the same keys.
        """
        chunks = list(_chunks(messages))  # all of them: nothing is published if one SMS is wrong
        return [uid for chunk in chunks for uid in self._send_chunk(chunk, lane)]

    def cancel(self, *, uid: str | None = None, key: str | None = None, lane: Lane) -> None:
        """Stop an SMS that is not posted yet, by its uid or key. By the lane of its order it never overtakes that."""
        if uid is None and key is None:
            raise ValueError("uid: name the SMS by uid or by key.")
        _check_words("uid", uid)
        _check_words("key", key)
        self._order("sms.cancel", lane, uid=uid, key=key, producer=self.name)

    def resolve(self, uids: Sequence[str], decision: Decision) -> None:
        """Decide about unconfirmed SMS: "resend" may make them arrive twice, "drop" gives up what may have arrived."""
        named = _several("uids", uids)
        for uid in named:
            _check_words("uids", uid)
        self._order("sms.resolve", "otp", uids=named, decision=decision)

    def block(
        self, phones: Sequence[str | int], *, lanes: Sequence[Lane] | None = None, reason: str | None = None
    ) -> None:
        """Send these numbers nothing more, by these lanes or by any; cancel what is queued for them."""
        _check_words("reason", reason)
        self._about("sms.block", phones, {"lanes": lanes, "reason": reason})

    def unblock(self, phones: Sequence[str | int], *, lanes: Sequence[Lane] | None = None) -> None:
        """Let these numbers be written to again."""
        self._about("sms.unblock", phones, {"lanes": lanes})

    def _about(self, task: str, phones: Sequence[str | int], how: dict[str, Any]) -> None:
        every = _several("phones", phones)
        if how["lanes"] is not None:
            how["lanes"] = _several("lanes", how["lanes"])
        for start in range(0, len(every), MANY_MESSAGES):
            self._order(task, "otp", phones=every[start : start + MANY_MESSAGES], **how)

    def _send_chunk(self, chunk: list[Sms], lane: Lane) -> list[str]:
        task_id = str(uuid.uuid4())
        self._order("sms.send_many", lane, task_id, producer=self.name, messages=[sms.fields() for sms in chunk])
        return [
            uid_of_part(task_id, position) if sms.key is None else uid_of_key(self.name, sms.key)
            for position, sms in enumerate(chunk)
        ]

    def _order(self, task: str, lane: Lane, task_id: str | None = None, **fields: Any) -> None:
        self.app.send_task(
            task,
            kwargs={name: value for name, value in fields.items() if value is not None},
            queue=f"sms.{lane}",
            task_id=task_id or str(uuid.uuid4()),
            serializer="json",
            headers={"sms_contract": CONTRACT},
            ignore_result=True,  # a producer's Redis user may not wait for one
            argsrepr="(…)",  # without these two Celery writes number and text in clear beside the body
            kwargsrepr="{}",
        )


def uid_of_key(producer: str, key: str) -> str:
    """The uid of the SMS that *producer* ordered, or will order, with *key*."""
    return str(uuid.uuid5(NAMESPACE, f"{producer}\0{key}"))


def uid_of_part(task_id: str, position: int) -> str:
    """The uid of the SMS without a key at *position* (from 0) of an ``sms.send_many``."""
    return str(uuid.uuid5(uuid.UUID(task_id), str(position)))


def is_ours(
    secret: str, header: str, body: bytes, *, tolerance_seconds: int = 300, now: Callable[[], float] = time.time
) -> bool:
    """Whether a callback's X-SMS-Signature fits its body as it came, and is not an old one replayed."""
    given = dict(part.partition("=")[::2] for part in header.split(","))
    t, v1 = given.get("t", ""), given.get("v1", "")
    expected = hmac.new(secret.encode(), t.encode() + b"." + body, hashlib.sha256).hexdigest()
    signed = hmac.compare_digest(v1.encode(), expected.encode())
    return signed and abs(now() - int(t)) <= tolerance_seconds  # a t that we signed is a number, no other is read


def _chunks(messages: Iterable[Sms]) -> Iterator[list[Sms]]:
    chunk: list[Sms] = []
    size = 1  # brackets and commas: one more than there are messages
    for sms in messages:
        more = _bytes_of(sms) + 1
        if chunk and (len(chunk) == MANY_MESSAGES or size + more > MANY_BYTES):
            yield chunk
            chunk, size = [], 1
        chunk.append(sms)
        size += more
    if chunk:
        yield chunk


def _bytes_of(sms: Sms) -> int:
    size = len(json.dumps(sms.fields(), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
    if size + 2 > MANY_BYTES:
        raise ValueError(f"messages: one SMS with its tags has more than {MANY_BYTES // 1024} KiB.")
    return size


def _several(name: str, values: Sequence[Any]) -> list[Any]:
    if isinstance(values, str) or not values:
        raise ValueError(f"{name}: give a list of at least one.")
    return list(values)


def _seconds(spread: timedelta | float) -> float:
    return spread.total_seconds() if isinstance(spread, timedelta) else spread


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _check_words(name: str, words: object) -> None:
    if words is None:
        return
    if not isinstance(words, str) or not 0 < len(words) <= WORD_CHARACTERS or not _is_storable(words):
        raise ValueError(f"{name}: give a text of 1 to {WORD_CHARACTERS} characters.")


def _check_moment(name: str, moment: datetime | None) -> None:
    if moment is not None and moment.utcoffset() is None:
        raise ValueError(f"{name}: give an aware datetime, such as datetime.now(timezone.utc); this one has no zone.")


def _check_callback(callback: object) -> None:
    if callback is None:
        return
    given = dict(callback) if isinstance(callback, Mapping) else {}
    if set(given) not in ({"url"}, {"task"}, {"task", "queue"}):
        raise ValueError('callback: give {"task": …, "queue": …} or {"url": …}.')
    _check_words("callback", given.get("task"))
    _check_words("callback", given.get("queue"))
    if "url" in given and not str(given["url"]).startswith(("http://", "https://")):
        raise ValueError("callback: the url must begin with https://.")
