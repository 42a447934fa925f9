"""Room for a few at once, where whoever finds it full leaves word instead of waiting."""

from collections.abc import Callable
from threading import Event, Lock


class Turnstile:
    """At most *width* threads of this process step at the same time; when *stopping* is set, they finish and leave."""

    def __init__(self, width: int, stopping: Event) -> None:
        self._width = width
        self._stopping = stopping
        self._lock = Lock()
        self._inside = 0
        self._rung = False

    def run(self, step: Callable[[], bool]) -> None:
        """Repeat *step* until it finds nothing more. If there is no room, those inside will look once more instead."""
        if not self._enter():
            return
        try:
            while self._repeat(step) and not self._leave_unless_rung():
                pass
        except BaseException:
            self._leave()
            raise

    def _repeat(self, step: Callable[[], bool]) -> bool:
        while not self._stopping.is_set():
            if not step():
                return True
        self._leave()
        return False

    def _enter(self) -> bool:
        with self._lock:
            if self._inside >= self._width:
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
