"""What every measurement stands on: a Redis of its own, a PostgreSQL of its own, and the fast gateway.

with stage(folder) as it:
    it.redis_url, it.postgres_url("ours"), it.gateway.url
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import certifi
import numpy as np
import requests
from numpy.typing import NDArray
from redis import Redis

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from servers import PostgresServer, WorkerProcess, administer, database  # noqa: E402

from bench.fast_gateway import LOGIN, PASSWORD  # noqa: E402
from migrations.schema import upgrade  # noqa: E402
from worker.embedded import processes  # noqa: E402
from worker.embedded.valkey import Valkey  # noqa: E402

CONTROL_SECONDS = 60
#: Of the tests: an elliptic curve, which costs a server least, and its own authority. The key is in the file.
CERTIFICATE = ROOT / "tests" / "gateway" / "self_signed.pem"
TRUSTING = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")  #: what clients read in the environment


class Tally(NamedTuple):
    """Sums that cost the gateway nothing to tell; instants are Unix seconds, 0 where nothing came."""

    requests: int
    messages: int
    questions: int  #: about a status
    first_at: float
    last_at: float


class Seen(NamedTuple):
    """What the gateway took since it was reset; instants are Unix seconds, 0 where nothing came."""

    requests: int
    messages: int
    phones_once: int  #: phones that came exactly once
    repeated: int  #: phones that came more often
    biggest_batch: int
    mean_batch: float
    first_at: float
    last_at: float


class FastGateway:
    """`bench/fast_gateway.py` in a process of its own, and its control; over http and over https."""

    login, password = LOGIN, PASSWORD

    def __init__(self, folder: Path, latency_seconds: float, *, tls: bool) -> None:
        self.tls = tls
        self.port, self.tls_port = processes.free_port(), processes.free_port()
        self._authorities = _authorities(folder)
        self._control = requests.Session()
        self._control.trust_env = False
        command = [sys.executable, str(ROOT / "bench" / "fast_gateway.py"), "--port", str(self.port)]
        command += ["--tls-port", str(self.tls_port), "--certificate", str(CERTIFICATE)]
        command += ["--latency-seconds", str(latency_seconds)]
        log = folder / "gateway.log"
        self._process = processes.start(command, log=log)
        processes.wait_until_ready(self._process, self._answers, seconds=CONTROL_SECONDS, log=log)

    @property
    def url(self) -> str:
        """The base address, as SMS_GATEWAY_URL wants it."""
        return self.url_over(tls=self.tls)

    def url_over(self, *, tls: bool) -> str:
        """The base address of one protocol."""
        return f"https://127.0.0.1:{self.tls_port}/smsgateway" if tls else f"http://127.0.0.1:{self.port}/smsgateway"

    @property
    def trust(self) -> dict[str, str]:
        """The environment of a client that knows its authority beside those that everybody knows."""
        return dict.fromkeys(TRUSTING, str(self._authorities))

    @property
    def pid(self) -> int:
        return self._process.pid

    def set_latency(self, seconds: float) -> None:
        """Each answer of the gateway from now on waits so long."""
        self._ask("latency", str(seconds))

    def set_status(self, word: str) -> None:
        """What every status answer says: ``delivered`` at first; ``transmitted`` is never final."""
        self._ask("status", word)

    def reset(self) -> None:
        """Forget all that was taken; ids are not given again."""
        self._ask("reset")

    def tally(self) -> Tally:
        """The sums, at once and without burdening the gateway: to wait for the last message."""
        return Tally(**self._response("tally").json())

    def stats(self) -> Seen:
        """All that was taken, summed up."""
        phones, sizes, came_at = self._seen()
        _, times = np.unique(phones[phones > 0], return_counts=True)
        once = int((times == 1).sum())
        biggest, mean = (int(sizes.max()), float(sizes.mean())) if len(sizes) else (0, 0.0)
        ends = (float(came_at[0]), float(came_at[-1])) if len(came_at) else (0.0, 0.0)
        return Seen(len(sizes), int(times.sum()), once, len(times) - once, biggest, mean, *ends)

    def phones(self) -> Counter[str]:
        """How often each phone came."""
        phones = self._seen()[0]
        return Counter(map(str, phones[phones > 0].tolist()))

    def first_seen(self) -> dict[str, float]:
        """When each phone came first (Unix seconds)."""
        phones, sizes, came_at = self._seen()
        each = np.repeat(came_at, sizes.astype(np.int64))
        taken = phones > 0
        return dict(zip(map(str, phones[taken][::-1].tolist()), each[taken][::-1].tolist(), strict=True))

    def wait_for(self, messages: int, *, seconds: float) -> Tally:
        """Return once so many were taken, or when *seconds* are over: look at what came back."""
        deadline = time.monotonic() + seconds
        while (tally := self.tally()).messages < messages and time.monotonic() < deadline:
            time.sleep(processes.BETWEEN_LOOKS_SECONDS)
        return tally

    def stop(self) -> None:
        self._control.close()
        processes.stop(self._process, seconds=5)

    def _seen(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.float64]]:
        packed = self._response("seen").content
        messages, asked = np.frombuffer(packed, np.uint64, 2).tolist()
        phones = np.frombuffer(packed, np.uint64, messages, 16)
        sizes = np.frombuffer(packed, np.uint64, asked, 16 + 8 * messages)
        return phones, sizes, np.frombuffer(packed, np.float64, asked, 16 + 8 * (messages + asked))

    def _ask(self, name: str, value: str = "") -> None:
        self._response(name, value).raise_for_status()

    def _response(self, name: str, value: str = "") -> requests.Response:
        url = f"http://127.0.0.1:{self.port}/control/{name}"
        return self._control.post(url, data=value.encode(), timeout=CONTROL_SECONDS)

    def _answers(self) -> bool:
        try:
            return self.tally().requests == 0
        except requests.ConnectionError:
            return False


def _authorities(folder: Path) -> Path:
    # Beside the usual ones, so that reading them costs what it costs with the vendor.
    certificate = CERTIFICATE.read_text("ascii").partition("-----BEGIN PRIVATE KEY-----")[0]
    file = folder / "authorities.pem"
    file.write_text(Path(certifi.where()).read_text("utf-8") + certificate, "utf-8")
    return file


class Postgres(PostgresServer):
    """As docker-compose.yml starts it: PostgreSQL's own defaults, on a disk, with fsync."""

    def __init__(self) -> None:
        super().__init__(fsync=True)

    @property
    def pid(self) -> int:
        """The postmaster's; each connection is a child of it."""
        assert self._process, "not started"  # noqa: S101
        return self._process.pid

    def _started(self) -> bool:
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-p", str(self.port)]
        command = [str(self._bin / "postgres"), "-D", str(self._cluster), *options]
        self._process = processes.start(command, log=self.log, cwd=self._cluster, user=self._user)
        with suppress(processes.NotReady):
            processes.wait_until_ready(self._process, self._answers, seconds=CONTROL_SECONDS, log=self.log)
            return True
        return False


