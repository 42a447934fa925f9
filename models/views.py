"""The views for people: their columns are stable across releases. Migrations make them; a test compares the two.

Tables of a metadata of their own, so that nobody takes them for something to create or to write to.
"""

from typing import Any

from sqlalchemy import BigInteger, Column, Date, Double, MetaData, Table, Text
from sqlalchemy.types import TypeEngine

from models.base import Instant
from models.batch import Batch
from models.message import Message
from models.report import Report

VIEWS = MetaData()


def _column(name: str, kind: type[TypeEngine[Any]], doc: str) -> Column[Any]:
    return Column(name, kind, doc=doc, comment=doc)


def _same(table: type[Message | Batch | Report], *names: str, prefix: str = "") -> list[Column[Any]]:
    """Columns that hold what those of the same name do in *table*."""
    found = [table.__table__.columns[name] for name in names]
    return [Column(prefix + one.name, one.type, doc=one.doc, comment=one.doc) for one in found]


v_queue = Table(
    "v_queue",
    VIEWS,
    _column("lane", Text, "otp, normal or bulk, in the order in which they go; each has a row"),
    _column("waiting", BigInteger, "queued messages that may go now"),
    _column("later", BigInteger, "queued messages that are not to go yet"),
    _column("oldest_at", Instant, "since when the oldest of those waiting may go; none if none waits"),
    _column("oldest_seconds", Double, "for how long it has waited; 0 if none waits"),
    comment="What waits in each lane, and how long. It reads queued messages alone, however many are done with.",
)

v_sent = Table(
    "v_sent",
    VIEWS,
    *_same(Message, "id", "uid", "producer", "key", "lane", "phone", "text", "nickname", "state", "reason", "error_no"),
    *_same(Message, "gateway_status", "request_id", "message_id", "parts", "encoding", "billed_parts", "attempts"),
    *_same(Message, "created_at", "send_at", "expires_at", "posted_at", "submitted_at", "delivered_at", "finalized_at"),
    *_same(Message, "polls", "batch_id"),
    *_same(Batch, "state", "size", "worker", "reason", "http_status", "answer_ms", "finished_at", prefix="batch_"),
    *_same(Report, "received_at", "gateway_status", "state", "error_no", prefix="report_"),
    comment="Each message, sent or not yet (its state says which), with its last batch and the last report of it. Ask "
    "it for a phone, uid, request_id, key, or a range of created_at or id.",
)

v_attention = Table(
    "v_attention",
    VIEWS,
    _column("kind", Text, "unconfirmed, account paused, account held, circuit open, callback failed or order refused"),
    _column("uid", Text, "the message, if it is about one"),
    _column("lane", Text, "of the message, or the queue of the refused order"),
    _column("since", Instant, "since when"),
    _column("reason", Text, "what is wrong"),
    _column("remedy", Text, "what to do"),
    comment="What needs a person, since when, why, and what to do. No phone and no text stands here.",
)

v_daily = Table(
    "v_daily",
    VIEWS,
    _column("day", Date, "of created_at in UTC"),
    _column("producer", Text, "which application ordered them"),
    _column("nickname", Text, "sender name; none: the gateway's short number"),
    _column("state", Text, "where these messages are now"),
    _column("messages", BigInteger, "how many they are"),
    _column("parts", BigInteger, "SMS parts by our own count"),
    _column("billed_parts", BigInteger, "parts by the gateway's count, of those it has told of"),
    _column("billed_more", BigInteger, "by how many parts the gateway counts more than we, of those it has told of"),
    _column("seconds_to_deliver_p50", Double, "within which half of them were delivered, from when they might go"),
    _column("seconds_to_deliver_p95", Double, "within which all but the slowest twentieth were"),
    comment="What each day came to, by producer, nickname and state. Ask it for one day or a few.",
)
