"""Asking the gateway what became of the messages it took: one thread, and hundreds of questions in the air."""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock

import structlog
from sqlalchemy.orm import Session, sessionmaker

from models.lifecycle import Room
from worker import instruments
from worker.backoff import Dice, ladder
from worker.errors import GatewayError, RequestIdUnknown
from worker.gateway import Gateway, Heard, Questions, Report
from worker.gateway.replies import STATES
from worker.store import circuits, polls
from worker.store.circuits import Trouble
from worker.store.moves import OWED
from worker.store.polls import Schedule
from worker.trouble import OPENS_AFTER, SLOW, judge_circuit

log = structlog.get_logger()

FIRST_LEASE, LEAST_LEASE, MOST_LEASE = 20, 4, 500  # questions
LEASE_LASTS = timedelta(seconds=1)  # about: what becomes due meanwhile waits for the next one
LEASE_MARGIN = timedelta(seconds=15)  # questions that were not asked by then wait for the next lease
STORED_WITHIN = timedelta(seconds=0.2)  # answers of so long share a transaction
LOOK_UP_SECONDS = 0.25  # a thread that waits for answers looks so often whether it is to leave


@dataclass(frozen=True, slots=True)
class Lease:
    """The questions that this worker alone asks for a while."""

    request_ids: Mapping[str, datetime]  #: in the order to ask in, each with the instant since when it has been due
    last_start: datetime  #: no question begins later
    until: datetime
    probing: bool  #: whether the circuit was open
    is_full: bool = False  #: whether more may be due


@dataclass(frozen=True, slots=True)
class Question:
    """One that is under way."""

    began: datetime
    until: datetime  #: after that somebody else may ask the same
    probing: bool
    counts: bool = True  #: False once the circuit has opened after it began: then it says nothing about the circuit


@dataclass(frozen=True, slots=True)
class Told:
    """What the gateway said to it; None is a question without a usable answer."""

    question: Question
    request_id: str
    reports: Sequence[Report] | None
    trouble: Trouble | None


@dataclass(slots=True)
class Air:
    """What is under way in this process. It outlives a bell; whoever holds the lock goes on with it."""

    lock: Lock = field(default_factory=Lock)
    questions: Questions | None = None
    asked: dict[str, Question] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)  #: not stored yet
    told_since: datetime | None = None
    listened_at: datetime | None = None  #: when somebody did so last, or there was nothing to listen to
    misses: int = 0  #: questions in a row that brought trouble, up to the last
    lot: int = FIRST_LEASE  #: the size of the next lease

    def forget(self) -> None:
        """Whatever is lost is asked again when its lease is over."""
        if self.questions:
            self.questions.close()
        self.questions, self.asked, self.told, self.misses = None, {}, [], 0

    def discount(self) -> None:
        """What is under way says nothing about the circuit any more, unless it is its own probe.

        Because the circuit is open, or because nobody listened for so long that any answer would seem slow.
        """
        self.asked = {
            request_id: one if one.probing else replace(one, counts=False) for request_id, one in self.asked.items()
        }
        self.misses = 0


