"""One SMS, from its order to its end."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from models.base import ROW_BY_ROW, Base, BigId, listed, one_of, partial
from models.lifecycle import FINAL, TAKEN, Lane, MessageState

NEVER_TAKEN = frozenset(MessageState) - TAKEN - {MessageState.FAILED}


class Message(Base):
    """An accepted SMS. Only ``worker.store`` writes here, and never deletes what is not final."""

    __tablename__ = "messages"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, doc="in order of their coming")
    uid: Mapped[str] = mapped_column(unique=True, doc="the Celery task id, or made from producer and key")
    producer: Mapped[str] = mapped_column(doc="which application ordered it")
    key: Mapped[str | None] = mapped_column(doc="the producer's own name for it: same key, same message, for ever")
    lane: Mapped[str] = mapped_column(doc="otp, normal or bulk: the queue it came by; an earlier lane goes first")
    phone: Mapped[str] = mapped_column(doc="international, digits only")
    ordered_phone: Mapped[str | None] = mapped_column(
        doc="the number that was ordered, where a setting sends it elsewhere"
    )
    operator: Mapped[str | None] = mapped_column(doc="whose range the phone is in: a hint, for numbers move")
    text: Mapped[str] = mapped_column(doc="as it is posted")
    ordered_text: Mapped[str | None] = mapped_column(
        doc="as it was ordered, where folding or transliteration changed it"
    )
    nickname: Mapped[str | None] = mapped_column(doc="sender name; without one the gateway's short number")
    state: Mapped[str] = mapped_column(
        doc="queued, posting, submitted, delivered, failed, unknown, cancelled, expired or unconfirmed"
    )
    reason: Mapped[str | None] = mapped_column(doc="why it is in this state, in a word")
    error_no: Mapped[int | None] = mapped_column(doc="the gateway's error number, if it refused")
    gateway_status: Mapped[str | None] = mapped_column(doc="the gateway's last status word, as it came")
    request_id: Mapped[str | None] = mapped_column(doc="the gateway's name for the request; not unique")
    message_id: Mapped[str | None] = mapped_column(doc="the gateway's name for the message")
    batch_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("batches.id"), doc="the last batch it was in")
    split: Mapped[int | None] = mapped_column(BigId, doc="goes only with its own half of a refused batch")
    parts: Mapped[int] = mapped_column(SmallInteger, doc="SMS parts by our own count")
    encoding: Mapped[str] = mapped_column(doc="gsm (GSM 03.38) or ucs2")
    billed_parts: Mapped[int | None] = mapped_column(doc="parts by the gateway's count")
    attempts: Mapped[int] = mapped_column(doc="how often it was put into a batch")
    resends: Mapped[int] = mapped_column(doc="how often a decision let it be posted again")
    resolved_by: Mapped[str | None] = mapped_column(doc="who decided last about its being unconfirmed")
    tags: Mapped[dict[str, Any]] = mapped_column(doc="the producer's own words, kept as they came")
    callback: Mapped[dict[str, Any] | None] = mapped_column(doc="whom to tell: a Celery task or an https address")
    created_at: Mapped[datetime] = mapped_column(doc="when its order was stored")
    send_at: Mapped[datetime] = mapped_column(doc="not to be posted before")
    expires_at: Mapped[datetime | None] = mapped_column(doc="not to be posted from then on")
    posted_at: Mapped[datetime | None] = mapped_column(doc="when its last post began")
    submitted_at: Mapped[datetime | None] = mapped_column(doc="when the gateway's acceptance was stored")
    delivered_at: Mapped[datetime | None] = mapped_column(doc="when the phone had it, says the gateway")
    finalized_at: Mapped[datetime | None] = mapped_column(doc="when its state became final")
    next_poll_at: Mapped[datetime | None] = mapped_column(doc="when to ask the gateway next; also the asker's lease")
    polls: Mapped[int] = mapped_column(doc="how often the gateway was asked")
    traceparent: Mapped[str | None] = mapped_column(doc="the producer's trace (W3C Trace Context), where it sent one")

    __table_args__ = (
        one_of("state", MessageState),
        one_of("lane", Lane),
        CheckConstraint("encoding IN ('gsm', 'ucs2')", name="encoding_known"),
        CheckConstraint("parts >= 1 AND attempts >= 0 AND resends >= 0 AND polls >= 0", name="counts_sane"),
        CheckConstraint(f"(finalized_at IS NOT NULL) = (state IN ({listed(FINAL)}))", name="finalized_at_iff_final"),
        CheckConstraint("(request_id IS NOT NULL) = (submitted_at IS NOT NULL)", name="request_id_iff_submitted"),
        CheckConstraint(f"state NOT IN ({listed(TAKEN)}) OR request_id IS NOT NULL", name="taken_has_request_id"),
        CheckConstraint(f"state NOT IN ({listed(NEVER_TAKEN)}) OR request_id IS NULL", name="else_no_request_id"),
        CheckConstraint("(delivered_at IS NOT NULL) = (state = 'delivered')", name="delivered_at_iff_delivered"),
        CheckConstraint("(next_poll_at IS NOT NULL) = (state = 'submitted')", name="next_poll_at_iff_submitted"),
        CheckConstraint(
            "state NOT IN ('posting', 'submitted', 'unconfirmed') OR (batch_id IS NOT NULL AND posted_at IS NOT NULL)",
            name="posted_has_batch",
        ),
        # Each partial index holds only the rows that some room still has work with, so its cost does not grow with age.
        partial("ix_messages_claim", "lane", "send_at", "id", where="state = 'queued'"),
        partial("ix_messages_fair", "lane", "producer", "send_at", "id", where="state = 'queued'"),
        partial("ix_messages_ordered", "ordered_phone", "id", where="ordered_phone IS NOT NULL"),
        partial("ix_messages_expiry", "expires_at", where="state = 'queued' AND expires_at IS NOT NULL"),
        partial("ix_messages_poll", "next_poll_at", where="state = 'submitted'"),
        partial("ix_messages_poll_rung", "lane", "polls", "next_poll_at", where="state = 'submitted'"),
        partial("ix_messages_unconfirmed", "lane", "id", where="state = 'unconfirmed'"),
        partial("ix_messages_ended", "state", "id", where="state IN ('cancelled', 'expired', 'failed', 'unknown')"),
        partial("ix_messages_finalized_at", "finalized_at", where="finalized_at IS NOT NULL"),
        partial("ix_messages_by_key", "key", "producer", where="key IS NOT NULL"),
        partial("ix_messages_request_id", "request_id", where="request_id IS NOT NULL", **ROW_BY_ROW),
        Index("ix_messages_phone", "phone", "id"),
        Index("ix_messages_created_at", "created_at"),
        Index("ix_messages_batch_id", "batch_id", **ROW_BY_ROW),
    )
