"""The way to the vendor's gateway, step by step: name, connection, certificate, address, login, clock."""

import json
import socket
import ssl
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import certifi
import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from worker.doctor.check import Check, Found, Ground, fault, graded, note, ok, skipped
from worker.errors import GatewayError, RequestIdUnknown, SettingsError
from worker.gateway import replies
from worker.gateway.connections import kind_of
from worker.gateway.http import environment_of
from worker.urls import without_secrets

WAIT_SECONDS = 5.0
ANSWER_BYTES = 2**16
HTTP_SERVER_ERROR = 500
EXPIRES_SOON_DAYS = 21
CLOCK_WARNS_SECONDS, CLOCK_FAULTS_SECONDS = 5.0, 60.0
REGISTER = "have this machine's public address registered with the vendor; only registered ones are let in"
THEIRS = "wait, and ask the vendor: the trouble is likely on their side"
SILENT = f"connections are taken, but no answer came in time: {THEIRS}"
LATE = f"no answer came in time: look again with a longer --limit; if it stays so, {THEIRS}"
SILENCES = {one.__name__ for one in (requests.ReadTimeout, ReadTimeoutError)}


class Answer(NamedTuple):
    """To a status question about nothing, which sends no SMS."""

    http_status: int
    body: bytes
    seconds_off: float | None  #: by which our clock is before the gateway's


class NoAnswer(NamedTuple):
    """The question got none."""

    kind: str  #: of its end


def _proxy(ground: Ground) -> str | None:
    url = ground.settings.gateway_url
    proxies = environment_of(url)["proxies"]
    found = proxies.get(urlsplit(url).scheme) or proxies.get("all")
    return str(found) if found else None


def _next_host(ground: Ground) -> tuple[str, int]:
    """Where a connection goes: to the gateway, or to the proxy before it."""
    url = urlsplit(_proxy(ground) or ground.settings.gateway_url)
    return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)


def _look_for_proxy(ground: Ground) -> Found:
    try:
        proxy = _proxy(ground)
    except SettingsError as error:
        return fault(str(error))
    if proxy is None:
        return ok("no proxy stands between here and the gateway")
    return note(f"the environment names {without_secrets(proxy)}; the vendor sees that proxy's address, not ours")


def _resolve(ground: Ground) -> Found:
    host, port = _next_host(ground)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return fault(f"{host} has no address")
    return ok(f"{host} is {', '.join(dict.fromkeys(str(one[4][0]) for one in found))}")


def _connect(ground: Ground) -> Found:
    host, port = _next_host(ground)
    try:
        socket.create_connection((host, port), timeout=WAIT_SECONDS).close()
    except OSError as error:
        return fault(f"{host}:{port} takes no connection: {kind_of(error)}")
    return ok(f"{host}:{port} takes connections")


