"""The real gateway, over HTTP.

Of a post, what was certainly not taken is told apart at one line: before or after `connect`. Questions may be repeated,
and go by ``asking``.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit
from zoneinfo import ZoneInfo

import requests
import structlog
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy

from worker.errors import GatewayError, GatewayUnavailable, SettingsError, SubmissionUnconfirmed
from worker.gateway import Acceptance, Gateway, Heard, OutgoingSms, Questions, Report, call_or_never_post, replies
from worker.gateway.asking import LARGEST_ANSWER_BYTES, CurlQuestions, Route
from worker.gateway.connections import ConnectFailed, ConnectsFirstAdapter, one_request
from worker.settings import LOOPBACK, Settings

log = structlog.get_logger()

#: Apache, the vendor's server, closes a kept connection after 5 s by default. One that it closes while we write to it
#: leaves a batch unconfirmed for nothing, so an older one than this is not used again.
MAX_IDLE_SECONDS = 2.0
# Of a connection for questions, which may never be idle: on one where an answer came twice, each further question hears
# the answer to the one before; and an address that has moved is looked up again.
MAX_LIFE_SECONDS = 60
CHUNK_BYTES = 2**16
#: Those of percent and plus come first: the others' are written with them.
_CODES = {sign: quote_plus(sign) for sign in "%+ !\"#$&'()*,/:;<=>?@[\\]^`{|}"}


class HttpGateway(Gateway):
    """Posts to ``<url>/``, each thread over a kept connection of its own, and asks at ``<url>/status/``."""

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
        self._kept: list[tuple[float, ConnectsFirstAdapter]] = []  # the one used last is last
        self._environment = environment_of(self._url)
        verify = self._environment["verify"]
        self._authorities: str = DEFAULT_CA_BUNDLE_PATH if verify is True else verify
        parts = urlsplit(self._url)
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            log.warning("gateway_in_clear", hint="login, password, phones and texts cross the network unencrypted")

    def submit(self, messages: Sequence[OutgoingSms], *, nickname: str | None, begin: Callable[[], None]) -> Acceptance:
        """Post *messages* once; see `Gateway`."""
        form = self._credentials | ({"nickname": nickname} if nickname else {})
        # With \uXXXX escapes, as the vendor's own sample in PHP writes it.
        data = json.dumps([{"phone": m.phone, "text": m.text} for m in messages], separators=(",", ":"))
        with self._a_connection():
            http_status, body = self._post(form, data, begin)
        return replies.acceptance_of(messages, http_status, body)

    def reports(self, request_id: str) -> Sequence[Report]:
        """Ask for the messages of one request; see `Gateway`."""
        with closing(self.questions(at_once=1)) as questions:
            questions.ask(request_id)
            heard: Sequence[Heard] = ()
            while not heard:  # libcurl's time-outs end it
                heard = questions.heard(wait_seconds=sum(self._timeouts_seconds))
        answer = heard[0].answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def questions(self, *, at_once: int) -> Questions:
        """For several questions at the same time; see `Gateway`."""
        return CurlQuestions(
            self._route(),
            lambda http_status, body: replies.reports_of(http_status, body, self._zone),
            at_once=at_once,
            idle_seconds=int(MAX_IDLE_SECONDS),
            life_seconds=MAX_LIFE_SECONDS,
        )

    def warm(self) -> int:
        """How many connections that nobody uses were used a moment ago, and stand; see `Gateway`."""
        stale_at = self._monotonic() - MAX_IDLE_SECONDS
        return sum(used_at > stale_at and adapter.stands() for used_at, adapter in list(self._kept))

    def close(self) -> None:
        """Close the kept connections; the next post opens a new one."""
        for _, adapter in list(self._kept):
            adapter.close()

    @contextmanager
    def _a_connection(self) -> Iterator[None]:
        if not self._free.acquire(timeout=self._timeouts_seconds[0]):
            raise GatewayUnavailable(f"all {self._connections} connections are busy")
        try:
            yield
        finally:
            self._free.release()

    def _route(self) -> Route:
        return Route(
            url=_askable(self._url + "/status/"),
            form=self._credentials,
            proxy=select_proxy(self._url, self._environment["proxies"]) or "",
            authorities=self._authorities,
            connect_timeout_seconds=self._timeouts_seconds[0],
            read_timeout_seconds=self._timeouts_seconds[1],
        )

    def _post(self, form: Mapping[str, str], data: str, begin: Callable[[], None]) -> tuple[int, bytes]:
        request = _prepared(self._url + "/", form, data)
        try:
            with (
                self._an_adapter() as adapter,
                one_request(adapter, lambda: call_or_never_post(begin), longest_seconds=self._timeouts_seconds[1]),
            ):
                return self._exchange(adapter, request)
        except GatewayError:  # from begin, so nothing was written
            raise
        except ConnectFailed as failure:
            raise GatewayUnavailable(f"no connection to the gateway: {failure.kind}") from failure
        except Exception as error:
            reason = f"cut off after the request may have arrived: {type(error).__name__}"
            raise SubmissionUnconfirmed(reason) from error

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

    @contextmanager
    def _an_adapter(self) -> Iterator[ConnectsFirstAdapter]:
        """The one that was used last of those that nobody uses, or a new one; none that stood idle for long."""
        adapter = self._a_kept_one() or ConnectsFirstAdapter(self._authorities)
        try:
            yield adapter
        except BaseException:
            adapter.close()  # nobody knows how it stands; it would pass for warm
            raise
        if adapter.stands():  # else the answer ended it
            self._kept.append((self._monotonic(), adapter))
        else:
            adapter.close()

    def _a_kept_one(self) -> ConnectsFirstAdapter | None:
        while True:
            try:
                used_at, adapter = self._kept.pop()
            except IndexError:
                return None
            if self._monotonic() - used_at <= MAX_IDLE_SECONDS and adapter.stands():
                return adapter
            adapter.close()


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


def _prepared(url: str, form: Mapping[str, str], data: str) -> requests.PreparedRequest:
    try:
        request = _empty(url).copy()
        request.prepare_body(f"{urlencode(form)}&data={_quoted(data)}", None)
    except ValueError as error:  # InvalidURL, InvalidHeader, UnicodeError: nothing has left the house
        raise GatewayUnavailable(f"the request cannot be made: {type(error).__name__}") from error
    return request


@lru_cache(maxsize=8)  # to look at a URL takes longer than to write fifty messages down
def _empty(url: str) -> requests.PreparedRequest:
    headers = {"User-Agent": "getsms-worker", "Content-Type": "application/x-www-form-urlencoded"}
    return requests.Request("POST", url, headers=headers).prepare()


def _quoted(json_text: str) -> str:
    """What `quote_plus` makes of printable ASCII; that goes letter by letter, and takes three times as long."""
    for sign, code in _CODES.items():
        json_text = json_text.replace(sign, code)
    return json_text


def _askable(url: str) -> str:
    """As libcurl takes it; empty, where each question is then told so, if no request can be made of *url*."""
    try:
        return requests.Request("POST", url).prepare().url or ""
    except ValueError:
        return ""
