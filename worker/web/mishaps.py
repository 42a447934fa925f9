"""Pages for what went wrong. None tells anything of the inside."""

from collections.abc import Callable

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.store.engine import DATABASE_TROUBLE
from worker.web.languages import lazy

log = structlog.get_logger()

Refuse = Callable[[Request, int], Response]
UNKNOWN = (lazy("This did not work"), lazy("The web page could not do this."))
WORDS = {
    400: (lazy("This cannot be read"), lazy("Something in the address or in the form is wrong.")),
    403: (
        lazy("This is not allowed"),
        lazy("Your role may not do this, or the form is from before a restart: load the page again."),
    ),
    404: (lazy("There is nothing here"), lazy("The address is wrong, or what was here is deleted by now.")),
    405: (lazy("This cannot be done here"), lazy("This address is for forms only, or for looking only.")),
    429: (lazy("Too many wrong passwords"), lazy("Wait a little and try again.")),
    500: (lazy("This went wrong"), lazy("It is a mistake of this program. The log says where it happened.")),
    503: (
        lazy("The database does not answer"),
        lazy("Messages wait in Redis meanwhile, and none is lost. Load the page again when it is back."),
    ),
}


def refusing(templates: Jinja2Templates) -> Refuse:
    """A function of request and status that gives the page."""

    def refuse(request: Request, status: int) -> Response:
        title, explanation = WORDS.get(status, UNKNOWN)
        known = {"title": title, "explanation": explanation}
        return templates.TemplateResponse(request, "error.html", known, status_code=status)

    return refuse


class Mishaps:
    """Answers what no view caught, and logs where that was: never what was asked or stored."""

    def __init__(self, app: ASGIApp, *, refuse: Refuse) -> None:
        self.app = app
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception as error:  # noqa: BLE001  # whatever it is, there is an answer
            status = _status_of(error)
            if status >= 500:  # noqa: PLR2004
                # No traceback: what was asked stands in the words of errors.
                known = {"error": type(error).__name__, "where": _where(error)}
                log.error("web_page_failed", path=_route_of(scope), **known)  # noqa: TRY400
            if not begun:
                await self.refuse(Request(scope), status)(scope, receive, send)


def _status_of(error: Exception) -> int:
    if isinstance(error, HTTPException):
        return error.status_code
    if isinstance(error, ClientDisconnect):  # nobody is there to be answered
        return 400
    return 503 if isinstance(error, DATABASE_TROUBLE) else 500


def _route_of(scope: Scope) -> str:
    # The first word only: uids and phones may stand behind it.
    return "/" + str(scope["path"]).split("/")[1]


def _where(error: BaseException) -> str:
    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    return f"{last.tb_frame.f_code.co_qualname}:{last.tb_lineno}" if last else ""