@dataclass(frozen=True, slots=True)
class Polling:
    """The room where the gateway is asked."""

    sessions: sessionmaker[Session]
    gateway: Gateway
    connections: int  #: the most questions at the same time
    ladder_seconds: Sequence[float]
    give_up_after: timedelta
    account_id: int
    call_timeout: timedelta  #: the longest that the gateway's time-outs let one question take
    slow_after: timedelta  #: a question that took longer counts as trouble
    now: Callable[[], datetime]
    dice: Dice
    on_owed: Callable[[], None]  #: called after a commit that owes callbacks
    turn: Callable[
        [], float
    ]  #: takes the next question's turn and returns 0, or returns the seconds until the next try
    leaving: Callable[[], bool]  #: whether the worker is to stop
    air: Air = field(default_factory=Air)

    def ask_next(self, on_full: Callable[[], None] = lambda: None) -> bool:
        """Begin to ask for some request_ids that are due, and store what was heard meanwhile.

        Returns False when nothing is due or under way. *on_full* is called when there may be more, so that others may
        take part. What is not asked in time, because the gateway is in trouble or the worker stops, is handed back.
        """
        with self.air.lock:
            lease = self._lease()
            if lease.is_full:
                on_full()
            left = self._begin(lease)
            self._hear(0)
            if not lease.request_ids:
                self._hear_more()
            opened = self.air.misses >= OPENS_AFTER
            if left or opened or not self.air.asked:
                self._store(lease, left)
            if opened:
                self.air.discount()
            return bool(lease.request_ids or self.air.asked)

    def finish(self, *, unless: Callable[[], bool]) -> None:
        """Wait for all that is under way and store it, unless somebody else goes on with it."""
        while not unless():
            with self.air.lock:
                self._hear_more()
                if not self.air.asked:
                    self._store()
                    return

    def _lease(self) -> Lease:
        with self.sessions.begin() as session:
            session.connection()  # may wait for its turn; the lease begins after that
            now = self.now()
            last_start = now + LEASE_MARGIN
            until = last_start + self.call_timeout
            probing, limit = circuits.is_open(session, self.account_id, Room.POLLING), self.air.lot
            if probing:
                probe = circuits.take_probe(session, self.account_id, Room.POLLING, now=now, until=until)
                limit = 1 if probe else 0
            rungs = len(self.ladder_seconds)
            due = polls.lease_due(session, now=now, until=until, limit=limit, rungs=rungs, dice=self.dice)
            if limit == 1 and not due:
                circuits.give_back_probe(session, self.account_id, Room.POLLING, now=now)
        if probing:
            self.air.discount()
        return Lease(due, last_start, until, probing, is_full=len(due) == self.air.lot)

    def _begin(self, lease: Lease) -> Mapping[str, datetime]:
        """Begin one question after another, as long as each is sure to end within the lease, and the gateway answers.

        Return those that were not begun.
        """
        left = dict(lease.request_ids)
        for request_id in lease.request_ids:
            if not self._may_begin(lease):
                break
            del left[request_id]
            if request_id not in self.air.asked:
                self._questions().ask(request_id)
                began = self.now()
                self.air.listened_at = self.air.listened_at if self.air.asked else began
                self.air.asked[request_id] = Question(began, lease.until, lease.probing)
        if lease.request_ids and not lease.probing:
            self.air.lot = self._next_lot(lease, len(lease.request_ids) - len(left))
        return left

    def _next_lot(self, lease: Lease, begun: int) -> int:
        """As many as are begun while a lease is to last: else the young would wait behind it, or it be handed back."""
        took = max(self.now() - lease.last_start + LEASE_MARGIN, timedelta(milliseconds=1))
        most = min(2 * self.air.lot, MOST_LEASE)
        return max(LEAST_LEASE, min(most, int(begun * (LEASE_LASTS / took))))

    def _may_begin(self, lease: Lease) -> bool:
        """Wait until one more question may begin, and hear meanwhile; False if none may any more."""
        while not self.leaving() and self.air.misses < OPENS_AFTER and self.now() < lease.last_start:
            wait = LOOK_UP_SECONDS
            if len(self.air.asked) < self.connections and (wait := self.turn()) <= 0:
                return True
            self._hear(min(wait, LOOK_UP_SECONDS))
        return False

    def _hear(self, wait_seconds: float) -> bool:
        """Take in what was answered, and store it if there is enough of it, or some has waited long enough.

        Return whether anything was answered.
        """
        air = self.air
        wait_seconds = min(wait_seconds, STORED_WITHIN.total_seconds()) if air.told else wait_seconds
        if air.listened_at and self.now() - air.listened_at > self.slow_after / 2:
            air.discount()  # it was the database that was slow, or away, or this whole process
        try:
            heard = self._questions().heard(wait_seconds=wait_seconds)
        except BaseException:
            air.forget()  # nobody knows what libcurl thinks of them
            raise
        now = air.listened_at = self.now()
        told = list(self._understood(heard, now)) if heard else []
        air.told_since = air.told_since if air.told else now
        air.told += told
        is_probe = any(one.question.probing for one in told)  # all wait for what comes of it
        if air.told and (is_probe or len(air.told) >= air.lot or (air.told_since or now) + STORED_WITHIN <= now):
            self._store()
        return bool(heard)

    def _hear_more(self) -> None:
        """Hear until nothing is under way, or nothing comes any more."""
        while self.air.asked and self._hear(LOOK_UP_SECONDS):
            pass

    def _questions(self) -> Questions:
        if self.air.questions is None:
            self.air.questions = self.gateway.questions(at_once=self.connections)
        return self.air.questions

    def _understood(self, heard: Sequence[Heard], now: datetime) -> Iterator[Told]:
        answered: list[timedelta] = []
        for one in heard:
            question = self.air.asked.pop(one.request_id)
            took = now - question.began
            reports, trouble = _usable(one, took)
            if reports is not None:
                answered.append(took)
            if trouble is None and took > self.slow_after:
                trouble = Trouble(SLOW)
            if question.counts:
                self.air.misses = self.air.misses + 1 if trouble else 0
            # Nobody may have listened for so long that somebody else has asked again, and knows better.
            if now < question.until:
                yield Told(question, one.request_id, reports, trouble)
        instruments.count_polls("answered", took=answered)

    def _store(self, lease: Lease | None = None, left: Mapping[str, datetime] | None = None) -> None:
        """Store what was heard, and hand back what is *left* of *lease*."""
        told, self.air.told = self.air.told, []
        if not told and not left:
            return
        now = self.now()
        with self.sessions.begin() as session:
            answers = {one.request_id: one.reports for one in told}
            polls.record_answers(session, answers, now=now, schedule=self._schedule())
            if lease and left:
                polls.hand_back(session, left, leased_until=lease.until)
                if lease.probing:
                    circuits.give_back_probe(session, self.account_id, Room.POLLING, now=now)
            self._judge(session, [one for one in told if one.question.counts], now)
        if session.info.get(OWED):
            self.on_owed()

    def _judge(self, session: Session, told: Sequence[Told], now: datetime) -> None:
        """Open or close the polling circuit."""
        for probing in (False, True):
            troubles = [one.trouble for one in told if one.question.probing == probing]
            if troubles:
                misses = next((at for at, trouble in enumerate(reversed(troubles)) if not trouble), len(troubles))
                if 0 < misses < len(troubles):  # only those after the last good answer are in a row
                    circuits.forget_failures(session, self.account_id, Room.POLLING)
                last = troubles[-1]
                trouble = last and last._replace(weight=misses)
                judge_circuit(session, self.account_id, Room.POLLING, trouble, probing=probing, now=now)

    def _schedule(self) -> Schedule:
        return Schedule(lambda asked: ladder(self.ladder_seconds, asked, self.dice), self.give_up_after)


def _usable(heard: Heard, took: timedelta) -> tuple[Sequence[Report] | None, Trouble | None]:
    """What the gateway says, or None if it gave no usable answer, which says nothing about the message."""
    answer, request_id = heard.answer, heard.request_id
    if isinstance(answer, RequestIdUnknown):
        instruments.count_polls("not_known_yet", took=[took])
        return None, None  # it may be too early
    if isinstance(answer, GatewayError):
        word = instruments.error_word(answer.error_no, answer.http_status)
        instruments.count_polls("no_answer", took=[took], error=word)
        log.info("poll_without_answer", request_id=request_id, reason=answer.reason, error_no=answer.error_no)
        return None, Trouble(answer.reason, answer.http_status)
    if isinstance(answer, Exception):
        instruments.count_polls("broke", took=[took])
        # Our own mistake about one answer must not hold up those that were asked with it, time and again.
        log.error("poll_broke", request_id=request_id, frames=traceback.format_tb(answer.__traceback__))
        return None, None
    for unknown in {one.gateway_status for one in answer} - STATES.keys():
        instruments.count_unknown_status(unknown)
    return answer, None
