"""Looking for what a crash left behind, and for what time has overtaken. Safe to run twice, or on every worker."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from redis.exceptions import RedisError
from sqlalchemy.orm import Session, sessionmaker

from models.lifecycle import Lane
from worker import instruments, quiet
from worker.quiet import QuietLanes
from worker.restored import gap_of
from worker.store import accounts, callbacks, claims, clocks, sweeps, workers
from worker.store.clocks import Longest
from worker.store.engine import DATABASE_TROUBLE, reading
from worker.turnstile import LONGEST_SECONDS
from worker.watermark import Watermark

log = structlog.get_logger()

MOST_RESENDS = 1  # by policy; a gateway that cuts every answer must not make a phone ring for ever
RESTS = 4  # times as long as a deletion took: senders wait for the same disk, and on SQLite for the same lock


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The keeper of the house."""

    sessions: sessionmaker[Session]
    policy: Callable[[Lane], str]
    retention: timedelta | None  #: None keeps everything
    now: Callable[[], datetime]
    longest: Longest  #: how far off a plan can be when it is made
    account_id: int
    watermark: Watermark | None = None  #: None where there is no Redis to keep it
    leaving: Callable[[], bool] = lambda: False  #: whether the worker is to stop
    wait: Callable[[float], object] = time.sleep  #: so many seconds, or until the worker is to stop
    monotonic: Callable[[], float] = time.monotonic
    quiet: QuietLanes = quiet.NEVER

    def sweep(self) -> dict[str, int]:
        """Put right what is half done; return how many rows each sweep found. One that fails keeps no other from it."""
        sweeps_of: dict[str, Callable[[], int]] = {
            "database_restored": self._notice_a_restore,
            "clock_set_back": self._bring_forward,
            "never_begun": partial(self._each, sweeps.release_never_begun),
            "worker_died": partial(self._each, sweeps.rescue_dead_posts),
            "expired": partial(self._each, sweeps.expire_late),
            **{f"by_policy_{lane}": partial(self._by_policy, lane) for lane in Lane},
        }
        found = {name: self._calmly(name, sweep) for name, sweep in sweeps_of.items()}
        for name, rows in found.items():
            instruments.count_sweep(name, rows)
        if any(found.values()):
            log.info("sweep_found", **{name: rows for name, rows in found.items() if rows})
        return found

    def delete_old(self) -> int:
        """Delete what is past its retention, some of everything in turn; return how many rows.

        Rests four times as long as each of these took, so that sending hardly feels it. Leaves when a bell's task has
        to: what is left then is for the next bell. Processes that are gone for long leave only their counts.
        """
        self._calmly("workers_gone", partial(self._all_of, workers.fold))
        if self.retention is None:
            return 0
        before, deleted = self.now() - self.retention, 0
        leave_at = self.monotonic() + LONGEST_SECONDS
        left = deque(sweeps.OF_THE_OLD)
        while left and not self.leaving() and (began := self.monotonic()) < leave_at:
            sweep = left.popleft()
            if rows := self._each(partial(_before, sweep, before)):
                deleted += rows
                left.append(sweep)
            over = self.monotonic()
            self.wait(max(0.0, min(RESTS * (over - began), leave_at - over)))
        return deleted

    def waiting(self) -> "Waiting":
        """What nobody may be working on: lost bells are rung again from here."""
        now = self.now()
        with reading(self.sessions) as session:
            best = claims.best_due(session, now=now, lanes=self.quiet.awake(Lane, now))
            return Waiting(best is not None, callbacks.is_owed(session, now=now))

    def _notice_a_restore(self) -> int:
        """A database that went back in time under running workers: nothing more is posted until a person has looked."""
        try:
            gap = gap_of(self.sessions, self.watermark) if self.watermark else None
        except RedisError:
            return 0  # it is noticed later; this is the second net
        if gap is None:
            return 0
        remedy = "stop all workers, then: sms recover --since TIME"
        log.error("database_went_back", last_batch=gap.last_batch, highest=gap.highest, remedy=remedy)
        with self.sessions.begin() as session:
            accounts.hold(session, self.account_id, now=self.now(), who=accounts.BY_RESTORE, reason=str(gap))
        return 1

    def _bring_forward(self) -> int:
        return sum(self._all_of(step) for step in clocks.steps(self.longest))

    def _by_policy(self, lane: Lane) -> int:
        policy = self.policy(lane)
        if policy == "hold":
            return 0
        return self._each(partial(sweeps.apply_policy, lane=lane, policy=policy, most_resends=MOST_RESENDS))

    def _all_of(self, step: Callable[..., int]) -> int:
        """Repeat a step that does only so much in one transaction."""
        done = 0
        while not self.leaving() and (rows := self._each(step)):
            done += rows
        return done

    def _each(self, sweep: Callable[..., int]) -> int:
        with self.sessions.begin() as session:
            return sweep(session, now=self.now())

    def _calmly(self, name: str, sweep: Callable[[], int]) -> int:
        try:
            return sweep()
        except DATABASE_TROUBLE as error:
            log.warning("sweep_failed", sweep=name, error=type(error).__name__, hint="it is tried again")
            return 0


def _before(sweep: Callable[..., int], before: datetime, session: Session, *, now: datetime) -> int:  # noqa: ARG001
    return sweep(session, before=before)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Work that stands in the table."""

    messages: bool
    callbacks: bool
