"""Room for a few at once, where whoever finds it full leaves word instead of waiting."""

import time
from collections.abc import Callable
from threading import Condition, Event

LONGEST_SECONDS = 10.0  # a bell's task stays short, so that a worker of any pool can be asked to leave


class Turnstile:
    """At most *width* threads of this process step at the same time; when *stopping* is set, they finish and leave."""

    def __init__(self, width: int, stopping: Event, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.width = width
        self._stopping = stopping
        self._monotonic = monotonic
        self._freed = Condition()
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

    def take_places(self, at_least: int, most: int, *, may: Callable[[int], bool], patience_seconds: float) -> int:
        """Take up to *most* free places, as long as *may* says so of how many are inside with it; return how many.

        Where they are fewer than *at_least*, wait so long for more. Each of them is to be given back.
        """
        with self._freed:
            self._freed.wait_for(lambda: self._free(may) >= at_least or self._stopping.is_set(), patience_seconds)
            taken = 0 if self._stopping.is_set() else min(most, self._free(may))
            self._inside += taken
            return taken

    def give_back(self, places: int = 1, *, may_ring: bool = True) -> bool:
        """Free some of these places; return whether somebody has found it full, and is to be rung for now.

        Unless *may_ring*, that waits for the next one who gives back, as long as there is one.
        """
        with self._freed:
            self._inside -= places
            self._freed.notify_all()
            rings = self._rung and (may_ring or not self._inside)
            self._rung = self._rung and not rings
            return rings

    def leave_word(self) -> bool:
        """Let somebody look again, or be rung for, when a place is free; return False if nobody is inside to do so."""
        with self._freed:
            self._rung = self._inside > 0
            return self._rung

    def _free(self, may: Callable[[int], bool]) -> int:
        inside = self._inside
        while inside < self.width and may(inside + 1):
            inside += 1
        return inside - self._inside

    @property
    def inside(self) -> int:
        """How many are stepping."""
        return self._inside

    def _enter(self) -> bool:
        with self._freed:
            if self._inside >= self.width:
                self._rung = True
                return False
            self._inside += 1
            return True

    def _leave_unless_rung(self) -> bool:
        # One lock for both: a ring between the look and the leaving would be heard by nobody.
        with self._freed:
            if self._rung:
                self._rung = False
                return False
            self._go()
            return True

    def _leave(self) -> None:
        with self._freed:
            self._go()

    def _go(self) -> None:
        self._inside -= 1
        self._freed.notify_all()
