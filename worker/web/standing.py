"""Who works, and whether the gateway lets us post."""

from typing import Any

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette_admin import route

from models.account import Account
from models.circuit import Circuit
from worker.store import workers
from worker.store.engine import reading
from worker.web.templating import Page, lazy


class Standing(Page):
    """Workers, accounts and circuits: few rows each."""

    menu_label = lazy("Workers and accounts")
    path = "/workers"
    route_name = "workers"

    @route("")
    async def index(self, request: Request) -> Response:
        """All three."""
        return self.render(request, "standing.html", **await run_in_threadpool(self._known))

    def _known(self) -> dict[str, Any]:
        now = self.house.now()
        with reading(self.house.sessions) as session:
            alive = {one.name for one in workers.alive(session, now=now)}
            listed = workers.listed(session)
            accounts = session.scalars(select(Account).order_by(Account.id)).all()
            circuits = session.scalars(select(Circuit).order_by(Circuit.account_id, Circuit.room)).all()
            logins = {account.id: account.login for account in accounts}
        return {"workers": listed, "alive": alive, "accounts": accounts, "circuits": circuits, "logins": logins}
