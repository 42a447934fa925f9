"""All that is known about one message: its story in words, and what may be done about it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin import route

from worker.storable import is_storable
from worker.store.engine import reading
from worker.store.story import Event, Story, story_of
from worker.story import told
from worker.web.templating import Page, gettext, lazy, local

GOOD = frozenset({"delivered", "accepted", "accepted_late", "callback_told"})
BAD = frozenset(
    {"failed", "batch_refused", "refused_alone", "order_refused", "callback_failed", "expired", "cancelled"}
)
DOUBT = frozenset(
    {"cut_off", "unknown", "decided_recover", "to_decide", "account_held", "account_paused", "circuit_open"}
)


class Line(NamedTuple):
    """One thing that happened, or will."""

    event: Event
    words: str
    look: str


class OneMessage(Page):
    """A message's page."""

    menu_label = lazy("Message")
    path = "/message"
    route_name = "message_root"
    add_to_menu = False

    @route("")
    async def index(self, request: Request) -> Response:  # noqa: ARG002
        """No message is named."""
        raise HTTPException(404)

    @route("/{uid:path}", name="message")
    async def one(self, request: Request) -> Response:
        """The message of this uid."""
        uid = request.path_params["uid"]
        story = await run_in_threadpool(self._story, uid) if is_storable(uid) else None
        if story is None:
            raise HTTPException(404)
        return self.render(request, "pages/message.html", **self._known(story))

    def _story(self, uid: str) -> Story | None:
        with reading(self.house.sessions) as session:
            return story_of(session, uid)

    def _known(self, story: Story) -> dict[str, Any]:
        return {
            "story": story,
            "sms": story.message,
            "events": self._lines(story.events),
            "ahead": self._lines(story.ahead),
            "callback_failed": _has_failed_callback(story),
        }

    def _lines(self, events: Sequence[Event]) -> list[Line]:
        zone = self.house.settings.zone
        return [Line(one, told(one, gettext, moment=lambda at: local(at, zone)), _look(one)) for one in events]


def _look(event: Event) -> str:
    if event.kind == "reported":
        return {"delivered": "good", "failed": "bad"}.get(event.fields.get("state") or "", "")
    return "good" if event.kind in GOOD else "bad" if event.kind in BAD else "doubt" if event.kind in DOUBT else ""


def _has_failed_callback(story: Story) -> bool:
    return any(event.kind == "callback_failed" for event in story.events)
