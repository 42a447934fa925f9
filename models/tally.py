"""How many messages a producer has ordered, where its day is capped."""

from datetime import date

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, one_of
from models.lifecycle import Lane


class Tally(Base):
    """A producer's accepted messages of one day and lane; counted while `SMS_DAILY_CAP_PER_PRODUCER` is set."""

    __tablename__ = "tallies"

    day: Mapped[date] = mapped_column(primary_key=True, doc="in the gateway's time zone")
    producer: Mapped[str] = mapped_column(primary_key=True, doc="which application ordered them")
    lane: Mapped[str] = mapped_column(primary_key=True, doc="otp, normal or bulk")
    messages: Mapped[int] = mapped_column(doc="accepted orders, repeated ones not counted")

    __table_args__ = (one_of("lane", Lane), CheckConstraint("messages >= 0", name="counts_sane"))
