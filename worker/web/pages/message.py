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
from worker.web.lists.cells import masked_words
from worker.web.templating import Page, gettext, lazy, local
from worker.web.visitors import visitor
from worker.web.words import word

GOOD = frozenset({"delivered", "accepted", "accepted_late", "callback_told"})
BAD = frozenset(
    {"failed", "batch_refused", "refused_alone", "order_refused", "callback_failed", "expired", "cancelled"}
)
DOUBT = frozenset(
    {"cut_off", "unknown", "decided_recover", "to_decide", "account_held", "account_paused", "circuit_open"}
)


STATES = ("state", "told")  # fields of events that name a state
WRITTEN = ("explanation", "reason", "error_text", "gateway_status", "key")  # fields of events, in words of others


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
        return self.render(request, "pages/message.html", **self._known(story, reveal=visitor(request).reveals))

    def _story(self, uid: str) -> Story | None:
        with reading(self.house.sessions) as session:
            return story_of(session, uid)

    def _known(self, story: Story, *, reveal: bool) -> dict[str, Any]:
        return {
            "story": story,
            "sms": story.message,
            "events": self._lines(story.events, reveal=reveal),
            "ahead": self._lines(story.ahead, reveal=reveal),
            "callback_failed": _has_failed_callback(story),
        }

    def _lines(self, events: Sequence[Event], *, reveal: bool) -> list[Line]:
        zone = self.house.settings.zone
        seen = events if reveal else [_masked(one) for one in events]
        return [Line(one, told(_spoken(one), gettext, moment=lambda at: local(at, zone)), _look(one)) for one in seen]


def _masked(event: Event) -> Event:
    fields = {name: masked_words(event.fields[name]) for name in WRITTEN if event.fields.get(name)}
    return event._replace(fields=event.fields | fields)


def _spoken(event: Event) -> Event:
    """*event* with the states that it names in the visitor's language."""
    fields = {name: word(event.fields[name]) for name in STATES if event.fields.get(name)}
    return event._replace(fields=event.fields | fields)


def _look(event: Event) -> str:
    if event.kind == "reported":
        return {"delivered": "good", "failed": "bad"}.get(event.fields.get("state") or "", "")
    return "good" if event.kind in GOOD else "bad" if event.kind in BAD else "doubt" if event.kind in DOUBT else ""


def _has_failed_callback(story: Story) -> bool:
    return any(event.kind == "callback_failed" for event in story.events)
