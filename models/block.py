"""The do-not-send list."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, one_of, partial
from models.lifecycle import Lane


class Block(Base):
    """One number that gets nothing by one lane, from ``at`` until it is lifted. Rows stay: they say who did."""

    __tablename__ = "blocks"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, doc="in order of their coming")
    phone: Mapped[str] = mapped_column(doc="international, digits only")
    lane: Mapped[str] = mapped_column(doc="otp, normal or bulk: by which nothing is sent to it")
    reason: Mapped[str | None] = mapped_column(doc="in the words of whoever asked for it")
    who: Mapped[str] = mapped_column(doc="a person, or a producer's order (order:TASK_ID)")
    at: Mapped[datetime] = mapped_column(doc="since when it gets nothing")
    lifted_at: Mapped[datetime | None] = mapped_column(doc="since when the number may be written to again")
    lifted_by: Mapped[str | None] = mapped_column(doc="who allowed it")

    __table_args__ = (
        one_of("lane", Lane),
        CheckConstraint("(lifted_at IS NULL) = (lifted_by IS NULL)", name="lifted_by_iff_lifted"),
        Index("ix_blocks_phone", "phone", "id"),
        partial("uq_blocks_standing", "phone", "lane", where="lifted_at IS NULL", unique=True),
    )
