"""One worker for each name: two of the same name answer for each other, and nobody can tell their log lines apart."""

import os
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import structlog
from redis import Redis

from worker.lanes import DEAD_AFTER_SECONDS, EVEN_WHEN_FULL

log = structlog.get_logger()

LOOK_SECONDS = 0.25

# Taken if nobody has it, if it is ours, or if it is a dead one's, whom the caller has looked at.
CLAIM = (
    EVEN_WHEN_FULL
    + """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] and holder ~= ARGV[3] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
"""
)
LEAVE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"

_TOKEN = secrets.token_hex(8)


class Holder(NamedTuple):
    """A process, told from all others: containers may agree in hostname and process id, and ids come again."""

    host: str
    system: str  #: the boot and the namespace that *pid* counts in; empty where nobody can tell
    pid: str
    began: str  #: in ticks since the boot; empty where nobody can tell
    token: str

    def __str__(self) -> str:
        return "/".join(self)


def this_process() -> Holder:
    """Ours."""
    return Holder(socket.gethostname(), _system(), str(os.getpid()), _began("self"), _TOKEN)


class WorkerName:
    """A worker's hold on its name, for a few seconds after each `keep`."""

    def __init__(self, redis: Redis, name: str, *, prefix: str = "", us: Holder | None = None) -> None:
        self._claim, self._leave = redis.register_script(CLAIM), redis.register_script(LEAVE)
        self._key = f"{prefix}sms:worker:{name}"
        self._us = us or this_process()
        self._taken_from_us = False

    def claim(self, *, wait: Callable[[float], None] = time.sleep) -> bool:
        """Take the name; return False if another living worker has it. Raises `RedisError`.

        One that was killed a moment ago where we cannot look, on another host or in a container, has it for a few
        seconds more, and is waited for.
        """
        tries = round((DEAD_AFTER_SECONDS + 1) / LOOK_SECONDS)
        for _ in range(tries):
            if self._try():
                return True
            wait(LOOK_SECONDS)
        return self._try()

    def keep(self) -> None:
        """Hold it for a while longer, or again; if it is somebody else's by now, only say so. Raises `RedisError`."""
        holder = self._ask()
        if holder and not self._taken_from_us:
            hint = "two workers have the same name: restart this one with another (-n)"
            log.warning("worker_name_taken", by=holder, hint=hint)
        self._taken_from_us = holder is not None

    def leave(self) -> None:
        """Let go of it, if it is ours, so that whoever comes next need not wait. Raises `RedisError`."""
        self._leave(keys=[self._key], args=[str(self._us)])

    def _try(self) -> bool:
        holder = self._ask()
        return holder is None or (self._is_dead(holder) and self._ask(dead=holder) is None)

    def _ask(self, *, dead: str = "") -> str | None:
        args: list[str | int] = [str(self._us), int(DEAD_AFTER_SECONDS * 1000), dead]
        found = self._claim(keys=[self._key], args=args)
        return found.decode() if isinstance(found, bytes) else None

    def _is_dead(self, holder: str) -> bool:
        """Whether it surely runs no more: only where its process id means the same to us can we look."""
        words = holder.split("/")
        if len(words) != len(Holder._fields):
            return False
        found = Holder(*words)
        near = found.system and (found.host, found.system) == (self._us.host, self._us.system)
        return bool(near) and not _runs(found)


def _runs(holder: Holder) -> bool:
    try:
        os.kill(int(holder.pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, perhaps with the id of one that is gone
    return _began(holder.pid) in {holder.began, ""}


def _system() -> str:
    proc = Path("/proc")
    try:
        if (proc / "self").readlink().name != str(os.getpid()):
            return ""  # it shows the processes of another namespace
        boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}.{(proc / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _began(pid: str) -> str:
    try:
        stat = Path("/proc", pid, "stat").read_bytes()
    except OSError:
        return ""
    return stat.rpartition(b")")[2].split()[19].decode()  # field 22; the second, in brackets, may hold anything
