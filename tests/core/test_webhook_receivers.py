"""Receivers that are not what they seem: they never come to an end, or stand elsewhere than their name said."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pytest
from builders import NOON
from servers import wait_for

from worker import webhook
from worker.errors import CallbackFailed
from worker.webhook import Webhook

EVENT = {"event_id": "e-1", "uid": "u-1", "state": "delivered"}
BETWEEN_BYTES_SECONDS = 0.02
MOST_BYTES = 500
OUTSIDE = "93.184.216.34"


@dataclass
class Receiver:
    """A server on a bare socket: what it says first, and what it heard. After that it trickles for ten seconds."""

    says: bytes = b""
    port: int = 0
    visits: int = 0
    heard: bytes = b""
    cut_off: Event = field(default_factory=Event)
    stopping: Event = field(default_factory=Event)

    def serve(self, listener: socket.socket) -> None:
        while not self.stopping.is_set():
            try:
                visitor, _ = listener.accept()
            except TimeoutError:
                continue
            self.visits += 1
            with visitor:
                self._trickle(visitor)

    def _trickle(self, visitor: socket.socket) -> None:
        visitor.settimeout(10)
        try:
            self.heard += visitor.recv(65_536)
            visitor.sendall(self.says)
            for _ in range(MOST_BYTES if self.heard else 0):
                if self.stopping.wait(BETWEEN_BYTES_SECONDS):
                    return
                visitor.sendall(b"x")
        except OSError:
            self.cut_off.set()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    at = Receiver()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        at.port = listener.getsockname()[1]
        thread = threading.Thread(target=at.serve, args=(listener,))
        thread.start()
        yield at
        at.stopping.set()
        thread.join()


def a_webhook(*, inside: bool) -> Webhook:
    return Webhook("key", private_addresses=inside, now=lambda: NOON)


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(b"", id="its first word"),
        pytest.param(b"HTTP/1.1 2", id="its status"),
        pytest.param(b"HTTP/1.1 503 Busy\r\nX-Slow: ", id="one header"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2", id="behind a 100"),
    ],
)
def test_a_receiver_that_trickles_is_cut_off_and_told_later(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, says: bytes
) -> None:
    receiver.says = says
    monkeypatch.setattr(webhook, "LONGEST_SECONDS", 0.2)

    with pytest.raises(CallbackFailed):
        a_webhook(inside=True).post(f"http://127.0.0.1:{receiver.port}/", EVENT)

    assert receiver.cut_off.wait(5)
    assert receiver.visits == 1


def test_a_receiver_that_trickles_behind_its_200_is_cut_off_and_was_told(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.says = b"HTTP/1.1 200 OK\r\nX-Slow: "
    monkeypatch.setattr(webhook, "LONGEST_SECONDS", 0.2)

    a_webhook(inside=True).post(f"http://127.0.0.1:{receiver.port}/", EVENT)

    assert receiver.cut_off.wait(5)
    assert receiver.visits == 1


def test_the_body_of_a_receiver_that_never_ends_is_not_waited_for(receiver: Receiver) -> None:
    receiver.says = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"

    a_webhook(inside=True).post(f"http://127.0.0.1:{receiver.port}/", EVENT)

    assert receiver.cut_off.wait(5)


class ChangingName:
    """A name server: the first answer leads outside, every further one to this machine."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, _host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        self.asked += 1
        address = OUTSIDE if self.asked == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]


def test_a_name_that_leads_inside_only_when_it_is_connected_to_is_told_nothing(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the names are made up here: whoever owns a name may change its address between two questions."""
    names = ChangingName()
    monkeypatch.setattr(socket, "getaddrinfo", names)

    with pytest.raises(CallbackFailed, match="private address"):
        a_webhook(inside=False).post(f"https://shop.example:{receiver.port}/sms", EVENT)

    wait_for(lambda: receiver.visits)
    assert names.asked == 2, "it looked outside at first"
    assert receiver.heard == b"", "not even the greeting of TLS"
