"""One box for whatever somebody has in hand: a phone, a uid, a key, a request_id."""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlencode

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette_admin import route

from models.refused_intake import RefusedIntake
from worker.storable import is_storable
from worker.store import listing
from worker.store.engine import reading
from worker.store.listing import Wanted
from worker.web.links import message_url
from worker.web.lists.asking import LONGEST, phone_of
from worker.web.templating import Page, _, lazy

FEWEST_DIGITS = 7
ASIDE = frozenset("+-() .\u00a0")


class Hit(NamedTuple):
    """What it may be."""

    words: str
    address: str


class Finding(Page):
    """Goes there at once, if there is only one place to go."""

    menu_label = lazy("Search")
    path = "/find"
    route_name = "find"
    add_to_menu = False

    @route("")
    async def index(self, request: Request) -> Response:
        """Find ``q``."""
        asked = request.query_params.get("q", "").strip()[:LONGEST]
        hits = await run_in_threadpool(self._hits, asked) if asked and is_storable(asked) else []
        if len(hits) == 1:
            return RedirectResponse(hits[0].address, 303)
        return self.render(request, "find.html", asked=asked, hits=hits)

    def _hits(self, asked: str) -> list[Hit]:
        with reading(self.house.sessions) as session:
            return list(self._all(session, asked))

    def _all(self, session: Session, asked: str) -> Iterator[Hit]:
        if listing.page(session, Wanted(uid=asked), limit=1):
            yield Hit(_("the uid of a message"), message_url(asked))
        if phone := self._phone(asked):
            found = listing.page(session, Wanted(phone=phone), limit=1)
            yield from [Hit(_("a phone"), _messages(phone=phone))] if found else []
        if listing.page(session, Wanted(request_id=asked), limit=1):
            yield Hit(_("a request_id"), _messages(request_id=asked))
        if listing.page(session, Wanted(key=asked), limit=1):
            yield Hit(_("a key"), _messages(key=asked))
        refused = select(RefusedIntake.id).where(RefusedIntake.uid == asked).limit(1)
        if session.scalars(refused).first() is not None:
            yield Hit(_("the uid of a refused order"), f"/refused?{urlencode({'uid': asked})}")

    def _phone(self, asked: str) -> str | None:
        digits = sum(one.isascii() and one.isdecimal() for one in asked)
        is_one = digits >= FEWEST_DIGITS and all(one in ASIDE or (one.isascii() and one.isdecimal()) for one in asked)
        return phone_of(asked, self.house.settings.countries) if is_one else None


def _messages(**by: str) -> str:
    return f"/messages?{urlencode(by)}"
