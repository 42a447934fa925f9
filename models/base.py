"""What all tables share: names of constraints, aware instants, states as text with a CHECK."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, CheckConstraint, DateTime, Index, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
# PostgreSQL asks a foreign key for each row by itself. There triggers stand for these, which ask once for a statement.
BY_TRIGGERS = frozenset({"fk_messages_batch_id", "fk_reports_sms_id"})
# For an index in which a batch's messages stand together: PostgreSQL's lists of equal keys cost each update more.
ROW_BY_ROW: Mapping[str, Any] = {"postgresql_with": {"deduplicate_items": "off"}}


class Instant(TypeDecorator[datetime]):
    """An aware moment in UTC. SQLite, which has no such type, keeps it as sortable text without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse naive moments: a ValueError here is a mistake of ours, never a user's."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive moment never goes into the table")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give it back aware."""
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only in an INTEGER key
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Base(DeclarativeBase):
    """The tables of the project. What a class and its columns say of themselves, PostgreSQL keeps as comments."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {str: Text, datetime: Instant, dict[str, Any]: Json}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Copy each doc to where SQLAlchemy looks for comments."""
        super().__init_subclass__(**kwargs)
        if isinstance(cls.__table__, Table):
            cls.__table__.comment = cls.__doc__
            for column in cls.__table__.columns:
                column.comment = column.doc


def listed(words: type[StrEnum] | frozenset[StrEnum]) -> str:
    """The words as SQL wants them after IN, in a stable order."""
    return ", ".join(f"'{word}'" for word in sorted(str(word) for word in words))


def one_of(column: str, words: type[StrEnum]) -> CheckConstraint:
    """A named CHECK that *column* holds one of *words*."""
    return CheckConstraint(f"{column} IN ({listed(words)})", name=f"{column}_known")


def partial(name: str, *columns: str, where: str, unique: bool = False, **options: Any) -> Index:
    """An index of only the rows that *where* names, on both databases."""
    return Index(name, *columns, unique=unique, postgresql_where=text(where), sqlite_where=text(where), **options)
