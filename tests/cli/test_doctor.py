"""``sms doctor`` as a person and a script meet it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from builders import Sessions
from redis import Redis
from sqlalchemy import insert

from models import Worker
from worker.doctor.rounds import CHECKS
from worker.sandbox.running import RunningSandbox

Sms = Callable[..., Any]


@pytest.fixture
def well(sessions: Sessions, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that lets us in, a worker that lives and hears beat."""
    at = datetime.now(UTC)
    worker = {"name": "sms@one:1:x", "release": "0.4.0", "started_at": at, "seen_at": at, "bell_at": at, "figures": {}}
    with sessions.begin() as session:
        session.execute(insert(Worker), [worker])
    monkeypatch.setenv("SMS_GATEWAY_URL", sandbox.url)
    monkeypatch.setenv("SMS_GATEWAY_LOGIN", sandbox.config.login)
    monkeypatch.setenv("SMS_GATEWAY_PASSWORD", sandbox.config.password)


@pytest.mark.usefixtures("house", "well")
def test_a_house_in_which_all_is_well_ends_with_0_and_each_line_is_an_object(sms: Sms, database_url: str) -> None:
    answer = sms("doctor", "--json")

    told = [json.loads(line) for line in answer.out.splitlines()]
    faults = [one["name"] for one in told if one["outcome"] == "fault"]
    # The tests' PostgreSQL runs without fsync, and the doctor is right to say so.
    assert faults == ([] if database_url.startswith("sqlite") else ["database.commits"])
    assert answer.code == (1 if faults else 0)
    assert [one["name"] for one in told] == [check.name for check in CHECKS]
    assert {tuple(one) for one in told} == {("name", "outcome", "found", "why", "remedy")}


def test_a_fault_ends_with_1_and_says_why_it_matters_and_what_to_do(sms: Sms) -> None:
    answer = sms("doctor", "--only", "gateway")

    assert answer.code == 1
    fault, why, remedy = answer.out.splitlines()[2:5]
    assert fault.split() == ["fault", "gateway.tcp", "127.0.0.1:9", "takes", "no", "connection:", "refused"]
    assert why.strip().startswith("why: ")
    assert "registered with the vendor" in remedy
    assert "gateway.login" in answer.out


def test_what_is_skipped_for_one_reason_is_one_line(sms: Sms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_REDIS_URL", "redis://127.0.0.1:1/0")

    answer = sms("doctor", "--only", "redis")

    assert "redis.latency to redis.acl (7)  see redis.answers" in answer.out
    assert answer.out.splitlines()[-1] == "8 checks: 7 skipped, 1 fault"


def test_a_note_is_fine_and_a_warning_counts_only_if_one_is_strict(sms: Sms, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = sms("doctor", "--only", "settings", "--strict")
    monkeypatch.setenv("SMS_STAGING_RECIPIENTS", "998901112233")
    warned, strict = sms("doctor", "--only", "settings"), sms("doctor", "--only", "settings", "--strict")

    assert "note    settings.risky" in noted.out
    assert (noted.code, warned.code, strict.code) == (0, 0, 1)


def test_a_check_that_nobody_knows_gets_one_line(sms: Sms) -> None:
    answer = sms("doctor", "--only", "gatway")

    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "Neighbourhoods are settings, gateway, redis, database, queues, house." in answer.err


def test_without_settings_it_runs_and_says_what_is_missing(sms: Sms, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "LOGIN", "PASSWORD"):
        monkeypatch.delenv(f"SMS_GATEWAY_{name}")

    answer = sms("doctor")

    assert answer.code == 1
    assert "SMS_GATEWAY_URL, SMS_GATEWAY_LOGIN, SMS_GATEWAY_PASSWORD are not set" in answer.out
    assert len(answer.out.splitlines()) < 8


def test_no_secret_is_printed(sms: Sms) -> None:
    assert "not-to-be-seen" not in sms("doctor").out + sms("doctor", "--json").out


def test_no_terminal_obeys_the_name_of_a_queue(sms: Sms, redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.lpush("sms.\x1b[2J\u202e", "an order")

    shown = [sms("doctor", "--only", "queues", *words).out for words in ((), ("--json",))]

    assert all("202e" in one for one in shown)
    assert not [one for one in shown if {"\x1b", "\u202e"} & set(one)]
