"""Looking for what a crash left behind, and for what time has overtaken. Safe to run twice, or on every worker."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from redis.exceptions import RedisError
from sqlalchemy.orm import Session, sessionmaker

from models.lifecycle import Lane
from worker.store import accounts, callbacks, claims, clocks, recovery, sweeps
from worker.store.clocks import Longest
from worker.store.engine import reading
from worker.watermark import Watermark

log = structlog.get_logger()

UPKEEP = "upkeep"
MOST_RESENDS = 1  # by policy; a gateway that cuts every answer must not make a phone ring for ever


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

    def sweep(self) -> dict[str, int]:
        """Put right what is half done; return how many messages each sweep found."""
        self._notice_a_restore()
        found = {
            "clock_set_back": self._each(self._bring_forward),
            "never_begun": self._each(lambda session, now: sweeps.release_never_begun(session, now=now)),
            "worker_died": self._each(lambda session, now: sweeps.rescue_dead_posts(session, now=now)),
            "expired": self._each(lambda session, now: sweeps.expire_late(session, now=now)),
            "by_policy": sum(self._by_policy(lane) for lane in Lane),
        }
        if any(found.values()):
            log.info("sweep_found", **found)
        return found

    def delete_old(self) -> int:
        """Delete what is past its retention, a thousand rows at a time; return how many rows."""
        if self.retention is None:
            return 0
        before, deleted = self.now() - self.retention, 0
        oldest_first = (
            sweeps.delete_old,
            sweeps.delete_old_refusals,
            sweeps.delete_old_callbacks,
            sweeps.delete_empty_batches,
            sweeps.delete_old_decisions,
        )
        for sweep in oldest_first:
            while not self.leaving() and (rows := self._each(partial(_before, sweep, before))):
                deleted += rows
        return deleted

    def waiting(self) -> "Waiting":
        """What nobody may be working on: lost bells are rung again from here."""
        now = self.now()
        with reading(self.sessions) as session:
            return Waiting(claims.best_due(session, now=now) is not None, callbacks.is_owed(session, now=now))

    def _notice_a_restore(self) -> None:
        """A database that went back in time under running workers: nothing more is posted until a person has looked."""
        if self.watermark is None:
            return
        with reading(self.sessions) as session:
            last = recovery.last_batch(session)
        try:
            highest = self.watermark.beyond(last)
        except RedisError:
            return  # it is noticed later; this is the second net
        if highest:
            reason = f"the database's last batch is {last}, but {highest} was seen: it came from a backup"
            with self.sessions.begin() as session:
                held = accounts.hold(session, self.account_id, now=self.now(), who=UPKEEP, reason=reason)
            if held:
                log.error("database_went_back", last_batch=last, seen=highest, remedy="sms recover --since …")

    def _bring_forward(self, session: Session, now: datetime) -> int:
        set_back = clocks.was_set_back(session, now=now)
        return clocks.bring_forward(session, now=now, longest=self.longest) if set_back else 0

    def _by_policy(self, lane: Lane) -> int:
        return self._each(
            lambda session, now: sweeps.apply_policy(
                session, lane, self.policy(lane), now=now, most_resends=MOST_RESENDS
            )
        )

    def _each(self, sweep: Callable[[Session, datetime], int]) -> int:
        with self.sessions.begin() as session:
            return sweep(session, self.now())


def _before(sweep: Callable[..., int], before: datetime, session: Session, _now: datetime) -> int:
    return sweep(session, before=before)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Work that stands in the table."""

    messages: bool
    callbacks: bool
