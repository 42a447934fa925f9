"""Asking the gateway what became of the messages it took."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session, sessionmaker
from structlog.contextvars import bound_contextvars

from models.lifecycle import Room
from worker import instruments
from worker.backoff import Dice, ladder
from worker.errors import GatewayError, RequestIdUnknown
from worker.gateway import Gateway, Report
from worker.gateway.replies import STATES
from worker.store import circuits, polls
from worker.store.circuits import Trouble
from worker.store.moves import OWED
from worker.store.polls import Schedule
from worker.trouble import OPENS_AFTER, SLOW, judge_circuit

log = structlog.get_logger()

QUESTIONS_PER_LEASE = 20  # their answers are stored in one transaction
LEASE_MARGIN = timedelta(seconds=15)  # questions that were not asked by then wait for the next lease


@dataclass(frozen=True, slots=True)
class Lease:
    """The questions that this worker alone asks for a while."""

    request_ids: Mapping[str, datetime]  #: in the order to ask in, each with the instant since when it has been due
    last_start: datetime  #: no question begins later
    until: datetime
    probing: bool  #: whether the circuit was open


@dataclass(slots=True)
class Asked:
    """What the gateway said to some of them; None is a question without a usable answer."""

    answers: dict[str, Sequence[Report] | None] = field(default_factory=dict)
    trouble: Trouble | None = None  #: of the last question
    misses: int = 0  #: questions in a row that brought trouble, up to the last


@dataclass(frozen=True, slots=True)
class Polling:
    """The room where the gateway is asked."""

    sessions: sessionmaker[Session]
    gateway: Gateway
    ladder_seconds: Sequence[float]
    give_up_after: timedelta
    account_id: int
    call_timeout: timedelta  #: the longest that the gateway's time-outs let one question take
    slow_after: timedelta  #: a question that took longer counts as trouble
    now: Callable[[], datetime]
    dice: Dice
    on_owed: Callable[[], None]  #: called after a commit that owes callbacks
    #: waits for the next question's turn while its argument says that it is wanted; False if it is not, or on leaving
    turn: Callable[[Callable[[], bool]], bool]

    def ask_next(self, on_full: Callable[[], None] = lambda: None) -> bool:
        """Ask for some request_ids that are due; return False when none is.

        *on_full* is called when there may be more, so that others may take part. What was not asked in time, because
        the gateway is in trouble or the worker stops, is handed back.
        """
        lease = self._lease()
        if len(lease.request_ids) == QUESTIONS_PER_LEASE:
            on_full()
        asked = self._ask_all(lease)
        if lease.request_ids:
            now, left = self.now(), lease.request_ids.keys() - asked.answers.keys()
            with self.sessions.begin() as session:
                polls.record_answers(session, asked.answers, now=now, schedule=self._schedule())
                polls.hand_back(session, {one: lease.request_ids[one] for one in left}, leased_until=lease.until)
                self._judge(session, lease, asked, now)
            if session.info.get(OWED):
                self.on_owed()
        return bool(lease.request_ids)

    def _lease(self) -> Lease:
        with self.sessions.begin() as session:
            session.connection()  # may wait for its turn; the lease begins after that
            now = self.now()
            last_start = now + LEASE_MARGIN
            until = last_start + self.call_timeout
            probing, limit = circuits.is_open(session, self.account_id, Room.POLLING), QUESTIONS_PER_LEASE
            if probing:
                probe = circuits.take_probe(session, self.account_id, Room.POLLING, now=now, until=until)
                limit = 1 if probe else 0
            rungs = len(self.ladder_seconds)
            due = polls.lease_due(session, now=now, until=until, limit=limit, rungs=rungs, dice=self.dice)
            if limit == 1 and not due:
                circuits.give_back_probe(session, self.account_id, Room.POLLING, now=now)
            return Lease(due, last_start, until, probing)

    def _ask_all(self, lease: Lease) -> Asked:
        """One question after another, as long as each is sure to end within the lease, and the gateway answers."""
        asked = Asked()

        def in_time() -> bool:
            return self.now() < lease.last_start

        for request_id in lease.request_ids:
            # Under a slow limit a turn that came after the lease would be lost, and so might be all that ever come.
            if not self.turn(in_time) or not in_time():
                break
            began = self.now()
            with bound_contextvars(request_id=request_id):
                asked.answers[request_id], trouble = self._ask(request_id)
            if trouble is None and self.now() - began > self.slow_after:
                trouble = Trouble(SLOW)
            asked.misses = asked.misses + 1 if trouble else 0
            asked.trouble = trouble
            if asked.misses == OPENS_AFTER:
                break
        return asked

    def _ask(self, request_id: str) -> tuple[Sequence[Report] | None, Trouble | None]:
        """What the gateway says, or None if it gave no usable answer, which says nothing about the message."""
        began = self.now()
        try:
            reports = self.gateway.reports(request_id)
        except RequestIdUnknown:
            instruments.count_poll("not_known_yet", took=self.now() - began)
            return None, None  # it may be too early
        except GatewayError as error:
            word = instruments.error_word(error.error_no, error.http_status)
            instruments.count_poll("no_answer", took=self.now() - began, error=word)
            log.info("poll_without_answer", reason=error.reason, error_no=error.error_no)
            return None, Trouble(error.reason, error.http_status)
        except Exception as error:  # noqa: BLE001
            instruments.count_poll("broke", took=self.now() - began)
            # Our own mistake about one answer must not hold up those that were leased with it, time and again.
            log.error("poll_broke", frames=traceback.format_tb(error.__traceback__))  # noqa: TRY400
            return None, None
        instruments.count_poll("answered", took=self.now() - began)
        for unknown in {one.gateway_status for one in reports} - STATES.keys():
            instruments.count_unknown_status(unknown)
        return reports, None

    def _judge(self, session: Session, lease: Lease, asked: Asked, now: datetime) -> None:
        """Open or close the polling circuit."""
        if asked.answers:
            if asked.misses < len(asked.answers):  # only those after the last good answer are in a row
                circuits.forget_failures(session, self.account_id, Room.POLLING)
            trouble = asked.trouble and asked.trouble._replace(weight=asked.misses)
            judge_circuit(session, self.account_id, Room.POLLING, trouble, probing=lease.probing, now=now)
        elif lease.probing:
            circuits.give_back_probe(session, self.account_id, Room.POLLING, now=now)

    def _schedule(self) -> Schedule:
        return Schedule(lambda asked: ladder(self.ladder_seconds, asked, self.dice), self.give_up_after)
