"""What a producer wants to be told, and whether it was."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, one_of, partial
from models.lifecycle import CallbackState


class Callback(Base):
    """One event owed to a producer, written in the transaction that made it true. Told at least once."""

    __tablename__ = "callbacks"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, doc="in order of their coming")
    event_id: Mapped[str] = mapped_column(unique=True, doc="the same on a repeat, so that the receiver can tell")
    sms_id: Mapped[int | None] = mapped_column(
        BigId, ForeignKey("messages.id", ondelete="CASCADE"), doc="whose change is told; none of a refused order"
    )
    target: Mapped[dict[str, Any]] = mapped_column(doc='whom to tell: {"task", "queue"} or {"url"}')
    event: Mapped[dict[str, Any]] = mapped_column(doc="what is told, with the phone")
    state: Mapped[str] = mapped_column(doc="owed, told, or failed: given up after a day of tries")
    reason: Mapped[str | None] = mapped_column(doc="what went wrong at the last try")
    attempts: Mapped[int] = mapped_column(SmallInteger, doc="how often it was tried")
    created_at: Mapped[datetime] = mapped_column(doc="when it became true")
    next_try_at: Mapped[datetime | None] = mapped_column(doc="when to try next; also the teller's lease")
    finished_at: Mapped[datetime | None] = mapped_column(doc="when it was told or given up")
    retried_at: Mapped[datetime | None] = mapped_column(doc="when a person had it tried again, for another day")
    retried_by: Mapped[str | None] = mapped_column(doc="who did")

    __table_args__ = (
        one_of("state", CallbackState),
        CheckConstraint("(next_try_at IS NOT NULL) = (state = 'owed')", name="next_try_at_iff_owed"),
        CheckConstraint("(finished_at IS NULL) = (state = 'owed')", name="finished_at_iff_finished"),
        partial("ix_callbacks_next_try_at", "next_try_at", where="state = 'owed'"),
        partial("ix_callbacks_failed", "id", where="state = 'failed'"),
        Index("ix_callbacks_sms_id", "sms_id"),
    )
