"""What the second commit costs: the one-row UPDATE right before the first byte, which tells "claimed" from "posted".

Posts the same messages with it and without it, A B A B, through the real room, store and HTTP client to a sandbox in a
process of its own, on PostgreSQL (fsync on) and SQLite (synchronous FULL). Prints medians, and their ratios.

    .venv/bin/python bench/second_commit.py [--batches 200] [--rounds 4]
"""

import argparse
import json
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import structlog  # noqa: E402
from builders import a_submission, many_stored, post_all  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from servers import PostgresServer, wait_for  # noqa: E402
from sqlalchemy import text  # noqa: E402

from migrations.schema import upgrade  # noqa: E402
from worker.clock import utc_now  # noqa: E402
from worker.embedded import processes  # noqa: E402
from worker.gateway import Acceptance, Gateway, OutgoingSms, Questions, Report  # noqa: E402
from worker.gateway.http import HttpGateway  # noqa: E402
from worker.sandbox.control import SandboxControl  # noqa: E402
from worker.settings import Settings  # noqa: E402
from worker.store.engine import make_engine, make_sessions  # noqa: E402

BATCH = 50


class WithoutBegin(Gateway):
    """The same gateway, whose post begins without asking: what was there before."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def submit(
        self,
        messages: Sequence[OutgoingSms],
        *,
        nickname: str | None,
        begin: Callable[[], None],  # noqa: ARG002
    ) -> Acceptance:
        return self._gateway.submit(messages, nickname=nickname, begin=lambda: None)

    def warm(self) -> int:
        return self._gateway.warm()

    def reports(self, request_id: str) -> list[Report]:
        return list(self._gateway.reports(request_id))

    def questions(self, *, at_once: int) -> Questions:
        return self._gateway.questions(at_once=at_once)


@contextmanager
def sandbox() -> Iterator[str]:
    """A gateway in a process of its own."""
    port, control = processes.free_port(), processes.free_port()
    words = ["-m", "worker.cli.main", "sandbox", "--port", str(port), "--control-port", str(control)]
    process = processes.start([sys.executable, *words], log=Path(os.devnull))
    wait_for(SandboxControl(f"http://127.0.0.1:{control}").is_ready)
    yield f"http://127.0.0.1:{port}/smsgateway"
    processes.stop(process, seconds=10)


def measure(url: str, gateway: Gateway, batches: int) -> tuple[float, float]:
    """Seconds of wall clock, and of this process' CPU, for each batch."""
    engine = make_engine(url)
    sessions = make_sessions(engine)
    with engine.begin() as connection:
        for table in ("reports", "messages", "batches"):
            connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - names from the line above
    many_stored(sessions, batches * BATCH, send_at=utc_now(), created_at=utc_now())
    room = replace(a_submission(sessions, gateway), now=utc_now, wait=time.sleep)
    wall, cpu = time.perf_counter(), time.process_time()
    post_all(room, most=batches + 1)
    spent = time.perf_counter() - wall, time.process_time() - cpu
    engine.dispose()
    return spent[0] / batches, spent[1] / batches


def compare(name: str, url: str, base_url: str, batches: int, rounds: int) -> dict[str, object]:
    """Both ways in turn."""
    http = HttpGateway(
        url=base_url,
        login="sandbox",
        password="sandbox",  # noqa: S106 - the sandbox's own
        zone=Settings(gateway_url=base_url, gateway_login="x", gateway_password="x").zone,  # noqa: S106
        connect_timeout_seconds=5,
        read_timeout_seconds=30,
        connections=8,
    )
    ways: dict[str, Gateway] = {"with": http, "without": WithoutBegin(http)}
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, gateway in ways.items():
            found[way].append(measure(url, gateway, batches))
    wall = {way: statistics.median(one[0] for one in runs) * 1e3 for way, runs in found.items()}
    cpu = {way: statistics.median(one[1] for one in runs) * 1e3 for way, runs in found.items()}
    return {
        "database": name,
        "wall_ms_per_batch": wall,
        "cpu_ms_per_batch": cpu,
        "wall_ratio": wall["with"] / wall["without"],
        "cpu_ratio": cpu["with"] / cpu["without"],
    }


def main() -> None:
    """Run, and print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    server = PostgresServer(fsync=True)
    server.start()
    with sandbox() as base_url, tempfile.TemporaryDirectory() as folder:
        urls = {"PostgreSQL": server.url, "SQLite": f"sqlite:///{folder}/sms.db"}
        rows = []
        for name, url in urls.items():
            upgrade(url)
            rows.append(compare(name, url, base_url, options.batches, options.rounds))
    server.remove()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, CPython {platform.python_version()}"
    table = Table("database", "ms a batch, with", "without", "ratio", "CPU ms, with", "without", "ratio")
    for row in rows:
        wall, cpu = row["wall_ms_per_batch"], row["cpu_ms_per_batch"]
        cells = [wall["with"], wall["without"], row["wall_ratio"], cpu["with"], cpu["without"], row["cpu_ratio"]]  # type: ignore[index]
        table.add_row(str(row["database"]), *(f"{cell:.2f}" for cell in cells))
    console = Console()
    console.print(f"{options.batches} batches of {BATCH}, {options.rounds} rounds of each; {machine}", table)
    console.print_json(json.dumps(rows))


if __name__ == "__main__":
    main()
