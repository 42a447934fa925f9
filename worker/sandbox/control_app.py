"""The control port: what the sandbox took, and which faults are on. JSON, on loopback only."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, get_args

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from worker.sandbox.app import GatewayEndpoints
from worker.sandbox.config import RequestIds
from worker.sandbox.faults import Faults, faults_of
from worker.sandbox.journal import Journal
from worker.sandbox.vendor import Vendor

REQUEST_IDS: Sequence[str] = get_args(RequestIds)
#: What of the settings can be changed while the sandbox runs, and how it is read.
READ: Mapping[str, Callable[[Any], Any]] = {
    "delivery_seconds": lambda way: (float(way[0]), float(way[1])),
    "latency_seconds": float,
    "batch_limit": int,
    "request_ids": str,
}
PAGE = 5_000  #: messages of the journal in one answer, unless asked otherwise


class ControlEndpoints:
    """``/health``, ``/journal``, ``/stats``, ``/strikes``, ``/faults`` and ``/settings``."""

    def __init__(
        self,
        *,
        vendor: Vendor,
        journal: Journal,
        faults: Faults,
        gateway: GatewayEndpoints,
        listen: Callable[[bool], Awaitable[None]],
    ) -> None:
        self._vendor = vendor
        self._journal = journal
        self._faults = faults
        self._gateway = gateway
        self._listen = listen

    def app(self) -> Starlette:
        routes = [
            Route("/health", self._health),
            Route("/journal", self._read_journal),
            Route("/stats", self._stats),
            Route("/strikes", self._strikes),
            Route("/faults", self._show_faults, methods=["GET"]),
            Route("/faults", self._put_faults, methods=["PUT"]),
            Route("/faults", self._delete_faults, methods=["DELETE"]),
            Route("/settings", self._put_settings, methods=["PUT"]),
        ]
        return Starlette(routes=routes)

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"ready": True})

    async def _read_journal(self, request: Request) -> Response:
        try:
            after, limit = int(request.query_params.get("after", 0)), int(request.query_params.get("limit", PAGE))
        except ValueError:
            raise HTTPException(400, "after and limit are numbers") from None
        page = self._journal.taken[max(after, 0) :][: max(limit, 0)]
        return JSONResponse({"messages": [taken.as_json() for taken in page], "total": len(self._journal.taken)})

    async def _stats(self, _: Request) -> Response:
        asked = {f"{endpoint}_requests": number for endpoint, number in self._gateway.asked.items()}
        return JSONResponse(asked | self._journal.stats() | {"faults_struck": dict(self._faults.struck)})

    async def _strikes(self, _: Request) -> Response:
        return JSONResponse([asdict(strike) for strike in self._faults.strikes])

    async def _show_faults(self, _: Request) -> Response:
        return JSONResponse([asdict(fault) for fault in self._faults.on])

    async def _put_faults(self, request: Request) -> Response:
        try:
            self._faults.switch(faults_of(await request.json()))
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        await self._listen(not self._faults.refuse_connections)
        return await self._show_faults(request)

    async def _delete_faults(self, request: Request) -> Response:
        self._faults.switch([])
        await self._listen(True)
        return await self._show_faults(request)

    async def _put_settings(self, request: Request) -> Response:
        try:
            changes = _changes(await request.json())
        except (ValueError, TypeError, LookupError, AttributeError):
            raise HTTPException(400, f"an object with some of {', '.join(READ)} is expected") from None
        self._vendor.config = replace(self._vendor.config, **changes)
        return JSONResponse(changes)


def _changes(asked: dict[str, Any]) -> dict[str, Any]:
    changes = {name: READ[name](value) for name, value in asked.items()}
    if changes.get("request_ids", REQUEST_IDS[0]) not in REQUEST_IDS:
        raise ValueError("request_ids")
    return changes
