"""Posting: claim a batch, commit, post it once, store what came of it."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

import structlog
from sqlalchemy.orm import Session, sessionmaker

from models.lifecycle import Lane
from worker.backoff import backoff
from worker.errors import (
    AccountRefused,
    BatchRefused,
    GatewayError,
    GatewayUnavailable,
    NeverPosted,
    NicknameRefused,
    SubmissionUnconfirmed,
)
from worker.gateway import Acceptance, Gateway
from worker.pace import Pace
from worker.store import accounts, claims, outcomes
from worker.store.accounts import Pause
from worker.store.claims import Claimant, Claimed, Linger
from worker.store.engine import DATABASE_TROUBLE, reading
from worker.store.moves import OWED
from worker.turnstile import Turnstile

log = structlog.get_logger()

GATEWAY_PAUSE = (timedelta(seconds=1), timedelta(minutes=1))  # unreachable or broken: back within a minute
ACCOUNT_PAUSE = (timedelta(seconds=30), timedelta(minutes=15))  # a person has to act: no hurry, no hammering
RECORD_PAUSE = (timedelta(seconds=0.1), timedelta(seconds=5))
LEASE_MARGIN = timedelta(seconds=15)  # past the time-outs; an answer stored still later is not lost either
NOT_RECORDED = "answer_not_recorded"
MISTAKES = 2  # of ours, that an answer in hand is tried again after

REMEDIES = {
    100: "set SMS_GATEWAY_LOGIN and SMS_GATEWAY_PASSWORD",
    101: "check SMS_GATEWAY_LOGIN and SMS_GATEWAY_PASSWORD",
    102: "the vendor blocked the account: ask them",
    103: "the account's limit is used up: top it up; posting goes on by itself",
    403: "register this server's IP address with the vendor",
}


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


def _remedy(outcome: GatewayError) -> str:
    if isinstance(outcome, SubmissionUnconfirmed):
        return "posting is tried again by itself; what was cut off waits for sms.resolve or the lane's policy"
    return "nothing to do: it is tried again"


@dataclass(frozen=True, slots=True)
class Submission:
    """The room where messages are posted."""

    sessions: sessionmaker[Session]
    gateway: Gateway
    account_id: int
    worker: str
    batch_max_messages: int
    call_timeout: timedelta  #: the longest that the gateway's time-outs let one post take
    first_poll_after: Callable[[], timedelta]
    now: Callable[[], datetime]
    wait: Callable[[float], None]  #: sleeps so many seconds
    on_owed: Callable[[], None]  #: called after a commit that owes callbacks
    turn: Callable[[], bool] | None = None  #: waits for the next post's turn, where there is a limit; False to stop
    pace: Pace = field(default_factory=Pace)
    lingering: Lock = field(default_factory=Lock)

    def post_next(
        self, *, lanes: Callable[[], Sequence[Lane]] = every_lane, on_full: Callable[[], None] = lambda: None
    ) -> bool:
        """Post the next batch of *lanes*, best first; return False when there was nothing to post.

        *on_full* is called when the batch was full, so that others may take part before this post is over. Raises
        SQLAlchemy's errors while the database is away, but never once a batch is on its way.
        """
        # No turn is spent on an empty look, and no message uses up an attempt while it waits for its turn.
        if self.turn and not (self._may_claim(lanes()) and self.turn()):
            return False
        probing, claimed = self._claim(lanes())
        if claimed is None:
            return False
        if isinstance(claimed, Linger):
            return self._linger(claimed)
        if len(claimed.messages) == self.batch_max_messages:
            on_full()
        # No connection and no lock is held here: a slow gateway must not drain the database's pool.
        outcome = self._post(claimed)
        self._record(claimed, outcome, probing=probing)
        return True

    def _may_claim(self, lanes: Sequence[Lane]) -> bool:
        now = self.now()
        with reading(self.sessions) as session:
            lets_post = accounts.lets_post(session, self.account_id, now=now)
            return lets_post and claims.is_due(session, now=now, lanes=lanes)

    def _linger(self, until: Linger) -> bool:
        """Wait for a fuller batch, in one thread; the others leave it to that one."""
        if not self.lingering.acquire(blocking=False):
            return False
        try:
            self.wait(until.pause.total_seconds())
        finally:
            self.lingering.release()
        return True

    def _claim(self, lanes: Sequence[Lane]) -> tuple[bool, Claimed | Linger | None]:
        with self.sessions.begin() as session:
            session.connection()  # may wait for its turn; the lease begins after that
            now = self.now()
            lease_until = now + self.call_timeout + LEASE_MARGIN
            claimant = Claimant(self.account_id, self.worker, now, lease_until)
            if not accounts.is_paused(session, self.account_id):
                return False, self._claim_some(session, claimant, lanes)
            if not accounts.take_probe(session, self.account_id, now=now, until=lease_until):
                return True, None
            probe = claims.claim(session, claimant, limit=1)
            if probe is None:
                accounts.give_back_probe(session, self.account_id, now=now)
            return True, probe

    def _claim_some(self, session: Session, claimant: Claimant, lanes: Sequence[Lane]) -> Claimed | Linger | None:
        def patience(lane: Lane, missing: int, oldest_at: datetime) -> timedelta:
            return self.pace.linger(lane, missing, oldest_at, now=claimant.now)

        # Where there is a limit, waiting for one's turn has filled the batch already.
        chosen = claims.at_once if self.turn else patience
        claimed = claims.claim(session, claimant, limit=self.batch_max_messages, lanes=lanes, patience=chosen)
        if isinstance(claimed, Claimed):
            self.pace.note(claimed.lane, len(claimed.messages), now=claimant.now)
        return claimed

    def _post(self, claimed: Claimed) -> Acceptance | GatewayError:
        if self.now() > claimed.lease_until - self.call_timeout:
            # This process slept. Its batch may have been given up meanwhile, and somebody may have decided about it.
            return NeverPosted("the lease was nearly over before the post began")
        try:
            return self.gateway.submit(claimed.messages, nickname=claimed.nickname)
        except GatewayError as error:
            return error
        except Exception as error:  # noqa: BLE001
            # Our own mistake, after which nobody can say what left. Frames only: an error's words may hold a text.
            log.error("post_broke", batch_id=claimed.batch_id, frames=traceback.format_tb(error.__traceback__))  # noqa: TRY400
            return SubmissionUnconfirmed(f"unexpected {type(error).__name__}")

    def _record(self, claimed: Claimed, outcome: Acceptance | GatewayError, *, probing: bool) -> None:
        tries = mistakes = 0
        while True:
            tries += 1
            try:
                with self.sessions.begin() as session:
                    self._settle(session, claimed, outcome, probing=probing)
            except DATABASE_TROUBLE as error:
                # An answer in hand is worth waiting for: without it these messages would be unconfirmed.
                log.warning("answer_waits_for_database", batch_id=claimed.batch_id, error=type(error).__name__)
                self.wait(backoff(tries, base=RECORD_PAUSE[0], ceiling=RECORD_PAUSE[1]).total_seconds())
            except Exception as error:  # noqa: BLE001
                mistakes += 1
                self._complain(claimed, error)
                if mistakes > 2 * MISTAKES:
                    return  # upkeep finds the batch when its lease runs out
                if mistakes > MISTAKES:
                    outcome = SubmissionUnconfirmed(NOT_RECORDED)
            else:
                break
        if session.info.get(OWED):
            self.on_owed()
        self._tell(claimed, outcome)

    def _complain(self, claimed: Claimed, error: Exception) -> None:
        # Frames only: an error's words may hold a row, and its text.
        frames = traceback.format_tb(error.__traceback__)
        log.error("answer_not_recorded", batch_id=claimed.batch_id, error=type(error).__name__, frames=frames)

    def _settle(self, session: Session, claimed: Claimed, outcome: Acceptance | GatewayError, *, probing: bool) -> None:
        now, batch_id = self.now(), claimed.batch_id
        match outcome:
            case Acceptance():
                first_poll_at = now + self.first_poll_after()
                outcomes.accept_batch(session, batch_id, outcome, now=now, first_poll_at=first_poll_at)
            case NicknameRefused():
                outcomes.refuse_batch(session, batch_id, outcome, now=now)
            case BatchRefused() if len(claimed.messages) == 1:
                outcomes.refuse_batch(session, batch_id, outcome, now=now)
            case BatchRefused():
                outcomes.split_batch(session, batch_id, outcome, now=now)
            case AccountRefused() | GatewayUnavailable() | NeverPosted():
                outcomes.release_batch(session, batch_id, outcome, now=now)
            case _:
                outcomes.leave_unconfirmed(session, batch_id, outcome.reason, now=now, http_status=outcome.http_status)
        self._pause_or_resume(session, outcome, probing=probing, now=now)

    def _pause_or_resume(
        self, session: Session, outcome: Acceptance | GatewayError, *, probing: bool, now: datetime
    ) -> None:
        if isinstance(outcome, Acceptance) and outcome.returned:
            first = outcome.returned[0]
            outcome = AccountRefused(first.reason, error_no=first.error_no)
        if isinstance(outcome, Acceptance | NicknameRefused | BatchRefused):
            if accounts.resume(session, self.account_id):
                log.info("account_resumed")
            return
        if isinstance(outcome, NeverPosted):
            if probing:
                accounts.give_back_probe(session, self.account_id, now=now)
            return
        base, ceiling = ACCOUNT_PAUSE if isinstance(outcome, AccountRefused) else GATEWAY_PAUSE
        why = Pause(outcome.reason, outcome.error_no, outcome.http_status)
        if probing:
            failed = accounts.probes_of(session, self.account_id) + 1
            pause = backoff(failed + 1, base=base, ceiling=ceiling)
            accounts.prolong(session, self.account_id, why, probe_at=now + pause)
        elif accounts.pause(session, self.account_id, why, now=now, probe_at=now + base):
            remedy = REMEDIES.get(outcome.error_no or outcome.http_status or 0, _remedy(outcome))
            log.warning("account_paused", reason=outcome.reason, error_no=outcome.error_no, remedy=remedy)

    def _tell(self, claimed: Claimed, outcome: Acceptance | GatewayError) -> None:
        told = {"batch_id": claimed.batch_id, "lane": str(claimed.lane), "messages": len(claimed.messages)}
        if isinstance(outcome, Acceptance):
            counts = {"refused": len(outcome.refused), "unanswered": len(outcome.unanswered)}
            log.info("batch_accepted", accepted=len(outcome.accepted), **counts, **told)
        else:
            log.warning("batch_not_accepted", outcome=type(outcome).__name__, reason=outcome.reason, **told)
