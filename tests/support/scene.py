"""What benches stand on: databases that really write, a gateway in a process of its own, a campaign in the table."""

import logging
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from builders import Sessions
from servers import PostgresServer, wait_for
from sqlalchemy import Text, cast, insert, literal, select

from migrations.schema import upgrade
from models import Message
from models.lifecycle import Lane, MessageState
from worker.embedded import processes
from worker.sandbox.config import SandboxConfig
from worker.sandbox.running import RunningSandbox

LATENCY_SECONDS = 0.1

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


def machine() -> str:
    """What it ran on."""
    return f"{os.cpu_count()} cores, {platform.machine()}, CPython {platform.python_version()}"


@contextmanager
def sandbox_process(folder: Path) -> Iterator[RunningSandbox]:
    """A gateway that takes `LATENCY_SECONDS` for each answer, and gives all messages of a request one request_id."""
    port, control = processes.free_port(), processes.free_port()
    options = {"port": port, "control-port": control, "latency-seconds": LATENCY_SECONDS, "request-ids": "shared"}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "worker.cli.main", "sandbox", *words]
    process = processes.start(command, log=folder / "sandbox.log")
    sandbox = RunningSandbox(SandboxConfig(port=port, control_port=control), port, control)
    wait_for(sandbox.control.is_ready)
    yield sandbox
    processes.stop(process, seconds=10)


@contextmanager
def databases(folder: Path, *, only: str | None = None) -> Iterator[dict[str, str]]:
    """URLs of empty migrated databases, by name: PostgreSQL with fsync, and SQLite."""
    server = PostgresServer(fsync=True) if only != "sqlite" else None
    urls = {"SQLite": f"sqlite:///{folder}/sms.db"} if only != "postgresql" else {}
    if server:
        server.start()
        urls = {"PostgreSQL": server.url} | urls
    for url in urls.values():
        upgrade(url)
    yield urls
    if server:
        server.remove()


def campaign(sessions: Sessions, count: int, *, producer: str, at: datetime, code: str = "90") -> None:
    """Queue *count* messages to phones of a code of two digits in bulk, as if they had been ordered at *at*."""
    numbers = select(literal(1).label("n")).cte("numbers", recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < count))
    row: dict[str, Any] = {
        "uid": literal(f"{producer}-") + cast(numbers.c.n, Text),
        "producer": literal(producer),
        "lane": literal(Lane.BULK.value),
        "phone": literal(f"998{code}") + cast(numbers.c.n * 10 + 1_000_001, Text),
        "text": literal("Chegirmalar boshlandi"),
        "state": literal(MessageState.QUEUED.value),
        "parts": literal(1),
        "encoding": literal("gsm"),
        "attempts": literal(0),
        "resends": literal(0),
        "polls": literal(0),
        "tags": literal({}, Message.tags.type),
        "created_at": literal(at, Message.created_at.type),
        "send_at": literal(at, Message.send_at.type),
    }
    with sessions.begin() as session:
        session.execute(insert(Message).from_select(list(row), select(*row.values())))
