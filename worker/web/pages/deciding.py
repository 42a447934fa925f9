"""Resend or drop what nobody knows to have been taken: asked again, with the number and the risk, before it is done."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin import route

from models.lifecycle import Lane, Verdict
from worker.storable import is_storable
from worker.store import doubts
from worker.store.doubts import InDoubt
from worker.store.engine import reading
from worker.store.unconfirmed import Chosen
from worker.web.guards import within
from worker.web.pages.operators import back, operator, person
from worker.web.templating import Page, _, lazy, ngettext

JUST_AFTER = timedelta(microseconds=1)
TITLES = {
    Verdict.RESEND: lazy("Post them again?"),
    Verdict.DROP: lazy("Give them up?"),
}
RISKS = {
    Verdict.RESEND: lazy("They are posted again. Those that the gateway took the first time arrive twice."),
    Verdict.DROP: lazy(
        "They fail for good, and are never posted again. Those that the gateway took arrive all the same."
    ),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be decided about which messages."""

    verdict: Verdict
    chosen: Chosen
    fields: Mapping[str, str]  #: the same, as a form holds it


class Deciding(Page):
    """A page that asks, and its form."""

    path = "/decide"
    route_name = "decide"
    add_to_menu = False

    @route("")
    async def index(self, request: Request) -> Response:
        """Say how many that is, and what may come of it. Changes nothing."""
        operator(request)
        asked, where = _asked(request.query_params), request.query_params.get("next", "/")
        found = await run_in_threadpool(self._found, asked.chosen)
        if not found:
            return back(request, where, _("Nothing of this is unconfirmed any more."), "info")
        return self._confirm(request, asked, found, where)

    @route("", methods=["POST"], name="decide_now")
    async def decide(self, request: Request) -> Response:
        """Do it to those that were shown: not to more, and not to one that was posted again and cut off anew since."""
        somebody, form = person(self.house, request), await request.form()
        given = {name: value for name, value in form.items() if isinstance(value, str)}
        asked, (shown, until) = _asked(given), _shown(given)
        chosen = replace(asked.chosen, posted_until=until)
        if len(found := await run_in_threadpool(self._found, chosen)) > shown:
            return self._confirm(request, asked, found, given.get("next", "/"), changed=True)
        moved = await run_in_threadpool(somebody.decide, asked.verdict, chosen)
        said = _said(asked.verdict, moved, shown - moved)
        return back(request, given.get("next", "/"), said, "success" if moved == shown else "warning")

    def _found(self, chosen: Chosen) -> Sequence[InDoubt]:
        with reading(self.house.sessions) as session:
            return doubts.chosen_ones(session, chosen)

    def _confirm(
        self, request: Request, asked: Asked, found: Sequence[InDoubt], where: str, *, changed: bool = False
    ) -> Response:
        lanes = Counter(one.lane for one in found)
        known: dict[str, Any] = {
            "title": TITLES[asked.verdict],
            "verdict": asked.verdict.value,
            "risk": RISKS[asked.verdict],
            "fields": asked.fields,
            "messages": len(found),
            "parts": sum(one.parts for one in found),
            "lanes": [(lane.value, lanes[lane]) for lane in Lane if lanes[lane]],
            "until": (max(one.posted_at for one in found) + JUST_AFTER).isoformat(),
            "where": within(where),
            "changed": changed,
        }
        return self.render(request, "pages/decide.html", **known)


def _asked(given: Mapping[str, str]) -> Asked:
    """Raises `HTTPException` (400) for what names no verdict, or nothing that is meant."""
    names = ("verdict", "uid", "lane", "reason", "all")
    fields = {name: given[name] for name in names if given.get(name) and is_storable(given[name])}
    try:
        verdict = {one.value: one for one in RISKS}[fields["verdict"]]
        lane = Lane(fields["lane"]) if "lane" in fields else None
    except (KeyError, ValueError):
        raise HTTPException(400) from None
    if len(fields) == 1:  # only the verdict: all must be said
        raise HTTPException(400)
    uids = (fields["uid"],) if "uid" in fields else ()
    return Asked(verdict, Chosen(uids=uids, lane=lane, reason=fields.get("reason")), fields)


def _shown(given: Mapping[str, str]) -> tuple[int, datetime]:
    """How many were shown, and the instant before which all of them were posted. Raises `HTTPException` (400)."""
    try:
        shown, until = int(given["shown"]), datetime.fromisoformat(given["until"])
        if shown < 1 or until.tzinfo is None:
            raise HTTPException(400)
        return shown, until.astimezone(UTC)
    except (KeyError, ValueError, OverflowError):
        raise HTTPException(400) from None


def _said(verdict: Verdict, moved: int, left: int) -> str:
    if verdict == Verdict.RESEND:
        done = ngettext(
            "%(num)d message is queued to be posted again.", "%(num)d messages are queued to be posted again.", moved
        )
    else:
        done = ngettext("%(num)d message is dropped.", "%(num)d messages are dropped.", moved)
    said = done % {"num": moved}
    if left > 0:
        not_any_more = ngettext(
            "%(num)d was no longer unconfirmed, and is left as it is.",
            "%(num)d were no longer unconfirmed, and are left as they are.",
            left,
        )
        said += " " + not_any_more % {"num": left}
    return said
