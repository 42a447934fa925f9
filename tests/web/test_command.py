"""``sms web``: where it may listen, what it says, and what it leaves in no log."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from argon2 import PasswordHasher
from typer.testing import CliRunner

from worker.cli.main import app
from worker.cli.web import bound
from worker.errors import SmsError

SMS = Path(sys.executable).with_name("sms")
SECONDS = 60
PHONE = "998901234567"

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Environment = Callable[..., dict[str, str]]


class Said(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Once = Callable[..., Said]


@pytest.fixture
def environment(database_url: str) -> Environment:
    """Of a house whose gateway and Redis are away."""

    def made(**more: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "SMS_DATABASE_URL": database_url,
            "SMS_REDIS_URL": "redis://127.0.0.1:9/0",
            "SMS_GATEWAY_URL": "http://127.0.0.1:9/smsgateway",
            "SMS_GATEWAY_LOGIN": "login",
            "SMS_GATEWAY_PASSWORD": "not-to-be-seen",
            **more,
        }

    return made


@contextmanager
def started(where: str, folder: Path, env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program, and its address when it listens."""
    words = [str(SMS), "web", where]
    with subprocess.Popen(
        words, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as program:
        try:
            assert program.stdout is not None
            said = program.stdout.readline()
            found = re.search(r"http://\S+:\d+", said)
            assert found, said
            yield program, found[0]
        finally:
            program.kill()


@pytest.fixture
def once(environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Once:
    """The command, which ends by itself."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment().items():
        monkeypatch.setenv(name, value)

    def run(*words: str, say: str = "") -> Said:
        result = CliRunner().invoke(app, ["web", *words], input=say)
        if isinstance(result.exception, SmsError):
            return Said(2, result.stdout, str(result.exception))
        return Said(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "a stop of its container"])
def test_it_serves_until_it_is_stopped_and_ends_well(
    environment: Environment, tmp_path: Path, signal_: signal.Signals
) -> None:
    with started("127.0.0.1:0", tmp_path, environment()) as (program, url):
        assert httpx.get(f"{url}/healthz").text == "ok\n"

        program.send_signal(signal_)

        assert program.wait(SECONDS) == 0


def test_what_was_asked_and_found_stands_in_no_log(environment: Environment, tmp_path: Path) -> None:
    with started("127.0.0.1:0", tmp_path, environment()) as (program, url):
        for path in (f"/messages?phone={PHONE}", f"/find?q={PHONE}", f"/message/{PHONE}", f"/messages.csv?key={PHONE}"):
            assert httpx.get(url + path).status_code in {200, 303, 404}
        program.send_signal(signal.SIGTERM)
        assert program.stdout is not None
        said = program.stdout.read()

    assert "web_file" in said
    assert PHONE not in said
    assert "GET" not in said


@pytest.mark.parametrize("where", ["0.0.0.0:0", "[::]:0", "192.0.2.7:0", "sms.example:0"])
def test_without_a_password_only_this_machine_is_listened_to(once: Once, where: str) -> None:
    refused = once(where)

    assert refused.code == 2
    assert "set SMS_WEB_PASSWORD, or listen on 127.0.0.1" in refused.err


def test_with_a_password_others_are_let_in_to_the_log_in(environment: Environment, tmp_path: Path) -> None:
    with started("0.0.0.0:0", tmp_path, environment(SMS_WEB_PASSWORD="a word")) as (_, url):
        port = url.rpartition(":")[2]

        answer = httpx.get(f"http://127.0.0.1:{port}/messages", headers={"host": "sms.example"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/messages")


@pytest.mark.parametrize("where", ["8088", "127.0.0.1:http", "127.0.0.1:70000", ":8088"])
def test_an_address_that_is_none_is_named(once: Once, where: str) -> None:
    refused = once(where)

    assert (refused.code, repr(where) in refused.err) == (2, True)


def test_a_port_that_is_taken_is_named(once: Once) -> None:
    with closing(bound("127.0.0.1", 0)) as taken:
        taken.listen()
        refused = once(f"127.0.0.1:{taken.getsockname()[1]}")

    assert refused.code == 2
    assert "cannot be listened on" in refused.err


def test_it_prints_the_hash_of_a_password(once: Once) -> None:
    printed = once("--hash", say="a word\na word\n")

    assert printed.code == 0
    assert PasswordHasher().verify(printed.out.split()[-1], "a word")


def test_two_passwords_have_no_hash(once: Once) -> None:
    printed = once("--hash", say="a word\nanother\n")

    assert (printed.code, "$argon2" in printed.out) == (1, False)
