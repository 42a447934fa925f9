"""Every message accounted for by its number, from three sides that know nothing of each other.

What the producer published, what the gateway took by its own journal, and what the table says.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine

from tests.chaos.database import rows
from tests.chaos.numbered import number_of, wants_to_be_told

ENDED = frozenset({"delivered", "failed", "unconfirmed"})


class Row(NamedTuple):
    """A message in the table."""

    number: int | None  #: None where phone and text do not name the same
    key: str
    state: str
    reason: str | None
    batch_id: int | None
    attempts: int
    resends: int


class Post(NamedTuple):
    """A batch in the table."""

    state: str
    reason: str | None
    size: int


@dataclass(frozen=True)
class Ledger:
    """The three sides, by number."""

    published: frozenset[int]
    journal: Counter[int | None]  #: how often the gateway took each
    table: Sequence[Row]
    batches: Mapping[int, Post]
    refused: int  #: orders in refused_intakes
    owed: int  #: callbacks that nobody told
    told: frozenset[tuple[str, str]]  #: key and state of each event that the shop got
    confirmed: frozenset[int]  #: numbers that a later report proved to be taken

    @cached_property
    def by_number(self) -> dict[int, Row]:
        return {row.number: row for row in self.table if row.number}

    @cached_property
    def stored_twice(self) -> list[int]:
        counts = Counter(row.number for row in self.table if row.number)
        return sorted(number for number, times in counts.items() if number and times > 1)

    @cached_property
    def lost(self) -> list[int]:
        """Published and not stored, or said to be taken by a gateway that never saw it."""
        stored = self.by_number
        phantom = {row.number for row in self.table if row.number and row.state == "delivered"} - self.journal.keys()
        return sorted(self.published - stored.keys() | phantom)

    @cached_property
    def strange(self) -> list[str]:
        """What no side may hold: numbers that nobody published, or that its fields do not agree about."""
        unknown = sorted(self.by_number.keys() - self.published)
        broken = [row.key for row in self.table if row.number is None or str(row.number) != row.key]
        journal = sorted(number for number in self.journal if number and number not in self.by_number)
        return [
            *(f"{number} is stored and was never published" for number in unknown),
            *(f"key {key}: phone, text and key do not agree in the table" for key in broken),
            *(f"{number} was posted and is not stored" for number in journal),
            *(["a line of the journal whose phone and text do not agree"] if None in self.journal else []),
        ]

    @cached_property
    def posted_twice(self) -> list[int]:
        return sorted(number for number, times in self.journal.items() if number and times > 1)

    @cached_property
    def unsettled(self) -> list[int]:
        return sorted(row.number for row in self.table if row.number and row.state not in ENDED)

    @cached_property
    def failed_though_taken(self) -> list[int]:
        return sorted(self.in_state("failed") & self.journal.keys())

    def in_state(self, state: str) -> set[int]:
        return {row.number for row in self.table if row.number and row.state == state}

    def untold(self, *, callback_every: int) -> list[int]:
        """Whose producer was not told the state that the message is in."""
        wanted = [row for row in self.table if row.number and wants_to_be_told(row.number, every=callback_every)]
        return sorted(row.number for row in wanted if row.number and (row.key, row.state) not in self.told)


def read(engine: Engine, *, published: Iterable[int], journal: Path, told: Iterable[tuple[str, str]]) -> Ledger:
    """Put the sides together; the database must be there."""
    messages = "SELECT phone, text, key, state, reason, batch_id, attempts, resends FROM messages"
    table = [Row(number_of(phone, text), *others) for phone, text, *others in rows(engine, messages)]
    confirmed = "SELECT m.key FROM decisions d JOIN messages m ON m.uid = d.uid WHERE d.what = 'confirm'"
    return Ledger(
        published=frozenset(published),
        journal=Counter(number_of(line["phone"], line["text"]) for line in lines_of(journal)),
        table=table,
        batches={id_: Post(*others) for id_, *others in rows(engine, "SELECT id, state, reason, size FROM batches")},
        refused=rows(engine, "SELECT count(*) FROM refused_intakes")[0][0],
        owed=rows(engine, "SELECT count(*) FROM callbacks WHERE state <> 'told'")[0][0],
        told=frozenset(told),
        confirmed=frozenset(int(key) for (key,) in rows(engine, confirmed)),
    )


def lines_of(journal: Path) -> list[dict[str, Any]]:
    """What the gateway took; the last line of one that was killed may be torn."""
    with journal.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.endswith("\n")]
