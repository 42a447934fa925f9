"""Asking the gateway what became of the messages it took."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session, sessionmaker

from worker.backoff import Dice, ladder
from worker.errors import GatewayError
from worker.gateway import Gateway, Report
from worker.store import polls
from worker.store.polls import Schedule

log = structlog.get_logger()

QUESTIONS_PER_LEASE = 20  # their answers are stored in one transaction
LEASE_MARGIN = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Polling:
    """The room where the gateway is asked."""

    sessions: sessionmaker[Session]
    gateway: Gateway
    ladder_seconds: Sequence[float]
    give_up_after: timedelta
    call_timeout: timedelta  #: the longest that the gateway's time-outs let one question take
    now: Callable[[], datetime]
    dice: Dice
    turn: Callable[[], bool]  #: waits for the next question's turn; False when the worker is to stop

    def ask_next(self, on_full: Callable[[], None] = lambda: None) -> bool:
        """Ask for some request_ids that are due; return False when none is.

        *on_full* is called when there may be more, so that others may take part. What could not be asked, because the
        worker stops, stays leased and is asked again when its lease runs out.
        """
        request_ids = self._lease()
        if len(request_ids) == QUESTIONS_PER_LEASE:
            on_full()
        answers = [(request_id, self._ask(request_id)) for request_id in request_ids if self.turn()]
        with self.sessions.begin() as session:
            for request_id, reports in answers:
                self._store(session, request_id, reports)
        return bool(request_ids)

    def _lease(self) -> list[str]:
        now = self.now()
        until = now + self.call_timeout * QUESTIONS_PER_LEASE + LEASE_MARGIN
        with self.sessions.begin() as session:
            return polls.lease_due(session, now=now, until=until, limit=QUESTIONS_PER_LEASE)

    def _ask(self, request_id: str) -> Sequence[Report] | None:
        """What the gateway says; None when it gave no usable answer, which says nothing about the message."""
        try:
            return self.gateway.reports(request_id)
        except GatewayError as error:
            log.info("poll_without_answer", reason=error.reason, error_no=error.error_no)
            return None

    def _store(self, session: Session, request_id: str, reports: Sequence[Report] | None) -> None:
        now = self.now()
        schedule = Schedule(lambda asked: ladder(self.ladder_seconds, asked, self.dice), self.give_up_after)
        if reports is None:
            polls.postpone(session, request_id, now=now, schedule=schedule)
        else:
            polls.record_reports(session, request_id, reports, now=now, schedule=schedule)
