"""The lanes' lists on Redis: many orders are taken at once, and are never only in our memory.

What is taken lies in an in-flight list of the taker until its transaction is committed. If the taker dies, its
heartbeat goes, and whoever looks next puts the list back where it came from.
"""

import secrets
from collections.abc import Sequence
from typing import NamedTuple, cast

from redis import Redis
from redis.exceptions import ResponseError

from models.lifecycle import Lane

# Kombu's names of a queue's sub-lists; priority 0, the default, is the most urgent. By default it fills four of them,
# and with `priority_steps` set as Celery's documentation shows, all.
PRIORITY_SEPARATOR = "\x06\x16"
PRIORITIES = tuple(range(10))

HEARTBEAT_SECONDS = 1.0
DEAD_AFTER_SECONDS = 5.0

# A full Redis refuses commands that need memory, but only as the first write of a script: so that it can be emptied at
# all, each script writes something else first.
EVEN_WHEN_FULL = "redis.call('DEL', KEYS[1] .. ':nothing')\n"

BEAT = EVEN_WHEN_FULL + "redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])"

# In-flight first: what an interrupted call took is returned again. Lists are popped at their right end, as Kombu does.
# The token names what is in flight, so that a DONE that was held up on its way cannot let go of something newer.
TAKE = (
    EVEN_WHEN_FULL
    + """
redis.call('SADD', KEYS[3], ARGV[1])
redis.call('SET', KEYS[4], '1', 'PX', ARGV[2])
local taken = redis.call('LRANGE', KEYS[1], 0, -1)
if #taken > 0 then return {redis.call('GET', KEYS[2]), taken} end
local room, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
for list = 5, #KEYS do
  while room > 0 and bytes > 0 do
    local order = redis.call('LMOVE', KEYS[list], KEYS[1], 'RIGHT', 'RIGHT')
    if not order then break end
    taken[#taken + 1] = order
    bytes = bytes - #order
    room = room - 1
  end
end
redis.call('SET', KEYS[2], ARGV[5])
return {ARGV[5], taken}
"""
)

DONE = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
for i = 2, #ARGV do redis.call('LPUSH', KEYS[3], ARGV[i]) end
return 1
"""

_PUT_BACK = """
local function put_back(inflight, queue)
  local orders = redis.call('LRANGE', inflight, 0, -1)
  redis.call('DEL', inflight, inflight .. ':token')
  for i = #orders, 1, -1 do redis.call('RPUSH', queue, orders[i]) end
  return #orders
