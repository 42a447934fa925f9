"""Whatever bytes come over the wire, a post that has begun is accepted, refused by an answer, or unconfirmed."""

import socket
import threading
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from anything import JSON, fewer, written
from builders import a_phone
from hypothesis import example, given
from hypothesis import strategies as some

from worker.errors import AccountRefused, GatewayError, GatewayUnavailable, ReportsUnavailable, SubmissionUnconfirmed
from worker.gateway import OutgoingSms
from worker.gateway.http import HttpGateway
from worker.gateway.replies import NEVER_TAKEN

SMS = OutgoingSms(1, a_phone(1), "Your code is 4821")
ACCEPTED = written([{"recipient": int(SMS.phone), "request_id": 5, "message_id": 6, "text": SMS.text}])
DELIVERED = written([{"recipient": SMS.phone, "message_id": "6", "status": "delivered"}])
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(ACCEPTED), ACCEPTED)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(ACCEPTED), ACCEPTED)
ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n" + ACCEPTED
SAFE_SECONDS = 20

HEADS = some.sampled_from(
    [
        b"Content-Length: 5",
        b"Content-Length: -1",
        b"Content-Length: 99999999999",
        b"Content-Length: many",
        b"Transfer-Encoding: chunked",
        b"Content-Encoding: gzip",
        b"Content-Encoding: br",
        b"Location: http://127.0.0.1:1/",
        b"Set-Cookie: \xff=\xfe",
        b"Connection: close",
        b": nothing",
        b"\xd1\x82",
    ]
)
LINES = some.builds(
    lambda version, status, words: b"%s %s %s" % (version, status, words),
    some.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2", b"HTTP/9", b"ICY"]),
    some.sampled_from([b"200", b"100", b"101", b"204", b"302", b"403", b"404", b"429", b"502", b"99", b"1000", b"OK"]),
    some.binary(max_size=5),
)
ANSWERS = some.one_of(
    some.binary(max_size=60),
    some.builds(
        lambda line, heads, body: b"\r\n".join([line, *heads, b"", body]),
        LINES,
        some.lists(HEADS, max_size=3),
        some.sampled_from([b"", ACCEPTED, DELIVERED]) | JSON.map(written) | some.binary(max_size=40),
    ),
    some.builds(lambda whole, cut: whole[:cut], some.sampled_from([WHOLE, CHUNKED]), some.integers(0, len(WHOLE))),
)


# What urllib3 leaves of a connection that broke within the head of an answer is closed when it is collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class RawServer:
    """Reads a whole request, writes the bytes it was given last, and hangs up."""

    def __init__(self) -> None:
        self.answer = b""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/smsgateway"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as reading:
                heads = dict(line.lower().split(b":", 1) for line in iter(reading.readline, b"\r\n") if b":" in line)
                reading.read(int(heads.get(b"content-length", 0)))
                connection.sendall(self.answer)


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def gateway(server: RawServer) -> Iterator[HttpGateway]:
    gateway = HttpGateway(
        url=server.url,
        login="shop",
        password="a secret",
        zone=ZoneInfo("Asia/Tashkent"),
        connect_timeout_seconds=SAFE_SECONDS,
        read_timeout_seconds=SAFE_SECONDS,
        connections=1,
    )
    yield gateway
    gateway.close()


@fewer(by=4)
@given(answer=ANSWERS)
@example(WHOLE)
@example(CHUNKED)
@example(ENDLESS)
@example(WHOLE[:-1])
@example(CHUNKED[:-1])
def test_a_post_that_was_begun_is_accepted_only_by_a_whole_answer(
    server: RawServer, gateway: HttpGateway, answer: bytes
) -> None:
    server.answer = answer
    begun: list[bool] = []

    outcome = outcome_of(lambda: gateway.submit([SMS], nickname=None, begin=lambda: begun.append(True)))

    assert begun == [True]
    if outcome is None:
        assert ACCEPTED in answer
        assert b" 200 " in answer.splitlines()[0]
    elif isinstance(outcome, GatewayUnavailable):
        assert outcome.http_status in NEVER_TAKEN
        assert b" %d " % outcome.http_status in answer.splitlines()[0]
    elif isinstance(outcome, AccountRefused):
        assert b" 403 " in answer.splitlines()[0]
    else:
        assert isinstance(outcome, SubmissionUnconfirmed)


@fewer(by=4)
@given(answer=ANSWERS)
def test_a_question_gets_reports_or_an_error_that_says_nothing_about_messages(
    server: RawServer, gateway: HttpGateway, answer: bytes
) -> None:
    server.answer = answer

    outcome = outcome_of(lambda: gateway.reports("5"))

    assert isinstance(outcome, ReportsUnavailable | AccountRefused | None)
    assert outcome or DELIVERED in answer


def outcome_of(call: Any) -> GatewayError | None:
    """What *call* raises; anything but a `GatewayError` comes through."""
    try:
        call()
    except GatewayError as error:
        return error
    return None
