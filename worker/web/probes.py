"""What machines ask for: whether it lives, and figures."""

import base64
import binascii

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from worker.metrics import registry
from worker.store.engine import DATABASE_TROUBLE, reading
from worker.web.house import WebHouse
from worker.web.passwords import Passwords
from worker.web.throttle import Throttle
from worker.wiring import looking_lists, quiet_lanes


class Probes:
    """The routes of it."""

    def __init__(self, house: WebHouse, passwords: Passwords, throttle: Throttle) -> None:
        self.house = house
        self.passwords = passwords
        self.throttle = throttle
        quiet, lists = quiet_lanes(house.settings), looking_lists(house.settings)
        self.registry = registry(house.sessions, house.settings, now=house.now, quiet_lanes=quiet, lists=lists)

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/healthz", self.health, methods=["GET"], name="healthz"),
            Route("/metrics", self.metrics, methods=["GET"], name="metrics"),
        ]

    async def health(self, request: Request) -> Response:  # noqa: ARG002
        """200 if the database answers, 503 if not."""
        is_there = await run_in_threadpool(self._database_answers)
        return PlainTextResponse("ok\n") if is_there else PlainTextResponse("the database does not answer\n", 503)

    async def metrics(self, request: Request) -> Response:
        """Figures for Prometheus; where a password is set, by HTTP Basic with any name and either password."""
        if self.passwords:
            refused = await self._refused(request)
            if refused:
                return refused
        written = await run_in_threadpool(generate_latest, self.registry)
        return Response(written, media_type=CONTENT_TYPE_LATEST)

    async def _refused(self, request: Request) -> Response | None:
        password = _password(request.headers.get("authorization", ""))
        if password is None:
            return _ask()
        address = request.client.host if request.client else ""
        wait = self.throttle.wait(address, now=self.house.now())
        if wait:
            seconds = max(1, round(wait.total_seconds()))
            return PlainTextResponse("too many wrong passwords\n", 429, {"retry-after": str(seconds)})
        if await self.passwords.tried(password) is None:
            return _ask()
        self.throttle.right(address, forgives=False)  # it is asked all the time
        return None

    def _database_answers(self) -> bool:
        try:
            with reading(self.house.sessions) as session:
                session.execute(text("SELECT 1"))
        except DATABASE_TROUBLE:
            return False
        return True


def _ask() -> Response:
    return PlainTextResponse("a password is needed\n", 401, {"www-authenticate": 'Basic realm="sms", charset="UTF-8"'})


def _password(authorization: str) -> str | None:
    scheme, _, encoded = authorization.partition(" ")
    try:
        known = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return known.partition(":")[2] if scheme.lower() == "basic" and ":" in known else None
