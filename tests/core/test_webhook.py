"""Callbacks by https: signed, never redirected, never to where nobody from outside may reach."""

import hashlib
import hmac
import json
import logging
import re
import socket
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from builders import NOON, Clock
from wires import Wire, listening, server_context

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
    heard: list[Message] = field(default_factory=list)  #: headers


@pytest.fixture
def shop() -> Iterator[Shop]:
    at = Shop()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            at.paths.append(self.path)
            at.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            at.heard.append(self.headers)
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

    (body,), (headers,) = shop.bodies, shop.heard
    given = dict(part.split("=") for part in headers["X-SMS-Signature"].split(","))
    expected = hmac.new(b"key", given["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert given == {"t": str(int(NOON.timestamp())), "v1": expected}


def test_a_post_says_what_it_is_of_and_who_sends_it(shop: Shop) -> None:
    a_webhook().post(shop.url, EVENT)

    (headers,) = shop.heard
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert headers.get_all("X-SMS-Event-Id") == ["e-1"]
    assert headers.get_all("Content-Type") == ["application/json"]
    assert re.fullmatch(rf"{project['name']}/\d+\.\d+\.\d+", headers["User-Agent"])


def test_a_repeat_has_the_same_body_and_a_timestamp_of_its_own(shop: Shop) -> None:
    clock = Clock()
    webhook = Webhook("key", private_addresses=True, now=clock)

    webhook.post(shop.url, EVENT)
    clock.advance(minutes=1)
    webhook.post(shop.url, EVENT)

    first, second = (headers["X-SMS-Signature"].partition(",")[0] for headers in shop.heard)
    assert shop.bodies[0] == shop.bodies[1]
    assert (first, second) == (f"t={NOON.timestamp():.0f}", f"t={clock().timestamp():.0f}")


def test_neither_address_nor_password_nor_phone_is_logged(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.status = 500
    caplog.set_level(logging.INFO)  # as in production: urllib3 tells of paths when it is told to debug
    url = shop.url.replace("//", "//user:hidden@") + "?token=hidden"

    with pytest.raises(CallbackFailed) as failed:
        a_webhook().post(url, EVENT | {"phone": "998901234567"})

    assert shop.heard[0]["Authorization"].startswith("Basic ")
    assert not any(word in caplog.text + str(failed.value) for word in ("hidden", "/sms", "901234567"))


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
    with pytest.raises(CallbackFailed, match="ConnectionError") as failed:
        a_webhook().post(f"http://127.0.0.1:{free_port()}/", EVENT)

    assert failed.value.away


@pytest.mark.parametrize(
    ("status", "away", "for_good"),
    [
        *(pytest.param(status, True, False, id=f"{status}") for status in (429, 500, 502, 503, 504)),
        *(pytest.param(status, False, False, id=f"{status}") for status in (301, 400, 401, 403, 404, 409, 422)),
        pytest.param(410, False, True, id="410"),
    ],
)
def test_an_answer_says_who_is_at_fault(shop: Shop, status: int, *, away: bool, for_good: bool) -> None:
    shop.status = status

    with pytest.raises(CallbackFailed) as failed:
        a_webhook().post(shop.url, EVENT)

    assert (failed.value.away, failed.value.for_good) == (away, for_good)


@pytest.mark.parametrize(
    ("status", "written", "asked"),
    [
        pytest.param(429, "120", timedelta(minutes=2), id="seconds"),
        pytest.param(503, "Mon, 30 Nov 2026 12:00:30 GMT", timedelta(seconds=30), id="a date"),
        pytest.param(503, "9" * 5_000, timedelta(seconds=999_999_999), id="without end"),
        pytest.param(503, "soon", None, id="in words"),
        pytest.param(503, "-1", None, id="in the past"),
        pytest.param(500, "120", None, id="of another status"),
    ],
)
def test_a_receiver_may_ask_for_a_rest(shop: Shop, status: int, written: str, asked: timedelta | None) -> None:
    shop.status, shop.headers = status, {"Retry-After": written}

    with pytest.raises(CallbackFailed) as failed:
        a_webhook().post(shop.url, EVENT)

    assert failed.value.retry_after == asked


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
    pytest.param("https://[::ffff:0:7f00:1]/", "private address", id="loopback translated to IPv6"),
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


def test_a_name_with_more_addresses_than_we_have_patience_for_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"93.184.216.{last}", 443)) for last in range(11)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    with pytest.raises(CallbackFailed, match="too many addresses"):
        a_webhook(inside=False).post("https://shop.example/sms", EVENT)


SELF_SIGNED = Path(__file__).parents[1] / "gateway" / "self_signed.pem"


def test_a_receiver_that_nobody_vouches_for_is_told_nothing() -> None:
    wire = Wire(context=server_context(SELF_SIGNED))

    with listening(wire), pytest.raises(CallbackFailed, match="SSLError"):
        a_webhook().post(f"https://127.0.0.1:{wire.port}/sms", EVENT)

    assert not any(heard.said for heard in wire.connections)


def test_an_authority_of_the_house_s_own_may_vouch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(SELF_SIGNED))
    wire = Wire(context=server_context(SELF_SIGNED))

    with listening(wire):
        a_webhook().post(f"https://127.0.0.1:{wire.port}/sms", EVENT)

    assert b"X-SMS-Event-Id: e-1" in wire.connections[0].said
