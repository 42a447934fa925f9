"""What a file's rows become: one message each, with a key that is the same whenever the file is imported."""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from models.lifecycle import Lane
from worker.campaigns.rows import Row, Rows
from worker.campaigns.seen import Occurrence, Seen
from worker.campaigns.template import Fill
from worker.envelope import Envelope
from worker.errors import OrderRefused
from worker.orders import uid_of_key
from worker.phone import normalised

AT_ONCE = 500  # messages in one order, which is one transaction: others who write get their turn between two
KEY_DIGITS = 16


class Ordered(NamedTuple):
    """What makes two orders of one key the same."""

    phone: str
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One row, and the message it asks for; or why it asks for none."""

    line: int
    phone: str = field(repr=False)  #: as it stands in the file
    key: str | None = None
    uid: str | None = None
    ordered: Ordered | None = field(default=None, repr=False)
    wrong: OrderRefused | None = None
    first_line: int | None = None  #: of an earlier row with the same phone


class Chunk(NamedTuple):
    """Some lines, those of them that are ordered, and their order."""

    lines: Sequence[Line]
    ordered: Sequence[Line]
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Campaign:
    """All that is to be ordered. Its name, the phone and which of the phone's rows it is make a message's key."""

    name: str
    lane: Lane
    producer: str
    rows: Rows
    phone_column: int
    fill: Fill
    run: uuid.UUID  #: of this import; orders that were refused in another are considered anew
    countries: Sequence[str] = ("UZ",)
    once: bool = False  #: whether a phone that comes again is left out
    defaults: Mapping[str, Any] = field(default_factory=dict)  #: fields of ``sms.send_many`` for all of them
    tags: Mapping[str, Any] = field(default_factory=dict)

    def chunks(self) -> Iterator[Chunk]:
        """The whole file, from its first row on. Raises `UnreadableFile`."""
        with closing(Seen()) as seen:
            lines = (self._line(row, seen) for row in self.rows)
            while some := list(islice(lines, AT_ONCE)):
                ordered = [line for line in some if line.ordered]
                yield Chunk(some, ordered, self._envelope(some[0].line, ordered))

    def _line(self, row: Row, seen: Seen) -> Line:
        if row.wrong:
            return Line(row.line, "", wrong=OrderRefused("row_invalid", row.wrong))
        written = row.cells[self.phone_column].strip()
        phone = self._phone(written)
        found = seen.count(phone, row.line) if phone else Occurrence(1, row.line)
        first_line = found.first_line if found.times > 1 else None
        if first_line and self.once:
            repeated = OrderRefused("phone_repeated", f"Line {first_line} names the same phone, and --once was given.")
            return Line(row.line, written, wrong=repeated, first_line=first_line)
        try:
            text = self.fill(row.cells)
        except OrderRefused as refused:
            return Line(row.line, written, wrong=refused, first_line=first_line)
        key = self._key(phone, found.times)
        return Line(row.line, written, key, uid_of_key(self.producer, key), Ordered(phone, text), None, first_line)

    def _phone(self, written: str) -> str:
        try:
            return normalised(written, self.countries)
        except OrderRefused:
            return written  # intake says what is wrong with it

    def _key(self, phone: str, times: int) -> str:
        # Not of the line: in a file that was corrected, or sorted anew, a line is another person's. And no phone in it.
        digits = hashlib.sha256(f"{self.name}\0{phone}".encode("utf-8", "replace")).hexdigest()[:KEY_DIGITS]
        return f"{self.name}:{digits}" + (f":{times}" if times > 1 else "")

    def _envelope(self, first_line: int, lines: Iterable[Line]) -> Envelope:
        task_id = str(uuid.uuid5(self.run, str(first_line)))
        messages = [self._message(line) for line in lines]
        return Envelope("sms.send_many", task_id, [messages], {"producer": self.producer, **self.defaults})

    def _message(self, line: Line) -> dict[str, Any]:
        text = line.ordered.text if line.ordered else ""
        return {"phone": line.phone, "text": text, "key": line.key, "tags": {**self.tags, "line": line.line}}
