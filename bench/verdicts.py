"""What was to be reached, and what was found: the last lines of each bench, and the aims in its JSON."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table


class Verdict(NamedTuple):
    """One aim, and what was measured; both in *unit*, where they have one."""

    aim: str
    wanted: float
    found: float
    unit: str = ""
    at_most: bool = False  #: the aim is not to exceed it
    under: str = ""  #: which circumstances

    @property
    def is_met(self) -> bool:
        return self.found <= self.wanted if self.at_most else self.found >= self.wanted

    @property
    def said(self) -> str:
        """In words; what is missed by more than all of it is told in times.

        >>> Verdict("speed", 100, 75).said, Verdict("ms", 5, 8, at_most=True).said
        ('missed by 25%', 'missed by 60%')
        """
        if self.is_met:
            return "met"
        if not self.wanted:
            return "missed"
        return f"missed by {abs(self.found / self.wanted - 1):.0%}"

    @property
    def bound(self) -> str:
        """At least, or at most, so much."""
        return f"{'≤' if self.at_most else '≥'} {short(self.wanted)} {self.unit}".rstrip()


def short(number: float) -> str:
    """Three digits are enough.

    >>> [short(number) for number in (31234.5, 123.4, 12.34, 0.0456)]
    ['31,200', '123', '12.3', '0.0456']
    """
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"  # noqa: PLR2004


def as_json(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """With its words, so that nobody has to judge again."""
    return [one._asdict() | {"bound": one.bound, "is_met": one.is_met, "said": one.said} for one in verdicts]


def show(console: Console, verdicts: Sequence[Verdict]) -> None:
    """A table of them."""
    table = Table("aim", "under", "wanted", "found", "")
    for one in verdicts:
        colour = "green" if one.is_met else "red"
        table.add_row(one.aim, one.under, one.bound, short(one.found), f"[{colour}]{one.said}[/{colour}]")
    console.print(table)
