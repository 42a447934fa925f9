"""Telling producers what became of their messages: at least once, each event under one id."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session, sessionmaker
from structlog.contextvars import bound_contextvars

from worker.backoff import Dice, backoff
from worker.errors import CallbackFailed
from worker.receivers import Receivers, receiver_of
from worker.store import callbacks as store
from worker.store.callbacks import Owed
from worker.store.engine import reading
from worker.store.noted import note

log = structlog.get_logger()

AT_ONCE = 20  # so few of others wait with a receiver that dies
LEASE = timedelta(minutes=5)
LONGEST = timedelta(minutes=1)  # for one receiver; no telling begins that might outlast its lease
PAUSE = (timedelta(seconds=5), timedelta(hours=1))
GIVE_UP_AFTER = timedelta(days=1)
# A day may pass while we are away ourselves, and nothing is given up before its receiver had a fair chance.
LEAST_TRIES = 10
LEAST_FAILING = timedelta(hours=1)  # for those that are not tried, because their receiver rests
PASSED_OVER_AT_ONCE = 1_000
AT_ONCE_RETRIED = 500  # callbacks in one transaction: a teller never waits long for it

Tell = Callable[[Owed], None]  #: tells one producer; raises `CallbackFailed`


@dataclass(frozen=True, slots=True)
class Callbacks:
    """The room where producers are told."""

    sessions: sessionmaker[Session]
    tell: Tell
    now: Callable[[], datetime]
    dice: Dice
    leaving: Callable[[], bool] = lambda: False  #: whether the worker is to stop
    receivers: Receivers = field(default_factory=Receivers)

    def tell_next(self, on_full: Callable[[], None] = lambda: None) -> bool:
        """Tell some of what is owed; return False when nothing is. *on_full* is called when there may be more."""
        now = self.now()
        passed_over = self._pass_over_resting(now)
        with self.sessions.begin() as session:
            owed = store.lease_owed(session, now=now, until=now + LEASE, limit=AT_ONCE)
        if len(owed) == AT_ONCE:
            on_full()
        # Whoever may keep us waiting comes last.
        waiting = sorted(owed, key=lambda one: self.receivers.last_heard(receiver_of(one.target)))
        while waiting := self._put_off_resting(waiting):
            if self.leaving() or self.now() > now + LEASE - LONGEST:
                self._put_off(waiting, self.now())
                break
            self._tell(waiting.pop(0))
        return bool(owed or passed_over)

    def _pass_over_resting(self, now: datetime) -> int:
        """Clear the way to those who may be told: a dead receiver's many callbacks are not leased one by one."""
        if not self.receivers.any_in_trouble():
            return 0
        with reading(self.sessions) as session:
            due = store.due(session, now=now, limit=PASSED_OVER_AT_ONCE)
        resting = defaultdict[datetime, list[int]](list)
        for one in due:
            until = self.receivers.waits_until(receiver_of(one.target), now)
            if until and now < one.owed_since + GIVE_UP_AFTER:  # later ones may be given up, by whoever leases them
                resting[until].append(one.id)
        for until, ids in resting.items():
            with self.sessions.begin() as session:
                store.put_off(session, ids, now=now, at=until)
        return sum(map(len, resting.values()))

    def _put_off_resting(self, owed: Sequence[Owed]) -> list[Owed]:
        """Return those that may be told now; what is owed to a receiver at rest waits for the end of it."""
        now, free, resting = self.now(), list[Owed](), defaultdict[datetime, list[Owed]](list)
        for one in owed:
            until = self.receivers.waits_until(receiver_of(one.target), now)
            (resting[until] if until else free).append(one)
        for until, those in resting.items():
            self._put_off(those, until)
        return free

    def _put_off(self, owed: Sequence[Owed], until: datetime) -> None:
        now = self.now()
        failing = {one.id: self.receivers.failing(receiver_of(one.target), now) for one in owed}
        with self.sessions.begin() as session:
            store.hand_back(session, owed, at=until)
            for one in owed:
                how_long, reason = failing[one.id]
                if how_long >= LEAST_FAILING and now >= one.owed_since + GIVE_UP_AFTER:
                    store.record_failed(session, one.id, reason, now=now)
                    note(session, "sms_callbacks", "failed")

    def _tell(self, one: Owed) -> None:
        receiver = receiver_of(one.target)
        if again := self.receivers.enter(receiver, self.now()):
            self._put_off([one], again)
            return
        try:
            failed = self._call(one, receiver)
        finally:
            self.receivers.leave(receiver)
        if failed:
            self._again(one, receiver, failed)
        else:
            with self.sessions.begin() as session:
                store.record_told(session, one.id, now=self.now())
                note(session, "sms_callbacks", "told")

    def _call(self, one: Owed, receiver: str) -> CallbackFailed | None:
        # No connection is held here: a slow receiver must not drain the database's pool.
        begun_at, failed = self.now(), None
        try:
            self.tell(one)
        except CallbackFailed as error:
            failed = error
        except Exception as error:  # noqa: BLE001
            # Our own mistake about one receiver must not hold up those that were leased with it, time and again.
            return CallbackFailed(f"unexpected {type(error).__name__}")
        now = self.now()
        if failed and failed.away:
            jitter = self._jitter()
            self.receivers.failed(receiver, failed.reason, now=now, jitter=jitter, at_least=_asked(failed))
        else:
            self.receivers.answered(receiver, now=now, took=now - begun_at)
        return failed

    def _again(self, one: Owed, receiver: str, failed: CallbackFailed) -> None:
        now, end = self.now(), one.owed_since + GIVE_UP_AFTER
        pause = max(backoff(one.attempts, base=PAUSE[0], ceiling=PAUSE[1]) * self._jitter(), _asked(failed))
        tried = one.attempts >= LEAST_TRIES or self.receivers.failing(receiver, now)[0] >= LEAST_FAILING
        given_up = failed.for_good or (tried and now >= end)
        with bound_contextvars(uid=one.event.get("uid"), callback_id=one.id, receiver=receiver):
            log.warning("callback_failed", attempts=one.attempts, reason=failed.reason, given_up=given_up)
        with self.sessions.begin() as session:
            note(session, "sms_callbacks", "failed" if given_up else "again")
            if given_up:
                store.record_failed(session, one.id, failed.reason, now=now)
            else:
                at = min(now + pause, end) if now < end else now + pause
                store.try_again(session, one.id, failed.reason, at=at)

    def _jitter(self) -> float:
        return 0.5 + self.dice()


def retry(sessions: sessionmaker[Session], ids: Sequence[int], *, now: Callable[[], datetime], who: str) -> int:
    """Owe those of *ids* that failed once more, for another day, as *who* decided; return how many."""
    retried = 0
    for start in range(0, len(ids), AT_ONCE_RETRIED):
        with sessions.begin() as session:
            retried += store.owe_again(session, ids[start : start + AT_ONCE_RETRIED], now=now(), who=who)
    return retried


def _asked(failed: CallbackFailed) -> timedelta:
    """The rest that a receiver asked for, as far as we grant it."""
    return min(failed.retry_after or timedelta(), PAUSE[1])
