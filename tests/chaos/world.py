"""Everything that takes part: broker, database, gateway, producer, beats and the crew of workers, each a process."""

import base64
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from celery import Celery
from servers import wait_for
from sqlalchemy import Engine

from tests.chaos.crew import Crew
from tests.chaos.database import Database, rows, rows_if_it_answers
from tests.chaos.gateway import PASSWORD, Gateway
from tests.chaos.numbered import BLOCK
from tests.chaos.steps import Conditions
from worker.embedded import processes
from worker.embedded.valkey import Valkey

POSTS_AT_ONCE = 4  #: in each worker
BETWEEN_LOOKS_SECONDS = 0.03
BETWEEN_QUESTIONS_SECONDS = 0.1
BETWEEN_STEPS_SECONDS = 0.7
ENDED = ("delivered", "failed", "unconfirmed")
LONGER_THAN_A_LEASE_SECONDS = 330.0  #: of any kind; by the workers' clocks
LONGER_THAN_A_PAUSE_SECONDS = 65.0  #: of a circuit


class World:
    """All of it on this machine, in *folder*; `stop` ends every process."""

    def __init__(
        self, folder: Path, database: Database, *, workers: int = 3, callback_every: int = 1, **env: str
    ) -> None:
        self.folder = folder
        self.database = database
        self.began_at = datetime.now(UTC)
        self.conditions = Conditions(folder / "conditions")
        self.valkey = Valkey(folder / "valkey")
        self.gateway = Gateway(folder)
        self.env = self._environment() | env
        self.crew = Crew(workers, folder, self.env)
        self.ordered = 0
        self.hits: Counter[str] = Counter()  #: how often each trouble really hit
        self.posts_at_once = workers * POSTS_AT_ONCE
        self.posts_cut_at_most = 0  #: posts that may have been under way when the gateway went away
        self.callback_every = callback_every
        self._log_of_producer = folder / "published"
        self._log_of_producer.touch()
        self._published: set[int] = set()
        self._read_to = 0
        self._released = 0
        self._beats: list[subprocess.Popen[bytes]] = []
        self._producer: subprocess.Popen[bytes] | None = None
        self._celery = Celery(broker=self.valkey.url)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "CHAOS_CONDITIONS": str(self.folder / "conditions"),
            "SMS_REDIS_URL": self.valkey.url,
            "SMS_DATABASE_URL": self.database.url,
            "SMS_GATEWAY_URL": self.gateway.url,
            "SMS_GATEWAY_LOGIN": "chaos",
            "SMS_GATEWAY_PASSWORD": PASSWORD,
            "SMS_GATEWAY_CONNECT_TIMEOUT_SECONDS": "1",
            "SMS_GATEWAY_READ_TIMEOUT_SECONDS": "2",
            "SMS_GATEWAY_CONNECTIONS": str(POSTS_AT_ONCE),
            "SMS_POLL_CONNECTIONS": "3",
            "SMS_POLL_LADDER_SECONDS": "0.4,0.8,2,4",
            "SMS_LOG_FORMAT": "json",
        }

    @property
    def engine(self) -> Engine:
        return self.database.engine

    def start(self) -> "World":
        """Return when the gateway, the broker and the producer run; the workers may still be starting."""
        self.valkey.start()
        self.gateway.start()
        self.add_beat()
        command = [sys.executable, "-m", "tests.chaos.producer", self.valkey.url, str(self.folder)]
        self._producer = self._started([*command, str(self.callback_every)], "producer")
        self.crew.tend()
        return self

    def add_beat(self) -> None:
        """One more beat; one would be enough."""
        self._beats.append(self._started([sys.executable, "-m", "celery", "-A", "worker", "beat"], "beat"))

    def remove_beat(self) -> None:
        processes.stop(self._beats.pop(), seconds=10)

    def _started(self, command: Sequence[str], name: str) -> subprocess.Popen[bytes]:
        return processes.start(command, log=self.folder / f"{name}.log", env=self.env, cwd=self.folder)

    def order(self, messages: int, *, per_second: float) -> None:
        """Let the producer order so many numbers more, in whole blocks."""
        self.ordered += -(-messages // BLOCK) * BLOCK
        self.set_pace(per_second)

    def set_pace(self, per_second: float) -> None:
        draft = self.folder / "wanted.draft"
        draft.write_text(f"{self.ordered} {per_second}")
        draft.replace(self.folder / "wanted")

    def stop_ordering(self) -> None:
        """Let the producer stop with the block that it is at."""
        self.ordered = (max(self.published(), default=0) // BLOCK + 2) * BLOCK
        self.set_pace(1000)

    def published(self) -> set[int]:
        """The numbers that the broker acknowledged."""
        with self._log_of_producer.open() as lines:
            lines.seek(self._read_to)
            new = [line for line in lines if line.endswith("\n")]
        self._read_to += sum(map(len, new))
        self._published.update(int(line) for line in new if line.strip().isdigit())
        return self._published

    def tended_until(self, condition: Callable[[], Any], *, seconds: float = 60) -> Any:
        """Tend the crew until *condition* is true."""

        def looked() -> Any:
            self.tend_for(BETWEEN_QUESTIONS_SECONDS)
            return condition()

        return condition() or wait_for(looked, seconds=seconds)

    def tend_for(self, seconds: float) -> None:
        """Tend the crew for a while: the length of a trouble, not a wait for something."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.crew.tend()
            time.sleep(BETWEEN_LOOKS_SECONDS)

    def states(self) -> dict[str, int]:
        """How many messages are in each state; none while the database is away."""
        found = rows_if_it_answers(self.engine, "SELECT state, count(*) FROM messages GROUP BY state")
        return {state: count for state, count in found or ()}  # noqa: C416

    def released(self) -> int:
        """Batches of which the gateway took nothing, as far as the database can be asked."""
        found = rows_if_it_answers(self.engine, "SELECT count(*) FROM batches WHERE state = 'released'")
        self._released = found[0][0] if found else self._released
        return self._released

    def ended(self) -> int:
        """How many messages are in a state that only a decision or a late report changes; 0 while nobody can tell."""
        states = self.states()
        return sum(states.get(state, 0) for state in ENDED)

    def let_time_pass(self, seconds: float) -> None:
        """By the workers' clocks, and look at once for what it has overtaken."""
        self.conditions.clock_ahead_seconds += seconds
        self.ring()

    @property
    def is_busy(self) -> bool:
        """Whether any worker has work in hand."""
        return any(member.notes.hands() for member in self.crew.ready())

    @property
    def trusts_its_gateway(self) -> bool:
        """Whether neither circuit is open and the account is not paused."""
        closed = "SELECT count(*) FROM circuits WHERE state = 'open'"
        active = "SELECT count(*) FROM accounts WHERE state = 'paused'"
        return all(rows_if_it_answers(self.engine, trouble) == [(0,)] for trouble in (closed, active))

    def until_it_trusts(self) -> None:
        """Let time pass, so that a probe may go out at once, until posting and asking go on as usual."""

        passing = Passing(self, LONGER_THAN_A_PAUSE_SECONDS)
        self.tended_until(lambda: self.trusts_its_gateway or passing.step())

    def was_struck_since(self, strikes: int) -> bool:
        """Whether the gateway's faults have struck more than *strikes* requests."""
        return len(self.gateway.all_strikes()) > strikes

    def ring(self, task: str = "sms.sweep", queue: str = "sms.upkeep") -> None:
        """Ring a bell that beat would ring later."""
        self._celery.send_task(task, queue=queue, ignore_result=True)

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.valkey.url)

    def valkey_version(self) -> str:
        with self.redis() as connection:
            server = connection.info("server")
        return str(server.get("valkey_version") or server["redis_version"])

    def hits_of(self, trouble: str) -> int:
        """How often a trouble hit, by all names that begin with its own."""
        return sum(times for name, times in self.hits.items() if name.startswith(trouble))

    def told(self) -> set[tuple[str, str]]:
        """Number and state of every event that lies on the shop's queue."""
        with self.redis() as connection:
            lying = connection.lrange("shop", 0, -1)
        return {(event["key"], event["state"]) for event in map(_event_of, lying)}

    def overhear(self) -> None:
        """Keep what the workers tell anybody who asks what they are doing."""
        inspect = self._celery.control.inspect(timeout=0.3)
        said = [inspect.active(), inspect.reserved(), inspect.scheduled()]
        with (self.folder / "inspect.log").open("a") as file:
            file.write(json.dumps(said, default=repr) + "\n")

    def stop(self) -> None:
        """End every process."""
        self.crew.stop()
        for process in [*self._beats, *([self._producer] if self._producer else [])]:
            processes.stop(process, seconds=10)
        self.gateway.stop()
        self.valkey.stop()
        self._celery.close()
        self.database.stop()


class Passing:
    """Lets time go by in steps, as long as somebody waits."""

    def __init__(self, world: World, seconds: float) -> None:
        self._world = world
        self._seconds = seconds
        self._next_at = time.monotonic() + BETWEEN_STEPS_SECONDS

    def step(self) -> bool:
        """Always False: what is waited for is not there yet."""
        if time.monotonic() > self._next_at:
            self._next_at = time.monotonic() + BETWEEN_STEPS_SECONDS
            self._world.let_time_pass(self._seconds)
        return False


def query(world: World, statement: str, **values: Any) -> Sequence[Any]:
    """Rows of the world's database, which must be there."""
    return rows(world.engine, statement, **values)


def _event_of(raw: bytes) -> dict[str, Any]:
    """The one argument of a Celery message as it lies on its queue."""
    args: list[dict[str, Any]] = json.loads(base64.b64decode(json.loads(raw)["body"]))[0]
    return args[0]