end
"""

LEAVE = (
    EVEN_WHEN_FULL
    + _PUT_BACK
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
    EVEN_WHEN_FULL
    + _PUT_BACK
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


class Lying(NamedTuple):
    """Orders of a lane on Redis; one of `sms.send_many` is one of them."""

    waiting: int  #: nobody has taken them yet
    in_flight: int  #: a worker stores them just now, or died with them


class LaneLists:
    """One taker's hold on the lanes' lists. *owner* names this process and no other that ever was."""

    def __init__(self, redis: Redis, *, owner: str, prefix: str = "") -> None:
        self._redis = redis
        self._owner = owner
        self._prefix = prefix
        self._tokens: dict[Lane, bytes] = {}
        self._take, self._done = redis.register_script(TAKE), redis.register_script(DONE)
        self._leave, self._adopt = redis.register_script(LEAVE), redis.register_script(ADOPT)
        self._beat = redis.register_script(BEAT)

    def take(self, lane: Lane, *, most: int, most_bytes: int) -> list[bytes]:
        """Take the oldest orders, most urgent first, into the in-flight list; again the same until they are done.

        At most *most* orders, and no further one once *most_bytes* are reached. One thread for each lane calls this.
        """
        keys = [*self._inflight(lane), self._owners, self._alive(self._owner), *self._sublists(lane)]
        token = secrets.token_hex(8)
        args: list[str | int] = [self._owner, int(DEAD_AFTER_SECONDS * 1000), most, most_bytes, token]
        self._tokens[lane], taken = cast("tuple[bytes, list[bytes]]", self._take(keys=keys, args=args))
        return taken

    def done(self, lane: Lane, *, requeue: Sequence[bytes] = ()) -> bool:
        """Let go of what was taken last, which must be committed; return False if somebody has put it back meanwhile.

        *requeue* goes to the back of the queue.
        """
        return bool(self._done(keys=[*self._inflight(lane), self.queue(lane)], args=[self._tokens[lane], *requeue]))

    def wait(self, lane: Lane, *, seconds: float) -> bool:
        """Return True as soon as an order of default priority is there, or False after *seconds*."""
        # Moving the newest onto its own place changes nothing, and blocks while there is none.
        found = self._redis.blmove(self.queue(lane), self.queue(lane), seconds, "LEFT", "LEFT")  # type: ignore[arg-type]
        return found is not None

    def any(self, lane: Lane) -> bool:
        """Whether there is anything to take, of whatever priority. Writes nothing, where `take` always does."""
        return bool(self._redis.exists(self._inflight(lane)[0], *self._sublists(lane)))

    def beat(self) -> None:
        """Show that this process is alive."""
        self._beat(keys=[self._alive(self._owner)], args=[int(DEAD_AFTER_SECONDS * 1000)])

    def adopt(self) -> int:
        """Put back what dead takers held; return how many orders."""
        args = [self._alive(""), self._inflight_of(""), *(arg for lane in Lane for arg in (lane, self.queue(lane)))]
        return cast("int", self._adopt(keys=[self._owners], args=args))

    def leave(self) -> int:
        """Put back what this process holds; return how many orders."""
        lists = [key for lane in Lane for key in (self._inflight(lane)[0], self.queue(lane))]
        keys = [self._owners, self._alive(self._owner), *lists]
        return cast("int", self._leave(keys=keys, args=[self._owner]))

    def risks(self) -> dict[str, str]:
        """The server's settings under which it may lose what it acknowledged; none where it does not tell them."""
        safe = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
        try:
            found = cast("dict[str, str]", self._redis.config_get(*safe))
        except ResponseError:
            return {}  # a server that somebody else runs may keep its settings to itself
        told = {str(name): str(value) for name, value in found.items()}
        return {name.replace("-", "_"): told[name] for name in safe if name in told and told[name] != safe[name]}

    def others_hold(self, lane: Lane) -> bool:
        """Whether another process has orders of *lane* in flight."""
        owners = cast("set[bytes]", self._redis.smembers(self._owners)) - {self._owner.encode()}
        return any(self._redis.exists(f"{self._inflight_of(owner.decode())}:{lane}") for owner in owners)

    def alive(self) -> list[str]:
        """The processes that have shown within the last `DEAD_AFTER_SECONDS` that they run."""
        owners = sorted(owner.decode() for owner in cast("set[bytes]", self._redis.smembers(self._owners)))
        return [owner for owner in owners if self._redis.exists(self._alive(owner))]

    def lying(self, lane: Lane) -> Lying:
        """What lies on Redis of *lane* and is in no database yet."""
        owners = (owner.decode() for owner in cast("set[bytes]", self._redis.smembers(self._owners)))
        in_flight = [f"{self._inflight_of(owner)}:{lane}" for owner in owners]
        return Lying(self._lengths(self._sublists(lane)), self._lengths(in_flight))

    def abandoned(self) -> int:
        """How many orders dead takers hold; the next taker of any lane puts them back."""
        owners = {owner.decode() for owner in cast("set[bytes]", self._redis.smembers(self._owners))}
        dead = owners.difference(self.alive())
        return self._lengths([f"{self._inflight_of(owner)}:{lane}" for owner in dead for lane in Lane])

    def _lengths(self, lists: Sequence[str]) -> int:
        return sum([self._redis.llen(name) for name in lists])

    def queue(self, lane: Lane) -> str:
        """The list that Kombu pushes to."""
        return f"{self._prefix}sms.{lane}"

    def _sublists(self, lane: Lane) -> list[str]:
        return [f"{self.queue(lane)}{PRIORITY_SEPARATOR}{step}" if step else self.queue(lane) for step in PRIORITIES]

    @property
    def _owners(self) -> str:
        return f"{self._prefix}sms:intake:owners"

    def _alive(self, owner: str) -> str:
        return f"{self._prefix}sms:intake:alive:{owner}"

    def _inflight_of(self, owner: str) -> str:
        return f"{self._prefix}sms:intake:inflight:{owner}"

    def _inflight(self, lane: Lane) -> tuple[str, str]:
        inflight = f"{self._inflight_of(self._owner)}:{lane}"
        return inflight, f"{inflight}:token"
