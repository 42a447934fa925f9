"""Orders that could not be accepted: not lost, but kept with what was wrong."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId


class RefusedIntake(Base):
    """One refused order, with its body as it came."""

    __tablename__ = "refused_intakes"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, doc="in order of their coming")
    digest: Mapped[str] = mapped_column(unique=True, doc="of queue and body, so that a redelivery is not a second row")
    queue: Mapped[str] = mapped_column(doc="which it came by")
    task: Mapped[str | None] = mapped_column(doc="the Celery task it named, if it could be read")
    uid: Mapped[str | None] = mapped_column(doc="the id its producer may ask for")
    producer: Mapped[str | None] = mapped_column(doc="which application ordered it, if it could be read")
    key: Mapped[str | None] = mapped_column(doc="the producer's own name for it, if it could be read")
    reason: Mapped[str] = mapped_column(doc="what was wrong, in a word")
    explanation: Mapped[str] = mapped_column(doc="what was wrong, what is allowed and what to do")
    body: Mapped[str] = mapped_column(doc="as it came")
    body_encoding: Mapped[str] = mapped_column(doc="utf-8, or base64 where it was no text")
    created_at: Mapped[datetime] = mapped_column(doc="when it was refused")

    __table_args__ = (
        CheckConstraint("body_encoding IN ('utf-8', 'base64')", name="body_encoding_known"),
        Index("ix_refused_intakes_uid", "uid"),
        Index("ix_refused_intakes_created_at", "created_at"),
    )
