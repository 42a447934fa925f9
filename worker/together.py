"""Work that costs nearly the same for many as for one: whoever comes while it is under way waits, and goes together."""

from collections.abc import Callable, Collection, Sequence
from threading import Event, Lock
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 1.0  # then one goes without company: what holds up those before it is not to hold up everybody


class _Ticket(Generic[T]):
    def __init__(self, one: T) -> None:
        self.one = one
        self.called = Event()  # its turn has come, or is over
        self.tried = False
        self.served = False


class Together(Generic[T]):
    """Calls *serve* with all that came while it was busy before, never twice at a time. Safe to use from many threads.

    Nobody waits for company: the first one is served alone, in its own thread, and then one of those behind it serves
    them all.
    """

    def __init__(
        self,
        serve: Callable[[Sequence[T]], Collection[T]],
        *,
        most: int,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """At most *most* go together; *serve* returns those that it did serve."""
        self._serve = serve
        self._most = most
        self._patience_seconds = patience_seconds
        self._lock = Lock()
        self._waiting: list[_Ticket[T]] = []
        self._busy = False

    def __call__(self, one: T) -> bool:
        """Return whether *one* has been served; if not, nobody will, and whoever brought it sees to it.

        What *serve* raises is raised in the thread that served; those that went with it are not served then.
        """
        ticket = _Ticket(one)
        with self._lock:
            self._waiting.append(ticket)
            serves, self._busy = not self._busy, True
        if serves or self._is_called(ticket):
            self._serve_all()
        return ticket.served

    def _is_called(self, ticket: _Ticket[T]) -> bool:
        """Wait until it was tried, or withdraw it where that takes too long; return whether it is to serve instead."""
        try:
            ticket.called.wait(self._patience_seconds)
        except BaseException:
            self._leave(ticket)
            raise
        if ticket.called.is_set() or not self._leave(ticket):
            ticket.called.wait()
            return not ticket.tried
        return False

    def _leave(self, ticket: _Ticket[T]) -> bool:
        """Withdraw it, if it still waits; return whether it did."""
        with self._lock:
            if ticket not in self._waiting:
                return False
            self._waiting.remove(ticket)
            if ticket.called.is_set():  # it was to serve
                self._call_next()
            return True

    def _serve_all(self) -> None:
        with self._lock:
            tried, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        served: Collection[T] = ()
        try:
            served = self._serve([ticket.one for ticket in tried])
        finally:
            with self._lock:
                self._call_next()
            for ticket in tried:
                ticket.served, ticket.tried = ticket.one in served, True
                ticket.called.set()

    def _call_next(self) -> None:
        self._busy = bool(self._waiting)
        if self._waiting:
            self._waiting[0].called.set()
