"""Writers of one process stand in line for SQLite.

SQLite lets one write at a time. Whoever finds it busy sleeps up to 0.1 s before the next look, and is passed by
meanwhile. Under load one writer in a hundred waits for most of a second; in a line nobody is passed by.
"""

import sqlite3
from collections import deque
from threading import Event, Lock
from typing import Any

LONGEST_SECONDS = 30.0  # as long as SQLite itself waits; after that a writer tries its luck, whoever stands before it


class Line:
    """First come, first served. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: deque[Event] = deque()
        self._taken = False

    def enter(self, *, longest_seconds: float = LONGEST_SECONDS) -> bool:
        """Wait for one's turn; return whether it came, and is to be ended with `leave`."""
        with self._lock:
            if not self._taken:
                self._taken = True
                return True
            turn = Event()
            self._waiting.append(turn)
        try:
            turn.wait(longest_seconds)
        except BaseException:  # a signal, in the main thread: a turn that nobody takes would hold up all behind it
            if self._came(turn):
                self.leave()
            raise
        return self._came(turn)

    def _came(self, turn: Event) -> bool:
        """Whether it is in by now; if not, it waits no longer."""
        with self._lock:
            if not turn.is_set():
                self._waiting.remove(turn)
            return turn.is_set()

    def leave(self) -> None:
        """Let the next one in."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False


class Writer(sqlite3.Connection):
    """A connection that stands in *line* from before a transaction that writes until it has ended."""

    def __init__(self, line: Line, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._line = line
        self._is_in = False

    def stand_in_line(self) -> None:
        """Return when nobody else of this process writes; the transaction is to begin right after."""
        self._is_in = self._line.enter()

    def commit(self) -> None:
        try:
            super().commit()
        finally:
            self._leave_if_over()

    def rollback(self) -> None:
        try:
            super().rollback()
        finally:
            self._leave_if_over()

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._leave()

    def _leave_if_over(self) -> None:
        if not self.in_transaction:  # a commit that failed may be followed by a rollback
            self._leave()

    def _leave(self) -> None:
        if self._is_in:
            self._is_in = False
            self._line.leave()
