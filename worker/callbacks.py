"""Telling producers what became of their messages: at least once, each event under one id."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session, sessionmaker

from worker.backoff import Dice, backoff
from worker.errors import CallbackFailed
from worker.store import callbacks as store
from worker.store.callbacks import Owed

log = structlog.get_logger()

AT_ONCE = 20
LEASE = timedelta(minutes=5)
LONGEST = timedelta(minutes=1)  # for one receiver; no telling begins that might outlast its lease
PAUSE = (timedelta(seconds=5), timedelta(hours=1))
GIVE_UP_AFTER = timedelta(days=1)

Tell = Callable[[Owed], None]  #: tells one producer; raises `CallbackFailed`


@dataclass(frozen=True, slots=True)
class Callbacks:
    """The room where producers are told."""

    sessions: sessionmaker[Session]
    tell: Tell
    now: Callable[[], datetime]
    dice: Dice
    leaving: Callable[[], bool] = lambda: False  #: whether the worker is to stop

    def tell_next(self, on_full: Callable[[], None] = lambda: None) -> bool:
        """Tell some of what is owed; return False when nothing is. *on_full* is called when there may be more."""
        now = self.now()
        with self.sessions.begin() as session:
            owed = store.lease_owed(session, now=now, until=now + LEASE, limit=AT_ONCE)
        if len(owed) == AT_ONCE:
            on_full()
        for told, one in enumerate(owed):
            if self.leaving() or self.now() > now + LEASE - LONGEST:
                with self.sessions.begin() as session:
                    store.hand_back(session, owed[told:], now=self.now())
                break
            self._tell(one)
        return bool(owed)

    def _tell(self, one: Owed) -> None:
        # No connection is held here: a slow receiver must not drain the database's pool.
        try:
            self.tell(one)
        except CallbackFailed as failed:
            self._again(one, failed.reason)
        except Exception as error:  # noqa: BLE001
            # Our own mistake about one receiver must not hold up those that were leased with it, time and again.
            self._again(one, f"unexpected {type(error).__name__}")
        else:
            with self.sessions.begin() as session:
                store.record_told(session, one.id, now=self.now())

    def _again(self, one: Owed, reason: str) -> None:
        now = self.now()
        pause = backoff(one.attempts, base=PAUSE[0], ceiling=PAUSE[1]) * (0.5 + self.dice())
        given_up = now + pause > one.created_at + GIVE_UP_AFTER
        log.warning("callback_failed", callback_id=one.id, attempts=one.attempts, reason=reason, given_up=given_up)
        with self.sessions.begin() as session:
            if given_up:
                store.record_failed(session, one.id, reason, now=now)
            else:
                store.try_again(session, one.id, reason, at=now + pause)
