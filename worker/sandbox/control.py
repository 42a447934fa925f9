"""The client of a sandbox's control port, for tests and the demo."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import requests

from worker.sandbox.faults import Fault, Strike

TIMEOUT_SECONDS = 30


class SandboxControl:
    """Reads a sandbox's journal and switches its faults; each call raises `requests.RequestException` if it fails."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def is_ready(self) -> bool:
        """Whether the sandbox answers; never raises."""
        try:
            return bool(self._call("GET", "/health")["ready"])
        except requests.RequestException:
            return False

    def journal(self) -> list[dict[str, Any]]:
        """Every message the sandbox took, in order, each with the fields of `worker.sandbox.journal.Taken`."""
        messages: list[dict[str, Any]] = []
        while page := self._call("GET", f"/journal?after={len(messages)}")["messages"]:
            messages += page
        return messages

    def stats(self) -> dict[str, Any]:
        """Counts of requests and messages; `messages_repeated` are phones that got the same text more than once."""
        return dict(self._call("GET", "/stats"))

    def strikes(self) -> list[Strike]:
        """Every request that a fault has struck since the sandbox began, in order."""
        return [Strike(**strike) for strike in self._call("GET", "/strikes")]

    def faults(self) -> list[Fault]:
        """The faults that are on."""
        return [Fault(**fault) for fault in self._call("GET", "/faults")]

    def set_faults(self, *faults: Fault) -> None:
        """Let these faults, and no others, be on; when this returns they are."""
        self._call("PUT", "/faults", [asdict(fault) for fault in faults])

    def clear_faults(self) -> None:
        """Switch every fault off; when this returns the gateway listens again."""
        self._call("DELETE", "/faults")

    @contextmanager
    def having(self, *faults: Fault) -> Iterator[None]:
        """Have these faults on for a while."""
        self.set_faults(*faults)
        try:
            yield
        finally:
            self.clear_faults()

    def change(self, **settings: Any) -> None:
        """Change ``delivery_seconds=(from, to)``, ``latency_seconds``, ``batch_limit`` or ``request_ids``.

        The way to a phone changes for messages already taken, too: with (0, 0) all of them have arrived.
        """
        self._call("PUT", "/settings", settings)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        with requests.Session() as session:
            session.trust_env = False  # a proxy of the environment has no business on loopback
            answer = session.request(
                method, self._url + path, data=None if body is None else json.dumps(body), timeout=TIMEOUT_SECONDS
            )
        answer.raise_for_status()
        return answer.json()
