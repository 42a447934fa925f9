"""A sandbox of each test's own, with a clock that stands still, and plain posts to it."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from worker.sandbox.config import SandboxConfig
from worker.sandbox.running import RunningSandbox, running_sandbox

NOON = datetime(2018, 7, 8, 5, 40, 34, tzinfo=UTC)  # 10:40:34 in Tashkent, as in the document's sample

Open = Callable[..., RunningSandbox]


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_sandbox(clock: Clock) -> Iterator[Open]:
    with ExitStack() as closing:

        def opened(**settings: Any) -> RunningSandbox:
            config = SandboxConfig(**{"port": 0, "control_port": 0, "seed": 1} | settings)
            return closing.enter_context(running_sandbox(config, now=clock))

        yield opened


@pytest.fixture
def sandbox(open_sandbox: Open) -> RunningSandbox:
    return open_sandbox()


@pytest.fixture
def post() -> Iterator[Callable[..., requests.Response]]:
    """Post a form with the right login; a form's field that is None is left out, and data that is no text is JSON."""
    with requests.Session() as session:
        session.trust_env = False

        def posted(sandbox: RunningSandbox, data: Any, path: str = "/", **fields: Any) -> requests.Response:
            form = {"login": "sandbox", "password": "sandbox"} | fields
            form["data"] = data if isinstance(data, str | None) else json.dumps(data)
            return session.post(sandbox.url + path, data=form, timeout=20, allow_redirects=False)

        yield posted