class Stage:
    """Where everything is; whatever is not asked for does not run."""

    def __init__(self, folder: Path, broker: Valkey, gateway: FastGateway) -> None:
        self.gateway = gateway
        self._folder = folder
        self._broker = broker
        self._postgres: Postgres | None = None

    @property
    def redis_url(self) -> str:
        return self._broker.url

    @property
    def redis_pid(self) -> int:
        assert self._broker._process, "not started"  # noqa: S101, SLF001
        return self._broker._process.pid  # noqa: SLF001

    @property
    def postgres_pid(self) -> int | None:
        """The postmaster's, or None as long as nobody asked for a database."""
        return self._postgres.pid if self._postgres else None

    def postgres_url(self, name: str) -> str:
        """A database that is empty; one of that name that was there is gone."""
        if self._postgres is None:
            self._postgres = Postgres()
            self._postgres.start()
        administer(self._postgres.url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        administer(self._postgres.url, f'CREATE DATABASE "{name}"')
        return database(self._postgres.url, name)

    def sqlite_url(self, name: str) -> str:
        """The same as a file of the stage's folder."""
        for file in self._folder.glob(f"{name}.db*"):
            file.unlink()
        return f"sqlite:///{self._folder / name}.db"

    def env(self, database_url: str) -> dict[str, str]:
        """The settings of ours on this stage."""
        return {
            "SMS_REDIS_URL": self.redis_url,
            "SMS_DATABASE_URL": database_url,
            "SMS_GATEWAY_URL": self.gateway.url,
            "SMS_GATEWAY_LOGIN": self.gateway.login,
            "SMS_GATEWAY_PASSWORD": self.gateway.password,
            "SMS_LOG_FORMAT": "json",
            "PYTHONPATH": str(ROOT),  # whichever tree this file stands in, not the one that is installed
        } | self.gateway.trust

    def redis_reset(self) -> None:
        """Nothing is queued any more."""
        with Redis.from_url(self.redis_url) as redis:
            redis.flushall()

    def stop(self) -> None:
        self.gateway.stop()
        self._broker.stop()
        if self._postgres:
            self._postgres.remove()


@contextmanager
def stage(folder: Path, *, latency_seconds: float = 0.0, tls: bool = False) -> Iterator[Stage]:
    """The stage with a Redis that is durable (AOF, fsync always) and a gateway that answers after *latency_seconds*.

    With *tls* its address is that of https, and `FastGateway.trust` is what a client needs in its environment. All of
    it ends with the block, or with this process. *folder* must be there, on a disk that is worth measuring.
    """
    broker = Valkey(folder / "redis")
    broker.start()
    made = Stage(folder, broker, FastGateway(folder, latency_seconds, tls=tls))
    try:
        yield made
    finally:
        made.stop()


class Ours(NamedTuple):
    """A worker and beat, as people start them, by their process ids."""

    worker: int
    beat: int


@contextmanager
def ours(it: Stage, folder: Path, database_url: str, **env: str) -> Iterator[Ours]:
    """``celery -A worker worker`` and ``celery -A worker beat`` on a database that is brought to its schema first.

    *folder*, which is made, takes their logs; *env* stands over the stage's settings.
    """
    folder.mkdir()
    upgrade(database_url)
    settings = it.env(database_url) | env
    worker = WorkerProcess(folder, settings)
    command = [sys.executable, "-m", "celery", "-A", "worker", "beat", "--loglevel", "WARNING"]
    beat = processes.start(command, log=folder / "beat.log", env={"PATH": os.environ["PATH"]} | settings, cwd=folder)
    try:
        yield Ours(worker.start().pid, beat.pid)
    finally:
        processes.stop(beat, seconds=10)
        worker.stop()
