"""``sms recover``: what a restored backup cannot know of is put in doubt, and nothing while a worker runs."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from builders import Sessions, all_of, states_of, stored
from redis import Redis

from models import Decision
from models.lifecycle import Lane, MessageState
from worker.clock import utc_now
from worker.lanes import LaneLists

Sms = Callable[..., Any]
BACKUP = utc_now().replace(microsecond=0) - timedelta(hours=1)
SINCE = ["--since", BACKUP.isoformat()]
BEFORE = {"created_at": BACKUP - timedelta(minutes=1), "send_at": BACKUP - timedelta(minutes=1)}
AFTER = {"created_at": BACKUP + timedelta(minutes=1), "send_at": BACKUP + timedelta(minutes=1)}


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture
def another_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_BROKER_URL", "amqp://127.0.0.1:1//")


def test_what_waited_at_the_backup_is_put_in_doubt(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, **BEFORE)
    stored(sessions, state=MessageState.POSTING, **BEFORE)
    stored(sessions, **BEFORE | {"send_at": utc_now() + timedelta(days=1)})

    answer = sms("recover", *SINCE, "--as", "nodira")

    assert answer.code == 0
    assert answer.out.startswith("2 messages are now in doubt.")
    assert "sms unconfirmed --reason database_restored" in answer.out
    assert "Then start the workers." in answer.out
    assert states_of(sessions) == ["unconfirmed", "unconfirmed", "queued"]
    assert [(one.who, one.what) for one in all_of(sessions, Decision)] == [
        ("restored database", "pause"),
        *[("nodira", "recover")] * 2,
        ("nodira", "resume"),
    ]


def test_what_it_points_to_finds_them(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, **BEFORE)

    sms("recover", *SINCE)

    assert sms("unconfirmed", "--reason", "database_restored").out.startswith("Unconfirmed: 1 message")


def test_a_time_without_an_offset_is_read_in_the_zone_of_the_settings(
    sessions: Sessions, sms: Sms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMS_GATEWAY_TIMEZONE", "Etc/GMT+3")
    stored(sessions, **BEFORE)
    there = (BACKUP - timedelta(hours=3)).replace(tzinfo=None)

    assert sms("recover", "--since", there.isoformat()).code == 0
    assert states_of(sessions) == ["unconfirmed"]


def test_an_empty_house_has_nothing_to_recover(sms: Sms) -> None:
    answer = sms("recover", *SINCE)

    assert (answer.code, answer.out) == (
        0,
        "Nothing in the backup waited to be posted: nothing to do. Start the workers.\n",
    )


def test_a_worker_that_runs_is_named_and_keeps_it_from_beginning(sessions: Sessions, sms: Sms, redis: Redis) -> None:
    stored(sessions, **BEFORE)
    LaneLists(redis, owner="w1@host/77").take(Lane.OTP, most=1, most_bytes=1)

    answer = sms("recover", *SINCE)

    assert answer.code == 2
    assert "1 worker runs: w1@host/77. Stop them first" in answer.err
    assert answer.err.count("\n") == 1
    assert states_of(sessions) == ["queued"]


def test_workers_with_a_prefix_of_their_own_are_seen(
    sessions: Sessions, sms: Sms, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMS_REDIS_KEY_PREFIX", "ours:")
    stored(sessions, **BEFORE)
    LaneLists(redis, owner="w1", prefix="ours:").take(Lane.OTP, most=1, most_bytes=1)

    assert sms("recover", *SINCE).code == 2


def test_a_worker_that_left_keeps_nobody_from_it(sessions: Sessions, sms: Sms, redis: Redis) -> None:
    stored(sessions, **BEFORE)
    lists = LaneLists(redis, owner="w1")
    lists.take(Lane.OTP, most=1, most_bytes=1)
    lists.leave()

    assert sms("recover", *SINCE).code == 0
    assert states_of(sessions) == ["unconfirmed"]


def test_a_worker_that_shows_no_sign_of_life_keeps_nobody_from_it(sessions: Sessions, sms: Sms, redis: Redis) -> None:
    stored(sessions, **BEFORE)
    LaneLists(redis, owner="killed").take(Lane.OTP, most=1, most_bytes=1)
    redis.delete("sms:intake:alive:killed")

    assert sms("recover", *SINCE).code == 0
    assert states_of(sessions) == ["unconfirmed"]


def test_while_redis_is_away_nothing_is_changed(sessions: Sessions, sms: Sms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_REDIS_URL", "redis://:hidden@127.0.0.1:1/0")
    stored(sessions, **BEFORE)

    answer = sms("recover", *SINCE, "--yes")

    assert answer.code == 2
    assert "Redis at redis://127.0.0.1:1/0 does not answer" in answer.err
    assert "hidden" not in answer.err
    assert answer.err.count("\n") == 1
    assert states_of(sessions) == ["queued"]


@pytest.mark.parametrize(
    ("words", "say", "came_of_it"),
    [
        pytest.param([], "", (1, ["queued"]), id="nobody there"),
        pytest.param([], "n\n", (1, ["queued"]), id="no"),
        pytest.param([], "y\n", (0, ["unconfirmed"]), id="yes"),
        pytest.param(["--yes"], "", (0, ["unconfirmed"]), id="yes beforehand"),
    ],
)
@pytest.mark.usefixtures("another_broker")
def test_with_another_broker_only_the_person_knows_whether_workers_run(
    sessions: Sessions, sms: Sms, words: list[str], say: str, came_of_it: tuple[int, list[str]]
) -> None:
    stored(sessions, **BEFORE)

    answer = sms("recover", *SINCE, *words, say=say)

    assert (answer.code, states_of(sessions)) == came_of_it


def test_messages_that_cannot_be_from_the_backup_stop_it(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, **BEFORE)
    stored(sessions, **AFTER)

    refused = sms("recover", *SINCE)
    left = sms("recover", *SINCE, "--leave-newer")

    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "Nothing was changed." in refused.err
    assert left.code == 0
    assert states_of(sessions) == ["unconfirmed", "queued"]


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(sessions: Sessions, sms: Sms, redis: Redis) -> None:
    stored(sessions, **BEFORE)
    stored(sessions, state=MessageState.POSTING, **BEFORE)
    stored(sessions, **AFTER)
    LaneLists(redis, owner="w1").take(Lane.OTP, most=1, most_bytes=1)

    answer = sms("recover", *SINCE, "--dry-run")

    assert answer.code == 0
    assert "Being posted at the time of the backup: 1. Waiting then, and due: 1." in answer.out
    assert "But 1 that wait were stored after" in answer.out
    assert "And 1 worker runs: w1" in answer.out
    assert states_of(sessions) == ["queued", "posting", "queued"]


@pytest.mark.parametrize(
    ("since", "said"),
    [
        pytest.param("yesterday", "is no time: give ISO 8601", id="in words"),
        pytest.param("2999-01-01", "is in the future", id="in the future"),
        pytest.param("", "is no time", id="empty"),
    ],
)
def test_a_wrong_time_gets_one_line(sms: Sms, since: str, said: str) -> None:
    answer = sms("recover", "--since", since)

    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1


def test_without_a_time_it_is_refused(sms: Sms) -> None:
    answer = sms("recover")

    assert answer.code == 2
    assert "Missing option '--since'" in answer.err
