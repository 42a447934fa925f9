"""How many requests a second the gateway may see from all workers together."""

import time
from collections.abc import Callable
from threading import Event, Lock

import structlog
from redis import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

# GCRA on Redis' own clock, because the hosts' clocks differ. Returns the microseconds to wait; 0 means granted.
TAKE_TURN = """
local now = redis.call('TIME')
local at = now[1] * 1000000 + now[2]
local next = tonumber(redis.call('GET', KEYS[1]) or at)
if next > at then return next - at end
redis.call('SET', KEYS[1], at + ARGV[1], 'PX', math.ceil(ARGV[1] / 1000) + 1000)
return 0
"""
LONGEST_WAIT_SECONDS = 1.0


class Limit:
    """One turn every ``1 / per_second`` seconds for everybody who shares *name*.

    While Redis is away a local limit of the same rate stands in: each process then has the whole rate to itself.
    """

    def __init__(self, redis: Redis | None, name: str, per_second: float, stopping: Event) -> None:
        self._interval = 1 / per_second
        self._name = name
        self._stopping = stopping
        self._script = redis.register_script(TAKE_TURN) if redis else None
        self._lock = Lock()
        self._next = 0.0

    def wait(self) -> bool:
        """Return True when it is the caller's turn, False if the worker is to stop first."""
        while not self._stopping.is_set():
            seconds = self._seconds_to_wait()
            if seconds <= 0:
                return True
            self._stopping.wait(min(seconds, LONGEST_WAIT_SECONDS))
        return False

    def _seconds_to_wait(self) -> float:
        if self._script is None:
            return self._local()
        try:
            return int(self._script(keys=[self._name], args=[int(self._interval * 1e6)])) / 1e6
        except RedisError as error:
            log.warning("limit_is_local", error=type(error).__name__)
            return self._local()

    def _local(self) -> float:
        with self._lock:
            now = time.monotonic()
            if self._next > now:
                return self._next - now
            self._next = now + self._interval
            return 0.0


def turn(limits: list[Limit], stopping: Event) -> Callable[[], bool]:
    """Wait for a turn at each of *limits*; False if the worker is to stop first."""
    return lambda: all(limit.wait() for limit in limits) and not stopping.is_set()
