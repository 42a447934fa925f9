"""Quiet hours: when a lane posts nothing, by the clock on people's walls."""

from collections.abc import Iterable, Mapping
from datetime import datetime, time
from typing import NamedTuple
from zoneinfo import ZoneInfo

from models.lifecycle import Lane


class QuietHours(NamedTuple):
    """From *begins* until *ends*, every day, by a zone's own clock; over midnight where *ends* is earlier.

    What the clock on the wall shows decides: an hour that it skips is not there to be quiet in, and one that it shows
    twice is quiet twice.
    """

    begins: time
    ends: time

    def __str__(self) -> str:
        return f"{self.begins:%H:%M}-{self.ends:%H:%M}"

    def cover(self, at: datetime, zone: ZoneInfo) -> bool:
        """Whether *at* is a quiet moment in *zone*: the first moment is, the last is not any more.

        >>> tashkent = ZoneInfo("Asia/Tashkent")
        >>> QuietHours(time(21), time(9)).cover(datetime(2026, 11, 30, 23, tzinfo=tashkent), tashkent)
        True
        """
        local = at.astimezone(zone).time()
        if self.begins < self.ends:
            return self.begins <= local < self.ends
        return local >= self.begins or local < self.ends


class QuietLanes(NamedTuple):
    """The lanes that have quiet hours, and the zone of these."""

    hours: Mapping[Lane, QuietHours]
    zone: ZoneInfo

    def cover(self, lane: Lane, at: datetime) -> bool:
        """Whether *lane* is to be quiet at *at*."""
        hours = self.hours.get(lane)
        return hours is not None and hours.cover(at, self.zone)

    def awake(self, lanes: Iterable[Lane], at: datetime) -> tuple[Lane, ...]:
        """Those of *lanes* that may post at *at*, in their order."""
        return tuple(lane for lane in lanes if not self.cover(lane, at))


NEVER = QuietLanes({}, ZoneInfo("UTC"))  #: no lane is ever quiet


def read(written: str) -> QuietHours:
    """The hours of ``21:00-09:00``. Raises ValueError with what is allowed."""
    begins, _, ends = written.partition("-")
    try:
        hours = QuietHours(time.fromisoformat(begins.strip()), time.fromisoformat(ends.strip()))
    except ValueError:
        hours = QuietHours(time(), time())
    if hours.begins == hours.ends or any(moment.tzinfo for moment in hours):
        raise ValueError("must be two different times of the day such as 21:00-09:00")
    return hours
