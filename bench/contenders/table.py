"""The table of the contenders that use SQLAlchemy, as people write it."""

import os
from datetime import UTC, datetime

from sqlalchemy import BigInteger, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker
from sqlalchemy.types import DateTime


class Base(DeclarativeBase):
    pass


class Sms(Base):
    __tablename__ = "sms"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    phone: Mapped[str]
    text: Mapped[str]
    state: Mapped[str] = mapped_column(default="new")
    request_id: Mapped[str | None]
    message_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC))
    accepted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


engine = create_engine(os.environ["DATABASE_URL"], pool_size=16)
Session = sessionmaker(engine, expire_on_commit=False)

if __name__ == "__main__":
    Base.metadata.create_all(engine)
