"""The chart of the start page: figures by the minute, as places in a drawing. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from worker.store.overview import Minute

WIDTH, HEIGHT = 720, 170  # units of the drawing, which is scaled to the page
LEFT, RIGHT, TOP, BOTTOM = 0, 0, 18, 22
EDGE = 0.04  # of the width: no words are cut off there
KINDS = ("accepted", "delivered", "failed")
STEPS = (1, 2, 5)
ROWS_MINUTES = 15  # of the table that says the same in words
MARK_MINUTES = 30  # between two marks of time


class Mark(NamedTuple):
    """A line of the grid at a height, or a word at a share of the width; and what stands there."""

    place: float
    at: datetime | None
    value: int


class Span(NamedTuple):
    """Some minutes together: a row of the table."""

    at: datetime
    accepted: int
    delivered: int
    failed: int


class Chart(NamedTuple):
    """All that a template needs to draw it."""

    width: int
    height: int
    floor: float
    paths: dict[str, str]  #: by kind, the `d` of a path
    area: str  #: the same for the area below what was accepted
    levels: list[Mark]  #: from below
    times: list[Mark]
    spans: list[Span]
    totals: dict[str, int]


def chart_of(minutes: Sequence[Minute]) -> Chart:
    """The chart of *minutes*, the oldest first, of which the last is not over. At least three of them.

    That one is counted, and not drawn: it would look like a fall.
    """
    over = minutes[:-1]
    top = ceiling(max(max(getattr(one, kind) for kind in KINDS) for one in over))
    floor = float(HEIGHT - BOTTOM)
    points = {kind: _points([getattr(one, kind) for one in over], top) for kind in KINDS}
    ends = f"L{WIDTH - RIGHT} {floor:g} L{LEFT} {floor:g} Z"
    return Chart(
        width=WIDTH,
        height=HEIGHT,
        floor=floor,
        paths={kind: f"M{' L'.join(found)}" for kind, found in points.items()},
        area=f"M{' L'.join(points['accepted'])} {ends}",
        levels=[Mark(_height(value, top), None, value) for value in dict.fromkeys((0, top // 2, top))],
        times=_times(over),
        spans=_spans(minutes),
        totals={kind: sum(getattr(one, kind) for one in minutes) for kind in KINDS},
    )


def ceiling(most: int) -> int:
    """A round number that *most* fits under.

    >>> [ceiling(most) for most in (0, 3, 7, 50, 51, 1_234)]
    [4, 5, 10, 50, 100, 2000]
    """
    power = 1
    while True:
        for step in STEPS:
            if step * power >= max(most, 1):
                return max(step * power, 4) if step * power < 5 else step * power  # noqa: PLR2004
        power *= 10


def _points(values: Sequence[int], top: int) -> list[str]:
    return [f"{_across(number, len(values)):.1f} {_height(value, top):.1f}" for number, value in enumerate(values)]


def _across(number: int, count: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * number / max(1, count - 1)


def _height(value: int, top: int) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def _times(minutes: Sequence[Minute]) -> list[Mark]:
    shares = ((number / max(1, len(minutes) - 1), one.at) for number, one in enumerate(minutes))
    return [Mark(at=at, place=share, value=0) for share, at in shares if _is_marked(at) and EDGE < share < 1 - EDGE]


def _is_marked(at: datetime) -> bool:
    return at.minute % MARK_MINUTES == 0


def _spans(minutes: Sequence[Minute]) -> list[Span]:
    rows = (minutes[start : start + ROWS_MINUTES] for start in range(0, len(minutes), ROWS_MINUTES))
    return [Span(some[0].at, *(sum(getattr(one, kind) for one in some) for kind in KINDS)) for some in rows]
