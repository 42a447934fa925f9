"""Cutting off a peer that trickles: the time-outs of a socket begin anew with every byte, these do not."""

import os
import socket
import time
from contextlib import suppress
from threading import Lock, Thread
from typing import Any


class Cutter:
    """Shuts sockets down when their time is over; one thread for all of them, as one for each would be too dear."""

    def __init__(self, *, look_every_seconds: float = 1.0) -> None:
        """A socket is cut off up to *look_every_seconds* late."""
        self._look_every_seconds = look_every_seconds
        self.forget()

    def forget(self) -> None:
        """Begin anew, in the child of a fork: there the thread is gone, and the sockets are its parent's."""
        self._lock = Lock()
        self._ends: dict[Any, float] = {}
        self._thread: Thread | None = None

    def watch(self, sock: Any, *, seconds: float) -> None:
        """Cut *sock* (also one with TLS) off after *seconds* in both directions, unless it was left before.

        A thread that reads from it sees its end then, and one that writes a `BrokenPipeError`. Raises `RuntimeError`,
        and watches nothing, if the system has no thread to spare.
        """
        with self._lock:
            if self._thread is None:
                thread = Thread(target=self._look, name="cutter", daemon=True)
                thread.start()
                self._thread = thread
            self._ends[sock] = time.monotonic() + seconds

    def leave(self, sock: Any) -> None:
        """Never cut *sock* off after this, whether it was watched or not."""
        with self._lock:
            self._ends.pop(sock, None)

    def _look(self) -> None:
        while True:
            time.sleep(self._look_every_seconds)
            self._cut_due(time.monotonic())

    def _cut_due(self, now: float) -> None:
        # By itself, so that the thread does not hold the last socket that it cut until it cuts another one.
        with self._lock:
            for sock in [sock for sock, end in self._ends.items() if end <= now]:
                del self._ends[sock]
                _cut(sock)


def _cut(sock: Any) -> None:
    # Not by SSLSocket's own method: it takes the TLS off, and another thread might go on in clear for a moment.
    # urllib3's TLS within TLS wraps the socket that it speaks over.
    with suppress(OSError):
        socket.socket.shutdown(getattr(sock, "socket", sock), socket.SHUT_RDWR)


CUTTER = Cutter()  #: of this process
os.register_at_fork(after_in_child=CUTTER.forget)
