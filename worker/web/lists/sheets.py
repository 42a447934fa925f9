"""What a list shows, and by what it is filtered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

from sqlalchemy.orm import Session

from worker.web.links import message_url

Asked = dict[str, Any]  #: filters that were given, by their names, with their values read


class Kind(StrEnum):
    """How a value is shown, and to whom."""

    PLAIN = "plain"  #: a name or a number
    WORD = "word"  #: one of our own words: translated
    AT = "at"  #: an instant
    PHONE = "phone"  #: for viewers its last four digits
    WRITTEN = "written"  #: words of others, in which a phone may stand: long numbers are masked for viewers
    SECRET = "secret"  # noqa: S105  #: a text or a body: not for viewers at all


class Sort(StrEnum):
    """How a filter's value is written."""

    WORDS = "words"
    NUMBER = "number"
    PHONE = "phone"
    MOMENT = "moment"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Column:
    """One value of a row."""

    name: str
    label: str
    kind: Kind = Kind.PLAIN
    link: Callable[[Any], str | None] | None = None  #: of the row
    listed: bool = True  #: in the list, too, and not only on the row's own page


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition."""

    name: str
    label: str
    sort: Sort = Sort.WORDS
    choices: Sequence[str] = ()


class Found(NamedTuple):
    """A page of rows, newest first; where older and newer ones are."""

    rows: Sequence[Any]
    older: int | None = None  #: go on before this id
    newer: int | None = None  #: go on after this id


class Counted(NamedTuple):
    """About how many there are."""

    rows: int
    exact: bool


class Source(Protocol):
    """Where rows come from; each is in plain values, with an ``id``."""

    def page(self, session: Session, asked: Asked, *, before: int | None, after: int | None, limit: int) -> Found:
        """The newest that are meant, before or after an id."""

    def counted(self, session: Session, asked: Asked) -> Counted | None:
        """About how many are meant, if that can be said at once."""

    def one(self, session: Session, number: int) -> Any | None:
        """The row of an id, with all its columns."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A list."""

    key: str  #: in addresses
    title: str
    source: Source
    columns: Sequence[Column]
    filters: Sequence[Filter] = ()
    explanation: str = ""
    has_pages: bool = True  #: a page of its own for each row, by its id


def to_message(row: Any) -> str | None:
    """The story of the row's message."""
    return message_url(row.uid) if row.uid else None


def to_batch(row: Any) -> str | None:
    """The row's batch."""
    return f"/batches/{row.batch_id}" if row.batch_id else None


def to_request(row: Any) -> str | None:
    """Every message of the row's request."""
    return f"/messages?{urlencode({'request_id': row.request_id})}" if row.request_id else None
