"""Callbacks by https: signed, never redirected, never to where nobody from outside may reach."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from builders import NOON

from worker.embedded.processes import free_port
from worker.errors import CallbackFailed
from worker.webhook import Webhook

EVENT = {"event_id": "e-1", "uid": "u-1", "state": "delivered", "reason": "етказилди"}


@dataclass
class Shop:
    """A producer's own server: how it answers, and what it was sent."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)


@pytest.fixture
def shop() -> Iterator[Shop]:
    at = Shop()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            at.paths.append(self.path)
            at.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            at.signatures.append(self.headers["X-SMS-Signature"])
            self.send_response(at.status)
            for name, value in at.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        at.url = f"http://127.0.0.1:{server.server_port}/sms"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield at
        server.shutdown()
        thread.join()


def a_webhook(*, inside: bool = True) -> Webhook:
    return Webhook("key", private_addresses=inside, now=lambda: NOON)


def test_an_event_is_posted_as_json(shop: Shop) -> None:
    a_webhook().post(shop.url, EVENT)

    assert [json.loads(body) for body in shop.bodies] == [EVENT]


def test_the_receiver_can_verify_the_signature(shop: Shop) -> None:
    a_webhook().post(shop.url, EVENT)

    (body,), (header,) = shop.bodies, shop.signatures
    given = dict(part.split("=") for part in header.split(","))
    expected = hmac.new(b"key", given["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert given == {"t": str(int(NOON.timestamp())), "v1": expected}


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_told(shop: Shop, status: int) -> None:
    shop.status = status

    a_webhook().post(shop.url, EVENT)

    assert len(shop.bodies) == 1


@pytest.mark.parametrize("status", [300, 302, 304, 400, 404, 410, 429, 500, 503])
def test_anything_else_is_not_told(shop: Shop, status: int) -> None:
    shop.status = status

    with pytest.raises(CallbackFailed, match=f"http {status}"):
        a_webhook().post(shop.url, EVENT)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(shop: Shop, status: int) -> None:
    shop.status, shop.headers = status, {"Location": "/elsewhere"}

    with pytest.raises(CallbackFailed, match=f"http {status}"):
        a_webhook().post(shop.url, EVENT)

    assert shop.paths == ["/sms"]


def test_a_receiver_that_is_away_is_told_later() -> None:
    with pytest.raises(CallbackFailed, match="ConnectionError"):
        a_webhook().post(f"http://127.0.0.1:{free_port()}/", EVENT)


INSIDE: list[Any] = [
    pytest.param("https://127.0.0.1/", "private address", id="loopback"),
    pytest.param("https://[::1]/", "private address", id="loopback of IPv6"),
    pytest.param("https://[::ffff:10.0.0.1]/", "private address", id="private in IPv6's clothes"),
    pytest.param("https://10.1.2.3/", "private address", id="private"),
    pytest.param("https://169.254.169.254/latest/", "private address", id="link-local"),
    pytest.param("https://0.0.0.0/", "private address", id="nowhere"),
    pytest.param("https://[64:ff9b::a00:1]/", "private address", id="private behind NAT64"),
    pytest.param("https://[64:ff9b:1::a00:1]/", "private address", id="private behind NAT64 of one's own"),
    pytest.param("https://[2002:7f00:1::]/", "private address", id="loopback behind 6to4"),
    pytest.param("https://[2002:a00:1::1]/", "private address", id="private behind 6to4"),
    pytest.param("https://[fec0::1]/", "private address", id="site-local"),
    pytest.param("https://[::7f00:1]/", "private address", id="loopback as IPv4 in IPv6"),
    pytest.param("https://224.0.0.1/", "private address", id="everybody"),
    pytest.param("http://8.8.8.8/", "only https", id="in clear"),
    pytest.param("https://nobody.invalid/", "host not found", id="no such host"),
    pytest.param(f"https://{'a' * 64}.example/", "host not found", id="a label too long"),
]


@pytest.mark.parametrize(("url", "reason"), INSIDE)
def test_nobody_reaches_behind_our_wall(url: str, reason: str) -> None:
    with pytest.raises(CallbackFailed, match=reason):
        a_webhook(inside=False).post(url, EVENT)


def test_a_private_receiver_is_not_even_connected_to(shop: Shop) -> None:
    with pytest.raises(CallbackFailed):
        a_webhook(inside=False).post(shop.url.replace("http:", "https:"), EVENT)

    assert shop.paths == []
