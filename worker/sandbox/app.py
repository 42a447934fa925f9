"""The sandbox's ASGI applications: the gateway's two addresses, and the control port."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.sandbox.faults import Endpoint, Fault, Faults, Strike
from worker.sandbox.vendor import Refused, Vendor, asked_about, request_error

BASE = "/smsgateway"
TRANSPORT = "sandbox.transport"  # where in the scope the connection is found

BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
FORBIDDEN = "<html><head><title>403 Forbidden</title></head><body><h1>Forbidden</h1></body></html>"

Answer = Callable[[Mapping[str, str], str], Any]


class NoAnswer(Response):
    """Waits until the client has left; *cut* makes it leave, after half of the answer if there is one."""

    def __init__(self, *, cut: bool, half_of: bytes = b"") -> None:
        super().__init__()
        self._cut = cut
        self._half_of = half_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._half_of:
            await send(_head(self._half_of))
            await send({"type": "http.response.body", "body": _half(self._half_of), "more_body": True})
        if self._cut and self._half_of:
            scope[TRANSPORT].close()  # what was written still goes out
        elif self._cut:
            scope[TRANSPORT].abort()
        while (await receive())["type"] != "http.disconnect":
            pass


class GatewayEndpoints:
    """``/`` and ``/status/`` with their faults."""

    def __init__(self, vendor: Vendor, faults: Faults) -> None:
        self._vendor = vendor
        self._faults = faults
        self.asked: dict[Endpoint, int] = {"send": 0, "status": 0}

    def app(self) -> ASGIApp:
        """The gateway's application, to be run by uvicorn only: its connections must be there to be cut."""
        routes = [
            Route(f"{BASE}/", self._send, methods=["POST", "GET"]),
            Route(f"{BASE}/status/", self._status, methods=["POST", "GET"]),
            Route(BASE, _with_slash, methods=["POST", "GET"]),
            Route(f"{BASE}/status", _with_slash, methods=["POST", "GET"]),
        ]
        return _knowing_its_connection(Starlette(routes=routes))

    async def _send(self, request: Request) -> Response:
        return await self._answer(request, "send", self._vendor.send)

    async def _status(self, request: Request) -> Response:
        return await self._answer(request, "status", self._vendor.status)

    async def _answer(self, request: Request, endpoint: Endpoint, ask: Answer) -> Response:
        self.asked[endpoint] += 1
        fault = self._faults.strike(endpoint)
        if fault and fault.kind == "cut-before":
            self._faults.strikes.append(Strike(fault.kind, endpoint, ()))
            return NoAnswer(cut=True)
        try:
            body = await request.body()
        except ClientDisconnect:
            return NoAnswer(cut=False)
        form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
        if fault:
            self._faults.strikes.append(Strike(fault.kind, endpoint, asked_about(form)))
        answer = (fault and _refusal(fault)) or _spoilt(_asked(ask, form, request), fault)
        await asyncio.sleep(self._vendor.config.latency_seconds)
        return answer


def _asked(ask: Answer, form: Mapping[str, str], request: Request) -> bytes:
    try:
        answer = ask(form, request.client.host if request.client else "")
    except Refused as refused:
        answer = request_error(refused.error_no)
    return json.dumps(answer, ensure_ascii=False).encode()


def _refusal(fault: Fault) -> Response | None:
    """The answer of a fault that strikes before anything is taken."""
    if fault.kind == "bad-gateway-before":
        return Response(BAD_GATEWAY, 502, media_type="text/html")
    if fault.kind == "forbidden":
        return Response(FORBIDDEN, 403, media_type="text/html")
    if fault.kind == "error":
        return _html(json.dumps(request_error(fault.error_no)).encode())
    return None


def _spoilt(body: bytes, fault: Fault | None) -> Response:
    """The answer, after all was taken, as *fault* lets it out."""
    spoilt: dict[str, Callable[[], Response]] = {
        "cut-after": lambda: NoAnswer(cut=True),
        "hang": lambda: NoAnswer(cut=False),
        "bad-gateway-after": lambda: Response(BAD_GATEWAY, 502, media_type="text/html"),
        "half-json": lambda: _html(_half(body)),
        "half-answer": lambda: NoAnswer(cut=True, half_of=body),
    }
    return spoilt[fault.kind]() if fault else _html(body)


def _html(body: bytes) -> Response:
    # Public clients say that the gateway labels its JSON so.
    return Response(body, media_type="text/html")


def _head(body: bytes) -> dict[str, Any]:
    headers = [(b"content-type", b"text/html"), (b"content-length", str(len(body)).encode())]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def _half(body: bytes) -> bytes:
    return body[: len(body) // 2]


async def _with_slash(request: Request) -> Response:
    return RedirectResponse(request.url.path + "/", 301)


def _knowing_its_connection(app: ASGIApp) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    async def knowing(scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn's send is a method of the request's cycle, which holds the transport; Starlette then wraps it.
        scope[TRANSPORT] = send.__self__.transport  # type: ignore[attr-defined]
        await app(scope, receive, send)

    return knowing
