"""What acting pages share: an operator, the person who acts, and the way back."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette_admin.flash import flash

from worker.people import Person
from worker.web.guards import within
from worker.web.house import WebHouse
from worker.web.visitors import Visitor, visitor


def operator(request: Request) -> Visitor:
    """Whoever asks, if he may act. Raises `HTTPException` (403)."""
    found = visitor(request)
    if not found.may_act:
        raise HTTPException(403)
    return found


def person(house: WebHouse, request: Request) -> Person:
    """The same as the one who decides, by his name in the audit. Raises `HTTPException` (403)."""
    return Person(house.sessions, house.settings.gateway_login, operator(request).audit_name, house.now)


def back(request: Request, where: str, said: str, category: str = "success") -> RedirectResponse:
    """To the page *where* of this site, which says what was done."""
    flash(request, said, category)
    return RedirectResponse(within(where or "/"), 303)
