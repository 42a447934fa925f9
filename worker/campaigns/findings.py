"""What a reading of the whole file comes to."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from worker.campaigns.outcome import Became, Outcome

MOST_SHOWN = 20  #: rows of a kind, to a person


class Price(NamedTuple):
    """What a part costs, if that is known."""

    per_part: float
    currency: str

    def of(self, parts: int) -> float | None:
        """The money, or None where no price is set."""
        return round(parts * self.per_part, 2) if self.per_part else None


@dataclass(slots=True)
class Findings:
    """Of so many rows."""

    became: Counter[Became] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    parts: Counter[int] = field(default_factory=Counter)  #: of messages that take so many
    encodings: Counter[str] = field(default_factory=Counter)
    saved_by_folding: int = 0  #: parts
    repeated: int = 0  #: rows whose phone an earlier row has, too
    wrong: list[Outcome] = field(default_factory=list)  #: the first of them
    repeats: list[Outcome] = field(default_factory=list)  #: the first of them
    example: Outcome | None = None

    @property
    def rows(self) -> int:
        """All of them."""
        return self.became.total()

    @property
    def total_parts(self) -> int:
        """Of all messages that are, or would be, queued."""
        return sum(parts * messages for parts, messages in self.parts.items())

    def counting(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """Add each as it passes."""
        for one in outcomes:
            self._add(one)
            yield one

    def _add(self, one: Outcome) -> None:
        self.became[one.became] += 1
        if one.became == Became.REFUSED:
            self.reasons[one.reason or ""] += 1
            if len(self.wrong) < MOST_SHOWN:
                self.wrong.append(one)
        elif one.became != Became.THERE:
            self._add_new(one)
        if one.line.first_line:
            self.repeated += 1
            if len(self.repeats) < MOST_SHOWN:
                self.repeats.append(one)

    def _add_new(self, one: Outcome) -> None:
        self.example = self.example or one
        self.parts[one.parts or 0] += 1
        if one.encoding:
            self.encodings[one.encoding] += 1
        if one.folded_parts:
            self.saved_by_folding += (one.parts or 0) - one.folded_parts

    def known(self, price: Price) -> dict[str, Any]:
        """The same for programs: no phone, no text."""
        distribution = {str(parts): self.parts[parts] for parts in sorted(self.parts)}
        sizes = sorted(self.parts) or [0]
        return {
            "rows": self.rows,
            **{str(name).replace(" ", "_"): self.became[name] for name in Became if self.became[name]},
            "reasons": dict(self.reasons.most_common()),
            "repeated_phones": self.repeated,
            "parts": {"min": sizes[0], "max": sizes[-1], "total": self.total_parts, "messages_by_parts": distribution},
            "encodings": dict(self.encodings),
            "price": price.of(self.total_parts),
            "currency": price.currency,
            "saved_by_folding": {"parts": self.saved_by_folding, "price": price.of(self.saved_by_folding)},
            "wrong": [{"line": one.line.line, "reason": one.reason} for one in self.wrong],
        }
