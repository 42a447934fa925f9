"""The real client's connections: without one nothing was taken; one is kept, but not for long."""

import socket
from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

import pytest
from wires import never, nothing, refused_port

from worker.errors import GatewayUnavailable
from worker.gateway import OutgoingSms
from worker.gateway.http import HttpGateway

OpenGateway = Callable[..., HttpGateway]

ONE, TWO = OutgoingSms(1, "998901112233", "one"), OutgoingSms(2, "998904445566", "two")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        pytest.param("http://127.0.0.1:{}/smsgateway", "refused", id="refused"),
        pytest.param("http://gateway.invalid/smsgateway", "DNS", id="unknown host"),
        pytest.param("https://127.0.0.1:{}/smsgateway", "refused", id="refused, TLS"),
        pytest.param("http://user:{}@exa mple/smsgateway", "request cannot be made", id="no such URL"),
    ],
)
def test_without_a_connection_nothing_was_taken(open_gateway: OpenGateway, url: str, kind: str) -> None:
    gateway = open_gateway(url=url.format(refused_port()))

    with pytest.raises(GatewayUnavailable, match=kind):
        gateway.submit([ONE], nickname=None, begin=never)


def test_a_connect_time_out_proves_that_nothing_was_taken(open_gateway: OpenGateway) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as first, socket.socket() as second:
        for waiting in (first, second):  # fill the queue of those who wait to be accepted
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        gateway = open_gateway(url=f"http://127.0.0.1:{full.getsockname()[1]}/smsgateway", connect_timeout_seconds=0.2)

        with pytest.raises(GatewayUnavailable, match="time-out"):
            gateway.submit([ONE], nickname=None, begin=never)


def test_a_free_connection_is_not_waited_for_without_end(open_gateway: OpenGateway, serve: Any, accepting: Any) -> None:
    both, done = Barrier(2, timeout=20), Barrier(2, timeout=20)

    def wait(handler: Any) -> None:
        both.wait()
        done.wait()
        accepting(handler)

    gateway = open_gateway(url=serve(wait).url, connections=1, connect_timeout_seconds=0.2)
    first = Thread(target=gateway.submit, args=([ONE],), kwargs={"nickname": None, "begin": nothing})
    first.start()
    both.wait()

    with pytest.raises(GatewayUnavailable, match="busy"):
        gateway.submit([TWO], nickname=None, begin=never)

    done.wait()
    first.join()


def test_a_connection_is_kept_for_the_next_post(open_gateway: OpenGateway, serve: Any, accepting: Any) -> None:
    server = serve(accepting)
    gateway = open_gateway(url=server.url, monotonic=lambda: 0.0)

    for _ in range(3):
        gateway.submit([ONE], nickname=None, begin=nothing)

    assert (len(server.forms), server.connections) == (3, 1)


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    open_gateway: OpenGateway, serve: Any, accepting: Any
) -> None:
    server = serve(accepting)
    clock = [0.0]
    gateway = open_gateway(url=server.url, monotonic=lambda: clock[0])
    gateway.submit([ONE], nickname=None, begin=nothing)

    clock[0] = 2.5
    gateway.submit([ONE], nickname=None, begin=nothing)

    assert server.connections == 2


def test_a_closed_gateway_opens_a_new_connection(open_gateway: OpenGateway, serve: Any, accepting: Any) -> None:
    server = serve(accepting)
    gateway = open_gateway(url=server.url)
    gateway.submit([ONE], nickname=None, begin=nothing)

    gateway.close()
    gateway.submit([ONE], nickname=None, begin=nothing)

    assert server.connections == 2
