"""The start page: is it going out? And if not, why, and what to do."""

import asyncio
from itertools import groupby
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin import route

from worker.store.accounts import BY_RESTORE
from worker.store.attention import RECOVER, Attention
from worker.store.engine import reading
from worker.store.overview import Overview, overview, up_to
from worker.web.house import WebHouse
from worker.web.pages import words
from worker.web.pages.chart import chart_of
from worker.web.pages.redis_lists import RedisLists
from worker.web.templating import Page, lazy
from worker.wiring import quiet_lanes

HOURS = 3


class Need(NamedTuple):
    """Things of one kind that want a person."""

    kind: str
    title: str
    remedy: str
    found: list[Attention]


class Start(Page):
    """The first page."""

    menu_label = lazy("Is it going out?")
    path = "/"
    route_name = "start"

    def __init__(self, house: WebHouse) -> None:
        super().__init__(house)
        self._lists = RedisLists(house.settings)
        self._quiet = quiet_lanes(house.settings)

    @route("")
    async def index(self, request: Request) -> Response:
        """The whole page."""
        return self.render(request, "pages/start.html", **await self._known())

    @route("/now", name="start_now")
    async def now(self, request: Request) -> Response:
        """What changes of it, for the page that is already there."""
        return self.render(request, "pages/now.html", **await self._known())

    async def _known(self) -> dict[str, Any]:
        seen, orders = await asyncio.gather(run_in_threadpool(self._look), run_in_threadpool(self._lists.orders))
        needs = _needs(seen.attention)
        return {
            "seen": seen,
            "orders": orders,
            "in_redis": sum(orders.values()) if orders else 0,
            "by_redis": self.house.settings.broker_is_redis,
            "verdict": words.VERDICTS[seen.verdict],
            "said": _said(seen),
            "chart": chart_of(seen.minutes),
            "needs": needs,
            "urgent": [one for one in needs if one.kind != "order refused" or seen.refused_today],
            "is_held": seen.account.held_at is not None,
            "RECOVER": RECOVER,
            "recover": words.RECOVER,
            "duration": words.duration,
            "up_to": up_to,
            "error_words": words.error_words,
            "refusals": words.REFUSALS,
            "hours": HOURS,
        }

    def _look(self) -> Overview:
        login, now = self.house.settings.gateway_login, self.house.now()
        with reading(self.house.sessions) as session:
            return overview(session, login, now=now, quiet=self._quiet, hours=HOURS)


def _said(seen: Overview) -> words.Said:
    is_restored = seen.reason == "held" and (seen.account.held_by or "").startswith(BY_RESTORE)
    return words.RESTORED if is_restored else words.REASONS[seen.reason]


def _needs(attention: list[Attention]) -> list[Need]:
    found = []
    for kind, some in groupby(attention, key=lambda one: one.kind):
        said = words.KINDS.get(kind, words.Said(kind, ""))
        found.append(Need(kind, said.sentence, said.remedy, list(some)))
    return found
