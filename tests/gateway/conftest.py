"""A sandbox for all tests of the gateway, real clients of it, and small servers that misbehave on purpose."""

import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest

from worker.gateway.http import HttpGateway
from worker.sandbox.config import SandboxConfig
from worker.sandbox.running import RunningSandbox, running_sandbox

SELF_SIGNED = Path(__file__).parent / "self_signed.pem"  # its key is in the file: it proves nothing to anybody
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle")

OpenGateway = Callable[..., HttpGateway]


@dataclass
class SandboxOfTest:
    """The shared sandbox as one test sees it: nothing is on, and nothing was taken before."""

    running: RunningSandbox
    before: int

    @property
    def control(self) -> Any:
        return self.running.control

    def taken(self) -> list[dict[str, Any]]:
        return self.running.control.journal()[self.before :]


@dataclass
class Served:
    """A server of one test: what it was asked, and over how many connections."""

    url: str
    forms: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    connections: int = 0


Serve = Callable[..., Served]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def running() -> Iterator[RunningSandbox]:
    config = SandboxConfig(port=0, control_port=0, nicknames=("SHOP",), delivery_seconds=(0, 0))
    with running_sandbox(config) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: RunningSandbox) -> Iterator[SandboxOfTest]:
    yield SandboxOfTest(running, before=len(running.control.journal()))
    running.control.clear_faults()
    running.control.change(delivery_seconds=(0, 0), request_ids="per-message", batch_limit=100, latency_seconds=0)


@pytest.fixture
def open_gateway(running: RunningSandbox) -> Iterator[OpenGateway]:
    """Build a client of the sandbox, or of another server, that is closed after the test."""
    with ExitStack() as closing:

        def opened(**changes: Any) -> HttpGateway:
            options: dict[str, Any] = {
                "url": running.url,
                "login": "sandbox",
                "password": "sandbox",
                "zone": ZoneInfo("Asia/Tashkent"),
                "connect_timeout_seconds": 5,
                "read_timeout_seconds": 20,
                "connections": 4,
            }
            gateway = HttpGateway(**options | changes)
            closing.callback(gateway.close)
            return gateway

        yield opened


@pytest.fixture
def gateway(open_gateway: OpenGateway) -> HttpGateway:
    return open_gateway()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Run a server whose every POST is answered by a function of the request's handler."""
    with ExitStack() as closing:

        def served(answer: Callable[[Any], None], *, tls: bool = False) -> Served:
            server = _Server(("127.0.0.1", 0), _handler(answer))
            if tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(SELF_SIGNED)
                server.socket = context.wrap_socket(server.socket, server_side=True)
            result = Served(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/smsgateway")
            server.served = result  # type: ignore[attr-defined]
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            closing.callback(thread.join)
            closing.callback(server.server_close)
            closing.callback(server.shutdown)
            return result

        yield served


@pytest.fixture
def accepting() -> Callable[[Any], None]:
    """An answer that takes every message, all under request_id 7."""
    return _accept


def _accept(handler: Any) -> None:
    form = handler.server.served.forms[-1]
    rows = [
        {"recipient": int(sms["phone"]), "request_id": 7, "message_id": place}
        for place, sms in enumerate(json.loads(form["data"]), start=1)
    ]
    body = json.dumps(rows).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # the client may leave as it likes
            super().handle_error(request, client_address)


def _handler(answer: Callable[[Any], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.server.served.connections += 1  # type: ignore[attr-defined]

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.served.forms.append(dict(parse_qsl(body.decode())))  # type: ignore[attr-defined]
            self.server.served.paths.append(self.path)  # type: ignore[attr-defined]
            answer(self)

        def do_CONNECT(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
