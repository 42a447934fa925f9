"""One request to the gateway and what became of it."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, one_of, partial
from models.lifecycle import BatchState, Lane


class Batch(Base):
    """Messages that were posted together. Committed before the first byte leaves, and never posted a second time."""

    __tablename__ = "batches"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, doc="in order of their posts")
    account_id: Mapped[int] = mapped_column(BigId, ForeignKey("accounts.id"), doc="the account it was posted with")
    lane: Mapped[str] = mapped_column(doc="otp, normal or bulk: all its messages are of one lane")
    nickname: Mapped[str | None] = mapped_column(
        doc="sender name of all its messages; none: the gateway's short number"
    )
    state: Mapped[str] = mapped_column(doc="posting, accepted, refused, released or unconfirmed")
    size: Mapped[int] = mapped_column(SmallInteger, doc="messages in it")
    accepted: Mapped[int | None] = mapped_column(SmallInteger, doc="messages that the gateway took")
    refused: Mapped[int | None] = mapped_column(SmallInteger, doc="messages that the gateway refused one by one")
    worker: Mapped[str] = mapped_column(doc="who posted it: a name as in workers")
    reason: Mapped[str | None] = mapped_column(doc="why it was refused, released or left unconfirmed")
    error_no: Mapped[int | None] = mapped_column(doc="the gateway's error number, if it refused the whole")
    http_status: Mapped[int | None] = mapped_column(SmallInteger, doc="of the answer, if one came")
    created_at: Mapped[datetime] = mapped_column(doc="claimed; the post began right after")
    begins_by: Mapped[datetime | None] = mapped_column(
        doc="nothing has left yet, and nothing leaves from then on; none once the first byte may have left"
    )
    lease_until: Mapped[datetime | None] = mapped_column(doc="past it the worker is taken for dead")
    finished_at: Mapped[datetime | None] = mapped_column(doc="when its outcome was stored")
    answer_ms: Mapped[int | None] = mapped_column(
        doc="milliseconds from the first byte of the post to the end of the answer, or to where it broke off"
    )

    __table_args__ = (
        one_of("state", BatchState),
        one_of("lane", Lane),
        CheckConstraint("size BETWEEN 1 AND 100", name="size_as_documented"),
        CheckConstraint("(lease_until IS NOT NULL) = (state = 'posting')", name="lease_iff_posting"),
        CheckConstraint("(finished_at IS NULL) = (state = 'posting')", name="finished_at_iff_finished"),
        CheckConstraint("(accepted IS NOT NULL) = (state = 'accepted')", name="accepted_iff_answered"),
        CheckConstraint("(refused IS NOT NULL) = (state = 'accepted')", name="refused_iff_answered"),
        partial("ix_batches_lease_until", "lease_until", where="state = 'posting'"),
        partial("ix_batches_finished_at", "finished_at", where="finished_at IS NOT NULL"),
    )
