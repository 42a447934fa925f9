"""The receivers in docs/callbacks.md, as they stand there and in processes of their own, take real callbacks."""

import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
from servers import wait_for
from sqlalchemy import text
from system import System

from worker import callbacks, receivers, webhook, wiring
from worker.embedded import processes
from worker.errors import CallbackFailed
from worker.sandbox.config import SandboxConfig
from worker.sandbox.running import running_sandbox
from worker.webhook import Webhook, signature

README, PAGE = "README.md", "docs/callbacks.md"
SECRET = "0123456789abcdef0123456789abcdef"
EVENT = {"event_id": "e-1", "uid": "u-1", "key": "k", "producer": "shop", "state": "delivered", "reason": None}
EVENT |= {"phone": "998901234567", "parts": 1, "at": "2026-11-22T09:00:04.120000+00:00"}  # type: ignore[dict-item]
SETTINGS = f"""
SECRET_KEY = "of a test"
SMS_CALLBACK_SECRET = "{SECRET}"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["shop"]
MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}}}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
Block = Callable[[str, str], str]


class Receiver(NamedTuple):
    """A receiver that runs: where, what it says, and its table of events."""

    url: str
    log: Path
    table: str

    def ids(self) -> list[str]:
        """The events that it stored."""
        with closing(sqlite3.connect(self.log.parent / "shop.db")) as database:
            return [row[0] for row in database.execute(f"SELECT event_id FROM {self.table} ORDER BY 1")]  # noqa: S608

    def taken(self) -> int:
        """How often it did its part."""
        return self.log.read_text(encoding="utf-8").count(" is delivered")


def running(folder: Path, env: dict[str, str], *command: str) -> subprocess.Popen[bytes]:
    whole = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(folder), **env}
    return processes.start([sys.executable, "-m", *command], log=folder / "receiver.log", env=whole, cwd=folder)


def fastapi(folder: Path, named: Block, port: int) -> subprocess.Popen[bytes]:
    for file in ("signature.py", "receiver.py"):
        (folder / file).write_text(named(PAGE, file), encoding="utf-8")
    return running(folder, {"SMS_CALLBACK_SECRET": SECRET}, "uvicorn", "receiver:app", "--port", str(port))


def django(folder: Path, named: Block, port: int) -> subprocess.Popen[bytes]:
    (folder / "shop").mkdir()
    (folder / "shop/__init__.py").touch()
    (folder / "shop/signature.py").write_text(named(PAGE, "signature.py"), encoding="utf-8")
    for file in ("shop/models.py", "shop/views.py", "shop/urls.py"):
        (folder / file).write_text(named(PAGE, file), encoding="utf-8")
    (folder / "project.py").write_text(SETTINGS, encoding="utf-8")
    env = {"DJANGO_SETTINGS_MODULE": "project"}
    assert running(folder, env, "django", "migrate", "--run-syncdb").wait(60) == 0
    return running(folder, env, "django", "runserver", "--noreload", f"127.0.0.1:{port}")


@pytest.fixture(params=[(fastapi, "sms_events"), (django, "shop_smsevent")], ids=["FastAPI", "Django"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path, named: Block) -> Iterator[Receiver]:
    start, table = request.param
    port, log = processes.free_port(), tmp_path / "receiver.log"
    process = start(tmp_path, named, port)
    processes.wait_until_ready(process, lambda: not processes.is_free(port), seconds=60, log=log)
    yield Receiver(f"http://127.0.0.1:{port}/sms", log, table)
    processes.stop(process, seconds=10)


def tell(receiver: Receiver, *, secret: str = SECRET, age: timedelta = timedelta()) -> None:
    Webhook(secret, private_addresses=True, now=lambda: datetime.now(UTC) - age).post(receiver.url, EVENT)


def test_a_real_callback_is_taken_and_its_repeat_is_not(receiver: Receiver) -> None:
    for _ in range(3):
        tell(receiver)

    assert receiver.ids() == ["e-1"]
    assert receiver.taken() == 1


def test_what_is_not_ours_or_old_is_refused(receiver: Receiver) -> None:
    with pytest.raises(CallbackFailed, match="http 403"):
        tell(receiver, secret="another")
    with pytest.raises(CallbackFailed, match="http 403"):
        tell(receiver, age=timedelta(minutes=6))
    forged = {"X-SMS-Signature": signature(SECRET, b"{}", int(time.time()))}
    endless = {"X-SMS-Signature": f"t={'9' * 5_000},v1=0"}
    heard: tuple[dict[str, str], ...] = (forged, {}, endless)
    answers = [requests.post(receiver.url, data=b"[]", headers=headers, timeout=10) for headers in heard]
    tell(receiver, age=timedelta(minutes=4))

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert receiver.ids() == ["e-1"]
    assert receiver.taken() == 1


@pytest.fixture
def house(tmp_path: Path, redis_url: str, database_url: str) -> Iterator[System]:
    (tmp_path / "house").mkdir()
    with running_sandbox(SandboxConfig(port=0, control_port=0, delivery_seconds=(0.0, 0.1))) as sandbox:
        house = System(tmp_path / "house", redis_url=redis_url, database_url=database_url, sandbox=sandbox)
        yield house
        house.stop()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_celery_task_of_the_producer_s_takes_each_event_once(
    tmp_path: Path, named: Block, house: System, redis_url: str
) -> None:
    """From the order to the producer's worker, and once more when the same event is told again."""
    (tmp_path / "shop_tasks.py").write_text(named(PAGE, "shop_tasks.py"), encoding="utf-8")
    options = ("-A", "shop_tasks", "worker", "-Q", "shop", "-c", "1", "--loglevel", "INFO")
    shop = running(tmp_path, {"BROKER_URL": redis_url}, "celery", *options)
    receiver = Receiver("", tmp_path / "receiver.log", "sms_events")
    try:
        house.worker()
        house.beat()
        house.send("998901234567", callback={"task": "shop.sms_changed", "queue": "shop"})
        wait_for(lambda: house.rows("SELECT count(*) FROM callbacks WHERE state = 'told'") == [(2,)])
        with house.engine.begin() as connection:
            owed = "UPDATE callbacks SET state = 'owed', next_try_at = created_at, finished_at = NULL"
            connection.execute(text(owed))
        succeeded = lambda: receiver.log.read_text(encoding="utf-8").count("succeeded in") == 4  # noqa: E731
        wait_for(succeeded)
    finally:
        processes.stop(shop, seconds=20)

    assert len(receiver.ids()) == 2, "submitted and delivered"
    assert receiver.taken() == 1


