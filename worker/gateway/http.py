"""The real gateway, over HTTP. What was certainly not taken is told apart at one line: before or after `connect`."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet
from zoneinfo import ZoneInfo

import requests
import structlog

from worker.errors import GatewayError, GatewayUnavailable, ReportsUnavailable, SettingsError, SubmissionUnconfirmed
from worker.gateway import Acceptance, Gateway, OutgoingSms, Report, call_or_never_post, replies
from worker.gateway.connections import ConnectFailed, ConnectsFirstAdapter, one_request
from worker.settings import LOOPBACK, Settings

log = structlog.get_logger()

#: Apache, the vendor's server, closes a kept connection after 5 s by default. One that it closes while we write to it
#: leaves a batch unconfirmed for nothing, so an older one than this is not used again.
MAX_IDLE_SECONDS = 2.0
LARGEST_ANSWER_BYTES = 8 * 2**20  #: a hundred long texts, escaped, are less than 1 MiB
CHUNK_BYTES = 2**16


class HttpGateway(Gateway):
    """Posts to ``<url>/`` and asks at ``<url>/status/``, each thread over a kept connection of its own."""

    def __init__(
        self,
        *,
        url: str,
        login: str,
        password: str,
        zone: ZoneInfo,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        connections: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """At most *connections* posts run at once; one more waits as long as for a connection, then gives up.

        *url* is the vendor's base address without its last slash. *zone* is that of the gateway's dates. A whole
        request with its answer takes at most the read time-out, however it trickles. Raises
        `SettingsError` if the environment names a SOCKS proxy for *url*.
        """
        self._url = url.rstrip("/")
        self._credentials = {"login": login, "password": password}
        self._zone = zone
        self._timeouts_seconds = (connect_timeout_seconds, read_timeout_seconds)
        self._connections = connections
        self._free = threading.BoundedSemaphore(connections)
        self._monotonic = monotonic
        self._of_thread = threading.local()
        self._adapters: WeakSet[ConnectsFirstAdapter] = WeakSet()
        self._environment = environment_of(self._url)
        parts = urlsplit(self._url)
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            log.warning("gateway_in_clear", hint="login, password, phones and texts cross the network unencrypted")

    def submit(self, messages: Sequence[OutgoingSms], *, nickname: str | None, begin: Callable[[], None]) -> Acceptance:
        """Post *messages* once; see `Gateway`."""
        form = self._credentials | ({"nickname": nickname} if nickname else {})
        # With \uXXXX escapes, as the vendor's own sample in PHP writes it.
        form["data"] = json.dumps([{"phone": m.phone, "text": m.text} for m in messages], separators=(",", ":"))
        with self._a_connection():
            http_status, body = self._post("/", form, begin=begin, cut_off=SubmissionUnconfirmed)
        return replies.acceptance_of(messages, http_status, body)

    def reports(self, request_id: str) -> Sequence[Report]:
        """Ask for the messages of one request; see `Gateway`."""
        form = self._credentials | {"data": json.dumps([{"request_id": request_id}], separators=(",", ":"))}
        http_status, body = self._post("/status/", form, begin=_nothing, cut_off=ReportsUnavailable)
        return replies.reports_of(http_status, body, self._zone)

    def close(self) -> None:
        """Close the kept connections of all threads; the next post opens a new one."""
        for adapter in list(self._adapters):
            adapter.close()

    @contextmanager
    def _a_connection(self) -> Iterator[None]:
        if not self._free.acquire(timeout=self._timeouts_seconds[0]):
            raise GatewayUnavailable(f"all {self._connections} connections are busy")
        try:
            yield
        finally:
            self._free.release()

    def _post(
        self, path: str, form: Mapping[str, str], *, begin: Callable[[], None], cut_off: type[GatewayError]
    ) -> tuple[int, bytes]:
        request = _prepared(self._url + path, form)
        adapter = self._adapter()
        try:
            with one_request(lambda: call_or_never_post(begin), longest_seconds=self._timeouts_seconds[1]):
                return self._exchange(adapter, request)
        except GatewayError:  # from begin, so nothing was written
            raise
        except ConnectFailed as failure:
            raise GatewayUnavailable(f"no connection to the gateway: {failure.kind}") from failure
        except Exception as error:
            raise cut_off(f"cut off after the request may have arrived: {type(error).__name__}") from error
        finally:
            self._of_thread.used_at = self._monotonic()

    def _exchange(self, adapter: ConnectsFirstAdapter, request: requests.PreparedRequest) -> tuple[int, bytes]:
        # Not through Session.send: even with redirects off it reads and follows up on their headers, and may raise.
        response = adapter.send(request, stream=True, timeout=self._timeouts_seconds, **self._environment)
        try:
            # Only with 200 does the body decide; a broken body must not blur what another status proves.
            body = self._body(response) if response.status_code == replies.HTTP_OK else b""
        finally:
            response.close()
        return response.status_code, body

    def _body(self, response: requests.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_content(CHUNK_BYTES):
            body += chunk
            if len(body) > LARGEST_ANSWER_BYTES:
                raise requests.exceptions.ContentDecodingError("an endless answer")
        return bytes(body)

    def _adapter(self) -> ConnectsFirstAdapter:
        adapter: ConnectsFirstAdapter | None = getattr(self._of_thread, "adapter", None)
        if adapter is None:
            adapter = self._of_thread.adapter = ConnectsFirstAdapter()
            self._adapters.add(adapter)
        elif self._monotonic() - self._of_thread.used_at > MAX_IDLE_SECONDS:
            adapter.close()
        return adapter


def http_gateway(settings: Settings) -> HttpGateway:
    """Build the gateway that *settings* describe."""
    return HttpGateway(
        url=settings.gateway_url,
        login=settings.gateway_login,
        password=settings.gateway_password.get_secret_value(),
        zone=settings.zone,
        connect_timeout_seconds=settings.gateway_connect_timeout_seconds,
        read_timeout_seconds=settings.gateway_read_timeout_seconds,
        connections=settings.gateway_connections,
    )


def _nothing() -> None:
    pass


def environment_of(url: str) -> dict[str, Any]:
    """What the environment says of proxies and of authorities to trust (HTTPS_PROXY, REQUESTS_CA_BUNDLE)."""
    with requests.Session() as session:
        found = session.merge_environment_settings(url, {}, stream=True, verify=True, cert=None)
    # A proxy never stands between this machine and its own sandbox, NO_PROXY or not.
    proxies = {} if urlsplit(url).hostname in LOOPBACK else found["proxies"]
    _refuse_socks(url, proxies)
    return {"proxies": proxies, "verify": found["verify"], "cert": None}


def _refuse_socks(url: str, proxies: Mapping[str, str]) -> None:
    """With such a proxy nobody could tell whether it was the connection that failed or the post."""
    scheme = urlsplit(url).scheme
    variable = scheme if scheme in proxies else "all"
    if proxies.get(variable, "").lower().startswith("socks"):
        raise SettingsError(
            f"{variable.upper()}_PROXY: the gateway cannot be reached through a SOCKS proxy. "
            "Allowed are http:// and https:// proxies, or none for its host (NO_PROXY)."
        )


def _prepared(url: str, form: Mapping[str, str]) -> requests.PreparedRequest:
    try:
        return requests.Request("POST", url, data=form, headers={"User-Agent": "getsms-worker"}).prepare()
    except ValueError as error:  # InvalidURL, InvalidHeader, UnicodeError: nothing has left the house
        raise GatewayUnavailable(f"the request cannot be made: {type(error).__name__}") from error
