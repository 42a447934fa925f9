"""The pages of a list."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import urlencode

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette_admin import route

from worker.store.engine import reading
from worker.web.house import WebHouse
from worker.web.lists.asking import CannotBeRead, asked_of, number_of
from worker.web.lists.cells import value_of
from worker.web.lists.files import WRITERS, columns_of, rows_of
from worker.web.lists.sheets import Asked, Counted, Found, Kind, Sheet, Sort
from worker.web.templating import Page
from worker.web.visitors import visitor
from worker.web.words import word

log = structlog.get_logger()

AT_ONCE = 50
LINES_AT_ONCE = 200
NOTHING = Found(())


class SheetView(Page):
    """The list itself, a row's own page, and the list as a file."""

    def __init__(self, house: WebHouse, sheet: Sheet) -> None:
        super().__init__(house)
        self.sheet = sheet
        self.menu_label = sheet.title
        self.path = f"/{sheet.key}"
        self.route_name = sheet.key

    def is_active(self, request: Request) -> bool:
        """Whether the menu shows it as the one that is open."""
        path = request.url.path
        return path == self.path or path.startswith(f"{self.path}/")

    @route("")
    async def index(self, request: Request) -> Response:
        """A page of the list."""
        return await run_in_threadpool(self._listed, request)

    @route("/{number}")
    async def one(self, request: Request) -> Response:
        """All of one row."""
        return await run_in_threadpool(self._shown, request)

    @route(".{form}")
    async def file(self, request: Request) -> Response:
        """The list as a file."""
        return await run_in_threadpool(self._written, request)

    def _listed(self, request: Request) -> Response:
        given = request.query_params
        found, counted, complaint = NOTHING, None, None
        try:
            asked = asked_of(self.sheet, given, self.house.settings)
        except CannotBeRead as error:
            complaint = str(error)
        else:
            found, counted = self._found(asked, given)
        return self.render(
            request,
            "list.html",
            status=400 if complaint else 200,
            sheet=self.sheet,
            given=given,
            set=self._set(given),
            complaint=complaint,
            counted=counted,
            rows=self._cells(request, found),
            columns=[column for column in columns_of(self.sheet, reveal=visitor(request).reveals) if column.listed],
            older=self._address(given, before=found.older),
            newer=self._address(given, after=self._newer(found, given)),
            newest=self._address(given) if "before" in given or "after" in given else None,
            files={form: self._file(given, form) for form in WRITERS},
            Sort=Sort,
            Kind=Kind,
        )

    def _found(self, asked: Asked, given: Mapping[str, str]) -> tuple[Found, Counted | None]:
        before, after = number_of(given, "before"), number_of(given, "after")
        with reading(self.house.sessions) as session:
            found = self.sheet.source.page(session, asked, before=before, after=after, limit=AT_ONCE)
            return found, self.sheet.source.counted(session, asked)

    def _cells(self, request: Request, found: Found) -> list[list[tuple[Any, str | None]]]:
        reveal = visitor(request).reveals
        columns = [column for column in columns_of(self.sheet, reveal=reveal) if column.listed]
        return [
            [(value_of(row, column, reveal=reveal), column.link and column.link(row)) for column in columns]
            for row in found.rows
        ]

    def _newer(self, found: Found, given: Mapping[str, str]) -> int | None:
        came_down = "before" in given and found.rows
        return found.rows[0].id if came_down else found.newer

    def _address(self, given: Mapping[str, str], **place: int | None) -> str | None:
        if None in place.values():
            return None
        return f"{self.path}?{urlencode(self._filters(given) | place)}".rstrip("?")

    def _file(self, given: Mapping[str, str], form: str) -> str:
        return f"{self.path}.{form}?{urlencode(self._filters(given))}".rstrip("?")

    def _filters(self, given: Mapping[str, str]) -> dict[str, Any]:
        return {one.name: given[one.name] for one in self.sheet.filters if given.get(one.name)}

    def _set(self, given: Mapping[str, str]) -> list[tuple[str, str]]:
        """The filters that are set, in words."""
        chosen = ((one, given.get(one.name, "")) for one in self.sheet.filters)
        return [(one.label, word(value) if one.sort == Sort.CHOICE else value) for one, value in chosen if value]

    def _shown(self, request: Request) -> Response:
        number = number_of(request.path_params, "number")
        if number is None or not self.sheet.has_pages:
            raise HTTPException(404)
        with reading(self.house.sessions) as session:
            row = self.sheet.source.one(session, number)
        if row is None:
            raise HTTPException(404)
        reveal = visitor(request).reveals
        columns = columns_of(self.sheet, reveal=reveal)
        facts = [(one, value_of(row, one, reveal=reveal), one.link and one.link(row)) for one in columns]
        title = f"{self.sheet.title}: {number}"
        return self.render(request, "fact.html", title=title, number=number, facts=facts, sheet=self.sheet, Kind=Kind)

    def _written(self, request: Request) -> Response:
        form, who = request.path_params["form"], visitor(request)
        if form not in WRITERS:
            raise HTTPException(404)
        try:
            asked = asked_of(self.sheet, request.query_params, self.house.settings)
        except CannotBeRead:
            raise HTTPException(400) from None
        kind, writer = WRITERS[form]
        log.info("web_file", sheet=self.sheet.key, who=who.who, filters=sorted(asked))
        rows = rows_of(self.house.sessions, self.sheet, asked, reveal=who.reveals)
        lines = writer(rows, columns_of(self.sheet, reveal=who.reveals))
        headers = {"content-disposition": f'attachment; filename="{self.sheet.key}.{form}"'}
        return StreamingResponse(_together(lines), media_type=f"{kind}; charset=utf-8", headers=headers)


def _together(lines: Iterator[str]) -> Iterator[str]:
    while some := "".join(islice(lines, LINES_AT_ONCE)):
        yield some
