"""Posting at once what comes while there is a free connection: stored in its batch, one commit before the post."""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import compress
from operator import not_
from typing import Any

import structlog
from sqlalchemy.orm import Session

from models.lifecycle import Lane
from worker.errors import NeverPosted
from worker.intake import Taken
from worker.orders import New, Order
from worker.seats import lanes_for
from worker.store import at_once
from worker.store.claims import Claimed, Way
from worker.store.moves import Moved
from worker.submission import FREE, Submission
from worker.trouble import Outcome
from worker.turnstile import Turnstile

log = structlog.get_logger()

FEW = 10  # places: fewer at a time cost more commits than waiting a moment for them does
FEWER_SECONDS = 0.005  # so long; then fewer will do
ONE_MORE = 1  # place than full batches need: of one phone or of another nickname there may be a second message
FAST = 2_000  # messages a second: a gateway that takes so many is worth waiting for; what comes is safe on Redis
PATIENCE_SECONDS = 1.0  # for the first place at most so long; then what comes is queued
CATCHING_UP_SECONDS = 0.2  # for what is queued to be claimed
BATCHES_QUEUED = 4  # at a time, where what is queued is to be claimed within that
LOOK_SECONDS = 0.01
BETWEEN_BELLS_SECONDS = 0.1


@dataclass(slots=True)
class Places:
    """Places at the gateway that are kept for what a lane's taker brings."""

    express: "Express"
    lane: Lane
    free: int
    few: int | None = None  #: messages to be queued where nothing is free; None: all
    claimed: list[Claimed] = field(default_factory=list)  #: what is stored or, while that is not committed, may be

    def fill(self, orders: Sequence[Order]) -> tuple[Sequence[Order], Sequence[Order]]:
        """Those of *orders* that are to be stored now, and those that are to go with the next places."""
        if not self.free:
            return orders[: self.few], orders[self.few :] if self.few else ()
        now = self.express.submission.now()
        due = [one.row for one in orders if isinstance(one, New) and one.row["send_at"] <= now]
        room = self.free * self.express.submission.batch_max_messages
        batches = self._packed(due[: 2 * room])
        kept = {id(row) for batch in batches for row in batch}
        later = {id(row) for row in due} - kept
        # Many for one phone fill no batch. They are queued: whoever waits for places here holds up the whole lane.
        if not later or 2 * len(kept) < room:
            return orders, ()
        waits = [isinstance(one, New) and id(one.row) in later for one in orders]
        return list(compress(orders, map(not_, waits))), list(compress(orders, waits))

    def take(
        self, session: Session, rows: Sequence[Mapping[str, Any]], lane: Lane
    ) -> tuple[Mapping[str, Moved], Sequence[Claimed]] | None:
        """Store *rows*, as many as possible in batches to post; see `worker.intake.Offer`."""
        submission = self.express.submission
        claimant = submission.claimant_at_once(session, lane) if self.free else None
        if claimant is None:
            return None
        batches = self._packed([row for row in rows if row["send_at"] <= claimant.now and not _ends(row, claimant.now)])
        if not batches:
            return None
        begun = 0 if submission.leaving() else submission.gateway.warm()
        new, claimed = at_once.insert_claimed(session, claimant, lane, rows, batches, begun=begun)
        self.claimed = list(claimed)
        return new, claimed

    def post(self, taken: Taken) -> None:
        """Post what was claimed, now that it is committed, each batch from its own place; returns at once."""
        for one in taken.claimed:
            self.claimed.remove(one)
            self.free -= 1
            self.express.post(one)
        self.express.note(self.lane, taken)

    def _packed(self, rows: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
        return at_once.packed(rows, limit=self.express.submission.batch_max_messages, most=self.free)


class Express:
    """Posts from the takers' own process, on the places that bells' tasks post from, too."""

    def __init__(self, submission: Submission, places: Turnstile, *, ring: Callable[[], None]) -> None:
        """*ring* is called when a bell's task found no place, and one is free again."""
        self.submission = submission
        self._places = places
        self._ring = ring
        self._pool = ThreadPoolExecutor(places.width, "post")
        self._behind = dict.fromkeys(Lane, True)  # lanes of which something may be queued
        self._under_way: dict[int, float] = {}  # when each post began, by its batch
        self._rang_at = 0.0

    @contextmanager
    def places(self, lane: Lane, messages: int) -> Iterator[Places]:
        """Keep places for so many messages of *lane*; none while something of the lane is queued, which goes first.

        What was claimed by them and is not posted when this ends is let go of: whether its commit stands may not be
        known, if the database's answer was lost, but that nothing of it left is.
        """
        limit = self.submission.batch_max_messages
        full, rest = divmod(messages, limit)
        way = self._way_for(lane)
        free = self._take_places(lane, min(messages, full + bool(rest) + ONE_MORE)) if way is Way.CLEAR else 0
        # What is queued costs four times as much, and as long as there is any, all that comes is queued. So where it
        # may soon be gone, it is fed with less than is claimed meanwhile; the others are safe on Redis.
        soon = way is not Way.KEPT and self._is_fast()
        found = Places(self, lane, free, BATCHES_QUEUED * limit if soon else None)
        try:
            yield found
        finally:
            if found.claimed:
                self._let_go(found.claimed)
            if found.free:
                self._give_back(found.free)

    def note(self, lane: Lane, taken: Taken) -> None:
        """Remember whether something had to be queued."""
        self._behind[lane] |= bool(taken.waiting)

    def linger(self, lane: Lane) -> timedelta:
        """How long to wait for a full batch, now that the lane's first order is there."""
        submission = self.submission
        now = submission.now()
        return submission.pace.linger(lane, submission.batch_max_messages - 1, now, now=now)

    def post(self, claimed: Claimed) -> None:
        """Post a batch that is committed, and give its place back; returns at once."""
        self.submission.pace.note(claimed.lane, len(claimed.messages), now=claimed.claimed_at)
        once = [claimed]
        try:
            self._pool.submit(self._post, once)
        except RuntimeError:  # the process ends, and nothing of it leaves; or there is no thread to be had
            self._post(once)

    def close(self) -> None:
        """Return when all posts are over."""
        self._pool.shutdown(wait=True)

    def _post(self, once: list[Claimed]) -> None:
        """Post what is in *once* and take it out: the pool may come to it although it could start no thread for it."""
        try:
            claimed = once.pop()
        except IndexError:
            return
        self._under_way[claimed.batch_id] = time.monotonic()
        try:
            if not self.submission.post_claimed(claimed):
                self._ring()  # some of it may be queued again
        except Exception as error:  # noqa: BLE001
            # Nobody looks at what is raised in a pool. Frames only: an error's words may hold a text.
            log.error("post_broke", batch_id=claimed.batch_id, frames=traceback.format_tb(error.__traceback__))  # noqa: TRY400
        finally:
            del self._under_way[claimed.batch_id]
            self._give_back(1)

    def _let_go(self, claimed: Sequence[Claimed]) -> None:
        log.warning("posts_let_go", batches=len(claimed), because="nobody knows whether they are committed")
        for one in claimed:
            never = Outcome(NeverPosted("its commit was not answered"), FREE, slow=False, took=None)
            self.submission.recording.store(one, never, may_be_unknown=True)
        self._ring()

    def _take_places(self, lane: Lane, most: int) -> int:
        width = self._places.width

        def may(inside: int) -> bool:
            return lane in lanes_for(width, inside)

        at_least = min(FEW, width // 2, most)
        free = self._places.take_places(at_least, most, may=may, patience_seconds=FEWER_SECONDS)
        if free or not self._is_fast():
            return free
        return self._places.take_places(1, most, may=may, patience_seconds=PATIENCE_SECONDS)

    def _way_for(self, lane: Lane) -> Way:
        """What is before a message that comes by *lane*; where it may soon be gone, after a moment."""
        if not self._behind[lane]:
            return Way.CLEAR
        give_up_at = time.monotonic() + (CATCHING_UP_SECONDS if self._is_fast() else 0)
        while (way := self.submission.way_for(lane)) is Way.BEHIND and time.monotonic() < give_up_at:
            time.sleep(LOOK_SECONDS)
        self._behind[lane] = way is not Way.CLEAR
        return way

    def _is_fast(self) -> bool:
        now = time.monotonic()
        oldest = now - min(list(self._under_way.values()), default=now)
        seconds = max(self.submission.pace.seconds_per_post, oldest)
        return self._places.width * self.submission.batch_max_messages >= FAST * seconds

    def _give_back(self, places: int) -> None:
        now = time.monotonic()
        # Under load each bell finds all places taken once more.
        if self._places.give_back(places, may_ring=now - self._rang_at > BETWEEN_BELLS_SECONDS):
            self._rang_at = now
            self._ring()


def _ends(row: Mapping[str, Any], now: datetime) -> bool:
    return row["expires_at"] is not None and row["expires_at"] <= now