def _certificate(ground: Ground) -> Found:
    url = urlsplit(ground.settings.gateway_url)
    if url.scheme != "https":
        return skipped("SMS_GATEWAY_URL is http")
    if _proxy(ground):
        return skipped("through a proxy: gateway.access says whether its certificate is trusted")
    verify = environment_of(ground.settings.gateway_url)["verify"]
    host = url.hostname or ""
    try:
        context = ssl.create_default_context(cafile=certifi.where() if verify is True else verify)
        with (
            socket.create_connection((host, url.port or 443), timeout=WAIT_SECONDS) as bare,
            context.wrap_socket(bare, server_hostname=host) as secure,
        ):
            certificate = secure.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return fault(f"the certificate of {host} is not trusted: {error.verify_message}")
    except OSError as error:  # ssl.SSLError is one
        return fault(f"no TLS with {host}: {kind_of(error)}", SILENT if isinstance(error, TimeoutError) else None)
    ends_at = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    days = int((ends_at - ground.now().timestamp()) // 86_400)
    return graded(-days, warns_at=-EXPIRES_SOON_DAYS, faults_at=0, words=f"trusted for {host}, for {days} more days")


def _ask(ground: Ground) -> Answer | NoAnswer:
    """The answer to a question about no message, which proves the login and sends nothing."""
    settings = ground.settings
    form = {"login": settings.gateway_login, "password": settings.gateway_password.get_secret_value()}
    form["data"] = json.dumps([{"request_id": ""}])
    try:
        with requests.Session() as session:
            began_at = ground.now()
            response = session.post(
                f"{settings.gateway_url}/status/",
                data=form,
                headers={"User-Agent": "getsms-worker"},
                timeout=WAIT_SECONDS,
                allow_redirects=False,
                stream=True,
                **environment_of(settings.gateway_url),
            )
            middle = began_at + (ground.now() - began_at) / 2
            body = response.raw.read(ANSWER_BYTES, decode_content=True)
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        return NoAnswer(type(error).__name__)
    date = response.headers.get("Date")
    try:
        off = (middle - parsedate_to_datetime(date)).total_seconds() if date else None
    except (ValueError, TypeError):
        off = None
    return Answer(response.status_code, body, off)


def _answer(ground: Ground) -> Answer | NoAnswer:
    return ground.once("gateway's answer", lambda: _ask(ground))


def _access(ground: Ground) -> Found:
    answer = _answer(ground)
    if isinstance(answer, NoAnswer):
        is_silent = answer.kind in SILENCES
        return fault(
            f"a status question got no answer: {answer.kind}", SILENT if is_silent else f"{THEIRS}; else {REGISTER}"
        )
    if answer.http_status == replies.HTTP_FORBIDDEN:
        return fault("HTTP 403: the gateway does not let this address in")
    if answer.http_status >= HTTP_SERVER_ERROR:
        return fault(f"HTTP {answer.http_status} to a status question", THEIRS)
    if answer.http_status != replies.HTTP_OK:
        return fault(f"HTTP {answer.http_status} to a status question", "look at the path in SMS_GATEWAY_URL")
    return ok("the gateway answers this address")


def _login(ground: Ground) -> Found:
    answer = _answer(ground)
    if isinstance(answer, NoAnswer):
        return skipped("see gateway.access")
    try:
        replies.reports_of(answer.http_status, answer.body, ground.settings.zone)
    except RequestIdUnknown:
        return ok("login and password are right (the gateway says 400 of a question about nothing)")
    except GatewayError as error:
        if error.error_no is None:
            return fault("what answers is not the gateway", "look at the path in SMS_GATEWAY_URL")
        return fault(f"error {error.error_no}: {replies.WORDS.get(error.error_no, 'unknown to the document')}")
    return ok("login and password are right")


def _clock(ground: Ground) -> Found:
    answer = _answer(ground)
    if isinstance(answer, NoAnswer) or answer.seconds_off is None:
        return skipped("the gateway says no time")
    off = abs(answer.seconds_off)
    side = "before" if answer.seconds_off > 0 else "behind"
    words = f"this clock is {off:.0f} s {side} the gateway's" if off >= 1 else "both clocks agree"
    return graded(off, warns_at=CLOCK_WARNS_SECONDS, faults_at=CLOCK_FAULTS_SECONDS, words=words)


CHECKS = (
    Check(
        "gateway.proxy",
        "Does a proxy stand between here and the gateway?",
        "The vendor lets in registered addresses only, and behind a proxy that is the proxy's.",
        "correct HTTP_PROXY, HTTPS_PROXY and NO_PROXY; a SOCKS proxy cannot be used",
        _look_for_proxy,
    ),
    Check(
        "gateway.dns",
        "Has the gateway's name an address?",
        "Without one nothing is posted; nothing is lost either.",
        "correct SMS_GATEWAY_URL, or this machine's DNS (/etc/resolv.conf)",
        _resolve,
        after=("gateway.proxy",),
    ),
    Check(
        "gateway.tcp",
        "Does it take a connection?",
        "The vendor may also refuse addresses that are not registered in this way.",
        f"let this machine out to that port; {REGISTER}",
        _connect,
        after=("gateway.dns",),
    ),
    Check(
        "gateway.tls",
        "Is its certificate trusted, for this host, and for how long?",
        "A certificate that is not trusted is never talked to: login, phones and texts would be anybody's.",
        "have the vendor renew it; if it is signed by an authority of your own, name that in REQUESTS_CA_BUNDLE",
        _certificate,
        after=("gateway.tcp",),
        late=LATE,
    ),
    Check(
        "gateway.access",
        "Does the gateway let this address in?",
        "From any address that is not registered it answers HTTP 403.",
        REGISTER,
        _access,
        after=("gateway.tcp", "gateway.tls"),
        late=LATE,
    ),
    Check(
        "gateway.login",
        "Are login and password right?",
        "A status question about no message tells 101 (wrong) from 400 (right), and sends nothing.",
        "correct SMS_GATEWAY_LOGIN and SMS_GATEWAY_PASSWORD (101), or ask the vendor (102, 103); then sms resume",
        _login,
        after=("gateway.access",),
        late=LATE,
    ),
    Check(
        "gateway.clock",
        "Is this machine's clock right?",
        "Quiet hours, expiry and the age of what waits are by this clock.",
        "have the clock set by NTP (timedatectl set-ntp true, or chrony)",
        _clock,
        after=("gateway.access",),
        late=LATE,
    ),
)
