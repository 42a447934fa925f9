"""Posting: claim a batch, commit, post it once, store what came of it."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Lock

import structlog
from sqlalchemy.orm import Session, sessionmaker
from structlog.contextvars import bound_contextvars

from models.lifecycle import Lane
from worker import instruments, quiet, trouble
from worker.backoff import backoff
from worker.errors import (
    AccountRefused,
    BatchRefused,
    GatewayError,
    GatewayUnavailable,
    NeverPosted,
    NicknameRefused,
    NotRecorded,
    SubmissionUnconfirmed,
)
from worker.gateway import Acceptance, Gateway
from worker.pace import Pace
from worker.quiet import QuietLanes
from worker.rota import Rota
from worker.store import accounts, claims, outcomes
from worker.store.accounts import Gate
from worker.store.claims import Claimant, Claimed, Linger
from worker.store.engine import DATABASE_TROUBLE, reading
from worker.store.moves import OWED
from worker.trouble import Outcome
from worker.turnstile import Turnstile

log = structlog.get_logger()

RECORD_PAUSE = (timedelta(seconds=0.1), timedelta(seconds=5))
LEASE_MARGIN = timedelta(seconds=15)  # past the time-outs; an answer stored still later is not lost either
NOT_RECORDED = "answer_not_recorded"
#: a metric's word for what came of a post; whatever else came is "unconfirmed"
OUTCOMES: Mapping[type, str] = {
    Acceptance: "accepted",
    BatchRefused: "refused",
    NicknameRefused: "refused",
    AccountRefused: "account_refused",
    GatewayUnavailable: "unavailable",
}
MISTAKES = 2  # of ours, that an answer in hand is tried again after


def lanes_for(width: int, inside: int) -> Sequence[Lane]:
    """The lanes that the last of those *inside* may post: the last seat is kept for OTP, the last but one from bulk.

    So a message never waits for a connection that a later lane holds; with fewer than three seats none can be spared.
    """
    free = width - inside
    if width < len(Lane) or free >= len(Lane) - 1:
        return tuple(Lane)
    return tuple(Lane)[: free + 1]


class LastLook:
    """The lanes that its caller may post just now, and those that it was told last."""

    def __init__(self, turnstile: Turnstile) -> None:
        self._turnstile = turnstile
        self._told: Sequence[Lane] = tuple(Lane)

    def __call__(self) -> Sequence[Lane]:
        self._told = lanes_for(self._turnstile.width, self._turnstile.inside)
        return self._told

    def would_see_more(self) -> bool:
        """Whether somebody who came in now might post lanes that the caller, who has left, was kept from."""
        return len(lanes_for(self._turnstile.width, self._turnstile.inside + 1)) > len(self._told)


def every_lane() -> Sequence[Lane]:
    """No lane is kept back."""
    return tuple(Lane)


@dataclass(frozen=True, slots=True)
class Submission:
    """The room where messages are posted."""

    sessions: sessionmaker[Session]
    gateway: Gateway
    account_id: int
    worker: str
    batch_max_messages: int
    connect_timeout: timedelta  #: the longest that connecting takes, before the first byte
    call_timeout: timedelta  #: the longest that the gateway's time-outs let one post take
    slow_after: timedelta  #: a post that took longer counts as trouble
    first_poll_after: Callable[[], timedelta]
    now: Callable[[], datetime]
    wait: Callable[[float], None]  #: sleeps so many seconds
    on_owed: Callable[[], None]  #: called after a commit that owes callbacks
    on_begun: Callable[[int], None] = lambda _batch_id: None  #: called when a batch begins; must return at once
    #: where there is a limit, waits for the turn of the best lane that its argument tells; False to leave it
    turn: Callable[[Callable[[], Lane | None]], bool] | None = None
    leaving: Callable[[], bool] = lambda: False  #: whether the worker is to stop
    give_up_recording_after: timedelta = timedelta(seconds=30)  #: when the worker is to stop and the database is away
    recipients: frozenset[str] | None = None  #: the only phones that may be posted to; None: all
    quiet: QuietLanes = quiet.NEVER
    pace: Pace = field(default_factory=Pace)
    rota: Rota = field(default_factory=Rota)
    lingering: Mapping[Lane, Lock] = field(default_factory=lambda: {lane: Lock() for lane in Lane})

    def post_next(
        self, *, lanes: Callable[[], Sequence[Lane]] = every_lane, on_full: Callable[[], None] = lambda: None
    ) -> bool:
        """Post the next batch of *lanes*, best first; return False when there was nothing to post.

        *on_full* is called when the batch was full, or something due could not go with it, so that others may take part
        before this post is over. Raises SQLAlchemy's errors while the database is away, but never once a batch is on
        its way.
        """
        # No turn is spent on an empty look, and no message uses up an attempt while it waits for its turn.
        if self.turn and not self.turn(lambda: self._best_lane(lanes())):
            return False
        gate, claimed = self._claim(lanes())
        if claimed is None:
            return False
        if isinstance(claimed, Linger):
            return self._linger(claimed)
        if claimed.leaves_more:
            on_full()
        # No connection and no lock is held here: a slow gateway must not drain the database's pool.
        with bound_contextvars(batch_id=claimed.batch_id, lane=str(claimed.lane)):
            answer, took = self._post(claimed)
            self._record(claimed, Outcome(answer, gate, slow=bool(took and took > self.slow_after), took=took))
        return True

    def _best_lane(self, lanes: Sequence[Lane]) -> Lane | None:
        now = self.now()
        with reading(self.sessions) as session:
            if not accounts.lets_post(session, self.account_id, now=now):
                return None
            return claims.best_due(session, now=now, lanes=self.quiet.awake(lanes, now))

    def _linger(self, until: Linger) -> bool:
        """Wait for a fuller batch, in one thread of each lane; the lane's others leave it to that one."""
        if not until.pause:
            return True
        # Not one for all lanes: who waits a second for bulk would keep an OTP that would wait a tenth.
        lingering = self.lingering[until.lane]
        if not lingering.acquire(blocking=False):
            return False
        try:
            self.wait(until.pause.total_seconds())
        finally:
            lingering.release()
        return True

    def _claim(self, lanes: Sequence[Lane]) -> tuple[Gate, Claimed | Linger | None]:
        with self.sessions.begin() as session:
            session.connection()  # may wait for its turn; the lease begins after that
            now = self.now()
            begins_by = now + self.connect_timeout + LEASE_MARGIN
            lease_until = begins_by + self.call_timeout
            claimant = Claimant(self.account_id, self.worker, now, begins_by, lease_until, self.recipients)
            gate = accounts.gate_of(session, self.account_id)
            if gate.is_free:
                return gate, self._claim_some(session, claimant, self.quiet.awake(lanes, now))
            if gate.held or not accounts.take_probe(session, self.account_id, gate, now=now, until=lease_until):
                return gate, None
            probe = claims.claim(session, claimant, limit=1, lanes=self.quiet.awake(Lane, now), rota=self.rota)
            if not isinstance(probe, Claimed):
                accounts.give_back_probe(session, self.account_id, now=now)
            return gate, probe

    def _claim_some(self, session: Session, claimant: Claimant, lanes: Sequence[Lane]) -> Claimed | Linger | None:
        def patience(lane: Lane, missing: int, oldest_at: datetime) -> timedelta:
            return self.pace.linger(lane, missing, oldest_at, now=claimant.now)

        # Where there is a limit, waiting for one's turn has filled the batch already.
        chosen = claims.at_once if self.turn else patience
        limit = self.batch_max_messages
        claimed = claims.claim(session, claimant, limit=limit, lanes=lanes, patience=chosen, rota=self.rota)
        if isinstance(claimed, Claimed):
            self.pace.note(claimed.lane, len(claimed.messages), now=claimant.now)
        return claimed

    def _post(self, claimed: Claimed) -> tuple[Acceptance | GatewayError, timedelta | None]:
        """What came of it, and how long the gateway took for it; None if the post never began."""
        begun_at: datetime | None = None

        def begin() -> None:
            nonlocal begun_at
            self._begin(claimed)
            begun_at = self.now()

        answer = self._submit(claimed, begin)
        return answer, self.now() - begun_at if begun_at else None

    def _submit(self, claimed: Claimed, begin: Callable[[], None]) -> Acceptance | GatewayError:
        try:
            return self.gateway.submit(claimed.messages, nickname=claimed.nickname, begin=begin)
        except GatewayError as error:
            return error
        except Exception as error:  # noqa: BLE001
            # Our own mistake, after which nobody can say what left. Frames only: an error's words may hold a text.
            log.error("post_broke", frames=traceback.format_tb(error.__traceback__))  # noqa: TRY400
            return SubmissionUnconfirmed(f"unexpected {type(error).__name__}")

    def _begin(self, claimed: Claimed) -> None:
        """The second commit: from here on bytes may have left. Raises `NeverPosted` if the batch was given up."""
        if self.leaving():
            raise NeverPosted("the worker is to stop")
        with self.sessions.begin() as session:
            session.connection()  # may wait for its turn; this process may have slept as well
            now = self.now()
            if self.quiet.cover(claimed.lane, now):
                raise NeverPosted("quiet hours have begun")
            lease_until = now + self.call_timeout + LEASE_MARGIN
            begun = claims.begin(session, claimed, now=now, lease_until=lease_until)
        in_time = begun and self.now() <= lease_until - self.call_timeout
        self.rota.note_begin(in_time=in_time)
        if not in_time:
            raise NeverPosted("the time to begin was over")
        self.on_begun(claimed.batch_id)

    def _record(self, claimed: Claimed, outcome: Outcome) -> None:
        began, tries, mistakes = self.now(), 0, 0
        while True:
            tries += 1
            try:
                with self.sessions.begin() as session:
                    known = self._settle(session, claimed, outcome)
            except DATABASE_TROUBLE as error:
                if self.leaving() and self.now() - began > self.give_up_recording_after:
                    self._drop(outcome.answer, "the database is away, and this worker is to stop")
                    return
                # An answer in hand is worth waiting for: without it these messages would be unconfirmed.
                log.warning("answer_waits_for_database", error=type(error).__name__)
                self.wait(backoff(tries, base=RECORD_PAUSE[0], ceiling=RECORD_PAUSE[1]).total_seconds())
            except Exception as error:  # noqa: BLE001
                mistakes += 1
                outcome = self._after_mistakes(mistakes, outcome, error)
                if mistakes > 2 * MISTAKES:
                    return  # upkeep finds the batch when its lease runs out
            else:
                break
        if not known:
            self._drop(outcome.answer, "the database came from a backup and has forgotten this batch")
            return
        if session.info.get(OWED):
            self.on_owed()
        self._tell(claimed, outcome.answer)
        _count(claimed, outcome)

    def _after_mistakes(self, mistakes: int, outcome: Outcome, error: Exception) -> Outcome:
        """What is to be recorded instead of an answer that cannot be."""
        # Frames only: an error's words may hold a row, and its text.
        frames = traceback.format_tb(error.__traceback__)
        log.error("answer_not_recorded", error=type(error).__name__, frames=frames)
        if mistakes != MISTAKES + 1:
            return outcome
        self._drop(outcome.answer, "a mistake of ours keeps it from being stored")
        return replace(outcome, answer=NotRecorded(NOT_RECORDED))

    def _drop(self, answer: Acceptance | GatewayError, why: str) -> None:
        """Leave with an answer that cannot be stored; its ids go to the log, where a person finds them."""
        ids = [(one.reference, one.request_id) for one in answer.accepted] if isinstance(answer, Acceptance) else []
        log.error(
            "answer_given_up",
            outcome=type(answer).__name__,
            taken=ids,
            because=why,
            hint="what had begun will be unconfirmed; these were taken",
        )

    def _settle(self, session: Session, claimed: Claimed, outcome: Outcome) -> bool:
        """Store what came of a batch; return False if the database does not know it any more."""
        now, batch_id, answer, took = self.now(), claimed.batch_id, outcome.answer, outcome.took
        if not outcomes.lock(session, claimed):
            return False
        match answer:
            case Acceptance():
                first_poll_at = now + self.first_poll_after()
                outcomes.accept_batch(session, batch_id, answer, now=now, first_poll_at=first_poll_at, took=took)
            case NicknameRefused():
                outcomes.refuse_batch(session, batch_id, answer, now=now, took=took)
            case BatchRefused() if len(claimed.messages) == 1:
                outcomes.refuse_batch(session, batch_id, answer, now=now, took=took)
            case BatchRefused():
                outcomes.split_batch(session, batch_id, answer, now=now, took=took)
            case AccountRefused() | GatewayUnavailable() | NeverPosted():
                outcomes.release_batch(session, batch_id, answer, now=now, took=took)
            case _:
                status = answer.http_status
                outcomes.leave_unconfirmed(session, batch_id, answer.reason, now=now, http_status=status, took=took)
        trouble.judge_post(session, self.account_id, outcome, now=now)
        return True

    def _tell(self, claimed: Claimed, outcome: Acceptance | GatewayError) -> None:
        messages = len(claimed.messages)
        if isinstance(outcome, Acceptance):
            refused, unanswered = len(outcome.refused), len(outcome.unanswered)
            accepted = len(outcome.accepted)
            log.info("batch_accepted", messages=messages, accepted=accepted, refused=refused, unanswered=unanswered)
        else:
            log.warning("batch_not_accepted", messages=messages, outcome=type(outcome).__name__, reason=outcome.reason)


def _count(claimed: Claimed, outcome: Outcome) -> None:
    answer = outcome.answer
    if isinstance(answer, Acceptance):
        error = None
    elif isinstance(answer, NeverPosted):
        return  # nothing of it was ever to be seen on the wire
    else:
        error = instruments.error_word(answer.error_no, answer.http_status)
    instruments.count_post(
        claimed.lane,
        OUTCOMES.get(type(answer), "unconfirmed"),
        messages=len(claimed.messages),
        took=outcome.took,
        error=error,
    )
