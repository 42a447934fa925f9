"""What every request passes before a view sees it, from the outside in."""

import secrets
from collections.abc import Callable
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.web.languages import COOKIE as LANGUAGE_COOKIE
from worker.web.languages import LANGUAGES, preferred, speak
from worker.web.sessions import COOKIE, WebSessions
from worker.web.visitors import LOCAL, Role, Visitor

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LARGEST_BODY = 64 * 1024
LONGEST_LENGTH = 9  # digits
OPEN = frozenset({"/login", "/healthz", "/metrics", "/language", "/theme"})  # /metrics asks for a password itself
OPEN_FOLDER = "/static/"
FOR_VIEWERS = frozenset({"/logout", "/language", "/theme", "/login"})  # what they, too, may post to
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
PROXIES = frozenset({"forwarded", "via", "x-real-ip"})
PROXIES_BEGIN = "x-forwarded"
FORM = "application/x-www-form-urlencoded"
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{0}'; style-src 'self' 'nonce-{0}'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class SafeHeaders:
    """Says to the browser what it may load and keep. The nonce of the answer is ``request.state.nonce``."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers["content-security-policy"] = POLICY.format(nonce)
                headers.setdefault("cache-control", "no-cache" if _is_static(scope) else "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)


class OnlyThisMachine:
    """Without a password, the page is for browsers of this machine that ask for it by its own name.

    A page of another site can make a browser come here under the site's name (DNS rebinding), and a proxy brings
    everybody: neither is answered.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if _name_of(headers.get("host", "")) not in LOOPBACK_NAMES or any(map(_is_of_proxy, headers)):
            words = "Without SMS_WEB_PASSWORD this page is served to this machine alone, as 127.0.0.1 or localhost.\n"
            await PlainTextResponse(words, 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)


class SmallBodies:
    """No form of ours is large, or brings files: a parser that nobody asks can do nothing wrong."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, is_post = Headers(scope=scope), scope["type"] == "http" and scope["method"] not in SAFE_METHODS
        length = headers.get("content-length", "")
        if is_post and not (length.isdecimal() and len(length) <= LONGEST_LENGTH and int(length) <= LARGEST_BODY):
            code = 413 if length.isdecimal() else 411
            await PlainTextResponse("Too large, or without a length.\n", code)(scope, receive, send)
            return
        if is_post and headers.get("content-type", FORM).partition(";")[0].strip().lower() != FORM:
            await PlainTextResponse("Forms of this page are not written so.\n", 415)(scope, receive, send)
            return
        await self.app(scope, receive, send)


class Spoken:
    """Chooses the language: the cookie's, else the one that the browser likes best."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        chosen = cookie(scope, LANGUAGE_COOKIE)
        speak(chosen if chosen in LANGUAGES else preferred(Headers(scope=scope).get("accept-language", "")))
        await self.app(scope, receive, send)


class OwnForms:
    """A post that another site's page made is refused, whatever token it brings; so is what it would have inside it.

    A link from elsewhere is followed.
    """

    def __init__(self, app: ASGIApp, *, refuse: Callable[[Request, int], Response]) -> None:
        self.app = app
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        is_fine = _is_followed(headers) if scope["method"] in SAFE_METHODS else _is_from_here(headers)
        if not is_fine:
            await self.refuse(Request(scope), 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)


class LoggedIn:
    """Lets in who is logged in, and a viewer only to look. Sets ``scope["visitor"]`` and ``request.session``."""

    def __init__(
        self, app: ASGIApp, *, sessions: WebSessions | None, refuse: Callable[[Request, int], Response]
    ) -> None:
        self.app = app
        self.sessions = sessions  # None: no password is set
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._visitor(scope)
        scope["visitor"] = found
        scope["session"] = {"who": found.who, "role": str(found.role)} if found else {}
        await (self._stopped(scope, found) or self.app)(scope, receive, send)

    def _visitor(self, scope: Scope) -> Visitor | None:
        if self.sessions is None:
            return LOCAL
        return self.sessions.whose(cookie(scope, COOKIE))

    def _stopped(self, scope: Scope, found: Visitor | None) -> Response | None:
        is_get, path = scope["method"] in SAFE_METHODS, scope["path"]
        if found is None and path not in OPEN and not _is_static(scope):
            return RedirectResponse(f"/login?next={quote(here(Request(scope)))}" if is_get else "/login", 303)
        if found and found.role == Role.VIEWER and not is_get and path not in FOR_VIEWERS:
            return self.refuse(Request(scope), 403)
        return None


def cookie(scope: Scope, name: str) -> str:
    """The value of a cookie, or nothing."""
    return Request(scope).cookies.get(name, "")


def here(request: Request) -> str:
    """Path and query of this page, or the start page where it was no GET."""
    query = f"?{request.url.query}" if request.url.query else ""
    return request.url.path + query if request.method in SAFE_METHODS else "/"


def within(written: str) -> str:
    r"""Where to go after a form: a page of this site, or the start page.

    >>> within("/messages?state=queued"), within("//evil.example"), within("/\\evil.example"), within("https://a.example")
    ('/messages?state=queued', '/', '/', '/')
    """
    is_ours = written.startswith("/") and not written.startswith(("//", "/\\"))
    return quote(written, safe="/?&=%+:,;@~!*'()#") if is_ours and written.isprintable() else "/"


def _is_static(scope: Scope) -> bool:
    return str(scope["path"]).startswith(OPEN_FOLDER)


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_followed(headers: Headers) -> bool:
    is_foreign = headers.get("sec-fetch-site") in {"cross-site", "same-site"}
    return not is_foreign or headers.get("sec-fetch-mode") == "navigate"


def _is_from_here(headers: Headers) -> bool:
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site not in {None, "same-origin", "none"}:
        return False
    return origin is None or origin.partition("://")[2] == headers.get("host")


def _is_of_proxy(header: str) -> bool:
    return header in PROXIES or header.startswith(PROXIES_BEGIN)
