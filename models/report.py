"""What the gateway said about a message, word for word and in order."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, BigId


class Report(Base):
    """One thing the gateway said. Rows are only ever added (a trigger refuses changes); retention removes old ones."""

    __tablename__ = "reports"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, doc="in order of their coming")
    sms_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("messages.id", ondelete="CASCADE"), doc="our message; message_id is the gateway's name for it"
    )
    request_id: Mapped[str | None] = mapped_column(doc="the gateway's name for the request")
    message_id: Mapped[str | None] = mapped_column(doc="the gateway's name for the message")
    gateway_status: Mapped[str | None] = mapped_column(doc="the vendor's word; none in an answer to a post")
    state: Mapped[str | None] = mapped_column(doc="our word for it, if it has a final meaning")
    error_no: Mapped[int | None] = mapped_column(doc="the gateway's error number, if it named one")
    billed_parts: Mapped[int | None] = mapped_column(doc="SMS parts by the gateway's count")
    sent_at: Mapped[datetime | None] = mapped_column(doc="when it went to the phone, says the gateway")
    delivered_at: Mapped[datetime | None] = mapped_column(doc="when the phone had it, says the gateway")
    received_at: Mapped[datetime] = mapped_column(doc="when we heard it")
    answer: Mapped[dict[str, Any]] = mapped_column(doc="the gateway's own row, without the text")

    __table_args__ = (Index("ix_reports_sms_id", "sms_id", "id"),)
