"""Many questions at once in one thread, over libcurl's multi interface.

A status question is harmless to repeat: nothing here has to know whether its first byte left, so it can be as cheap as
libcurl makes it. Posts go another way, see ``connections``.
"""

import json
import selectors
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pycurl

from worker.errors import GatewayUnavailable, ReportsUnavailable
from worker.gateway import Heard, Questions, Report

LARGEST_ANSWER_BYTES = 8 * 2**20  #: a hundred long texts, escaped, are less than 1 MiB
HTTP_OK = 200

#: What went wrong, in a word or two; libcurl's own words may name the address.
KINDS: Mapping[int, str] = {
    pycurl.E_URL_MALFORMAT: "URL",
    pycurl.E_COULDNT_RESOLVE_PROXY: "DNS",
    pycurl.E_COULDNT_RESOLVE_HOST: "DNS",
    pycurl.E_COULDNT_CONNECT: "refused",
    pycurl.E_OPERATION_TIMEDOUT: "time-out",
    pycurl.E_SSL_CONNECT_ERROR: "TLS",
    pycurl.E_PEER_FAILED_VERIFICATION: "TLS certificate",
    pycurl.E_SSL_CACERT_BADFILE: "TLS authorities",
    pycurl.E_RECV_ERROR: "reset",
    pycurl.E_SEND_ERROR: "reset",
    pycurl.E_GOT_NOTHING: "closed",
    pycurl.E_PARTIAL_FILE: "half an answer",
    pycurl.E_FILESIZE_EXCEEDED: "an endless answer",
}
READY = {pycurl.POLL_IN: selectors.EVENT_READ, pycurl.POLL_OUT: selectors.EVENT_WRITE}
READY[pycurl.POLL_INOUT] = selectors.EVENT_READ | selectors.EVENT_WRITE
NO_TIMER = float("inf")


@dataclass(frozen=True, slots=True)
class Route:
    """How the gateway is reached."""

    url: str = field(repr=False)  #: of the status question; it may hold a password
    form: Mapping[str, str] = field(repr=False)  #: what each question says beside the request_id
    proxy: str = field(repr=False)  #: empty for none, whatever the environment says
    authorities: str  #: the file, or the folder, of the certificates to trust
    connect_timeout_seconds: float
    read_timeout_seconds: float


