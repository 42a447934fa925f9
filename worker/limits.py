"""How many requests a second the gateway may see from all workers together, and who goes first.

What a `Limit` guarantees to all who share its name on one Redis:

- Spacing: any two turns, whoever takes them, are at least one interval (``1 / per_second``) apart on Redis' own clock,
  because the hosts' clocks differ. No burst, not even after a long rest. When Redis forgets all, one turn may be early.
- Rank: nobody takes a turn that somebody of an earlier rank waits for, and may have. So an OTP waits at most one
  interval for each OTP that waits with it. Within a rank there is no order. Who asks again later than `GRACE_SECONDS`
  after its wait has lost its place till then; so long, at most, does a waiter that died hold up later ranks.
- A reserved share: posts that are not OTP go only as long as all posts, OTP too, use no more than ``1 - otp_share`` of
  the rate: in any t seconds they have at most ``(1 - otp_share) * (t * per_second + 1) + 1`` turns. The others are for
  OTP beyond that, and for polls: bulk never starves polls. But OTP that fills the whole limit holds up everything, and
  where no share is reserved other posts do the same to polls.

While Redis is away, a limit of the same rate, with the same ranks and share, stands in within each process: each then
has the whole rate to itself.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from threading import Event, Lock

import structlog
from redis import Redis
from redis.exceptions import RedisError

from models.lifecycle import Lane

log = structlog.get_logger()

LONGEST_WAIT_SECONDS = 1.0
GRACE_SECONDS = 0.25  # for a waiter to wake up, look what it wants, and ask
LOOK_AGAIN_SECONDS = 1.0  # between two looks for a Redis that is away, by one thread: one that hangs must not stop all
LONGEST_LOOK_SECONDS = 120.0  # longer than a client's time-outs


class Rank(IntEnum):
    """Who goes first; the lanes in their order, then the questions."""

    OTP = 0
    NORMAL = 1
    BULK = 2
    POLL = 3


CAPPED = frozenset({Rank.NORMAL, Rank.BULK})  #: the posts that stop at the posts' ceiling, and leave the share free
MARKS = (":otp", ":normal", ":bulk")  #: suffixes of the keys where those of a rank who wait are marked


def rank_of(lane: Lane) -> Rank:
    """The rank of a lane's posts.

    >>> rank_of(Lane.BULK) < Rank.POLL
    True
    """
    return Rank[lane.name]


@dataclass(frozen=True, slots=True)
class Rate:
    """What a limit grants; *otp_share* is at least 0 and less than 1."""

    per_second: float
    otp_share: float = 0.0
    longest_wait_seconds: float = LONGEST_WAIT_SECONDS
    grace_seconds: float = GRACE_SECONDS

    @property
    def interval_seconds(self) -> float:
        """Between two turns."""
        return 1 / self.per_second

    @property
    def post_seconds(self) -> float:
        """Between two posts on average, at the posts' ceiling."""
        return self.interval_seconds / (1 - self.otp_share)


# GCRA twice: one for everybody, without a burst, and one that counts the posts. There, one turn that came too late or
# too early is made up for, or they would have less or more than is theirs. Returns microseconds to wait; 0 is granted.
# `LocalTurns` says the same in Python.
# ZREM comes first for one more reason: a full Redis refuses what needs memory only as the first write of a script.
ASK = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local waiter, rank, capped = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local interval, post_interval = tonumber(ARGV[4]), tonumber(ARGV[5])
local longest, grace = tonumber(ARGV[6]), tonumber(ARGV[7])

local function set(key, at, farthest)
  redis.call('SET', key, at, 'PX', math.ceil(farthest / 1000) + 1000)
  return at
end

-- What is farther off than can be was written before the clock was set back, and would stop everybody.
local function get(key, farthest)
  local at = tonumber(redis.call('GET', key) or 0)
  return at > now + farthest and set(key, now + farthest, farthest) or at
end

