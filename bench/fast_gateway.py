"""A gateway that costs next to nothing: the vendor's protocol for sending and asking, counted, and nothing else.

One process, one epoll loop on plain sockets. It checks the login, answers in the very shapes of the vendor's document,
holds each answer for the latency, and remembers of every message its phone and when it came. It does not keep texts: a
status answer tells a fixed one. Requests come one after the other on a kept connection (no pipelining, no chunks).

    .venv/bin/python bench/fast_gateway.py --port 8910 [--tls-port 8911 --certificate FILE] [--latency-seconds 0.05]

With a certificate (and its key, in one file) it speaks https as well, TLS 1.2 or later, on a port of its own.
On either port, for whoever measures: ``/control/tally``, ``/control/seen`` (see `Taken.packed`), ``/control/reset``,
``/control/latency`` and ``/control/status`` (the body is the new value).
"""

import argparse
import heapq
import itertools
import re
import select
import socket
import ssl
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

LOGIN = PASSWORD = "bench"  # noqa: S105 - its own
MOST_MESSAGES = 100  #: in one request, as the vendor's document says
FIRST_REQUEST_ID, FIRST_MESSAGE_ID = 10_000_000, 55_000_000  #: numbers of eight digits, as in the document
ZONE_SECONDS = 5 * 3600  #: of Asia/Tashkent, ahead of UTC all the year
CHUNK_BYTES = 2**18
HEAD = b"HTTP/1.1 %b\r\nContent-Type: text/html; charset=UTF-8\r\nContent-Length: %d\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ERROR_TEXTS = {
    100: "Login or Password is NULL",
    101: "Incorrect Login or Password",
    200: "Array is not a JSON",
    201: "Array is invalid",
    300: "is NOT a phone number",
    400: "request_id is wrong",
}
REPORT = (
    b'[{"recipient":"%d","text":"bench","user_id":"1","date_received":"%b","date_sent":"%b","date_delivered":"%b",'
    b'"message_id":"%d","request_id":"%d","status":"%b","count_messages":"1","client_ip":"127.0.0.1","description":"OK"}]'
)
is_phone = re.compile(r"998[0-9]{9}").fullmatch


class Refused(Exception):
    """The whole request is refused with the error of this number."""


class Taken:
    """Every message; what came before the last `forget` is not told, but can still be asked about."""

    def __init__(self) -> None:
        self.phones, self.sizes, self.came_at = array("Q"), array("Q"), array("d")
        self.forget()

    def forget(self) -> None:
        self._forgotten, self._forgotten_requests = len(self.phones), len(self.sizes)
        self.questions = self.refused = 0

    def packed(self) -> bytes:
        """Two numbers of 64 bits without sign: how many messages and how many requests there are. Then each
        message's phone, 0 for a refused one; of each request how many messages it held, and when it came (Unix)."""
        phones, since = self.phones[self._forgotten :], self._forgotten_requests
        counts = array("Q", (len(phones), len(self.sizes) - since))
        return b"".join(part.tobytes() for part in (counts, phones, self.sizes[since:], self.came_at[since:]))

    def tally(self) -> bytes:
        """The sums as JSON."""
        requests = len(self.sizes) - self._forgotten_requests
        messages = len(self.phones) - self._forgotten - self.refused
        first, last = (self.came_at[-requests], self.came_at[-1]) if requests else (0.0, 0.0)
        sums = {"requests": requests, "messages": messages, "questions": self.questions}
        return orjson.dumps(sums | {"first_at": first, "last_at": last})