class CurlQuestions(Questions):
    """Each question on one of *at_once* kept connections; one thread at a time."""

    def __init__(
        self,
        route: Route,
        read: Callable[[int, bytes], Sequence[Report]],
        *,
        at_once: int,
        idle_seconds: int,
        life_seconds: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """*read* makes reports of an HTTP status and a body.

        No connection is used after *idle_seconds* of rest, nor when it is *life_seconds* old, give or take a second.
        """
        self._route = route
        self._read = read
        self._idle_seconds = idle_seconds
        self._life_seconds = life_seconds
        self._monotonic = monotonic
        self._form = urlencode(route.form) + "&data="
        self._asked: dict[pycurl.Curl, str] = {}
        self._resting: list[pycurl.Curl] = []
        self._bodies: dict[pycurl.Curl, list[bytes]] = {}
        self._timer_at = NO_TIMER
        self._selector = selectors.DefaultSelector()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, at_once)

    def ask(self, request_id: str) -> None:
        """Begin a question; see `Questions`."""
        easy = self._resting.pop() if self._resting else self._an_easy()
        question = json.dumps([{"request_id": request_id}], separators=(",", ":"))
        easy.setopt(pycurl.POSTFIELDS, self._form + urlencode({"": question})[1:])
        self._asked[easy] = request_id
        self._multi.add_handle(easy)

    def heard(self, *, wait_seconds: float) -> Sequence[Heard]:
        """What came of some questions; see `Questions`."""
        until = self._monotonic() + wait_seconds
        self._look(0)
        while not (heard := self._ended()) and (left := until - self._monotonic()) > 0:
            self._look(left)
        return heard

    def close(self) -> None:
        """Forget what is under way, and close all connections."""
        for easy in self._asked:
            self._multi.remove_handle(easy)
        for easy in self._bodies:
            easy.close()
        self._multi.close()
        self._selector.close()
        self._asked, self._bodies, self._resting = {}, {}, []

    def _an_easy(self) -> pycurl.Curl:
        easy, body, route = pycurl.Curl(), list[bytes](), self._route
        self._bodies[easy] = body
        easy.setopt(pycurl.URL, route.url)
        easy.setopt(pycurl.NOSIGNAL, 1)
        easy.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        easy.setopt(pycurl.USERAGENT, "getsms-worker")
        easy.setopt(pycurl.WRITEFUNCTION, body.append)
        easy.setopt(pycurl.MAXFILESIZE, LARGEST_ANSWER_BYTES)
        easy.setopt(pycurl.CONNECTTIMEOUT_MS, round(route.connect_timeout_seconds * 1000))
        whole_seconds = route.connect_timeout_seconds + route.read_timeout_seconds
        easy.setopt(pycurl.TIMEOUT_MS, round(whole_seconds * 1000))
        easy.setopt(pycurl.MAXAGE_CONN, self._idle_seconds)
        easy.setopt(pycurl.MAXLIFETIME_CONN, self._life_seconds)
        # Both are said even where they are empty: else libcurl would look into the environment by rules of its own.
        easy.setopt(pycurl.PROXY, route.proxy)
        easy.setopt(pycurl.NOPROXY, "")
        _trust(easy, route.authorities)
        return easy

    def _look(self, seconds: float) -> None:
        """Let libcurl do what there is to do, for which it waits at most *seconds*."""
        wait = max(0.0, min(seconds, self._timer_at - self._monotonic()))
        for key, events in self._selector.select(wait):
            self._multi.socket_action(key.fd, _curl_events(events))
        if self._monotonic() >= self._timer_at:
            self._timer_at = NO_TIMER
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def _ended(self) -> list[Heard]:
        heard: list[Heard] = []
        while True:
            left, well, ill = self._multi.info_read()
            heard += [self._heard(easy, pycurl.E_OK) for easy in well]
            heard += [self._heard(easy, code) for easy, code, _ in ill]
            if not left:
                return heard

    def _heard(self, easy: pycurl.Curl, code: int) -> Heard:
        self._multi.remove_handle(easy)
        self._resting.append(easy)
        body = b"".join(self._bodies[easy])
        self._bodies[easy].clear()
        return Heard(self._asked.pop(easy), self._answer(easy, code, body))

    def _answer(self, easy: pycurl.Curl, code: int, body: bytes) -> Sequence[Report] | Exception:
        http_status = easy.getinfo(pycurl.RESPONSE_CODE)
        # A broken body must not blur what another status than 200 says.
        if code == pycurl.E_OK or http_status > HTTP_OK:
            try:
                return self._read(http_status, body)
            except Exception as error:  # noqa: BLE001 - that of one answer is no matter of the others
                return error
        kind = "proxy" if easy.getinfo(pycurl.HTTP_CONNECTCODE) > HTTP_OK else KINDS.get(code, f"curl {code}")
        if easy.getinfo(pycurl.REQUEST_SIZE):
            return ReportsUnavailable(f"cut off after the question may have arrived: {kind}")
        return GatewayUnavailable(f"no connection to the gateway: {kind}")

    def _watch(self, event: int, fd: int, *_: Any) -> None:
        # It must not raise: libcurl would give up all that is under way.
        known = fd in self._selector.get_map()
        if event == pycurl.POLL_REMOVE:
            if known:
                self._selector.unregister(fd)
        elif known:
            self._selector.modify(fd, READY[event])
        else:
            self._selector.register(fd, READY[event])

    def _set_timer(self, milliseconds: int) -> None:
        self._timer_at = NO_TIMER if milliseconds < 0 else self._monotonic() + milliseconds / 1000


def _curl_events(events: int) -> int:
    readable = pycurl.CSELECT_IN if events & selectors.EVENT_READ else 0
    return readable | (pycurl.CSELECT_OUT if events & selectors.EVENT_WRITE else 0)


def _trust(easy: pycurl.Curl, authorities: str) -> None:
    folder = Path(authorities).is_dir()
    for file_option, folder_option, peer, host in (
        (pycurl.CAINFO, pycurl.CAPATH, pycurl.SSL_VERIFYPEER, pycurl.SSL_VERIFYHOST),
        (pycurl.PROXY_CAINFO, pycurl.PROXY_CAPATH, pycurl.PROXY_SSL_VERIFYPEER, pycurl.PROXY_SSL_VERIFYHOST),
    ):
        # Where only one of them is said, libcurl and pycurl trust the machine's own authorities by the other.
        easy.unsetopt(file_option if folder else folder_option)
        easy.setopt(folder_option if folder else file_option, authorities)
        easy.setopt(peer, 1)
        easy.setopt(host, 2)
