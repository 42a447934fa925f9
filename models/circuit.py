"""Whether the gateway answers well enough to be called, for each of the two ways of calling it."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId, one_of
from models.lifecycle import CircuitState, Room


class Circuit(Base):
    """One way of calling the gateway. While it is open, one probe at a time tries whether it works again."""

    __tablename__ = "circuits"

    account_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("accounts.id"), primary_key=True, doc="the account whose calls they are"
    )
    room: Mapped[str] = mapped_column(primary_key=True, doc="posting or polling: each has a circuit of its own")
    state: Mapped[str] = mapped_column(doc="closed: called as usual; open: one call at a time tries")
    failures: Mapped[int] = mapped_column(doc="calls that failed or were slow since the last good one")
    reason: Mapped[str | None] = mapped_column(doc="what was wrong with the last of them")
    http_status: Mapped[int | None] = mapped_column(doc="of the last bad answer, if one came")
    opened_at: Mapped[datetime | None] = mapped_column(doc="since when it is open")
    probe_at: Mapped[datetime | None] = mapped_column(doc="when one call may try whether it works again")
    probes: Mapped[int] = mapped_column(doc="probes that failed since it opened; the pause between them grows")

    __table_args__ = (
        one_of("room", Room),
        one_of("state", CircuitState),
        CheckConstraint("(opened_at IS NOT NULL) = (state = 'open')", name="opened_at_iff_open"),
        CheckConstraint("(probe_at IS NOT NULL) = (state = 'open')", name="probe_at_iff_open"),
    )
