import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from pydantic import SecretStr
from servers import is_gone, wait_for
from sqlalchemy import Engine, text

from migrations import schema
from worker.cli import up
from worker.embedded import processes
from worker.settings import Settings

UP = [sys.executable, "-m", "worker.cli.main", "up"]


class Up:
    """``sms up`` in a folder, as a person would run it in a terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".sms" / "up"
        self.env = {"SMS_POLL_LADDER_SECONDS": "1"}
        self._number = 0

    def start(self) -> str:
        """Return what it shows once all is ready."""
        self._number += 1
        self.shown = self.folder / f"up-{self._number}.log"
        env = {name: value for name, value in os.environ.items() if not name.startswith("SMS_")}
        self.process = processes.start(UP, log=self.shown, env=env | self.env, cwd=self.folder)
        processes.wait_until_ready(self.process, lambda: "Ctrl-C" in self.shown.read_text(), seconds=90, log=self.shown)
        return self.shown.read_text()

    def stop(self) -> int:
        """Press Ctrl-C; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(90)

    def states(self) -> list[str]:
        with closing(sqlite3.connect(self.state / "sms.db")) as database:
            return [state for (state,) in database.execute("SELECT state FROM messages ORDER BY id")]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Up]:
    house = Up(tmp_path)
    yield house
    house.stop()


def send_as_shown(shown: str) -> None:
    """Copy and paste the line that `sms up` shows."""
    line = next(line for line in shown.splitlines() if "send_task" in line)
    subprocess.run(shlex.split(line), check=True, capture_output=True)


def test_a_second_start_goes_on_where_the_first_stopped(house: Up) -> None:
    first = house.start()
    send_as_shown(first)
    wait_for(lambda: house.states() == ["delivered"], seconds=60)
    assert house.stop() == 0

    second = house.start()
    send_as_shown(second)

    wait_for(lambda: house.states() == ["delivered", "delivered"], seconds=60)
    assert address_lines(first) == address_lines(second)


def test_the_export_line_leads_every_other_command_here(house: Up, tmp_path_factory: pytest.TempPathFactory) -> None:
    shown = house.start()
    send_as_shown(shown)
    wait_for(lambda: house.states() == ["delivered"], seconds=60)
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    told = [run_after(export_line(shown), command, elsewhere) for command in ("costs --json", "blocked --json")]

    assert [json.loads(line)["messages"] for line in told[0].splitlines()] == [1]
    assert told[1] == ""
    assert all(len(line) <= 80 for line in shown.splitlines() if line.startswith("    SMS_"))


def test_the_web_page_s_address_is_shown_first_and_opens(house: Up) -> None:
    shown = house.start()

    (address,) = re.findall(r"http://127\.0\.0\.1:\d+/$", address_lines(shown)[0])
    assert requests.get(address, timeout=30).status_code == 200


def test_the_export_line_tells_no_password_of_ones_own() -> None:
    settings = some_settings(
        redis_url="redis://:hunter2@10.0.0.1/0", database_url="sqlite:///mine.db", redis_key_prefix="a b"
    )

    line = up._export(settings, {"SMS_REDIS_URL", "SMS_DATABASE_URL", "SMS_GATEWAY_URL"})

    assert "hunter2" not in line
    assert f"SMS_DATABASE_URL=sqlite:///{Path.cwd()}/mine.db" in line
    assert "SMS_REDIS_KEY_PREFIX='a b'" in line
    assert line.endswith(
        "as you have set it here: SMS_GATEWAY_LOGIN, SMS_GATEWAY_PASSWORD, SMS_GATEWAY_URL, SMS_REDIS_URL)"
    )


def test_a_folder_that_cannot_be_made_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    refused = subprocess.run([*UP, "--state", "file/x"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert refused.returncode == 2
    assert re.fullmatch(
        r"sms: The folder /.*/file/x cannot be used: .*\. Name one that you may write\.\n", refused.stderr
    )


def test_a_second_start_at_the_same_time_is_refused(house: Up) -> None:
    house.start()

    second = subprocess.run(UP, cwd=house.folder, capture_output=True, text=True, check=False)

    assert second.returncode == 2
    assert re.fullmatch(r"sms: `sms up` runs already on .*\n", second.stderr)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_killed_outright_it_leaves_nothing_behind_and_starts_again(house: Up) -> None:
    house.start()
    children = children_of(house.process.pid)

    house.process.kill()
    house.process.wait()

    assert len(children) == 5
    wait_for(lambda: all(is_gone(pid) for pid in children))
    house.start()


def test_a_database_of_ones_own_is_used_and_never_migrated_unasked(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SMS_DATABASE_URL=sqlite:///mine.db\n")

    shown = subprocess.run(UP, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert shown.returncode == 2
    assert "sms db upgrade" in shown.stderr
    assert not (tmp_path / ".sms" / "up" / "sms.db").exists()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_embedded_database_of_a_newer_release_that_works_with_this_one_is_left_alone(
    database_url: str, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    up._prepare_database(some_settings(database_url=database_url), mine=True)

    assert schema.present(engine) == "9999"


def test_what_one_has_set_is_yours_and_shown_without_its_password(house: Up) -> None:
    house.env = {"SMS_GATEWAY_URL": "http://me:secret@127.0.0.1:1/smsgateway", "SMS_GATEWAY_LOGIN": "me"}
    house.env |= {"SMS_GATEWAY_PASSWORD": "secret"}

    shown = house.start()

    assert re.search(r"gateway\W+yours\W+http://127\.0\.0\.1:1/smsgateway", shown)
    assert re.search(r"database\W+embedded\W+sqlite:", shown)
    assert "secret" not in shown
    assert not (house.state / "logs" / "sandbox.log").exists()


@pytest.mark.parametrize("prefix", ["", "shop:"], ids=["no prefix", "a prefix"])
def test_the_first_sms_that_is_shown_finds_its_lane(redis_url: str, prefix: str) -> None:
    settings = some_settings(redis_url=redis_url, redis_key_prefix=prefix)

    send_as_shown(up._first_sms(settings, up.FAKE_PHONE))

    with redis.Redis.from_url(redis_url) as connection:
        assert connection.llen(f"{prefix}sms.otp") == 1


def export_line(shown: str) -> str:
    """What a person copies: from `export` to the last line that a backslash goes on with."""
    found = re.search(r"^  (export (?:.*\\\n)*.*)$", shown, re.MULTILINE)
    assert found
    return found[1]


def run_after(export: str, command: str, folder: Path) -> str:
    """Run `sms` *command* in *folder*, in a shell that was given the line and nothing else of ours."""
    sms = shlex.join([sys.executable, "-m", "worker.cli.main"])
    env = {name: value for name, value in os.environ.items() if not name.startswith("SMS_")}
    script = f"{export}\n{sms} {command}"
    return subprocess.run(
        ["/bin/sh", "-c", script], cwd=folder, env=env, capture_output=True, text=True, check=True
    ).stdout


def some_settings(**given: Any) -> Settings:
    return Settings(gateway_url="http://127.0.0.1:1", gateway_login="a", gateway_password=SecretStr("b"), **given)


def address_lines(shown: str) -> list[str]:
    return [line for line in shown.splitlines() if "://" in line]


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
