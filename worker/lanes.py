"""The lanes' lists on Redis: many orders are taken at once, and are never only in our memory.

What is taken lies in an in-flight list of the taker until its transaction is committed. If the taker dies, its
heartbeat goes, and whoever looks next puts the list back where it came from.
"""

from collections.abc import Sequence
from typing import cast

from redis import Redis

from models.lifecycle import Lane

# Kombu's names of a queue's sub-lists; priority 0, the default, is the most urgent.
PRIORITY_SEPARATOR = "\x06\x16"
PRIORITIES = (0, 3, 6, 9)

HEARTBEAT_SECONDS = 1.0
DEAD_AFTER_SECONDS = 5.0
BELL_SECONDS = 1.0

# In-flight first: what an interrupted call took is returned again. Lists are popped at their right end, as Kombu does.
TAKE = """
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('SET', KEYS[3], '1', 'PX', ARGV[2])
local taken = redis.call('LRANGE', KEYS[1], 0, -1)
if #taken > 0 then return taken end
local room, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
for list = 4, #KEYS do
  if room <= 0 or bytes <= 0 then break end
  local oldest = redis.call('LRANGE', KEYS[list], -room, -1)
  local moved = 0
  for i = #oldest, 1, -1 do
    if bytes <= 0 then break end
    redis.call('RPUSH', KEYS[1], oldest[i])
    taken[#taken + 1] = oldest[i]
    bytes = bytes - #oldest[i]
    moved = moved + 1
  end
  if moved > 0 then redis.call('LTRIM', KEYS[list], 0, -moved - 1) end
  room = room - moved
end
return taken
"""

DONE = """
redis.call('DEL', KEYS[1])
for i = 3, #ARGV do redis.call('LPUSH', KEYS[2], ARGV[i]) end
if ARGV[1] == '0' then return 0 end
return redis.call('SET', KEYS[3], '1', 'NX', 'PX', ARGV[2]) and 1 or 0
"""

_PUT_BACK = """
local function put_back(inflight, queue)
  local orders = redis.call('LRANGE', inflight, 0, -1)
  for i = #orders, 1, -1 do redis.call('RPUSH', queue, orders[i]) end
  redis.call('DEL', inflight)
  return #orders
end
"""

LEAVE = (
    _PUT_BACK
    + """
local orders = 0
for i = 3, #KEYS, 2 do orders = orders + put_back(KEYS[i], KEYS[i + 1]) end
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return orders
"""
)

# The names of dead owners are known only here, so the keys are made here: this wants one Redis, not a cluster.
ADOPT = (
    _PUT_BACK
    + """
local orders = 0
for _, owner in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if redis.call('EXISTS', ARGV[1] .. owner) == 0 then
    for i = 3, #ARGV, 2 do orders = orders + put_back(ARGV[2] .. owner .. ':' .. ARGV[i], ARGV[i + 1]) end
    redis.call('SREM', KEYS[1], owner)
  end
end
return orders
"""
)


class LaneLists:
    """One taker's hold on the lanes' lists. *owner* names this process and no other that ever was."""

    def __init__(self, redis: Redis, *, owner: str, prefix: str = "") -> None:
        self._redis = redis
        self._owner = owner
        self._prefix = prefix
        self._take, self._done = redis.register_script(TAKE), redis.register_script(DONE)
        self._leave, self._adopt = redis.register_script(LEAVE), redis.register_script(ADOPT)

    def take(self, lane: Lane, *, most: int, most_bytes: int) -> list[bytes]:
        """Take the oldest orders, most urgent first, into the in-flight list; again the same until they are done.

        At most *most* orders, and no further one once *most_bytes* are reached.
        """
        keys = [self._inflight(lane), self._owners, self._alive(self._owner), *self._sublists(lane)]
        args: list[str | int] = [self._owner, int(DEAD_AFTER_SECONDS * 1000), most, most_bytes]
        return cast("list[bytes]", self._take(keys=keys, args=args))

    def done(self, lane: Lane, *, requeue: Sequence[bytes] = (), ring: bool = True) -> bool:
        """Let go of what was taken, which must be committed; return whether the caller is to ring for its posting.

        *requeue* goes to the back of the queue. There is one bell for all workers until it is heard.
        """
        keys = [self._inflight(lane), self.queue(lane), self._bell]
        return bool(self._done(keys=keys, args=[int(ring), int(BELL_SECONDS * 1000), *requeue]))

    def may_ring(self) -> bool:
        """Whether no bell is under way that somebody is yet to hear; the caller is then to ring."""
        return bool(self._redis.set(self._bell, "1", nx=True, px=int(BELL_SECONDS * 1000)))

    def heard(self) -> None:
        """The bell was heard; whoever stores something from now on rings anew."""
        self._redis.delete(self._bell)

    def wait(self, lane: Lane, *, seconds: float) -> None:
        """Return as soon as an order of default priority is there, or after *seconds*."""
        # Moving the newest onto its own place changes nothing, and blocks while there is none.
        self._redis.blmove(self.queue(lane), self.queue(lane), seconds, "LEFT", "LEFT")  # type: ignore[arg-type]

    def beat(self) -> None:
        """Show that this process is alive."""
        self._redis.set(self._alive(self._owner), "1", px=int(DEAD_AFTER_SECONDS * 1000))

    def adopt(self) -> int:
        """Put back what dead takers held; return how many orders."""
        args = [self._alive(""), self._inflight_of(""), *(arg for lane in Lane for arg in (lane, self.queue(lane)))]
        return cast("int", self._adopt(keys=[self._owners], args=args))

    def leave(self) -> int:
        """Put back what this process holds; return how many orders."""
        lists = [key for lane in Lane for key in (self._inflight(lane), self.queue(lane))]
        keys = [self._owners, self._alive(self._owner), *lists]
        return cast("int", self._leave(keys=keys, args=[self._owner]))

    def others_hold(self, lane: Lane) -> bool:
        """Whether another process has orders of *lane* in flight."""
        owners = cast("set[bytes]", self._redis.smembers(self._owners)) - {self._owner.encode()}
        return any(self._redis.exists(f"{self._inflight_of(owner.decode())}:{lane}") for owner in owners)

    def queue(self, lane: Lane) -> str:
        """The list that Kombu pushes to."""
        return f"{self._prefix}sms.{lane}"

    def _sublists(self, lane: Lane) -> list[str]:
        return [f"{self.queue(lane)}{PRIORITY_SEPARATOR}{step}" if step else self.queue(lane) for step in PRIORITIES]

    @property
    def _owners(self) -> str:
        return f"{self._prefix}sms:intake:owners"

    @property
    def _bell(self) -> str:
        return f"{self._prefix}sms:bell:submission"

    def _alive(self, owner: str) -> str:
        return f"{self._prefix}sms:intake:alive:{owner}"

    def _inflight_of(self, owner: str) -> str:
        return f"{self._prefix}sms:intake:inflight:{owner}"

    def _inflight(self, lane: Lane) -> str:
        return f"{self._inflight_of(self._owner)}:{lane}"
