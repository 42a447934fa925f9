"""Words and pages in the visitor's language, with the instants of the gateway's zone."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from babel.numbers import format_decimal
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin import CustomView
from starlette_admin.flash import get_flashed_messages

from worker.web.house import WebHouse
from worker.web.languages import gettext, lazy, ngettext, spoken
from worker.web.visitors import visitor

__all__ = ["Page", "_", "gettext", "lazy", "local", "masked", "ngettext", "number"]

_ = gettext
SHOWN_DIGITS = 4


class Page(CustomView):
    """A view of ours. A subclass names its ``path``, ``route_name`` (unique), ``menu_label`` and its routes."""

    def __init__(self, house: WebHouse) -> None:
        super().__init__()
        self.house = house

    def render(self, request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
        """*template* with *context*, and with ``house``, ``visitor``, ``zone`` and ``title``."""
        if self.templates is None:
            raise RuntimeError("a page is asked only when an admin has it")
        known = {"title": self.title(request), "house": self.house, "visitor": visitor(request)}
        known |= {"zone": self.house.settings.zone, "flashed_messages": get_flashed_messages(request)}
        return self.templates.TemplateResponse(request, template, known | context, status_code=status)


def local(at: datetime | None, zone: ZoneInfo) -> str:
    """An instant as people of *zone* read it, to the second; the page says once which zone that is."""
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S") if at else ""


def masked(phone: str | None) -> str:
    """All but the last four digits hidden.

    >>> masked("998901234567")
    '********4567'
    """
    return "*" * max(0, len(phone) - SHOWN_DIGITS) + phone[-SHOWN_DIGITS:] if phone else ""


def number(count: float) -> str:
    """A number with its thousands parted, as the visitor's language does it."""
    return str(format_decimal(count, locale=spoken()))
