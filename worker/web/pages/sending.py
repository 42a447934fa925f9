"""Send an SMS: the vendor's form, with its cost as one types. It is sent once, however often the form is."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette_admin import route
from starlette_admin.flash import flash

from models.lifecycle import Lane
from worker.campaigns.single import Ordered, order_one
from worker.envelope import Envelope
from worker.errors import OrderRefused
from worker.order_fields import Terms
from worker.orders import Refusal, read
from worker.store.engine import DATABASE_TROUBLE
from worker.web.links import message_url
from worker.web.pages import words
from worker.web.pages.counting import WAYS, Counted, counted, written
from worker.web.pages.operators import operator
from worker.web.templating import Page, _, lazy
from worker.web.visitors import visitor
from worker.wiring import terms

log = structlog.get_logger()

PRODUCER = "web"
FIELDS = ("phone", "text", "lane", "nickname", "send_at", "expires_at", "key", "form")
OPTIONAL = ("nickname", "send_at", "expires_at")
FIELD_OF = {"duplicate": "text", "key_reused": "key", "time_invalid": "send_at"}


class Sending(Page):
    """The form, for operators."""

    menu_label = lazy("Send an SMS")
    path = "/send"
    route_name = "send"

    def is_accessible(self, request: Request) -> bool:
        """Viewers send nothing."""
        return visitor(request).may_act

    @route("")
    async def index(self, request: Request) -> Response:
        """An empty form."""
        return self._form(request, {"lane": Lane.NORMAL.value})

    @route("", methods=["POST"], name="send_now")
    async def send(self, request: Request) -> Response:
        """Send what was written; or, by its other buttons, count it, or write it in a cheaper way."""
        somebody, given = operator(request), _given(await request.form())
        wish = str((await request.form()).get("do", ""))
        if wish in WAYS:
            return self._form(request, given | {"text": written(given["text"], wish)})
        if wish != "send":
            return self._form(request, given)
        lane = _lane(given)
        if lane is None:
            return self._form(request, given, {"lane": _("Choose one of the lanes.")}, status=422)
        try:
            ordered = await run_in_threadpool(self._order, given, lane, somebody.audit_name)
        except DATABASE_TROUBLE as error:
            log.warning("web_order_not_stored", error=type(error).__name__)
            said = _(
                "The database does not answer. Send it again: it is stored and sent once, even if it was stored now."
            )
            return self._form(request, given, {"": said}, status=503)
        return self._answer(request, given, ordered)

    @route("/count", methods=["POST"], name="send_count")
    async def count(self, request: Request) -> Response:
        """What the text costs: a piece of the form's page."""
        operator(request)
        given = _given(await request.form())
        return self.render(request, "pages/count.html", counted=self._counted(given))

    def _answer(self, request: Request, given: Mapping[str, str], ordered: Ordered) -> Response:
        if ordered.refusal:
            # What comes in again under the same name was refused once and for all: the next try has another.
            again = {**given, "form": uuid4().hex}
            return self._form(request, again, _wrong(ordered.refusal), status=422)
        said = _("Stored, and on its way.") if ordered.is_new else _("It was ordered before, and is sent once.")
        flash(request, said, "success" if ordered.is_new else "info")
        return RedirectResponse(message_url(ordered.uid), 303)

    def _order(self, given: Mapping[str, str], lane: Lane, who: str) -> Ordered:
        fields: dict[str, Any] = {name: given[name].strip() or None for name in OPTIONAL}
        fields |= {"phone": given["phone"], "text": given["text"], "producer": PRODUCER}
        fields |= {"key": given["key"].strip() or f"form-{given['form']}"}
        fields |= {"tags": {"sent_by": who, "form": given["form"]}}
        these = replace(terms(self.house.settings, lane), now=self.house.now())
        if refusal := _readable(fields, these):
            return Ordered("", None, refusal)
        return order_one(fields, sessions=self.house.sessions, terms=these)

    def _form(
        self, request: Request, given: Mapping[str, str], wrong: Mapping[str, str] | None = None, *, status: int = 200
    ) -> Response:
        fields = {name: given.get(name, "") for name in FIELDS}
        fields["form"] = fields["form"] or uuid4().hex
        known = {
            "given": fields,
            "wrong": wrong or {},
            "counted": self._counted(fields),
            "lanes": [lane.value for lane in Lane],
            "default_nickname": self.house.settings.gateway_nickname,
        }
        return self.render(request, "pages/send.html", status=status, **known)

    def _counted(self, given: Mapping[str, str]) -> Counted:
        return counted(given["text"], given["nickname"].strip() or None, self.house.settings)


def _given(form: FormData) -> dict[str, str]:
    found = {name: str(form.get(name, "")) for name in FIELDS}
    # A form writes line ends as CR LF; an SMS that was typed has none of these CRs.
    return found | {"text": found["text"].replace("\r\n", "\n")}


def _lane(given: Mapping[str, str]) -> Lane | None:
    return Lane(given["lane"]) if given["lane"] in set(Lane) else None


def _readable(fields: Mapping[str, Any], these: Terms) -> OrderRefused | None:
    """Why the order cannot be read, before anything is stored: a slip of the keyboard is nothing to keep."""
    given = {name: value for name, value in fields.items() if value is not None}
    envelope = Envelope("sms.send", str(uuid4()), [], given, raw=json.dumps(given).encode())
    first = next(iter(read(envelope, these)))
    return OrderRefused(first.reason, first.explanation) if isinstance(first, Refusal) else None


def _wrong(refusal: OrderRefused) -> dict[str, str]:
    """What is said at which field."""
    name = FIELD_OF.get(refusal.reason) or refusal.explanation.partition(":")[0]
    known = words.REFUSALS.get(refusal.reason)
    explanation = refusal.explanation.removeprefix(f"{name}: ")
    in_full = f"{known} ({explanation})" if known else explanation
    said = known if known and refusal.reason in words.SAY_ALL else in_full
    return {name if name in FIELDS else "": said}
