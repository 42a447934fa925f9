"""The console command as a person meets it: its words in, its lines and its exit code out."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from worker.cli.main import app
from worker.errors import SmsError

PASSWORD = "not-to-be-seen"


class Answer(NamedTuple):
    """What came of a command, as `main` would show it."""

    code: int
    out: str
    err: str


Sms = Callable[..., Answer]


@pytest.fixture
def house(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The settings of a house that is there, but for its gateway."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMS_DATABASE_URL", database_url)
    monkeypatch.setenv("SMS_REDIS_URL", redis_url)
    monkeypatch.setenv("SMS_GATEWAY_URL", "http://127.0.0.1:9/smsgateway")
    monkeypatch.setenv("SMS_GATEWAY_LOGIN", "login")
    monkeypatch.setenv("SMS_GATEWAY_PASSWORD", PASSWORD)


@pytest.fixture
def sms(house: None) -> Sms:  # noqa: ARG001
    """Runs the command with these words; *say* is what the person answers."""

    def run(*words: str, say: str = "") -> Answer:
        result = CliRunner().invoke(app, list(words), input=say)
        if isinstance(result.exception, SmsError):
            return Answer(2, result.stdout, f"sms: {result.exception}\n")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run
