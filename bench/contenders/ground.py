"""Where a contender runs: started, with orders that wait for one stroke, and its own table looked into."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from celery import Celery
from kombu import pools
from redis import Redis
from sqlalchemy import Engine, create_engine, text

from bench.contenders.lineup import Command, Contender
from bench.contenders.orders import fill, fill_with_many, messages, template_of
from bench.stage import Stage
from worker.embedded import processes

WARM = 20  #: messages, with which each program opens its connections before the clock starts
WARM_PHONES = 9_000_000  #: numbers that no queued message has
READY_SECONDS = 60
LOOK_SECONDS = 0.05
WAITING, BEAT = "waiting", "beat"
READY = b" ready."
SIZES = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, pg_database_size(current_database())"
INHERITED = ("PATH", "PYTHONPATH")  #: the latter to measure another tree


class Ground:
    """A stage, and on it the orders that are queued again and again."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage = stage
        self.folder = folder
        self.stock = Redis.from_url(stage.redis_url)  # database 0; whoever works uses database 1
        self.queues_url = stage.redis_url.removesuffix("/0") + "/1"
        self.queues = Redis.from_url(self.queues_url)
        self.producer = Celery("producer", broker=self.queues_url)
        self.producer.conf.task_ignore_result = True
        # A rewrite of the append-only file would fall into one run and not into another.
        self.stock.config_set("auto-aof-rewrite-percentage", 0)

    def close(self) -> None:
        """Let go of Redis."""
        self.stock.close()
        self.queues.close()
        self.producer.close()
        pools.reset()  # Kombu's, which every producer of this process shares

    def lay(self, contender: Contender, count: int) -> None:
        """Put *count* messages where `let_go` makes them the contender's queue."""
        name = f"{contender.order.task} {contender.order.chunk} {count}"
        if not self.stock.exists(name):
            self._fill(contender, count)
            self.queues.move(WAITING, 0)
            self.stock.rename(WAITING, name)
        self.stock.copy(name, WAITING, destination_db="1")

    def waiting_bytes(self) -> float:
        """What lies ready takes of Redis' memory."""
        return float(cast("Any", self.queues.memory_usage(WAITING, samples=0)) or 0)

    def let_go(self, contender: Contender) -> None:
        """The stroke."""
        self.queues.rename(WAITING, contender.order.queue)

    def _fill(self, contender: Contender, count: int) -> None:
        task, queue, chunk = contender.order
        if chunk > 1:
            fill_with_many(self.producer, queue, count, chunk=chunk)
            self.queues.rename(queue, WAITING)
        else:
            fill(self.queues, WAITING, template_of(self.producer, self.queues, task, queue), count)

    def database(self, contender: Contender) -> str:
        """An empty one."""
        name = contender.name.replace("-", "_").lower()
        return self.stage.sqlite_url(name) if contender.database == "sqlite" else self.stage.postgres_url(name)


