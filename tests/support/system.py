"""The whole house as its users meet it: a plain Celery producer on one side, the vendor's gateway on the other."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celery import Celery
from kombu import pools
from servers import WorkerProcess, wait_for
from sqlalchemy import Engine, text

from worker.embedded import processes
from worker.sandbox.control import SandboxControl
from worker.sandbox.running import RunningSandbox
from worker.store.engine import make_engine


class System:
    """Where everything is, and the processes that a test starts; `stop` ends them all."""

    def __init__(self, folder: Path, *, redis_url: str, database_url: str, sandbox: RunningSandbox) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.env = {
            "SMS_REDIS_URL": redis_url,
            "SMS_DATABASE_URL": database_url,
            "SMS_GATEWAY_URL": sandbox.url,
            "SMS_GATEWAY_LOGIN": sandbox.config.login,
            "SMS_GATEWAY_PASSWORD": sandbox.config.password,
            "SMS_POLL_LADDER_SECONDS": "0.2,0.5,1",
            "SMS_LOG_FORMAT": "json",
        }
        self.producer = Celery(broker=redis_url)
        self.engine: Engine = make_engine(database_url)
        self._workers: list[WorkerProcess] = []
        self._beat: subprocess.Popen[bytes] | None = None

    @property
    def control(self) -> SandboxControl:
        return self.sandbox.control

    def worker(self, *options: str, name: str = "worker", wait: bool = True, **env: str) -> WorkerProcess:
        """A started worker, with the environment of this system and *env* over it."""
        worker = WorkerProcess(self.folder, self.env | env, *options, name=name)
        self._workers.append(worker)
        return worker.start(wait=wait)

    def beat(self) -> None:
        """Start beat, which is only ever a metronome."""
        command = [sys.executable, "-m", "celery", "-A", "worker", "beat"]
        env = {"PATH": os.environ["PATH"], **self.env}
        self._beat = processes.start(command, log=self.folder / "beat.log", env=env, cwd=self.folder)

    def stop_beat(self) -> None:
        """The metronome stands still."""
        if self._beat:
            processes.stop(self._beat, seconds=10)

    def kill_workers(self) -> None:
        """As if the power failed."""
        for worker in self._workers:
            worker.kill()

    def stop_workers(self) -> None:
        """In good order."""
        for worker in self._workers:
            worker.stop()

    def command(self, *words: str) -> None:
        """Run ``sms`` with *words*, as a person would."""
        env = {"PATH": os.environ["PATH"], **self.env}
        subprocess.run([sys.executable, "-m", "worker.cli.main", *words], env=env, cwd=self.folder, check=True)

    def send(self, phone: str, text: str = "Kodingiz: 4821", *, lane: str = "otp", **options: Any) -> str:
        """Order one SMS as any Celery app does; the id that its producer sees."""
        sent = self.producer.send_task("sms.send", args=[phone, text], kwargs=options, queue=f"sms.{lane}")
        return str(sent.id)

    def rows(self, query: str, **values: Any) -> Sequence[Any]:
        """What anybody with an SQL client sees."""
        with self.engine.connect().execution_options(sqlite_reading=True) as connection:
            return connection.execute(text(query), values).all()

    def states(self) -> dict[str, int]:
        """How many messages are in each state."""
        return {state: count for state, count in self.rows("SELECT state, count(*) FROM messages GROUP BY state")}  # noqa: C416

    def wait_for_states(self, *, seconds: float = 60, **expected: int) -> None:
        """Return when the messages are in exactly these states."""
        wait_for(lambda: self.states() == expected or None, seconds=seconds)

    def posted(self) -> Counter[str]:
        """How often the gateway really took each phone."""
        return Counter(message["phone"] for message in self.control.journal())

    def stop(self) -> None:
        """End every process."""
        for worker in self._workers:
            worker.stop()
        if self._beat:
            processes.stop(self._beat, seconds=10)
        pools.reset()  # Kombu's, which every producer of this process shares
        self.engine.dispose()


def phones(count: int, *, first: int = 1) -> list[str]:
    """Mobile numbers, each once, none of them one that the sandbox never reaches."""
    numbers = (first + n for n in range(count * 2))
    return [phone for n in numbers if not (phone := f"99890{n:07d}").endswith("0000")][:count]