for i = 3, #KEYS do
  redis.call('ZREM', KEYS[i], waiter)
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  redis.call('ZREMRANGEBYSCORE', KEYS[i], now + longest + grace + 1, '+inf')
end
if not rank then return 0 end

local next, next_post = get(KEYS[1], interval), get(KEYS[2], interval + post_interval)
local ready = capped and math.max(next, next_post) or next
if ready <= now then
  for earlier = 0, rank - 1 do
    -- Posts that may not go yet hold nobody back.
    if (earlier == 0 or next_post <= now) and redis.call('ZCARD', KEYS[3 + earlier]) > 0 then
      ready = now + math.min(interval, grace)
    end
  end
end

if ready > now then
  local wait = math.min(ready - now, longest)
  if KEYS[3 + rank] then
    redis.call('ZADD', KEYS[3 + rank], now + wait + grace, waiter)
    redis.call('PEXPIRE', KEYS[3 + rank], math.ceil((longest + grace) / 1000))
  end
  return wait
end
set(KEYS[1], now + interval, interval)
if KEYS[3 + rank] then
  local due = math.min(math.max(next_post, now - interval), now + interval)
  set(KEYS[2], due + post_interval, interval + post_interval)
end
return 0
"""


class RedisTurns:
    """The turns of all who share *name*."""

    def __init__(self, redis: Redis, name: str, rate: Rate) -> None:
        self._script = redis.register_script(ASK)
        self._keys = [name, name + ":posts", *(name + suffix for suffix in MARKS)]
        seconds = (rate.interval_seconds, rate.post_seconds, rate.longest_wait_seconds, rate.grace_seconds)
        self._microseconds = [round(each * 1e6) for each in seconds]

    def ask(self, waiter: str, rank: Rank | None) -> float:
        """Take a turn and return 0, or return how many seconds to wait before *waiter* asks again.

        Until then, and a grace longer, later ranks wait for it. With None it takes nothing, and waits no longer. Raises
        `RedisError`.
        """
        wanted: list[str | int] = ["", 0] if rank is None else [int(rank), int(rank in CAPPED)]
        return int(self._script(keys=self._keys, args=[waiter, *wanted, *self._microseconds])) / 1e6


class LocalTurns:
    """The turns of one process, by the same rules."""

    def __init__(self, rate: Rate, monotonic: Callable[[], float]) -> None:
        self._rate = rate
        self._monotonic = monotonic
        self._lock = Lock()
        self._next = self._next_post = float("-inf")
        self._waiting: dict[str, tuple[Rank, float]] = {}

    def ask(self, waiter: str, rank: Rank | None) -> float:
        """As `RedisTurns.ask`."""
        with self._lock:
            now = self._monotonic()
            self._waiting = {one: mark for one, mark in self._waiting.items() if one != waiter and mark[1] > now}
            if rank is None:
                return 0.0
            wait = min(self._ready_at(rank, now) - now, self._rate.longest_wait_seconds)
            if wait > 0:
                self._waiting[waiter] = rank, now + wait + self._rate.grace_seconds
                return wait
            self._take(rank, now)
            return 0.0

    def _ready_at(self, rank: Rank, now: float) -> float:
        ready = max(self._next, self._next_post) if rank in CAPPED else self._next
        if ready <= now and any(mark < rank and self._may_go(mark, now) for mark, _ in self._waiting.values()):
            return now + min(self._rate.interval_seconds, self._rate.grace_seconds)
        return ready

    def _may_go(self, earlier: Rank, now: float) -> bool:
        return earlier not in CAPPED or self._next_post <= now

    def _take(self, rank: Rank, now: float) -> None:
        self._next = now + self._rate.interval_seconds
        if rank < Rank.POLL:
            interval = self._rate.interval_seconds
            self._next_post = min(max(self._next_post, now - interval), now + interval) + self._rate.post_seconds


class Limit:
    """One turn every ``1 / per_second`` seconds for everybody who shares *name*; see the module for what holds.

    *name* and *name* with suffixes are the keys on Redis; they go by themselves when nobody uses the limit. Without
    *redis* the limit is this process' own. Safe to use from several threads.
    """

    def __init__(
        self,
        redis: Redis | None,
        name: str,
        per_second: float,
        stopping: Event,
        *,
        otp_share: float = 0.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        rate = Rate(per_second, otp_share)
        self._name = name
        self._stopping = stopping
        self._monotonic = monotonic
        self._shared = RedisTurns(redis, name, rate) if redis else None
        self._local = LocalTurns(rate, monotonic)
        self._lock = Lock()
        self._look_at: float | None = None  # while Redis is away

    def wait(self, rank: Callable[[], Rank | None]) -> bool:
        """Return True when it is the caller's turn; False if the worker is to stop first, or *rank* says None.

        *rank* is asked before each try, since what the turn is for may change meanwhile. Raises what it raises.
        """
        waiter, waits = secrets.token_hex(8), False
        while not self._stopping.is_set():
            wanted = rank()
            if wanted is None:
                if waits:
                    self.ask(waiter, None)
                return False
            seconds = self.ask(waiter, wanted)
            if seconds <= 0:
                return True
            waits = True
            self._stopping.wait(seconds)
        return False

    def ask(self, waiter: str, rank: Rank | None) -> float:
        """Take a turn and return 0, or return how many seconds to wait before *waiter* asks again; it does not wait."""
        if self._shared and self._may_look():
            try:
                seconds = self._shared.ask(waiter, rank)
            except RedisError as error:
                self._lost(error)
            else:
                self._found()
                return seconds
        return self._local.ask(waiter, rank)

    def _may_look(self) -> bool:
        with self._lock:
            if self._look_at is None:
                return True
            now = self._monotonic()
            if now < self._look_at:
                return False
            self._look_at = now + LONGEST_LOOK_SECONDS
            return True

    def _lost(self, error: RedisError) -> None:
        with self._lock:
            begins = self._look_at is None
            self._look_at = self._monotonic() + LOOK_AGAIN_SECONDS
        if begins:
            log.warning("limit_is_local", limit=self._name, error=type(error).__name__)

    def _found(self) -> None:
        with self._lock:
            ends, self._look_at = self._look_at is not None, None
        if ends:
            log.info("limit_is_shared_again", limit=self._name)


def post_turn(limits: Sequence[Limit], stopping: Event) -> Callable[[Callable[[], Lane | None]], bool]:
    """Wait for a turn at each of *limits* for the lane that the caller names, asked anew before each try.

    False if the worker is to stop first, or the caller names no lane any more.
    """

    def wait(best_lane: Callable[[], Lane | None]) -> bool:
        def rank() -> Rank | None:
            lane = best_lane()
            return None if lane is None else rank_of(lane)

        return _turn(limits, rank, stopping)

    return wait


def poll_turn(limits: Sequence[Limit], stopping: Event) -> Callable[..., bool]:
    """Wait for a question's turn at each of *limits*, as long as the caller's argument says that it is wanted.

    False if it is not any more, or if the worker is to stop first.
    """

    def wait(wanted: Callable[[], bool] = lambda: True) -> bool:
        return _turn(limits, lambda: Rank.POLL if wanted() else None, stopping)

    return wait


class QuestionTurns:
    """Turns for questions at each of *limits*, for one thread at a time, which has more to do than to wait for them."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._limits = limits
        self._waiter = secrets.token_hex(8)
        self._taken = 0  # a turn at the first is kept while there is none at the second

    def __call__(self) -> float:
        """Take the next turn and return 0, or return how many seconds to wait before the next try.

        Nobody is held up meanwhile: questions come after everything else.
        """
        while self._taken < len(self._limits):
            seconds = self._limits[self._taken].ask(self._waiter, Rank.POLL)
            if seconds > 0:
                return seconds
            self._taken += 1
        self._taken = 0
        return 0.0


def _turn(limits: Sequence[Limit], rank: Callable[[], Rank | None], stopping: Event) -> bool:
    return all(limit.wait(rank) for limit in limits) and not stopping.is_set()
