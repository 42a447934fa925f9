"""One worker for each name: two of the same name answer for each other, and nobody can tell their log lines apart."""

import os
import socket
import time
from collections.abc import Callable

from redis import Redis

from worker.lanes import DEAD_AFTER_SECONDS

LOOK_SECONDS = 0.25

# Taken if nobody has it, if it is ours, or if it is a dead one's, whom the caller has looked at.
CLAIM = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and holder ~= ARGV[3] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
"""


class WorkerName:
    """A worker's hold on its name, for a few seconds after each `keep`."""

    def __init__(self, redis: Redis, name: str, *, prefix: str = "") -> None:
        self._claim = redis.register_script(CLAIM)
        self._redis = redis
        self._key = f"{prefix}sms:worker:{name}"
        self._us = f"{socket.gethostname()}/{os.getpid()}"

    def claim(self, *, wait: Callable[[float], None] = time.sleep) -> bool:
        """Take the name; return False if another living worker has it. Raises `RedisError`.

        One that was killed a moment ago on another host has it for a few seconds more, and is waited for.
        """
        tries = round((DEAD_AFTER_SECONDS + 1) / LOOK_SECONDS)
        for _ in range(tries):
            if self._try():
                return True
            wait(LOOK_SECONDS)
        return self._try()

    def keep(self) -> None:
        """Hold it for a while longer."""
        self._redis.set(self._key, self._us, px=int(DEAD_AFTER_SECONDS * 1000))

    def leave(self) -> None:
        """Let go of it, so that whoever comes next need not wait."""
        self._redis.delete(self._key)

    def _try(self) -> bool:
        holder = self._ask("")
        return holder is None or (self._is_dead(holder) and self._ask(holder) is None)

    def _ask(self, dead: str) -> str | None:
        found = self._claim(keys=[self._key], args=[self._us, int(DEAD_AFTER_SECONDS * 1000), dead])
        return found.decode() if isinstance(found, bytes) else None

    def _is_dead(self, holder: str) -> bool:
        """Whether it was on this very machine, and runs no more; a container's next life has the number of its last."""
        host, _, pid = holder.rpartition("/")
        return host == socket.gethostname() and (pid == str(os.getpid()) or not _runs(int(pid)))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
