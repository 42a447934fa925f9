"""The web application."""

import logging
import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette_admin.base import BaseAdmin
from starlette_admin.flash import FlashMiddleware
from starlette_admin.views import BaseView, CustomView

from worker.settings import Settings
from worker.web import door, pages
from worker.web.csrf import Csrf
from worker.web.door import Door
from worker.web.finding import Finding
from worker.web.guards import LoggedIn, OnlyThisMachine, OwnForms, SafeHeaders, SmallBodies, Spoken, here
from worker.web.house import WebHouse
from worker.web.languages import LANGUAGES, gettext, ngettext, spoken
from worker.web.links import message_url
from worker.web.lists.cells import as_seen
from worker.web.lists.messages import MESSAGES
from worker.web.lists.others import BATCHES, BLOCKS, CALLBACKS, DECISIONS, REFUSED, REPORTS
from worker.web.lists.view import SheetView
from worker.web.mishaps import Mishaps, Refuse, refusing
from worker.web.passwords import Passwords
from worker.web.probes import Probes
from worker.web.sessions import WebSessions
from worker.web.standing import Standing
from worker.web.templating import local, masked, number
from worker.web.throttle import Throttle
from worker.web.words import word

FOLDER = Path(__file__).parent
TITLE = "SMS"


class _Admin(BaseAdmin):
    """Menu, templates and static files of the library, without its routes for forms that we do not have."""

    def _collect_core_routes(self) -> list[Route]:
        return []


def make_app(settings: Settings, sessions: sessionmaker[Session], *, now: Callable[[], datetime]) -> Starlette:
    """The web page over the database of *sessions*.

    Raises `SettingsError` for a password's hash that is none.
    """
    logging.getLogger("starlette_admin").setLevel(logging.CRITICAL)  # it logs addresses with their queries
    house = WebHouse(settings, sessions, now)
    passwords, secret, throttle = Passwords(settings), secrets.token_hex(32), Throttle()
    logged_in = WebSessions(now)
    admin = _admin(house, secret, has_passwords=bool(passwords))
    refuse = refusing(admin.templates)
    outer = [*Door(house, passwords, logged_in, throttle, admin.templates).routes()]
    outer += Probes(house, passwords, throttle).routes()

    async def refused(request: Request, error: Exception) -> Response:
        return refuse(request, error.status_code if isinstance(error, HTTPException) else 500)

    app = Starlette(
        routes=[*outer, Mount("/", routes=admin.routes, name=admin.route_name)],
        middleware=_guards(logged_in if passwords else None, refuse, secret),
        exception_handlers={HTTPException: refused},
    )
    app.state.ROUTE_NAME = admin.route_name
    return app


def _guards(sessions: WebSessions | None, refuse: Refuse, secret: str) -> list[Middleware]:
    """What every request passes, from the outside in; *sessions* is None where no password is set."""
    return [
        Middleware(SafeHeaders),
        *([] if sessions else [Middleware(OnlyThisMachine)]),
        Middleware(SmallBodies),
        Middleware(Spoken),
        Middleware(Mishaps, refuse=refuse),
        Middleware(LoggedIn, sessions=sessions, refuse=refuse),
        Middleware(OwnForms, refuse=refuse),
        Middleware(FlashMiddleware, secret_key=secret),
        Middleware(Csrf, secret_key=secret),
    ]


def _admin(house: WebHouse, secret: str, *, has_passwords: bool) -> BaseAdmin:
    views = _views(house)
    start = next(view for view in views if isinstance(view, CustomView) and view.path == "/")
    admin = _Admin(
        title=TITLE,
        base_url="/",
        templates_dir=str(FOLDER / "templates"),
        static_dir=str(FOLDER / "static"),
        index_view=start,
        secret_key=secret,
        timezone_config=None,
    )
    for view in views:
        if view is not start:
            admin.add_view(view)
    env = admin.templates.env
    env.install_gettext_callables(gettext, ngettext, newstyle=True)  # type: ignore[attr-defined]
    env.trim_blocks = env.lstrip_blocks = True
    env.filters["masked"] = masked
    env.filters["as_seen"] = as_seen
    env.filters["number"] = number
    env.filters["local"] = lambda at: local(at, house.settings.zone)
    words = {"spoken": spoken, "languages": LANGUAGES, "theme": door.theme, "word": word}
    places = {"here": here, "message_url": message_url}
    env.globals.update(words | places | {"has_passwords": has_passwords, "visitor": None})
    return admin


def _views(house: WebHouse) -> list[BaseView]:
    lists = [SheetView(house, sheet) for sheet in (MESSAGES, BATCHES, REPORTS, CALLBACKS, REFUSED, DECISIONS, BLOCKS)]
    return [*pages.views(house), *lists, Standing(house), Finding(house)]
