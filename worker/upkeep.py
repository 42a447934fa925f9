"""Looking for what a crash left behind, and for what time has overtaken. Safe to run twice, or on every worker."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.orm import Session, sessionmaker

from models import Account
from models.lifecycle import Lane
from worker.store import accounts, callbacks, claims, sweeps
from worker.store.engine import reading

log = structlog.get_logger()

MOST_RESENDS = 1  # by policy; a gateway that cuts every answer must not make a phone ring for ever


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The keeper of the house."""

    sessions: sessionmaker[Session]
    policy: Callable[[Lane], str]
    retention: timedelta | None  #: None keeps everything
    now: Callable[[], datetime]
    leaving: Callable[[], bool] = lambda: False  #: whether the worker is to stop

    def sweep(self) -> dict[str, int]:
        """Put right what is half done; return how many messages each sweep found."""
        found = {
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
        )
        for sweep in oldest_first:
            while not self.leaving() and (rows := self._each(partial(_before, sweep, before))):
                deleted += rows
        return deleted

    def waiting(self) -> "Waiting":
        """What nobody may be working on: lost bells are rung again from here."""
        now = self.now()
        with reading(self.sessions) as session:
            return Waiting(claims.is_due(session, now=now), callbacks.is_owed(session, now=now))

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


def pause_of(sessions: sessionmaker[Session], login: str) -> Account | None:
    """The account of *login* as it stands in the table, if it is paused."""
    with reading(sessions) as session:
        return accounts.paused(session, login)


def resume(sessions: sessionmaker[Session], login: str) -> bool:
    """Let posting go on at once, as a person decided; return whether it had been paused."""
    with sessions.begin() as session:
        return accounts.resume(session, accounts.account_id_of(session, login))
