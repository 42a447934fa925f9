import ast
import csv
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from worker.cli import demo
from worker.errors import OrderRefused
from worker.phone import normalised
from worker.text import size_of

LETTERS = {"uz-Latn": "oʻ", "uz-Cyrl": "қ", "ru": "ы", "en": "your"}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with demo.RECIPIENTS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def phone_of(row: dict[str, str]) -> str:
    try:
        return normalised(row["phone"])
    except OrderRefused as refused:
        return refused.reason


def test_there_are_a_thousand_recipients_each_with_a_key_of_its_own(rows: list[dict[str, str]]) -> None:
    assert len(rows) == 1000
    assert len({row["key"] for row in rows}) == 1000


def test_they_come_by_every_lane_and_in_every_language(rows: list[dict[str, str]]) -> None:
    texts = {language: "".join(row["text"] for row in rows if row["language"] == language) for language in LETTERS}

    assert {row["lane"] for row in rows} == {"otp", "normal", "bulk"}
    assert {row["language"] for row in rows} == set(LETTERS)
    assert {language for language, letters in LETTERS.items() if letters in texts[language]} == set(LETTERS)


def test_no_valid_phone_can_be_a_person(rows: list[dict[str, str]]) -> None:
    phones = [phone for row in rows if (phone := phone_of(row)).isdigit()]

    assert {phone[5:8] for phone in phones} == {"000"}
    assert len({phone[3:5] for phone in phones}) > 10


def test_some_phones_come_twice_and_some_are_never_reached(rows: list[dict[str, str]]) -> None:
    phones = Counter(phone_of(row) for row in rows if row["text"].strip())

    assert sum(count > 1 for phone, count in phones.items() if phone.isdigit()) >= 5
    assert sum(phone.endswith("0000") for phone in phones) >= 5


def test_a_dozen_cannot_be_accepted(rows: list[dict[str, str]]) -> None:
    reasons = Counter(phone_of(row) for row in rows if not phone_of(row).isdigit())
    no_text = [row for row in rows if not row["text"].strip()]
    too_long = [row for row in rows if size_of(row["text"]).parts > 10]

    assert set(reasons) == {"phone_missing", "phone_invalid", "phone_foreign", "phone_fixed_line"}
    assert reasons.total() + len(no_text) + len(too_long) == 12


def test_the_producer_knows_nothing_of_this_project() -> None:
    tree = ast.parse(demo.PRODUCER.read_text())

    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}

    assert imported == {"csv", "sys", "pathlib", "celery"}


def test_the_demo_delivers_everything_and_touches_nothing_of_the_users(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SMS_REDIS_URL=redis://127.0.0.1:1/0\nSMS_GATEWAY_LOGIN=mine\n")
    theirs = {
        "SMS_DATABASE_URL": "sqlite:///mine.db",
        "SMS_GATEWAY_URL": "http://127.0.0.1:1/smsgateway",
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    }
    command = [sys.executable, "-m", "worker.cli.main", "demo"]

    shown = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **theirs}, capture_output=True, text=True, check=False
    )

    assert shown.returncode == 0, shown.stdout + shown.stderr + logs(tmp_path)
    assert "every accepted message was posted exactly once" in shown.stdout
    assert "12 refused, 988 accepted; 988 of them posted, 988 final" in shown.stdout
    assert "phone_fixed_line" in shown.stdout
    assert {path.name for path in tmp_path.iterdir()} == {".env", ".sms"}


def logs(folder: Path) -> str:
    return "".join(f"\n== {log.name}\n{log.read_text()[-3000:]}" for log in folder.glob(".sms/*/logs/*.log"))
