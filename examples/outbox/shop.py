"""A shop that writes its SMS beside its own rows, in one transaction: ``python -m outbox.shop PHONE``.

Either both are there or none, whatever dies when. `outbox.relay` sends what stands in the outbox.
"""

import os
import sys
import uuid
from datetime import UTC, datetime

from sms_producer import Lane, Sms
from sqlalchemy import DateTime, Engine, Index, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012 - SQLAlchemy's own way


class Purchase(Base):
    """The shop's own row."""

    __tablename__ = "purchases"
    id: Mapped[int] = mapped_column(primary_key=True)
    phone: Mapped[str]


class Outgoing(Base):
    """An SMS to be ordered. Its id is its key, so it is no number that another database would count again."""

    __tablename__ = "outbox"
    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: str(uuid.uuid4()))
    phone: Mapped[str]
    text: Mapped[str]
    lane: Mapped[Lane]
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    sent_at: Mapped[datetime | None]
    wrong: Mapped[str | None]  #: why it can never be sent; `enqueue` lets none of these in


UNSENT = Outgoing.sent_at.is_(None) & Outgoing.wrong.is_(None)
Index("ix_outbox_unsent", Outgoing.created_at, sqlite_where=UNSENT, postgresql_where=UNSENT)


def open_database() -> Engine:
    """The one at DATABASE_URL, with its tables."""
    engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///outbox.db"))
    Base.metadata.create_all(engine)
    return engine


def buy(session: Session, phone: str) -> None:
    """Both rows or none; Redis is not needed."""
    session.add(Purchase(phone=phone))
    enqueue(session, Sms(phone, "Thank you for your order!"), lane="normal")


def enqueue(session: Session, sms: Sms, *, lane: Lane) -> None:
    """An `Sms`, so that a wrong one fails here, in the shop's own transaction, and not in the relay."""
    session.add(Outgoing(phone=str(sms.phone), text=sms.text, lane=lane))


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004
        sys.exit("Usage: python -m outbox.shop PHONE")
    with Session(open_database()) as session, session.begin():
        buy(session, *sys.argv[1:])
    sys.stdout.write("Bought; the SMS stands in the outbox, and the relay orders it.\n")
