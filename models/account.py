"""The vendor's account that we post with."""

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, one_of
from models.lifecycle import AccountState


class Account(Base):
    """Whether the gateway lets us post. A pause holds for every worker, and keeps every message queued."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, doc="our number of the account")
    login: Mapped[str] = mapped_column(unique=True, doc="the name that the gateway knows us by")
    state: Mapped[str] = mapped_column(doc="active: we may post; paused: one message at a time tries whether we may")
    reason: Mapped[str | None] = mapped_column(doc="why it is paused, and what to do")
    error_no: Mapped[int | None] = mapped_column(doc="the gateway's error number that paused it")
    http_status: Mapped[int | None] = mapped_column(doc="of the answer that paused it")
    paused_at: Mapped[datetime | None] = mapped_column(doc="since when it is paused")
    probe_at: Mapped[datetime | None] = mapped_column(doc="when one message may try whether it works again")
    probes: Mapped[int] = mapped_column(doc="probes that failed in this pause; the pause between them grows")
    held_at: Mapped[datetime | None] = mapped_column(doc="since when a person lets nothing be posted, not even a probe")
    held_by: Mapped[str | None] = mapped_column(doc="who does, a person or the watch for restored databases")

    __table_args__ = (
        one_of("state", AccountState),
        CheckConstraint("(paused_at IS NOT NULL) = (state = 'paused')", name="paused_at_iff_paused"),
        CheckConstraint("(probe_at IS NOT NULL) = (state = 'paused')", name="probe_at_iff_paused"),
    )
