"""Each process writes what it counted into its row of ``workers``, so that one scrape sees them all."""

from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from threading import Event, Thread

import structlog
from sqlalchemy.orm import Session, sessionmaker

from worker import instruments
from worker.store import workers
from worker.store.engine import DATABASE_TROUBLE
from worker.store.workers import Sign

log = structlog.get_logger()

EVERY_SECONDS = 5.0
STOP_SECONDS = 3.0  # a process that stops waits no longer to have said so
RELEASE = version("getsms-worker")


class Publisher:
    """A thread that writes this process' counts, when it begins, every few seconds, and when it leaves.

    While the database is away it counts on, and writes later. Nobody but a process that stops ever waits for it.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        name: str,
        *,
        now: Callable[[], datetime],
        figures: Callable[[], dict[str, float]] = instruments.figures,
    ) -> None:
        """*name* is the process' own, as in ``batches.worker``; what *figures* holds already is not counted."""
        self._sessions = sessions
        self._name = name
        self._now = now
        self._figures = figures
        self._base = figures()
        self._said: dict[str, float] = {}
        self._started_at = now()
        self._bell_at: datetime | None = None
        self._registered = False
        self._away = False
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def hear_bell(self) -> None:
        """Beat rang; it is written with the next counts."""
        self._bell_at = self._now()

    def stop(self) -> None:
        """Write once more, that the process left; returns after `STOP_SECONDS` at the latest."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def publish(self, *, leaving: bool = False) -> None:
        """Write what was counted since this began. Raises SQLAlchemy's errors while the database is away."""
        now = self._now()
        counted = self._figures()
        sign = Sign(now, self._bell_at, self._since_base(counted), now if leaving else None)
        with self._sessions.begin() as session:
            known = self._registered and workers.publish(session, self._name, sign)
            if not known:
                if self._registered:  # it slept so long that its row was added to those that are gone
                    self._base, self._started_at = self._said, now
                    sign = sign._replace(figures=self._since_base(counted))
                workers.register(session, self._name, sign, release=RELEASE, started_at=self._started_at)
        self._registered, self._said = True, counted

    def _since_base(self, counted: dict[str, float]) -> dict[str, float]:
        return {name: value - self._base.get(name, 0) for name, value in counted.items()}

    def _run(self) -> None:
        leaving = False
        while not leaving:
            self._calmly()
            leaving = self._stopping.wait(EVERY_SECONDS)
        self._calmly(leaving=True)

    def _calmly(self, *, leaving: bool = False) -> None:
        try:
            self.publish(leaving=leaving)
        except DATABASE_TROUBLE as error:
            if not self._away:
                log.info("counts_not_written", error=type(error).__name__, hint="they are kept, and written later")
            self._away = True
        except Exception as error:  # noqa: BLE001
            log.warning("counts_not_written", error=type(error).__name__, hint="a mistake of ours; please report it")
        else:
            self._away = False