@dataclass
class Trial:
    """A contender that runs on its ground."""

    ground: Ground
    contender: Contender
    latency_seconds: float
    tls: bool
    url: str
    engine: Engine
    _started: list[tuple[Command, subprocess.Popen[bytes]]] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        """What any of them is told, in the names that it knows."""
        gateway = self.ground.stage.gateway
        connections = str(self.contender.connections[bool(self.latency_seconds)])
        plain = {
            "BROKER_URL": self.ground.queues_url,
            "DATABASE_URL": self.url,
            "GATEWAY_URL": gateway.url_over(tls=self.tls),
            "GATEWAY_LOGIN": gateway.login,
            "GATEWAY_PASSWORD": gateway.password,
        }
        ours = {f"SMS_{name.replace('BROKER', 'REDIS')}": value for name, value in plain.items()}
        ours |= {"SMS_GATEWAY_CONNECTIONS": connections, "SMS_POLL_LADDER_SECONDS": "3600"}
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return (
            plain | ours | inherited | gateway.trust | {"QUEUE": self.contender.order.queue, "CONNECTIONS": connections}
        )

    def start(self) -> None:
        """Make the tables, start the programs, and let them do a little, so that they are awake."""
        for command in self.contender.setup:
            process, log = self._start("setup", command)
            if process.wait():
                raise processes.NotReady(f"{self.contender.name} could not make its tables: {log.read_text()}")
        for number, command in enumerate(self.contender.workers):
            process, log = self._start(str(number), command)
            self._started.append((command, process))
            says_ready = lambda log=log: READY in log.read_bytes()  # noqa: E731
            if _called(command) != BEAT:  # which says nothing, and is up long before the workers behind it
                processes.wait_until_ready(process, says_ready, seconds=READY_SECONDS, log=log)
        self.send(WARM_PHONES, WARM)
        self.wait_for(WARM, seconds=READY_SECONDS)

    def _start(self, name: str, command: Command) -> tuple[subprocess.Popen[bytes], Path]:
        log = self.ground.folder / f"{self.contender.name}-{name}.log"
        log.unlink(missing_ok=True)
        return processes.start([sys.executable, *command], log=log, env=self.env, cwd=self.ground.folder), log

    def stop(self) -> None:
        for _, process in self._started:
            processes.stop(process, seconds=30)

    @property
    def groups(self) -> dict[str, int]:
        """Whose CPU and memory are counted."""
        stage = self.ground.stage
        groups = {_called(words, number): one.pid for number, (words, one) in enumerate(self._started)}
        groups |= {"redis": stage.redis_pid, "gateway": stage.gateway.pid}
        return groups | ({"postgres": stage.postgres_pid} if self._on_postgres and stage.postgres_pid else {})

    @property
    def _on_postgres(self) -> bool:
        return self.contender.database == "postgresql"

    def settle(self) -> None:
        """Let no run pay for what the one before has left to be written."""
        if self._on_postgres:
            self.rows("CHECKPOINT")

    def sizes(self) -> dict[str, float]:
        """Bytes so far: Redis' append-only file, and PostgreSQL's log and files."""
        info = cast("Any", self.ground.stock.info("persistence"))
        found = {"aof": float(info["aof_current_size"])}
        return found | (
            dict(zip(("wal", "disk"), map(float, self.rows(SIZES)[0]), strict=True)) if self._on_postgres else {}
        )

    def send(self, first: int, count: int, *, per_second: float = 0) -> dict[str, float]:
        """Order as producers do, one by one; return when which phone was ordered."""
        ordered_at: dict[str, float] = {}
        began_at = time.time()
        for number, sms in enumerate(messages(count, first=first)):
            if per_second:
                time.sleep(max(0.0, began_at + number / per_second - time.time()))
            ordered_at[sms.phone] = time.time()
            self._order(list(sms))
        return ordered_at

    def _order(self, args: Sequence[str]) -> None:
        task = self.contender.order.task.removesuffix("_many")
        self.ground.producer.send_task(task, args=args, queue=self.contender.order.queue)

    def rows(self, query: str) -> Sequence[Any]:
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            found = connection.execute(text(query))
            return found.all() if found.returns_rows else ()

    def accepted(self) -> int:
        return cast("int", self.rows(f"SELECT count(*) FROM ({self.contender.accepted}) AS accepted")[0][0])  # noqa: S608

    def accepted_at(self) -> dict[str, float]:
        """When which phone was accepted, by its own clock, which is ours."""
        return {phone: _unix(at) for phone, at in self.rows(self.contender.accepted)}

    def wait_for(self, accepted: int, *, seconds: float) -> None:
        """Return when so many are stored as accepted, or when so long nothing was added."""
        last, until = -1, time.monotonic() + seconds
        while (found := self.accepted()) < accepted and time.monotonic() < until:
            if found != last:
                last, until = found, time.monotonic() + seconds
            time.sleep(LOOK_SECONDS)


@contextmanager
def trial(
    ground: Ground, contender: Contender, latency_seconds: float, count: int, *, tls: bool = False
) -> Iterator[Trial]:
    """A contender that has just been started, on an empty database and queue, with *count* messages lying ready."""
    ground.queues.flushdb()
    ground.lay(contender, count)
    ground.stage.gateway.set_latency(latency_seconds)
    url = ground.database(contender)
    with ExitStack() as stack:
        stack.callback(ground.database, contender)  # empty again: autovacuum shall find no work in somebody else's run
        engine = create_engine(url)
        stack.callback(engine.dispose)
        started = Trial(ground, contender, latency_seconds, tls, url, engine)
        stack.callback(started.stop)
        started.start()
        yield started


def _called(command: Command, number: int = 0) -> str:
    return BEAT if BEAT in command else f"worker {number}"


def _unix(stored: datetime | str) -> float:
    """SQLite gives text without a zone."""
    at = stored if isinstance(stored, datetime) else datetime.fromisoformat(stored)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
