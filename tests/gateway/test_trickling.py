"""A gateway that trickles: every byte comes in time, and the answer never ends. It is cut off all the same."""

import gc
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from wires import Answer, Tunnel, Wire, listening, never, nothing, server_context, take, trickling

from worker.cutter import Cutter
from worker.errors import GatewayUnavailable, ReportsUnavailable, SubmissionUnconfirmed
from worker.gateway import OutgoingSms, connections

SELF_SIGNED = Path(__file__).parent / "self_signed.pem"
SMS = OutgoingSms(1, "998901112233", "one")
QUICKLY = Cutter(look_every_seconds=0.02)

WHERE = [
    pytest.param(b"", id="at its first word"),
    pytest.param(b"HTTP/1.1 2", id="in its status"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2", id="behind a 100"),
    pytest.param(b"HTTP/1.1 200 OK\r\nX-Slow: ", id="in a header"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n[", id="in its body"),
    pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[", id="in a body without a length"),
    pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n[", id="in a chunk"),
]


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CUTTER", QUICKLY)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(SELF_SIGNED))


@pytest.fixture(params=["http", "https"])
def serve_wire(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Run a server whose requests are answered by a function."""
    with ExitStack() as closing:

        def served(answer: Answer) -> tuple[Wire, str]:
            wire = Wire(answer, server_context(SELF_SIGNED) if request.param == "https" else None)
            closing.enter_context(listening(wire))
            return wire, f"{request.param}://127.0.0.1:{wire.port}"

        yield served


@pytest.mark.parametrize("first", WHERE)
def test_a_post_whose_answer_trickles_is_cut_off_and_unconfirmed(
    serve_wire: Any, open_gateway: Any, first: bytes
) -> None:
    wire, url = serve_wire(trickling(first))

    with pytest.raises(SubmissionUnconfirmed):
        open_gateway(url=url, read_timeout_seconds=0.15).submit([SMS], nickname=None, begin=nothing)

    (heard,) = wire.connections
    assert heard.ended.wait(20)
    assert heard.said.count(b"POST ") == 1


def test_a_question_whose_answer_trickles_is_cut_off(serve_wire: Any, open_gateway: Any) -> None:
    wire, url = serve_wire(trickling(b"HTTP/1.1 200 OK\r\nX-Slow: "))

    with pytest.raises(ReportsUnavailable):
        open_gateway(url=url, read_timeout_seconds=0.15).reports("1")

    assert wire.connections[0].ended.wait(20)


def test_the_time_begins_with_the_first_byte_and_ends_with_the_answer(serve_wire: Any, open_gateway: Any) -> None:
    """The first request's time is over before the second one's first byte; so would be the second one's own."""
    wire, url = serve_wire(take)
    gateway = open_gateway(url=url, read_timeout_seconds=0.3, monotonic=lambda: 0.0)
    gateway.submit([SMS], nickname=None, begin=nothing)

    acceptance = gateway.submit([SMS], nickname=None, begin=lambda: until_another_is_cut_off(seconds=0.6))

    assert len(acceptance.accepted) == len(wire.connections) == 1


def until_another_is_cut_off(*, seconds: float) -> None:
    another, peer = socket.socketpair()
    another.settimeout(20)
    with another, peer:
        QUICKLY.watch(another, seconds=seconds)
        assert another.recv(1) == b""


def test_a_gateway_behind_two_layers_of_tls_is_cut_off_too(open_gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    context = server_context(SELF_SIGNED)
    wire = Wire(trickling(b"HTTP/1.1 200 OK\r\nX-Slow: "), context)
    with listening(wire), listening(tunnel := Tunnel(0, context)):
        tunnel.behind = wire.port
        monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{tunnel.port}")
        gateway = open_gateway(url="https://gateway.invalid", read_timeout_seconds=0.15)

        with pytest.raises(SubmissionUnconfirmed):
            gateway.submit([SMS], nickname=None, begin=nothing)

        assert wire.connections[0].ended.wait(20)
    with warnings.catch_warnings():  # urllib3's TLS within TLS may leave the outer socket to the collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_a_proxy_that_trickles_opens_no_tunnel(open_gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Wire(trickling(b"HTTP/1.1 200 Connection established\r\nX-Slow: "))
    with listening(proxy):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        gateway = open_gateway(url="https://gateway.invalid", connect_timeout_seconds=0.2)

        with pytest.raises(GatewayUnavailable):
            gateway.submit([SMS], nickname=None, begin=never)

        assert proxy.connections[0].ended.wait(20)
