"""Asking the gateway what became of the messages it took."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

import structlog
from sqlalchemy.orm import Session, sessionmaker

from worker.backoff import Dice, ladder
from worker.errors import GatewayError
from worker.gateway import Gateway, Report
from worker.store import polls
from worker.store.moves import OWED
from worker.store.polls import Schedule

log = structlog.get_logger()

QUESTIONS_PER_LEASE = 20  # their answers are stored in one transaction
LEASE_MARGIN = timedelta(seconds=15)  # questions that were not asked by then wait for the next lease


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
    on_owed: Callable[[], None]  #: called after a commit that owes callbacks
    turn: Callable[[], bool]  #: waits for the next question's turn; False when the worker is to stop

    def ask_next(self, on_full: Callable[[], None] = lambda: None) -> bool:
        """Ask for some request_ids that are due; return False when none is.

        *on_full* is called when there may be more, so that others may take part. What could not be asked in time, or
        because the worker stops, stays leased and is asked when its lease runs out.
        """
        last_start, request_ids = self._lease()
        if len(request_ids) == QUESTIONS_PER_LEASE:
            on_full()
        # One question after another, as long as each is sure to end within the lease.
        in_time = takewhile(lambda _: self.turn() and self.now() < last_start, request_ids)
        answers = {request_id: self._ask(request_id) for request_id in in_time}
        if answers:
            now = self.now()
            with self.sessions.begin() as session:
                polls.record_answers(session, answers, now=now, schedule=self._schedule())
            if session.info.get(OWED):
                self.on_owed()
        return bool(request_ids)

    def _lease(self) -> tuple[datetime, list[str]]:
        now = self.now()
        last_start = now + LEASE_MARGIN
        with self.sessions.begin() as session:
            until = last_start + self.call_timeout
            return last_start, polls.lease_due(session, now=now, until=until, limit=QUESTIONS_PER_LEASE)

    def _ask(self, request_id: str) -> Sequence[Report] | None:
        """What the gateway says; None when it gave no usable answer, which says nothing about the message."""
        try:
            return self.gateway.reports(request_id)
        except GatewayError as error:
            log.info("poll_without_answer", reason=error.reason, error_no=error.error_no)
        except Exception as error:  # noqa: BLE001
            # Our own mistake about one answer must not hold up those that were leased with it, time and again.
            log.error("poll_broke", frames=traceback.format_tb(error.__traceback__))  # noqa: TRY400
        return None

    def _schedule(self) -> Schedule:
        return Schedule(lambda asked: ladder(self.ladder_seconds, asked, self.dice), self.give_up_after)
