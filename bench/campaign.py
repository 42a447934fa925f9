"""How fast `sms import` orders a file, and how long others wait who write meanwhile.

Imports the same rows from CSV and from a workbook, each into an empty database, by the command itself in a process of
its own; on SQLite (synchronous FULL) and PostgreSQL (fsync on). Meanwhile an OTP is ordered every 50 ms through intake.

    .venv/bin/python bench/campaign.py [--rows 100000]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from builders import a_phone  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from servers import PostgresServer, administer, database  # noqa: E402
from workbooks import Cell, write_workbook  # noqa: E402

from migrations.schema import upgrade  # noqa: E402
from models.lifecycle import Lane  # noqa: E402
from worker.clock import utc_now  # noqa: E402
from worker.envelope import Envelope  # noqa: E402
from worker.intake import Intake  # noqa: E402
from worker.settings import Settings  # noqa: E402
from worker.store.engine import make_engine, make_sessions  # noqa: E402
from worker.wiring import terms  # noqa: E402

EVERY_SECONDS = 0.05
TEMPLATE = "Hurmatli {name}, buyurtmangiz {sum} so'm. Rahmat!"
PASSWORD = "bench"  # noqa: S105 - of nobody


def files(folder: Path, rows: int) -> dict[str, Path]:
    """The same rows in both formats."""
    header, body = ("phone", "name", "sum"), ((a_phone(n), f"Aziz {n}", n * 100.0) for n in range(rows))
    listed: list[tuple[Cell, ...]] = [header, *body]
    file = folder / "campaign.csv"
    file.write_text("".join(f"{phone},{name},{total}\n" for phone, name, total in listed), encoding="utf-8")
    return {"CSV": file, "xlsx": write_workbook(folder / "campaign.xlsx", {"Sheet1": listed})}


def measure(url: str, file: Path) -> dict[str, Any]:
    """One import."""
    env = os.environ | {"SMS_DATABASE_URL": url, "SMS_GATEWAY_URL": "http://127.0.0.1:9/smsgateway"}
    env |= {"SMS_GATEWAY_LOGIN": PASSWORD, "SMS_GATEWAY_PASSWORD": PASSWORD}
    words = [sys.executable, "-m", "worker.cli.main", "import", str(file), "--template", TEMPLATE, "--yes", "--json"]
    began = time.perf_counter()
    process = subprocess.Popen(words, env=env, cwd=file.parent, stdout=subprocess.PIPE, text=True)
    waits, memory = order_meanwhile(url, process)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    known = json.loads(process.stdout.read()) if process.stdout else {}
    queued = known.get("queued", 0)
    return {
        "queued": queued,
        "exit": os.waitstatus_to_exitcode(status),
        "seconds": wall,
        "rows_per_second": queued / wall,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "memory_mib": memory / 1024,
        "otp_median_ms": statistics.median(waits) * 1e3,
        "otp_longest_ms": max(waits) * 1e3,
    }


def order_meanwhile(url: str, process: subprocess.Popen[str]) -> tuple[list[float], int]:
    """How long each OTP took to be stored while *process* ran, and the most KiB of memory that it had."""
    engine = make_engine(url)
    settings = Settings(database_url=url, gateway_url="http://127.0.0.1:9/x", gateway_login="x", gateway_password="x")  # noqa: S106
    intake = Intake(make_sessions(engine), lambda lane: terms(settings, lane), utc_now)
    waits: list[float] = []
    memory = 0
    while not _is_over(process):
        memory = max(memory, _memory(process))
        began = time.perf_counter()
        intake.take(Envelope("sms.send", f"otp-{len(waits)}", [a_phone(), "Your code is 4821"], {}), Lane.OTP)
        waits.append(time.perf_counter() - began)
        time.sleep(EVERY_SECONDS)
    engine.dispose()
    return waits, memory


def _memory(process: subprocess.Popen[str]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def _is_over(process: subprocess.Popen[str]) -> bool:
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def main() -> None:
    """Run, and print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    server = PostgresServer(fsync=True)
    server.start()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, file in files(Path(folder), options.rows).items():
            name = f"campaign_{kind.lower()}"
            administer(server.url, f'CREATE DATABASE "{name}"')
            urls = {"SQLite": f"sqlite:///{folder}/{name}.db", "PostgreSQL": database(server.url, name)}
            for where, url in urls.items():
                upgrade(url)
                found.append({"database": where, "file": kind} | measure(url, file))
    server.remove()
    show(found, options.rows)


def show(found: list[dict[str, Any]], rows: int) -> None:
    """As a table, and for programs."""
    table = Table("database", "file", "seconds", "rows/s", "CPU s", "MiB", "OTP median ms", "longest ms")
    figures = ("seconds", "rows_per_second", "cpu_seconds", "memory_mib", "otp_median_ms", "otp_longest_ms")
    for one in found:
        table.add_row(one["database"], one["file"], *(f"{one[name]:,.1f}" for name in figures))
    machine = f"{os.cpu_count()} cores, {platform.machine()}, CPython {platform.python_version()}"
    console = Console()
    console.print(f"{rows:,} rows, looked at and ordered; {machine}", table)
    console.print_json(json.dumps(found))


if __name__ == "__main__":
    main()
