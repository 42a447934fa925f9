"""Waiting a moment for a fuller batch, where so much is coming that the moment is short.

A batch costs the gateway and us nearly the same whatever its size. On a quiet lane a message goes at once.
"""

from collections import deque
from datetime import datetime, timedelta
from threading import Lock

from models.lifecycle import Lane

WINDOW = timedelta(seconds=0.5)
LONGEST = {
    Lane.OTP: timedelta(milliseconds=100),
    Lane.NORMAL: timedelta(milliseconds=400),
    Lane.BULK: timedelta(seconds=1),
}
NOT_AT_ALL = timedelta(0)
LATELY_POSTS = 8


class Pace:
    """How many messages of each lane this process has claimed lately, and how long its posts take.

    Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._claimed: dict[Lane, deque[tuple[datetime, int]]] = {lane: deque() for lane in Lane}
        self._lock = Lock()
        self.seconds_per_post = 0.0  #: lately, with the recording of its answer; 0 before the first

    def note_post(self, *, seconds: float) -> None:
        """A post took so long."""
        with self._lock:
            self.seconds_per_post += (seconds - self.seconds_per_post) / LATELY_POSTS

    def note(self, lane: Lane, messages: int, *, now: datetime) -> None:
        """So many messages were claimed at once."""
        with self._lock:
            self._forget(lane, now)  # here, too: where there is a limit of requests a second, nobody lingers
            self._claimed[lane].append((now, messages))

    def linger(self, lane: Lane, missing: int, oldest_at: datetime, *, now: datetime) -> timedelta:
        """How long to wait for *missing* more messages, if they can be expected in time.

        No message, the *oldest_at* not either, waits longer than its lane's `LONGEST`.
        """
        per_window = self._in_window(lane, now)
        left = oldest_at + LONGEST[lane] - now
        if not per_window or left <= NOT_AT_ALL:
            return NOT_AT_ALL
        expected = WINDOW * (missing / per_window)
        return min(expected, left) if expected <= LONGEST[lane] else NOT_AT_ALL

    def _in_window(self, lane: Lane, now: datetime) -> int:
        with self._lock:
            self._forget(lane, now)
            return sum(messages for _, messages in self._claimed[lane])

    def _forget(self, lane: Lane, now: datetime) -> None:
        claimed = self._claimed[lane]
        while claimed and claimed[0][0] <= now - WINDOW:
            claimed.popleft()