class Vendor:
    """A form in, the answer's body out."""

    def __init__(self, latency_seconds: float = 0.0) -> None:
        self.taken = Taken()
        self.latency_seconds = latency_seconds
        self.status = b"delivered"
        self._second, self._date = 0, b""

    def send(self, body: bytes) -> bytes:
        """Take the messages of a form. Raises `Refused`."""
        now, taken = time.time(), self.taken
        rows = _rows(body)
        if not 1 <= len(rows) <= MOST_MESSAGES or not all(row.get("phone") and row.get("text") for row in rows):
            raise Refused(201)
        answer = [_row(row, at, int(now)) for at, row in enumerate(rows, len(taken.phones))]
        phones = [row["recipient"] if "error" not in row else 0 for row in answer]
        taken.phones.extend(phones)
        taken.refused += phones.count(0)
        taken.sizes.append(len(phones))
        taken.came_at.append(now)
        return orjson.dumps(answer)

    def ask(self, body: bytes) -> bytes:
        """What became of one message; all have had the same luck. Raises `Refused`."""
        self.taken.questions += 1
        rows = _rows(body)
        if len(rows) != 1:
            raise Refused(201)
        asked = str(rows[0].get("request_id", ""))
        at = int(asked) - FIRST_REQUEST_ID if asked.isdigit() else -1
        if not 0 <= at < len(self.taken.phones):
            raise Refused(400)
        ids, date = (FIRST_MESSAGE_ID + at, FIRST_REQUEST_ID + at), self._now()
        return REPORT % (self.taken.phones[at], date, date, date, *ids, self.status)

    def _now(self) -> bytes:
        if self._second != (second := int(time.time())):
            local = time.gmtime(second + ZONE_SECONDS)
            self._second, self._date = second, time.strftime("%Y-%m-%d %H:%M:%S", local).encode()
        return self._date


class Connection:
    """One client: what it has sent of its next request, and what it has not read of its answer."""

    def __init__(self, client: socket.socket) -> None:
        self.socket = client
        self.got = b""
        self.left = b""
        self.told_to_continue = False

    def read(self) -> bytes | None:
        """What has come; None if that is nothing yet, and nothing if it has left."""
        try:
            return self.socket.recv(
                CHUNK_BYTES
            )  # of TLS it shakes hands first: our part of that always fits the buffer
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except OSError:
            return b""


class Server:
    """The loop. An answer goes out when it is due; meanwhile others are served."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor
        self._listening: dict[int, tuple[socket.socket, ssl.SSLContext | None]] = {}
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[float, int, Connection, bytes]] = []
        self._order = itertools.count()
        self._gateway: dict[bytes, Callable[[bytes], bytes]] = {
            b"/smsgateway/": vendor.send,
            b"/smsgateway/status/": vendor.ask,
        }

    def listen(self, port: int, context: ssl.SSLContext | None = None) -> None:
        """On one more port, with a context over TLS."""
        listening = socket.create_server(("127.0.0.1", port), backlog=2048)
        listening.setblocking(False)
        self._epoll.register(listening, select.EPOLLIN)
        self._listening[listening.fileno()] = listening, context

    def serve(self) -> None:
        """Until the process is killed."""
        while True:
            for fd, happened in self._epoll.poll(self._until_due()):
                if at := self._listening.get(fd):
                    self._accept(*at)
                elif connection := self._connections.get(fd):
                    self._go_on(connection, happened)
            while self._due and self._due[0][0] <= time.monotonic():
                _, _, connection, answer = heapq.heappop(self._due)
                self._write(connection, answer)

    def _until_due(self) -> float | None:
        return max(0.0, self._due[0][0] - time.monotonic()) if self._due else None

    def _accept(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        client, _ = listening.accept()
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            try:
                client = context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            except OSError:  # it has left already
                client.close()
                return
        self._connections[client.fileno()] = Connection(client)
        self._epoll.register(client, select.EPOLLIN)

    def _go_on(self, connection: Connection, happened: int) -> None:
        if happened & select.EPOLLOUT:
            self._write(connection, connection.left)
            return
        more = connection.read()
        if not more:
            if more is not None:
                self._leave(connection)
            return
        connection.got += more
        head, found, body = connection.got.partition(b"\r\n\r\n")
        if found:
            self._read(connection, head, body)

    def _read(self, connection: Connection, head: bytes, body: bytes) -> None:
        line, _, fields = head.partition(b"\r\n")
        length = _length(fields)
        if len(body) < length:
            if b"100-continue" in fields and not connection.told_to_continue:
                connection.told_to_continue = True
                self._write(connection, CONTINUE)
            return
        connection.got, connection.told_to_continue = body[length:], False
        path = line.split(b" ", 2)[1]
        if ask := self._gateway.get(path):
            self._hold(connection, _answered(ask, body))
        else:
            self._write(connection, _whole(self._controlled(path, body.decode())))

    def _hold(self, connection: Connection, answer: bytes) -> None:
        if self._vendor.latency_seconds:
            due = time.monotonic() + self._vendor.latency_seconds
            heapq.heappush(self._due, (due, next(self._order), connection, answer))
        else:
            self._write(connection, answer)

    def _controlled(self, path: bytes, value: str) -> bytes | None:
        vendor = self._vendor
        if path == b"/control/seen":
            return vendor.taken.packed()
        if path == b"/control/reset":
            vendor.taken.forget()
        elif path == b"/control/latency":
            vendor.latency_seconds = float(value)
        elif path == b"/control/status":
            vendor.status = value.encode()
        elif path != b"/control/tally":
            return None
        return vendor.taken.tally()

    def _write(self, connection: Connection, answer: bytes) -> None:
        waited = bool(connection.left)
        try:
            connection.left = answer[connection.socket.send(answer) :]
        except (BlockingIOError, ssl.SSLWantWriteError):
            connection.left = answer
        except OSError:  # it left before its answer came, or has left already
            self._leave(connection)
            return
        if waited != bool(connection.left):
            self._epoll.modify(connection.socket, select.EPOLLOUT if connection.left else select.EPOLLIN)

    def _leave(self, connection: Connection) -> None:
        if self._connections.pop(connection.socket.fileno(), None):
            connection.socket.close()  # epoll forgets it by itself


def _length(fields: bytes) -> int:
    found = fields.lower().partition(b"content-length:")[2]
    return int(found.partition(b"\r\n")[0] or 0)


def _answered(ask: Callable[[bytes], bytes], body: bytes) -> bytes:
    try:
        return _whole(ask(body))
    except Refused as refused:
        return _whole(_refusal(refused.args[0]))


def _whole(body: bytes | None) -> bytes:
    """An answer with its head; None is what is not there."""
    return HEAD % (b"404 Not Found" if body is None else b"200 OK", len(body or b"")) + (body or b"")


def _rows(body: bytes) -> Sequence[dict[str, Any]]:
    """The objects of a form's data, once its login is the right one. Raises `Refused`."""
    form = {name: value for name, _, value in (field.partition(b"=") for field in body.split(b"&"))}
    login, password = form.get(b"login"), form.get(b"password")
    if not login or not password:
        raise Refused(100)
    if (login, password) != (LOGIN.encode(), PASSWORD.encode()):
        raise Refused(101)
    try:
        rows = orjson.loads(_unquoted(form.get(b"data", b"")))
    except ValueError:
        raise Refused(200) from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Refused(201)
    return rows


