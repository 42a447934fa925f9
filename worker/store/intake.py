"""Storing what producers ordered."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import Table, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import coalesce

from models import Callback, Message, RefusedIntake
from models.lifecycle import Lane, MessageState
from worker import instruments
from worker.orders import Refusal
from worker.store import lots
from worker.store.moves import MOVED, Moved, Seen, owed_callback
from worker.store.noted import note

MESSAGES = cast("Table", Message.__table__)
REFUSED = cast("Table", RefusedIntake.__table__)
AT_ONCE = 1_000  # no database takes any number of values in one statement
LONGEST_NAME = 255  # characters; PostgreSQL indexes no longer ones


class Content(NamedTuple):
    """What makes two orders of one uid the same: what was ordered, whatever the settings make of it by now."""

    phone: str
    text: str


def content_of(row: Mapping[str, Any]) -> Content:
    """The same of a message that is to be inserted."""
    return Content(row["ordered_phone"] or row["phone"], row["ordered_text"] or row["text"])


def insert_messages(session: Session, rows: Sequence[Mapping[str, Any]]) -> dict[str, Moved]:
    """Insert messages (no uid twice among *rows*) and return those that were new, by their uids."""
    if not rows:
        return {}
    ids = lots.insert_new(session, MESSAGES, rows, unique="uid")
    new = {uid: _stored(row, ids[uid]) for row in rows if (uid := row["uid"]) in ids}
    # The first state is a move, too, though from nowhere.
    at = rows[0]["created_at"]
    session.info.setdefault(MOVED, []).extend(Seen(one, MessageState.QUEUED, at) for one in new.values())
    return new


def _stored(row: Mapping[str, Any], sms_id: int) -> Moved:
    return Moved(
        sms_id,
        row["uid"],
        row["key"],
        row["producer"],
        row["ordered_phone"] or row["phone"],
        row["parts"],
        row["callback"],
        None,
        row["lane"],
        None,
        None,
        None,
        row["created_at"],
        row["send_at"],
        traceparent=row["traceparent"],
    )


def contents_of(session: Session, uids: Iterable[str]) -> dict[str, Content]:
    """What is stored under *uids*."""
    ordered = (coalesce(Message.ordered_phone, Message.phone), coalesce(Message.ordered_text, Message.text))
    found = select(Message.uid, *ordered).where(lots.among(session, Message.uid, uids))
    return {uid: Content(phone, text) for uid, phone, text in session.execute(found)}


def was_refused(session: Session, queue: str, refusal: Refusal) -> bool:
    """Whether this very order is kept as refused already."""
    kept = select(RefusedIntake.id).where(RefusedIntake.digest == _digest(queue, refusal))
    return session.execute(kept.limit(1)).first() is not None


def uids_refused(session: Session, uids: Iterable[str]) -> set[str]:
    """Those of *uids* by which anything was ever refused."""
    return lots.found_among(session, REFUSED.c.uid, uids)


def insert_refusals(session: Session, refusals: Sequence[tuple[str, Refusal]], *, now: datetime) -> int:
    """Keep refused orders, each with its queue, and owe their callbacks; return how many were new."""
    rows = {row["digest"]: (row, refusal) for queue, refusal in refusals if (row := _refused(queue, refusal, now))}
    statement = _insert_new(session, RefusedIntake, "digest").returning(RefusedIntake.digest)
    new = set(session.scalars(statement, [row for row, _ in rows.values()]))
    owed = [_told(rows[digest][1], digest, now) for digest in sorted(new) if rows[digest][1].callback]
    if owed:
        session.execute(insert(Callback), owed)
    for digest in new:
        _note_refused(session, rows[digest][0])
    return len(new)


def _note_refused(session: Session, row: Mapping[str, Any]) -> None:
    lane = row["queue"].removeprefix("sms.")
    note(session, "sms_orders", lane if lane in set(Lane) else instruments.OTHER, "refused")
    note(session, "sms_refusals", instruments.word("reason", row["reason"]))


def _insert_new(session: Session, table: type[Message | RefusedIntake], unique: str) -> Any:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing(index_elements=[unique])


def _refused(queue: str, refusal: Refusal, now: datetime) -> dict[str, Any]:
    body, encoding = _readable(refusal.body)
    return {
        "digest": _digest(queue, refusal),
        "queue": queue,
        "reason": refusal.reason,
        "explanation": refusal.explanation,
        "body": body,
        "body_encoding": encoding,
        "created_at": now,
    } | {name: _safe(getattr(refusal, name)) for name in ("task", "uid", "producer", "key")}


def _digest(queue: str, refusal: Refusal) -> str:
    names = [queue, _safe(refusal.uid) or "", _safe(refusal.order) or ""]
    return hashlib.sha256(b"\0".join([*(name.encode() for name in names), refusal.body])).hexdigest()


def _readable(body: bytes) -> tuple[str, str]:
    text = body.decode("utf-8", "replace")
    if text.encode() != body or "\0" in text:
        return base64.b64encode(body).decode(), "base64"
    return text, "utf-8"


def _safe(name: str | None) -> str | None:
    """As much of a name, which may be anything, as every database and its indexes can hold."""
    return name and name[:LONGEST_NAME].encode("utf-8", "replace").decode().replace("\0", "?")


def _told(refusal: Refusal, digest: str, now: datetime) -> dict[str, Any]:
    event = {name: _safe(getattr(refusal, name)) for name in ("uid", "key", "producer", "reason", "phone")}
    event |= {"event_id": digest, "state": "refused", "parts": None, "at": now.isoformat()}
    return owed_callback(refusal.callback or {}, event, now, None)
