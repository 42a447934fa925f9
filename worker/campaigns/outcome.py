"""What became, or would become, of each row."""

from dataclasses import dataclass, field
from enum import StrEnum

from worker.campaigns.campaign import Line
from worker.errors import OrderRefused
from worker.store.campaigns import Found

REUSED = OrderRefused(
    "key_reused", "This campaign ordered other words for this phone before; --campaign with another name orders anew."
)


class Became(StrEnum):
    """In a word."""

    NEW = "new"  #: it would be queued
    QUEUED = "queued"
    THERE = "already there"  #: it was ordered before, and was left as it is
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one row."""

    line: Line
    became: Became
    reason: str | None = None
    explanation: str | None = None
    parts: int | None = None
    state: str | None = None
    encoding: str | None = None
    text: str | None = field(default=None, repr=False)  #: as it would be posted
    folded_parts: int | None = None  #: where folding would save some


def refused(line: Line, why: OrderRefused, *, found: Found | None = None) -> Outcome:
    """It is not ordered, because of *why*; *found* is what stands under its key."""
    return Outcome(line, Became.REFUSED, why.reason, why.explanation, state=found and found.state)


def of_stored(line: Line, found: Found, *, became: Became) -> Outcome:
    """It *became* what *found* says, if that is what the row asks for."""
    if line.ordered != (found.phone, found.text):
        return refused(line, REUSED, found=found)
    return Outcome(line, became, parts=found.parts, state=found.state)
