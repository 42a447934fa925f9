"""Storing what came of posts: an answer in hand is worth waiting for, and many are stored as fast as one."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session, sessionmaker
from structlog.contextvars import bound_contextvars

from worker import instruments, trouble
from worker.backoff import backoff
from worker.errors import (
    AccountRefused,
    BatchRefused,
    GatewayError,
    GatewayUnavailable,
    NeverPosted,
    NicknameRefused,
    NotRecorded,
)
from worker.gateway import Acceptance
from worker.store import outcomes
from worker.store.claims import Claimed
from worker.store.engine import DATABASE_TROUBLE
from worker.store.moves import OWED
from worker.store.outcomes import Accepted
from worker.trouble import Outcome

log = structlog.get_logger()

RECORD_PAUSE = (timedelta(seconds=0.1), timedelta(seconds=5))
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


@dataclass(frozen=True, slots=True, eq=False)
class Posted:
    """A batch, and what came of its post."""

    claimed: Claimed
    outcome: Outcome

    @property
    def is_plain(self) -> bool:
        """Whether the gateway took all of it, and nothing was or is in the way."""
        answer, outcome = self.outcome.answer, self.outcome
        if not isinstance(answer, Acceptance) or answer.refused or answer.unanswered or answer.returned:
            return False
        well = outcome.gate.is_free and not outcome.slow
        return well and len(answer.accepted) == len(self.claimed.messages) == len(self.claimed.known)


@dataclass(frozen=True, slots=True)
class Recording:
    """Where answers are stored; any thread that has one may call it."""

    sessions: sessionmaker[Session]
    account_id: int
    first_poll_after: Callable[[], timedelta]
    now: Callable[[], datetime]
    wait: Callable[[float], None]  #: sleeps so many seconds
    on_owed: Callable[[], None]  #: called after a commit that owes callbacks
    leaving: Callable[[], bool]  #: whether the worker is to stop
    give_up_after: timedelta  #: when the worker is to stop and the database is away

    def store_together(self, posted: Sequence[Posted]) -> Sequence[Posted]:
        """Store what came of several posts in one transaction; return those that are stored. Never raises.

        The others are to be stored by `store`: they are no plain answers, or one of those was in the way.
        """
        plain = [one for one in posted if one.is_plain]
        return plain if plain and self._accept_all(plain) else ()

    def _accept_all(self, posted: Sequence[Posted]) -> bool:
        """Store answers that took all they were asked to; return False if that cannot be."""
        now = self.now()
        try:
            accepted = [
                Accepted(one.claimed, one.outcome.answer, one.outcome.took, now + self.first_poll_after())
                for one in posted
                if isinstance(one.outcome.answer, Acceptance)
            ]
            with self.sessions.begin() as session:
                outcomes.accept_all(session, accepted, now=now)
                trouble.judge_post(session, self.account_id, posted[-1].outcome, now=now)
                owed = session.info.get(OWED)
        except Exception as error:  # noqa: BLE001 - one by one it is seen what is wrong
            log.info("answers_stored_one_by_one", error=type(error).__name__)
            return False
        if owed:
            self.on_owed()
        for one in posted:
            with _about(one.claimed):
                self._tell(one.claimed, one.outcome.answer)
            _count(one.claimed, one.outcome)
        return True

    def store(self, claimed: Claimed, outcome: Outcome, *, may_be_unknown: bool = False) -> None:
        """Store what came of one post, however long that takes; of a batch that *may_be_unknown*, if it stands.

        Never raises.
        """
        began, tries, mistakes = self.now(), 0, 0
        while True:
            tries += 1
            try:
                with self.sessions.begin() as session:
                    known = self._settle(session, claimed, outcome)
            except DATABASE_TROUBLE as error:
                if self.leaving() and self.now() - began > self.give_up_after:
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
            if not may_be_unknown:
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


def _about(claimed: Claimed) -> AbstractContextManager[None]:
    """What a line in the log is about."""
    return bound_contextvars(batch_id=claimed.batch_id, lane=str(claimed.lane))


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
