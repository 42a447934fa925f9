"""Processes that we start, and that cannot outlive us."""

import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from worker.errors import SmsError

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PORTS = range(20000, 32000)  # below Linux' ports for outgoing connections, so a port that was free once stays free
BETWEEN_LOOKS_SECONDS = 0.02

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: a forked child must not load anything


class NotReady(SmsError):
    """A process that we started died or was not ready in time; the message names its log."""


def start(
    command: Sequence[str | os.PathLike[str]],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start *command* in a session of its own, with its output appended to *log*.

    On Linux the process is killed when the calling thread ends, whatever ends it, so call this from one that stays.
    *user*, a number, is whom root becomes for the process; its group is the user's number too.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else (),
            preexec_fn=_dying_with(os.getpid()) if _libc else None,  # noqa: PLW1509 - it takes no lock
        )


def stop(process: subprocess.Popen[bytes], *, seconds: float) -> None:
    """Ask *process* to end, and kill its whole group when it has not ended after *seconds*."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        kill(process)


def kill(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    """Send the signal to the group of *process*, if it still lives, and wait until it is gone."""
    signal_group(process, number)
    process.wait()


def signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    """Send the signal to *process* and all that it started, if it still lives."""
    if process.poll() is None:
        os.killpg(process.pid, number)


def wait_until_ready(process: subprocess.Popen[bytes], ready: Callable[[], bool], *, seconds: float, log: Path) -> None:
    """Return once *ready* says so. Raises `NotReady` when the process ends before, or after *seconds*."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            code, last = process.returncode, _last_line(log)
            raise NotReady(f"{log.stem} ended with code {code} before it was ready: {last} Its log: {log}")
        if time.monotonic() > deadline:
            raise NotReady(f"{log.stem} was not ready after {seconds:.0f} s: {_last_line(log)} Its log: {log}")
        time.sleep(BETWEEN_LOOKS_SECONDS)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    while not is_free(port := secrets.choice(PORTS)):
        pass
    return port


def is_free(port: int) -> bool:
    """Whether a server could listen on *port* of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _last_line(log: Path) -> str:
    with log.open(encoding="utf-8", errors="replace") as lines:
        return next(iter(deque((line.strip() for line in lines if line.strip()), maxlen=1)), "it said nothing.")


def _dying_with(parent: int) -> Callable[[], None]:
    def ask_the_kernel() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # type: ignore[union-attr]
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)

    return ask_the_kernel
