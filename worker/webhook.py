"""Telling a producer by a signed post to its https address."""

import hashlib
import hmac
import ipaddress
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from worker.errors import CallbackFailed

TIMEOUT_SECONDS = (5, 10)  # to connect, to answer
SIGNATURE = "X-SMS-Signature"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Posts events as JSON. *private_addresses* allows plain http, and receivers inside the house."""

    secret: str
    private_addresses: bool
    now: Callable[[], datetime]

    def post(self, url: str, event: dict[str, Any]) -> None:
        """Post *event*; raises `CallbackFailed` unless the receiver answers 2xx. Redirects are not followed."""
        self._refuse_inside(url)
        body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/json",
            SIGNATURE: signature(self.secret, body, int(self.now().timestamp())),
        }
        try:
            answer = requests.post(url, data=body, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False)
        except requests.RequestException as error:
            raise CallbackFailed(type(error).__name__) from None
        if not answer.ok or answer.is_redirect:
            raise CallbackFailed(f"http {answer.status_code}")

    def _refuse_inside(self, url: str) -> None:
        """Nobody may use us to reach what stands behind our own wall."""
        if self.private_addresses:
            return
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise CallbackFailed("only https is allowed")
        try:
            found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
        except OSError:
            raise CallbackFailed("host not found") from None
        if not all(ipaddress.ip_address(address[4][0]).is_global for address in found):
            raise CallbackFailed("private address")


def signature(secret: str, body: bytes, seconds: int) -> str:
    """The header's value: ``t`` is Unix seconds, ``v1`` the HMAC-SHA256 of ``t``, a dot and the body, in hex.

    >>> signature("key", b"{}", 1)[:12]
    't=1,v1=1ba6b'
    """
    signed = hmac.new(secret.encode(), str(seconds).encode() + b"." + body, hashlib.sha256)
    return f"t={seconds},v1={signed.hexdigest()}"
