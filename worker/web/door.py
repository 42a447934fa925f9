"""Logging in and out, and the switches that need no log in: language and theme."""

from datetime import timedelta

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from worker.web.guards import within
from worker.web.house import WebHouse
from worker.web.languages import COOKIE as LANGUAGE_COOKIE
from worker.web.languages import LANGUAGES
from worker.web.passwords import Passwords
from worker.web.sessions import COOKIE, LASTS, WebSessions
from worker.web.templating import _
from worker.web.throttle import Throttle
from worker.web.visitors import Role, Visitor

log = structlog.get_logger()

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "sms_theme"
LONGEST_NAME = 60
A_YEAR_SECONDS = 365 * 86_400


class Door:
    """The routes of it."""

    def __init__(
        self,
        house: WebHouse,
        passwords: Passwords,
        sessions: WebSessions,
        throttle: Throttle,
        templates: Jinja2Templates,
    ) -> None:
        self.house = house
        self.passwords = passwords
        self.sessions = sessions
        self.throttle = throttle
        self.templates = templates

    def routes(self) -> list[Route]:
        """All of them; without a password there is nothing to log in to."""
        switches = [
            Route("/language", self.choose_language, methods=["POST"], name="language"),
            Route("/theme", self.choose_theme, methods=["POST"], name="theme"),
        ]
        if not self.passwords:
            return switches
        return [
            Route("/login", self.show_form, methods=["GET"], name="login"),
            Route("/login", self.log_in, methods=["POST"], name="log_in"),
            Route("/logout", self.log_out, methods=["POST"], name="logout"),
            *switches,
        ]

    async def show_form(self, request: Request) -> Response:
        """Ask for name and password."""
        return self._form(request, request.query_params.get("next", "/"))

    async def log_in(self, request: Request) -> Response:
        """Check them."""
        form = await request.form()
        who, next_ = str(form.get("who", "")).strip(), str(form.get("next", "/"))
        if not who or len(who) > LONGEST_NAME or not who.isprintable():
            complaint = _("Write your name: at most %(most)d letters.") % {"most": LONGEST_NAME}
            return self._form(request, next_, complaint=complaint, status=400)
        address = request.client.host if request.client else ""
        wait = self.throttle.wait(address, now=self.house.now())
        if wait:
            return self._too_often(request, next_, who, wait)
        role = await self.passwords.tried(str(form.get("password", "")))
        if role is None:
            log.warning("web_login_refused", address=address)
            return self._form(request, next_, who=who, complaint=_("The password is wrong."), status=401)
        self.throttle.right(address, forgives=role == Role.OPERATOR)
        log.info("web_login", who=who, role=str(role), address=address)
        answer = RedirectResponse(within(next_), 303)
        self.sessions.end(request.cookies.get(COOKIE, ""))
        word = self.sessions.begin(Visitor(who, role))
        answer.set_cookie(COOKIE, word, int(LASTS.total_seconds()), httponly=True, samesite="lax", secure=_tls(request))
        return answer

    async def log_out(self, request: Request) -> Response:
        """Forget who it was."""
        self.sessions.end(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=_tls(request))
        return answer

    async def choose_language(self, request: Request) -> Response:
        """For the coming year."""
        return await _kept(request, "language", LANGUAGE_COOKIE, list(LANGUAGES))

    async def choose_theme(self, request: Request) -> Response:
        """For the coming year."""
        return await _kept(request, "theme", THEME_COOKIE, THEMES)

    def _form(
        self, request: Request, next_: str, *, who: str = "", complaint: str | None = None, status: int = 200
    ) -> Response:
        known = {"title": _("Log in"), "next": next_, "who": who, "complaint": complaint}
        return self.templates.TemplateResponse(request, "login.html", known, status_code=status)

    def _too_often(self, request: Request, next_: str, who: str, wait: timedelta) -> Response:
        seconds = max(1, round(wait.total_seconds()))
        complaint = _("Too many wrong passwords: try again in %(seconds)d s.") % {"seconds": seconds}
        answer = self._form(request, next_, who=who, complaint=complaint, status=429)
        answer.headers["retry-after"] = str(seconds)
        return answer


def theme(request: Request) -> str:
    """The one that was chosen: ``auto``, ``light`` or ``dark``."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else THEMES[0]


async def _kept(request: Request, field: str, cookie: str, allowed: list[str] | tuple[str, ...]) -> Response:
    form = await request.form()
    chosen = str(form.get(field, ""))
    answer = RedirectResponse(within(str(form.get("next", "/"))), 303)
    if chosen in allowed:
        answer.set_cookie(cookie, chosen, A_YEAR_SECONDS, httponly=True, samesite="lax", secure=_tls(request))
    return answer


def _tls(request: Request) -> bool:
    return request.url.scheme == "https"
