"""The web page over real HTTP, and somebody who uses it without JavaScript."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette

from worker.cli.web import bound, uvicorn_config

TOKEN = re.compile(r'name="csrftoken" value="([^"]+)"')
START_SECONDS = 20
OPERATOR, VIEWER = "operator's password", "viewer's password"


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """The address of *app*, served as ``sms web`` serves it."""
    listening = bound("127.0.0.1", 0)
    server = _Server(uvicorn_config(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    assert server.listening.wait(START_SECONDS)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
        listening.close()


class Browser:
    """Keeps cookies and sends forms with the token of the page that it saw last."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, follow_redirects=True, timeout=30)
        self.token = ""

    def get(self, path: str, **asked: Any) -> httpx.Response:
        answer = self.http.get(path, **asked)
        if found := TOKEN.search(answer.text):
            self.token = found[1]
        return answer

    def send(self, path: str, *, follow: bool = True, **fields: str) -> httpx.Response:
        """POST a form, with the token."""
        if not self.token:
            self.get("/login")
        answer = self.http.post(path, data={"csrftoken": self.token, **fields}, follow_redirects=follow)
        if found := TOKEN.search(answer.text):
            self.token = found[1]
        return answer

    def log_in(self, password: str, who: str = "anna") -> httpx.Response:
        self.get("/login")
        return self.send("/login", who=who, password=password, next="/")

    def close(self) -> None:
        self.http.close()