def _unquoted(value: bytes) -> bytes:
    # Python's own escapes are undone in C, for a tenth of the time. A form has no bare backslash, unless it is odd.
    value = value.replace(b"+", b" ")
    if b"\\" in value:
        return unquote_to_bytes(value)
    return value.replace(b"%", b"\\x").decode("unicode_escape").encode("latin-1")


def _row(row: dict[str, Any], at: int, now: int) -> dict[str, Any]:
    phone = str(row["phone"])
    answer = {
        "recipient": int(phone) if is_phone(phone) else phone,
        "text": row["text"],
        "user_id": 1,
        "date_received": now,
        "message_id": FIRST_MESSAGE_ID + at,
        "request_id": FIRST_REQUEST_ID + at,
        "client_ip": "127.0.0.1",
    }
    return answer if type(answer["recipient"]) is int else _error(300) | answer


def _error(error_no: int) -> dict[str, Any]:
    return {"error": 1, "error_text": ERROR_TEXTS[error_no], "error_no": error_no}


def _refusal(error_no: int) -> bytes:
    # The document's sample of 101 is the one that stands in an array, with other names.
    if error_no == 101:  # noqa: PLR2004
        return orjson.dumps([{"error": 1, "text": ERROR_TEXTS[error_no], "error_no": error_no}])
    return orjson.dumps(_error(error_no))


def main() -> None:
    """Serve on a port of 127.0.0.1, or on two, until killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tls-port", type=int)
    parser.add_argument("--certificate", help="PEM, with its private key")
    parser.add_argument("--latency-seconds", type=float, default=0.0)
    options = parser.parse_args()
    server = Server(Vendor(options.latency_seconds))
    server.listen(options.port)
    if options.tls_port:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate)
        server.listen(options.tls_port, context)
    server.serve()


if __name__ == "__main__":
    main()
