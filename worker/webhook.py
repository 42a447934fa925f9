"""Telling a producer by a signed post to its https address."""

import hashlib
import hmac
import ipaddress
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from worker.cutter import CUTTER
from worker.errors import CallbackFailed

TIMEOUT_SECONDS = (5, 10)  # to connect, to answer
TOLD = range(200, 300)
SIGNATURE = "X-SMS-Signature"
EVENT_ID = "X-SMS-Event-Id"
USER_AGENT = f"getsms-worker/{version('getsms-worker')}"
MOST_ADDRESSES = 10  # of one name: each that is silent costs the time to connect
LONGEST_DIGITS = 9  # of seconds: decades
# Global by name, but any address of the house may stand behind them: NAT64, 6to4, site-local, IPv4 in IPv6, SIIT.
INSIDE_OUT = tuple(
    ipaddress.ip_network(net)
    for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fec0::/10", "::/96", "::ffff:0:0:0/96")
)
LONGEST_SECONDS = 20.0  # for one receiver, however it trickles


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
            "User-Agent": USER_AGENT,
            EVENT_ID: str(event.get("event_id")),
            SIGNATURE: signature(self.secret, body, int(self.now().timestamp())),
        }
        try:
            answer = self._post(url, body, headers)
        except requests.RequestException as error:
            away = isinstance(error, requests.ConnectionError | requests.Timeout)
            raise CallbackFailed(type(error).__name__, away=away) from None
        if answer.status not in TOLD:
            raise self._failed(answer)

    def _failed(self, answer: "_Answer") -> CallbackFailed:
        busy = answer.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
        return CallbackFailed(
            f"http {answer.status}",
            away=busy or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR,
            for_good=answer.status == HTTPStatus.GONE,
            retry_after=_pause(answer.retry_after, self.now()) if busy else None,
        )

    def _refuse_inside(self, url: str) -> None:
        """Nobody may use us to reach what stands behind our own wall."""
        if self.private_addresses:
            return
        parts = urlsplit(url)
        if parts.scheme != "https":
            raise CallbackFailed("only https is allowed")
        try:
            found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # the latter for a label that no domain can have
            raise CallbackFailed("host not found", away=True) from None
        if not all(_is_outside(str(address[4][0])) for address in found):
            raise CallbackFailed("private address", away=True)
        if len(found) > MOST_ADDRESSES:
            raise CallbackFailed("too many addresses", away=True)

    def _post(self, url: str, body: bytes, headers: dict[str, str]) -> "_Answer":
        with requests.Session() as session:
            session.trust_env = False  # a proxy would connect where we do not look
            session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
            for scheme in ("http://", "https://"):
                session.mount(scheme, _Adapter(anywhere=self.private_addresses))
            # As a stream: beside its status nothing is read of what the receiver says, of which there may be no end.
            with session.post(
                url, data=body, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True
            ) as answer:
                return _Answer(answer.status_code, answer.headers.get("Retry-After"))


class _Answer(NamedTuple):
    status: int
    retry_after: str | None


class _Bounded(HTTPConnection):
    """Cut off after `LONGEST_SECONDS`: the time-outs of a socket begin anew with every byte."""

    def connect(self) -> None:
        super().connect()
        CUTTER.watch(self.sock, seconds=LONGEST_SECONDS)

    def close(self) -> None:
        CUTTER.leave(self.sock)
        super().close()


class _BoundedSecurely(_Bounded, HTTPSConnection):
    pass


class _Outside(_BoundedSecurely):
    """Looks whom it really reached: the name may lead elsewhere than when it was looked up before."""

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        if _is_outside(sock.getpeername()[0]):
            return sock
        sock.close()
        raise CallbackFailed("private address", away=True)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Bounded


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _BoundedSecurely


class _OutsidePool(HTTPSConnectionPool):
    ConnectionCls = _Outside


class _Adapter(HTTPAdapter):
    def __init__(self, *, anywhere: bool) -> None:
        super().__init__()
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool if anywhere else _OutsidePool}


def _is_outside(host: str) -> bool:
    address = ipaddress.ip_address(host)
    return address.is_global and not address.is_multicast and not any(address in net for net in INSIDE_OUT)


def _pause(written: str | None, now: datetime) -> timedelta | None:
    """What Retry-After asks for, as seconds or as a date; None if that cannot be read.

    >>> at = datetime(2026, 11, 22, 9, tzinfo=UTC)
    >>> [str(_pause(written, at)) for written in ("120", "Sun, 22 Nov 2026 09:00:30 GMT", "soon")]
    ['0:02:00', '0:00:30', 'None']
    """
    if written is None:
        return None
    if written.isdecimal():
        return timedelta(seconds=int(written[:LONGEST_DIGITS]))
    try:
        at = parsedate_to_datetime(written)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    except (ValueError, OverflowError):
        return None


def signature(secret: str, body: bytes, seconds: int) -> str:
    """The header's value: ``t`` is Unix seconds, ``v1`` the HMAC-SHA256 of ``t``, a dot and the body, in hex.

    >>> signature("key", b"{}", 1)[:12]
    't=1,v1=1ba6b'
    """
    signed = hmac.new(secret.encode(), str(seconds).encode() + b"." + body, hashlib.sha256)
    return f"t={seconds},v1={signed.hexdigest()}"
