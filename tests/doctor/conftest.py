"""A house in which all is well, and a doctor who looks at one thing of it."""

import os
import shutil
import ssl
from collections.abc import Callable, Iterator
from datetime import datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from worker.clock import utc_now
from worker.doctor.check import Finding
from worker.doctor.rounds import chosen, findings, the_ground
from worker.sandbox.running import RunningSandbox

SELF_SIGNED = Path(__file__).parents[1] / "gateway" / "self_signed.pem"
ABOUT_NOTHING = b'{"error": 1, "error_no": 400, "error_text": "request_id is wrong"}'

Look = Callable[..., Finding]
Serve = Callable[..., str]


@pytest.fixture
def well(
    tmp_path: Path, sqlite_template: Path, redis_url: str, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of a house in which all is well but that nobody works."""
    shutil.copy(sqlite_template, tmp_path / "sms.db")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("SMS_") or name.upper().endswith("_PROXY")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMS_DATABASE_URL", f"sqlite:///{tmp_path}/sms.db")
    monkeypatch.setenv("SMS_REDIS_URL", redis_url)
    monkeypatch.setenv("SMS_GATEWAY_URL", sandbox.url)
    monkeypatch.setenv("SMS_GATEWAY_LOGIN", sandbox.config.login)
    monkeypatch.setenv("SMS_GATEWAY_PASSWORD", sandbox.config.password)


@pytest.fixture
def look(well: None, monkeypatch: pytest.MonkeyPatch) -> Look:  # noqa: ARG001
    """What the check of this name finds, with these settings changed."""

    def looked(name: str, now: Callable[[], datetime] = utc_now, **changed: str) -> Finding:
        for setting, value in changed.items():
            monkeypatch.setenv(setting, value)
        (found,) = findings(the_ground(now), chosen([name]))
        return found

    return looked


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that answers every POST alike; its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(
        body: bytes = ABOUT_NOTHING, *, status: int = 200, date: datetime | None = None, tls: bool = False
    ) -> str:
        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response_only(status)
                if date:
                    self.send_header("Date", format_datetime(date, usegmt=True))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who breaks a handshake off is meant to
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(SELF_SIGNED)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http{'s' * tls}://127.0.0.1:{server.server_port}/smsgateway"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
