"""The processes that work, and what each has counted."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class Worker(Base):
    """One process, which writes here every few seconds. A dead one's row stays for a day, then only its counts do."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(
        primary_key=True, doc="NAME@HOST:PID:WORD, as in batches.worker: Celery's name, process id, a random word"
    )
    release: Mapped[str] = mapped_column(doc="of this project, that it runs")
    started_at: Mapped[datetime] = mapped_column(doc="when it began")
    seen_at: Mapped[datetime] = mapped_column(doc="when it wrote last; a live one writes every few seconds")
    bell_at: Mapped[datetime | None] = mapped_column(doc="when it heard beat's bell last")
    left_at: Mapped[datetime | None] = mapped_column(doc="when it stopped in good order")
    figures: Mapped[dict[str, Any]] = mapped_column(doc="what it counted since its start, for Prometheus")

    __table_args__ = (Index("ix_workers_seen_at", "seen_at"),)
