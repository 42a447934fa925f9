"""``sms demo``: a thousand messages through the whole system, on this machine and nowhere else."""

import os
import shutil
import sys
import time
from pathlib import Path

import typer
from rich.console import Console
from sqlalchemy import Engine

from migrations import schema
from worker.demo import show
from worker.demo.tally import Tally, complaints_about, keys_of, tally_of
from worker.embedded import home as homes
from worker.embedded import processes
from worker.embedded.home import Home
from worker.embedded.supervisor import LOCK, LOGS, LOOK_SECONDS, Supervisor, only_one, stopping_on_signals
from worker.store.engine import make_engine

FOLDER = Path(".sms/demo")
PRODUCER = Path(show.__file__).with_name("producer.py")
RECIPIENTS = Path(show.__file__).with_name("recipients.csv")
PRICE_PER_PART = 100
PATIENCE_SECONDS = 120
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")  # and no setting of ours, Celery's or a proxy's
INTERRUPTED = 130

console = Console(highlight=False, markup=False, emoji=False)


def demo() -> None:
    """Send 1,000 messages through the whole system on this machine, show what became of them, and stop.

    It has servers of its own in .sms/demo, made anew each time: no gateway, Redis or database of yours is touched.
    """
    homes.expect_writable(FOLDER)
    with only_one(FOLDER, "sms demo"):
        _clear(FOLDER)
        home = homes.open_home(FOLDER)
        schema.upgrade(home.database_url)
        parts = [
            homes.redis_part(home),
            homes.sandbox_part(home, "--delivery-seconds", "1", "4"),
            homes.worker_part(home),
            homes.beat_part(),
        ]
        env = _environment(home)
        supervisor = Supervisor(parts, folder=home.folder, env=env, cwd=home.folder, say=console.print)
        engine = make_engine(home.database_url).execution_options(sqlite_reading=True)
        with stopping_on_signals(supervisor):
            code = _run(supervisor, home, engine)
        engine.dispose()
    raise typer.Exit(code)


def _clear(folder: Path) -> None:
    """Remove all but the lock, which we hold."""
    for old in folder.iterdir():
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        elif old.name != LOCK:
            old.unlink()


def _environment(home: Home) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        **home.gateway_env(),
        "SMS_REDIS_URL": home.redis_url,
        "SMS_DATABASE_URL": home.database_url,
        "SMS_POLL_LADDER_SECONDS": "1,1,2,2,3,5",
        "SMS_PRICE_PER_PART": str(PRICE_PER_PART),
    }


def _run(supervisor: Supervisor, home: Home, engine: Engine) -> int:
    """Send, watch, stop all, show; return the exit code."""
    keys = keys_of(RECIPIENTS)
    try:
        console.print("Starting Redis, the sandbox gateway, the worker and beat …")
        supervisor.start()
        tally, seconds = _send(supervisor, home, engine, ordered=len(keys))
        interrupted = supervisor.stopping
    finally:
        supervisor.stop()
    if interrupted:
        console.print("Stopped before the end.")
        return INTERRUPTED
    show.result(console, engine, tally, seconds=seconds, price_per_part=PRICE_PER_PART)
    complaints = complaints_about(engine, keys=keys, journal=home.journal)
    show.verdict(console, complaints, home, logs=home.folder / LOGS)
    return 1 if complaints else 0


def _send(supervisor: Supervisor, home: Home, engine: Engine, *, ordered: int) -> tuple[Tally, float]:
    """Let the producer send all, and watch until every message is final; return the last tally and the seconds."""
    began = time.monotonic()
    command = [sys.executable, str(PRODUCER), home.redis_url, str(RECIPIENTS)]
    log = home.folder / LOGS / "producer.log"
    producer = processes.start(command, log=log, env=_environment(home), cwd=home.folder)
    with show.progress(console) as shown:
        while True:
            tally, seconds = tally_of(engine, ordered=ordered), time.monotonic() - began
            shown(tally)
            if tally.is_complete or supervisor.stopping or seconds > PATIENCE_SECONDS:
                break
            supervisor.look_after()
            time.sleep(LOOK_SECONDS)
    processes.stop(producer, seconds=LOOK_SECONDS)
    return tally, seconds
