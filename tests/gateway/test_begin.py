"""A post begins once its connection stands and before its first byte, whichever way it goes; or nothing is written."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import urllib3
from servers import wait_for
from wires import Answer, Tunnel, Wire, listening, nothing, server_context, take, take_and_leave

from worker.cutter import CUTTER
from worker.errors import AccountRefused, GatewayError, GatewayUnavailable, NeverPosted
from worker.gateway import OutgoingSms
from worker.gateway.http import HttpGateway

OpenGateway = Callable[..., HttpGateway]

SELF_SIGNED = Path(__file__).parent / "self_signed.pem"
SMS = OutgoingSms(1, "998901112233", "one")
LARGER_THAN_ANY_MEMORY = 2**47


@dataclass
class Way:
    """A gateway, and the server at the end of the way to it."""

    gateway: HttpGateway
    wire: Wire
    tunnel: Tunnel | None = None

    def post(self, begin: Callable[[], None]) -> None:
        self.gateway.submit([SMS], nickname=None, begin=begin)

    def wait_for_end(self) -> None:
        """Until the first connection is closed at this side, too."""
        assert self.wire.connections[0].ended.wait(20)
        assert self.tunnel is None or self.tunnel.ended.wait(20)


OpenWay = Callable[..., Way]


@pytest.fixture(params=["http", "https", "through a proxy", "through a tunnel", "through a tunnel of TLS"])
def open_way(
    request: pytest.FixtureRequest, open_gateway: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenWay]:
    """Open one way to a server whose answers are *answer*'s; its connections are never too old."""
    context = server_context(SELF_SIGNED)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(SELF_SIGNED))
    with ExitStack() as closing:

        def opened(answer: Answer = take) -> Way:
            tunnel = None
            wire = Wire(answer, None if request.param in {"http", "through a proxy"} else context)
            closing.enter_context(listening(wire))
            url = f"{'https' if wire.context else 'http'}://127.0.0.1:{wire.port}"
            if "proxy" in request.param:
                monkeypatch.setenv("HTTP_PROXY", url)
                url = "http://gateway.invalid"
            if "tunnel" in request.param:
                tunnel = Tunnel(wire.port, context if "TLS" in request.param else None)
                closing.enter_context(listening(tunnel))
                monkeypatch.setenv("HTTPS_PROXY", f"http{'s' if tunnel.context else ''}://127.0.0.1:{tunnel.port}")
                url = "https://gateway.invalid"
            return Way(open_gateway(url=url, monotonic=lambda: 0.0), wire, tunnel)

        yield opened


class Begin:
    """Notes for each call what the server had heard by then, connection by connection."""

    def __init__(self, wire: Wire, error: Exception | None = None, *, connections: int = 1) -> None:
        self.seen: list[list[bytes]] = []
        self._wire = wire
        self._error = error
        self._connections = connections

    def __call__(self) -> None:
        wait_for(lambda: len(self._wire.connections) == self._connections)
        self.seen.append([heard.said for heard in self._wire.connections])
        if self._error:
            raise self._error


def test_it_begins_when_the_connection_stands_and_nothing_was_said(open_way: OpenWay) -> None:
    way = open_way()
    begin = Begin(way.wire)

    way.post(begin)

    assert begin.seen == [[b""]]
    assert way.wire.connections[0].said.count(b"POST ") == 1


def test_it_begins_anew_over_a_kept_connection(open_way: OpenWay) -> None:
    way = open_way()
    way.post(nothing)
    (kept,) = way.wire.connections
    first, begin = kept.said, Begin(way.wire)

    way.post(begin)

    assert begin.seen == [[first]]
    assert [heard.said for heard in way.wire.connections] == [first * 2]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RuntimeError("no"), id="of no library"),
        pytest.param(ConnectionResetError("no"), id="of a socket"),
        pytest.param(BrokenPipeError("no"), id="that urllib3 swallows"),
        pytest.param(TimeoutError("no"), id="of a time-out"),
        pytest.param(urllib3.exceptions.ProtocolError("no"), id="of urllib3"),
        pytest.param(requests.ConnectionError("no"), id="of requests"),
    ],
)
def test_a_post_that_cannot_begin_is_never_written(open_way: OpenWay, error: Exception) -> None:
    way = open_way()
    begin = Begin(way.wire, error)

    with pytest.raises(NeverPosted) as raised:
        way.post(begin)

    (heard,) = way.wire.connections
    assert raised.value.__cause__ is error
    assert heard.ended.wait(20)
    assert (heard.said, len(begin.seen)) == (b"", 1)


@pytest.mark.parametrize("error", [NeverPosted("too late"), AccountRefused("paused")], ids=["too late", "refused"])
def test_a_refusal_to_begin_comes_through_as_it_is(open_way: OpenWay, error: GatewayError) -> None:
    way = open_way()

    with pytest.raises(GatewayError) as raised:
        way.post(Begin(way.wire, error))

    (heard,) = way.wire.connections
    assert raised.value is error
    assert heard.ended.wait(20)
    assert heard.said == b""


def test_over_a_kept_connection_nothing_is_written_either(open_way: OpenWay) -> None:
    way = open_way()
    way.post(nothing)
    (kept,) = way.wire.connections
    first, begin = kept.said, Begin(way.wire, TimeoutError())

    with pytest.raises(NeverPosted):
        way.post(begin)

    assert kept.ended.wait(20)
    assert (kept.said, len(begin.seen)) == (first, 1)


def test_after_a_post_that_could_not_begin_the_next_one_goes_well(open_way: OpenWay) -> None:
    way = open_way()
    with pytest.raises(NeverPosted):
        way.post(Begin(way.wire, TimeoutError()))

    way.post(nothing)

    assert [heard.said.count(b"POST ") for heard in way.wire.connections] == [0, 1]


def test_a_connection_that_was_closed_meanwhile_is_left_before_the_post_begins(open_way: OpenWay) -> None:
    way = open_way(take_and_leave)
    way.post(nothing)
    (closed,) = way.wire.connections
    way.wait_for_end()
    first, begin = closed.said, Begin(way.wire, connections=2)

    way.post(begin)

    assert begin.seen == [[first, b""]]
    assert [heard.said for heard in way.wire.connections] == [first, first]


def test_a_connection_that_is_closed_while_the_post_begins_is_not_written_to(open_way: OpenWay) -> None:
    way = open_way()
    way.post(nothing)
    (kept,) = way.wire.connections
    first = kept.said

    def begin_slowly() -> None:
        kept.hang_up()
        way.wait_for_end()

    with pytest.raises(GatewayUnavailable, match="closed before the first byte"):
        way.post(begin_slowly)

    assert [heard.said for heard in way.wire.connections] == [first]


@pytest.fixture
def no_threads() -> Iterator[Callable[[], None]]:
    """From its call on the system has no thread to spare for this process."""

    def from_now_on() -> None:
        CUTTER.forget()  # it needs a new one
        threading.stack_size(LARGER_THAN_ANY_MEMORY)

    yield from_now_on
    threading.stack_size(0)


def test_a_post_that_nobody_could_cut_off_is_never_written(open_way: OpenWay, no_threads: Callable[[], None]) -> None:
    way = open_way()
    begin = Begin(way.wire)

    def begin_without_threads() -> None:
        begin()
        no_threads()

    with pytest.raises(GatewayUnavailable, match="no connection to the gateway: RuntimeError"):
        way.post(begin_without_threads)

    (heard,) = way.wire.connections
    assert heard.ended.wait(20)
    assert (heard.said, len(begin.seen)) == (b"", 1)
