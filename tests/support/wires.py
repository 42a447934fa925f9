"""Servers on bare sockets, which show what really came over each connection, and what posts call before they write."""

import operator
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from worker.gateway import Questions

END_OF_HEAD = b"\r\n\r\n"
PATIENCE_SECONDS = 20
BETWEEN_BYTES_SECONDS = 0.02

ROWS = b'[{"recipient":998901112233,"request_id":7,"message_id":1}]'
TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ROWS), ROWS)


def nothing() -> None:
    """Let the post begin."""


def never() -> None:
    """Fail: without a connection no post begins."""
    pytest.fail("it began")


def refused_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def heard_of(questions: Questions, *request_ids: str) -> dict[str, Any]:
    """Ask them all at once; what came of each."""
    for request_id in request_ids:
        questions.ask(request_id)
    heard: dict[str, Any] = {}
    while len(heard) < len(request_ids):
        heard |= {one.request_id: one.answer for one in questions.heard(wait_seconds=20)}
    return heard


@dataclass
class Heard:
    """One connection, seen from the server: it stands, TLS included, when it is in `Wire.connections`."""

    sock: socket.socket
    said: bytes = b""  #: by the client, behind TLS
    ended: Event = field(default_factory=Event)  #: nothing more can come

    def hang_up(self) -> None:
        """Close the connection, as a server does with one that was idle for long."""
        socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


Answer = Callable[[Heard], None]


def take(heard: Heard) -> None:
    """Answer that one message was taken, and keep the connection."""
    heard.sock.sendall(TAKEN)


def take_and_leave(heard: Heard) -> None:
    """Answer that one message was taken, and close the connection without a word."""
    take(heard)
    heard.hang_up()


def trickling(first: bytes) -> Answer:
    """Say *first* and then one byte after the other, until the client has enough."""

    def trickle(heard: Heard) -> None:
        heard.sock.sendall(first)
        while not heard.ended.wait(BETWEEN_BYTES_SECONDS):
            heard.sock.sendall(b"x")

    return trickle


@dataclass
class Wire:
    """A server: *answer* is called for each request of each connection."""

    answer: Answer = take
    context: ssl.SSLContext | None = None
    connections: list[Heard] = field(default_factory=list)
    port: int = 0

    def serve(self, sock: socket.socket) -> None:
        """Hear one connection to its end."""
        secure = self.context.wrap_socket(sock, server_side=True) if self.context else sock
        heard = Heard(secure)
        self.connections.append(heard)
        try:
            while said := secure.recv(65_536):
                heard.said += said
                if _is_whole(heard.said):
                    self.answer(heard)
        finally:
            heard.ended.set()
            secure.close()


@dataclass
class Tunnel:
    """A proxy that lets everything through to *port* of this machine, after its *answer* to CONNECT."""

    behind: int
    context: ssl.SSLContext | None = None
    answer: bytes = b"HTTP/1.1 200 Connection established" + END_OF_HEAD
    ended: Event = field(default_factory=Event)  #: a connection is over
    port: int = 0

    def serve(self, sock: socket.socket) -> None:
        """Read CONNECT, answer and pass all on."""
        near = self.context.wrap_socket(sock, server_side=True) if self.context else sock
        with near, socket.create_connection(("127.0.0.1", self.behind)) as far:
            near.recv(65_536)
            near.sendall(self.answer)
            while _pass_on(near, far):
                pass
        self.ended.set()


@dataclass
class Pooler:
    """Stands before a PostgreSQL as PgBouncer does: while it is *down*, one may log in, but ask nothing."""

    behind: tuple[str, int]
    down: bool = False
    port: int = 0

    def serve(self, sock: socket.socket) -> None:
        """Pass all on to the first question that comes while the database is down."""
        with sock, socket.create_connection(self.behind) as far:
            while _pass_on(sock, far, unless=self._is_refused):
                pass

    def _is_refused(self, said: bytes) -> bool:
        return self.down and said.startswith((b"Q", b"P"))  # Query, Parse; what belongs to the log-in has other letters


def _pass_on(near: socket.socket, far: socket.socket, *, unless: Callable[[bytes], bool] = operator.not_) -> bool:
    ready, _, _ = select.select([near, far], [], [], PATIENCE_SECONDS)
    for sock in ready:
        said = sock.recv(65_536)  # more than a record of TLS holds, so nothing is left within it
        if not said or (sock is near and unless(said)):
            return False
        (far if sock is near else near).sendall(said)
    return bool(ready)


def _is_whole(said: bytes) -> bool:
    head, end, body = said.rpartition(END_OF_HEAD)
    _, has_body, length = head.lower().rpartition(b"content-length:")
    return bool(end) and len(body) == (int(length.partition(b"\r\n")[0]) if has_body else 0)


@contextmanager
def listening(server: Wire | Tunnel | Pooler) -> Iterator[None]:
    """Accept connections for *server*, each in a thread of its own."""

    def serve(sock: socket.socket) -> None:
        sock.settimeout(PATIENCE_SECONDS)
        with suppress(OSError):  # the client may leave as it likes
            server.serve(sock)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                Thread(target=serve, args=(sock,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]
        accepting = Thread(target=accept, args=(listener,))
        accepting.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes the one who accepts
            accepting.join()


def server_context(certificate: Path) -> ssl.SSLContext:
    """TLS for a server that shows *certificate*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
