"""Room for a few at once, where whoever finds it full leaves word instead of waiting."""

import time
from collections.abc import Callable
from threading import Event, Lock

LONGEST_SECONDS = 10.0  # a bell's task stays short, so that a worker of any pool can be asked to leave


class Turnstile:
    """At most *width* threads of this process step at the same time; when *stopping* is set, they finish and leave."""

    def __init__(self, width: int, stopping: Event, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.width = width
        self._stopping = stopping
        self._monotonic = monotonic
        self._lock = Lock()
        self._inside = 0
        self._rung = False

    def run(self, step: Callable[[], bool]) -> bool:
        """Repeat *step* until it finds nothing more; return whether it left before that, so that others are to be rung.

        If there is no room, those inside will look once more instead.
        """
        if not self._enter():
            return False
        leave_at = self._monotonic() + LONGEST_SECONDS
        try:
            while not self._stopping.is_set() and self._monotonic() < leave_at:
                if not step() and self._leave_unless_rung():
                    return False
        except BaseException:
            self._leave()
            raise
        self._leave()
        return True

    @property
    def inside(self) -> int:
        """How many are stepping."""
        return self._inside

    def _enter(self) -> bool:
        with self._lock:
            if self._inside >= self.width:
                self._rung = True
                return False
            self._inside += 1
            return True

    def _leave_unless_rung(self) -> bool:
        # One lock for both: a ring between the look and the leaving would be heard by nobody.
        with self._lock:
            if self._rung:
                self._rung = False
                return False
            self._inside -= 1
            return True

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1
