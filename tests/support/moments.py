"""Something that happens at one moment of a post, and a database that is away for a while."""

from collections.abc import Callable, Sequence

from builders import Sessions
from databases import administer, cut_off
from sqlalchemy import Engine, event, text

from worker.gateway import Acceptance, OutgoingSms
from worker.gateway.memory import MemoryGateway

BEFORE = "before it begins"
AFTER = "between the commit and the first byte"


class Meanwhile(MemoryGateway):
    """The gateway in memory; of each post to it, at *point*, this happens *meanwhile*."""

    def __init__(self, sessions: Sessions, point: str, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self._sessions = sessions
        self._point = point
        self._meanwhile = meanwhile

    def submit(self, messages: Sequence[OutgoingSms], *, nickname: str | None, begin: Callable[[], None]) -> Acceptance:
        def begin_late() -> None:
            if self._point == BEFORE:
                self._meanwhile()
            else:
                event.listen(self._sessions, "after_commit", lambda _: self._meanwhile(), once=True)
            begin()

        return super().submit(messages, nickname=nickname, begin=begin_late)


class Outage:
    """The database of *engine*, to be switched off and on. Of SQLite only what a batch needs is away."""

    def __init__(self, engine: Engine, server: Callable[[], str]) -> None:
        """*server* is the URL of a PostgreSQL's administrator."""
        self._engine = engine
        self._server = server

    def begin(self) -> None:
        if self._engine.dialect.name == "sqlite":
            self._rename("batches", "away")
        else:
            self._allow_connections(allowed=False)
            cut_off(self._server(), self._engine.url.database or "")

    def end(self) -> None:
        if self._engine.dialect.name == "sqlite":
            self._rename("away", "batches")
        else:
            self._allow_connections(allowed=True)

    def _rename(self, table: str, name: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))

    def _allow_connections(self, *, allowed: bool) -> None:
        administer(self._server(), f'ALTER DATABASE "{self._engine.url.database}" ALLOW_CONNECTIONS {allowed}')
