"""Which receivers of callbacks are in trouble: they rest, so that nobody else waits for them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Condition
from typing import Any
from urllib.parse import urlsplit

import structlog

from worker.backoff import backoff

log = structlog.get_logger()

REST = (timedelta(seconds=5), timedelta(minutes=10))  # after the first failure, and at most
LOOK_AGAIN = timedelta(seconds=5)  # where others are calling a receiver that does not answer
SLOW_AFTER = timedelta(seconds=3)
LONGEST_REST_OF_SLOW = timedelta(minutes=1)
FORGET_AFTER = timedelta(hours=3)  # longer than any pause, so that whoever still fails is not forgotten between
FORGET_EVERY = timedelta(minutes=1)
MOST_REMEMBERED = 10_000  # anybody may own a million hosts; of whom we forget, we only learn once more
MOST_AT_ONCE = 3
PATIENCE_SECONDS = 2.0


def receiver_of(target: Mapping[str, Any]) -> str:
    """Who stands or falls together: a host with its port, or a queue. Neither a password nor a query is in it.

    >>> receiver_of({"url": "https://user:secret@shop.example:8443/sms?key=1"})
    'https://shop.example:8443'
    >>> receiver_of({"task": "shop.sms_changed", "queue": "shop"}), receiver_of({"task": "shop.sms_changed"})
    ('queue:shop', 'queue:celery')
    >>> receiver_of({"url": "https://[shop/"})
    'url:unreadable'
    """
    if "url" not in target:
        return f"queue:{target.get('queue') or 'celery'}"
    try:
        parts = urlsplit(str(target["url"]))
    except ValueError:  # no order brings such a one; but whoever wrote it into the table must not hold up the others
        return "url:unreadable"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


@dataclass(slots=True)
class _Trouble:
    since: datetime | None  #: when it began to fail; None of one that answers, but slowly
    reason: str
    failures: int
    rests_from: datetime
    rests_until: datetime

    def rests(self, now: datetime) -> bool:
        """Whether its rest is not over. Where the clock was set back, it is."""
        return self.rests_from <= now < self.rests_until


class Receivers:
    """What one process knows of them; a receiver that answers quickly is not in here.

    One that fails rests, twice as long after each failure in a row, and one that is slow for as long as it took. After
    a rest, one call at a time probes it. Until then at most *most* threads call it at the same time, so that others are
    left to the rest of the world when it dies; whoever finds no place waits *patience_seconds* for one.

    Once somebody has answered quickly, those that have not are called by at most *most* threads together, however many
    names they have: so there is always one for those that have.
    """

    def __init__(self, *, most: int = MOST_AT_ONCE, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._most = most
        self._patience_seconds = patience_seconds
        self._troubles: dict[str, _Trouble] = {}
        self._quick: dict[str, None] = {}  # those that answered quickly the last time, the oldest first
        self._forget_at = datetime.min.replace(tzinfo=UTC)
        self._inside = Counter[str]()
        self._left = Condition()

    def last_heard(self, receiver: str) -> int:
        """What was heard of it last: 0 a quick answer, 1 nothing yet, 2 that it failed, or was slow."""
        with self._left:
            return 0 if receiver in self._quick else 1 + (receiver in self._troubles)

    def any_in_trouble(self) -> bool:
        """Whether there is anybody in here."""
        return bool(self._troubles)

    def waits_until(self, receiver: str, now: datetime) -> datetime | None:
        """When to come again; None if it may be called now."""
        with self._left:
            return self._waits_until(receiver, now)

    def enter(self, receiver: str, now: datetime) -> datetime | None:
        """Go to call it, to `leave` afterwards, and return None; or return when to come again."""
        with self._left:
            if self._is_stranger(receiver) and self._inside[receiver] < self._most <= self._strangers_inside():
                return now + LOOK_AGAIN
            if not self._left.wait_for(lambda: self._inside[receiver] < self._most, self._patience_seconds):
                self._troubles.setdefault(receiver, _Trouble(None, "no answer yet", 0, now, now + LOOK_AGAIN))
            again = self._waits_until(receiver, now)
            if again is None:
                self._inside[receiver] += 1
            return again

    def leave(self, receiver: str) -> None:
        """The call is over, whatever came of it."""
        with self._left:
            self._inside[receiver] -= 1
            if not self._inside[receiver]:
                del self._inside[receiver]
            self._left.notify_all()

    def failed(self, receiver: str, reason: str, *, now: datetime, jitter: float, at_least: timedelta) -> None:
        """It is away, or asks for a rest of *at_least* so long."""
        with self._left:
            self._forget_old(now)
            self._quick.pop(receiver, None)
            trouble = self._troubles.setdefault(receiver, _Trouble(now, reason, 0, now, now))
            # Calls that were under way at the same time fail together: that is one failure.
            trouble.failures += not (trouble.failures and trouble.rests(now))
            pause = max(backoff(trouble.failures, base=REST[0], ceiling=REST[1]) * jitter, at_least)
            trouble.since, trouble.reason = trouble.since or now, reason
            if not trouble.rests(now) or now + pause > trouble.rests_until:
                trouble.rests_from, trouble.rests_until = now, now + pause
        log.warning("receiver_rests", receiver=receiver, reason=reason, seconds=round(pause.total_seconds()))

    def answered(self, receiver: str, *, now: datetime, took: timedelta) -> None:
        """It is there, and answered within *took*, be it only to refuse something."""
        with self._left:
            self._quick.pop(receiver, None)
            if took <= SLOW_AFTER:
                self._troubles.pop(receiver, None)
                self._quick[receiver] = None
                if len(self._quick) > MOST_REMEMBERED:
                    del self._quick[next(iter(self._quick))]
            else:
                self._forget_old(now)
                until = now + min(took, LONGEST_REST_OF_SLOW)
                self._troubles[receiver] = _Trouble(None, "slow", 0, now, until)

    def failing(self, receiver: str, now: datetime) -> tuple[timedelta, str]:
        """For how long it has been failing without a break, and why the last time."""
        with self._left:
            trouble = self._troubles.get(receiver)
            if trouble is None or trouble.since is None:
                return timedelta(), ""
            return now - trouble.since, trouble.reason

    def _strangers_inside(self) -> int:
        return sum(calls for receiver, calls in self._inside.items() if self._is_stranger(receiver))

    def _is_stranger(self, receiver: str) -> bool:
        return bool(self._quick) and receiver not in self._quick

    def _waits_until(self, receiver: str, now: datetime) -> datetime | None:
        trouble = self._troubles.get(receiver)
        if trouble and trouble.rests(now):
            return trouble.rests_until
        return now + LOOK_AGAIN if trouble and self._inside[receiver] else None

    def _forget_old(self, now: datetime) -> None:
        if now < self._forget_at and len(self._troubles) < 2 * MOST_REMEMBERED:
            return
        self._forget_at = now + FORGET_EVERY
        recent = [one for one in self._troubles.items() if one[1].rests_until >= now - FORGET_AFTER]
        recent.sort(key=lambda one: one[1].rests_until, reverse=True)
        self._troubles = dict(recent[:MOST_REMEMBERED])
