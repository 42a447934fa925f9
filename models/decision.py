"""Who decided what, and when: what the rules of the house alone would not have done."""

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, one_of
from models.lifecycle import Verdict


class Decision(Base):
    """One decision about one message or, without a uid, about the account. Rows are only ever added."""

    __tablename__ = "decisions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, doc="in order of their coming")
    at: Mapped[datetime] = mapped_column(doc="when it was decided")
    who: Mapped[str] = mapped_column(doc="a person, a producer's order (order:TASK_ID), a lane's policy, or a proof")
    what: Mapped[str] = mapped_column(doc="ask, cancel, confirm, drop, pause, recover, resend, resume or retry")
    uid: Mapped[str | None] = mapped_column(doc="the message, even when its retention is over; none for the account")
    reason: Mapped[str | None] = mapped_column(doc="in the person's own words, or what was wrong before")

    __table_args__ = (one_of("what", Verdict), Index("ix_decisions_uid", "uid"), Index("ix_decisions_at", "at"))
