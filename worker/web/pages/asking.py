"""Check a status by its request_id: what is stored here, and what the gateway says now."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin import route

from worker.gateway import Report
from worker.storable import is_storable
from worker.store.engine import reading
from worker.store.listing import Listed, Wanted, page
from worker.web.house import WebHouse
from worker.web.pages import words
from worker.web.pages.operators import operator
from worker.web.pages.questions import Answer, Questions
from worker.web.templating import Page, lazy

MOST = 200  # messages of one request_id: a request has up to a hundred
LONGEST = 255


class Row(NamedTuple):
    """What the gateway says about one message of the request."""

    report: Report
    meaning: str
    ours: Listed | None  #: the message here, if it is one of ours


class Asking(Page):
    """A form by GET, for a request_id is no secret; and by POST the question to the gateway, for operators."""

    menu_label = lazy("Check a status")
    path = "/status"
    route_name = "status"

    def __init__(self, house: WebHouse) -> None:
        super().__init__(house)
        self._questions = Questions(house.settings)

    @route("")
    async def index(self, request: Request) -> Response:
        """What is stored."""
        request_id = _clean(request.query_params.get("request_id", ""))
        return self.render(request, "pages/status.html", **await self._known(request_id))

    @route("", methods=["POST"], name="status_now")
    async def ask(self, request: Request) -> Response:
        """What the gateway says now. It is shown and not stored: polling asks, and stores, by itself."""
        operator(request)
        request_id = _clean(str((await request.form()).get("request_id", "")))
        known = await self._known(request_id)
        if request_id:
            answer = await run_in_threadpool(self._questions.ask, request_id)
            known |= {"answer": answer, "rows": _rows(answer, known["found"])}
            known |= {"error_words": words.error_words}
        return self.render(request, "pages/status.html", **known)

    async def _known(self, request_id: str) -> dict[str, Any]:
        found = await run_in_threadpool(self._found, request_id) if request_id else []
        return {"request_id": request_id, "found": found, "answer": None}

    def _found(self, request_id: str) -> list[Listed]:
        with reading(self.house.sessions) as session:
            return page(session, Wanted(request_id=request_id), limit=MOST)


def _clean(written: str) -> str:
    request_id = written.strip()[:LONGEST]
    return request_id if is_storable(request_id) else ""


def _rows(answer: Answer, found: Sequence[Listed]) -> list[Row]:
    ours = {one.message_id: one for one in found if one.message_id}
    return [Row(one, words.STATUSES[one.state or ""], ours.get(one.message_id or "")) for one in answer.reports]
