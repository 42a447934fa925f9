"""Keeps a house of processes running: starts them in order, restarts what died, stops all in reverse order."""

import fcntl
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.embedded import processes
from worker.errors import SmsError

LOCK = "lock"
LOGS = "logs"
START_SECONDS = 60
FIRST_PAUSE_SECONDS = 1
LONGEST_PAUSE_SECONDS = 30
WELL_AFTER_SECONDS = 60  # who lived for so long is restarted after a short pause again
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Part:
    """A process of the house; *ready* is asked with what it has written to its log since it was started."""

    name: str
    command: Sequence[str]
    ready: Callable[[str], bool]
    stop_seconds: float = 10


class _Child:
    """One part, its process, and when to start it again."""

    def __init__(self, part: Part, logs: Path, monotonic: Callable[[], float]) -> None:
        self.part = part
        self.log = logs / f"{part.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._monotonic = monotonic
        self._logged_before = 0
        self._started_at = self._due_at = 0.0
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def start(self, env: Mapping[str, str], cwd: Path) -> subprocess.Popen[bytes]:
        self._logged_before = self.log.stat().st_size if self.log.exists() else 0
        self._started_at = self._monotonic()
        self._due_at = 0.0
        self.process = processes.start(self.part.command, log=self.log, env=env, cwd=cwd)
        return self.process

    def is_ready(self) -> bool:
        with self.log.open("rb") as log:
            log.seek(self._logged_before)
            return self.part.ready(log.read().decode(errors="replace"))

    def just_died(self) -> bool:
        return not self._due_at and self.process is not None and self.process.poll() is not None

    def is_due(self) -> bool:
        return bool(self._due_at) and self._monotonic() >= self._due_at

    def plan_a_restart(self) -> str:
        """Choose the pause; return the line that says so."""
        now, pause = self._monotonic(), self._pause_seconds
        if now - self._started_at > WELL_AFTER_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        self._due_at, self._pause_seconds = now + pause, min(pause * 2, LONGEST_PAUSE_SECONDS)
        code = self.process.returncode if self.process else 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return f"{self.part.name} {how}; starting it again in {pause} s. Its log: {self.log}"


class Supervisor:
    """Starts *parts* with the environment *env* in *cwd* and looks after them.

    *say* takes a line for the person at the terminal. Logs are FOLDER/logs/NAME.log. Call all but `ask_to_stop` from
    one thread that stays, the main one: on Linux the processes die with it.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        folder: Path,
        env: Mapping[str, str],
        cwd: Path,
        say: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is started yet."""
        logs = folder / LOGS
        logs.mkdir(parents=True, exist_ok=True)
        self._children = [_Child(part, logs, monotonic) for part in parts]
        self._env, self._cwd, self._say = env, cwd, say
        self._stopping = threading.Event()

    @property
    def stopping(self) -> bool:
        """Whether somebody asked to stop."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Start one after the other, each when the one before is ready. Raises `processes.NotReady`."""
        for child in self._children:
            if self.stopping:
                return
            process = child.start(self._env, self._cwd)
            processes.wait_until_ready(process, self._ready_or_stopping(child), seconds=START_SECONDS, log=child.log)

    def run(self) -> None:
        """Look after all until somebody asks to stop."""
        while not self._stopping.wait(LOOK_SECONDS):
            self.look_after()

    def look_after(self) -> None:
        """Start again what has died, after a pause that doubles as long as it keeps dying."""
        for child in self._children:
            if self.stopping:
                return
            if child.just_died():
                self._say(child.plan_a_restart())
            elif child.is_due():
                child.start(self._env, self._cwd)
                self._say(f"{child.part.name} is started again")

    def ask_to_stop(self) -> None:
        """End `start` or `run`; asked again, kill everything at once. Fit for a signal handler."""
        if self.stopping:
            for process in self._alive():
                processes.signal_group(process, signal.SIGKILL)
        self._stopping.set()

    def stop(self) -> None:
        """Stop all, the last started first, each in good order; kill what does not end in its time."""
        self._stopping.set()
        for child in reversed(self._children):
            if child.process:
                processes.stop(child.process, seconds=child.part.stop_seconds)

    def _ready_or_stopping(self, child: _Child) -> Callable[[], bool]:
        return lambda: self.stopping or child.is_ready()

    def _alive(self) -> Iterator[subprocess.Popen[bytes]]:
        return (child.process for child in self._children if child.process and child.process.poll() is None)


@contextmanager
def stopping_on_signals(supervisor: Supervisor) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM stop *supervisor*, a second one kill what it started; put the old handlers back after."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda *_: supervisor.ask_to_stop()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def only_one(folder: Path, command: str) -> Iterator[None]:
    """Hold the lock of *folder*, which is made. Raises `SmsError` when another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SmsError(f"`{command}` runs already on {folder}. Stop it first, or use another folder.") from None
        yield
