"""Quiet hours: when a lane posts nothing, by the clock on people's walls."""

from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo


class QuietHours(NamedTuple):
    """From *begins* until *ends*, every day, by a zone's own clock; over midnight where *ends* is earlier."""

    begins: time
    ends: time

    def __str__(self) -> str:
        return f"{self.begins:%H:%M}-{self.ends:%H:%M}"

    def cover(self, at: datetime, zone: ZoneInfo) -> bool:
        """Whether *at* is a quiet moment in *zone*.

        >>> hours = QuietHours(time(21), time(9))
        >>> hours.cover(datetime(2026, 11, 30, 18, tzinfo=UTC), ZoneInfo("Asia/Tashkent"))
        True
        """
        local = at.astimezone(zone).time()
        if self.begins < self.ends:
            return self.begins <= local < self.ends
        return local >= self.begins or local < self.ends

    def end_after(self, at: datetime, zone: ZoneInfo) -> datetime:
        """When the quiet that covers *at* is over, in UTC."""
        local = at.astimezone(zone)
        day = local.date() + timedelta(days=local.time() >= self.ends)
        return datetime.combine(day, self.ends, tzinfo=zone).astimezone(UTC)


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