@pytest.mark.check
def test_the_page_shows_the_readme_s_own_signature_check(named: Block) -> None:
    assert named(PAGE, "signature.py") == named(README, "signature.py")


@pytest.mark.check
def test_the_figures_are_those_of_the_code() -> None:
    page = (Path(__file__).parents[2] / PAGE).read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| figure \| value \|\n\|---\|---\|\n((?:\|.*\n)+)", page, re.MULTILINE)
    shown = [line.rpartition(" | ")[2].removesuffix(" |") for line in table.splitlines()]

    durations = (
        *callbacks.PAUSE,
        callbacks.GIVE_UP_AFTER,
        callbacks.LEAST_FAILING,
        *receivers.REST,
        callbacks.PAUSE[1],
    )
    first, longest, day, failing, first_rest, longest_rest, granted = map(in_words, durations)
    slow, (connect, answer) = in_words(receivers.SLOW_AFTER), webhook.TIMEOUT_SECONDS
    assert shown == [
        *(first, longest, day, f"{callbacks.LEAST_TRIES}", failing, first_rest, longest_rest, granted, slow),
        *(f"{wiring.CALLBACKS_AT_ONCE}", f"{receivers.MOST_AT_ONCE}", f"{connect} s", f"{answer} s"),
        f"{webhook.LONGEST_SECONDS:.0f} s",
    ]


def in_words(span: timedelta) -> str:
    for unit, name in ((timedelta(days=1), "day"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if span >= unit:
            return f"{span / unit:g} {name}"
    return f"{span.total_seconds():g} s"
