"""What a person does at once: pause, resume, cancel, ask again, tell again. Each leaves a row in ``decisions``."""

from collections.abc import Sequence

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin import route

from models import Callback
from models.lifecycle import CallbackState
from worker import callbacks
from worker.errors import DatabaseRestored
from worker.order_fields import WORD_CHARACTERS
from worker.storable import is_storable
from worker.store.engine import reading
from worker.web.lists.asking import number_of
from worker.web.pages import words
from worker.web.pages.operators import back, person
from worker.web.templating import Page, _, ngettext

MOST_AT_ONCE = 10_000  # callbacks


class Acting(Page):
    """Forms of other pages post here; nothing of it is done by looking."""

    path = "/do"
    route_name = "do"
    add_to_menu = False

    @route("")
    async def index(self, request: Request) -> Response:  # noqa: ARG002
        """There is nothing to look at."""
        raise HTTPException(404)

    @route("/pause", methods=["POST"], name="do_pause")
    async def pause(self, request: Request) -> Response:
        """Let nothing be posted, for a ``reason``."""
        somebody, form = person(self.house, request), await request.form()
        reason = _field(form, "reason").strip()[:WORD_CHARACTERS] or None
        if await run_in_threadpool(somebody.pause, reason):
            return back(request, _field(form, "next"), _("Posting is paused. Messages are kept until it is resumed."))
        return back(request, _field(form, "next"), _("Posting was paused already. Nothing was changed."), "info")

    @route("/resume", methods=["POST"], name="do_resume")
    async def resume(self, request: Request) -> Response:
        """Let posting go on at once."""
        somebody, form = person(self.house, request), await request.form()
        try:
            resumed = await run_in_threadpool(somebody.resume)
        except DatabaseRestored:
            return back(request, _field(form, "next"), str(words.RECOVER), "error")
        if resumed:
            return back(request, _field(form, "next"), _("Posting goes on."))
        return back(request, _field(form, "next"), _("Nothing stood in the way of posting."), "info")

    @route("/cancel", methods=["POST"], name="do_cancel")
    async def cancel(self, request: Request) -> Response:
        """Stop the message ``uid`` if it is not posted yet."""
        somebody, form = person(self.house, request), await request.form()
        if await run_in_threadpool(somebody.cancel, [_field(form, "uid")]):
            return back(request, _field(form, "next"), _("The message is cancelled, and is not posted."))
        said = _("It was no longer queued, and so it was not cancelled.")
        return back(request, _field(form, "next"), said, "warning")

    @route("/ask", methods=["POST"], name="do_ask")
    async def ask(self, request: Request) -> Response:
        """Have the gateway asked once more about the message ``uid``, if it is unknown."""
        somebody, form = person(self.house, request), await request.form()
        if await run_in_threadpool(somebody.ask_again, [_field(form, "uid")]):
            return back(request, _field(form, "next"), _("The gateway is asked once more within a minute."))
        return back(request, _field(form, "next"), _("It was no longer unknown, and nothing was changed."), "warning")

    @route("/retry", methods=["POST"], name="do_retry")
    async def retry(self, request: Request) -> Response:
        """Have producers told again: by the ``callback`` of this id, by those of ``message``, or by all that failed."""
        somebody, form = person(self.house, request), await request.form()
        ids = await run_in_threadpool(self._failed, _number(form, "callback"), _number(form, "message"))
        again = await run_in_threadpool(callbacks.retry, somebody.sessions, ids, now=somebody.now, who=somebody.who)
        said = ngettext("%(num)d callback is told again now.", "%(num)d callbacks are told again now.", again)
        return back(request, _field(form, "next"), said % {"num": again}, "success" if again else "warning")

    def _failed(self, callback_id: int | None, sms_id: int | None) -> Sequence[int]:
        failed = select(Callback.id).where(Callback.state == CallbackState.FAILED)
        if callback_id is not None:
            failed = failed.where(Callback.id == callback_id)
        if sms_id is not None:
            failed = failed.where(Callback.sms_id == sms_id)
        with reading(self.house.sessions) as session:
            return session.scalars(failed.order_by(Callback.id).limit(MOST_AT_ONCE)).all()


def _field(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) and is_storable(value) else ""


def _number(form: FormData, name: str) -> int | None:
    """A number that a form may leave out. Raises `HTTPException` (400) for what is none."""
    written = _field(form, name)
    number = number_of({name: written}, name)
    if written and number is None:
        raise HTTPException(400)
    return number
