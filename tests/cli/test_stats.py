"""``sms stats``: what somebody reads at three in the morning, on a terminal, as JSON and as CSV."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import Sessions, a_batch, a_send, an_intake, many_stored, stored
from moments import Outage
from redis import Redis
from servers import wait_for
from sqlalchemy import Engine, insert
from terminal import OnTerminal

from models import Worker
from models.lifecycle import BatchState, Lane, MessageState
from worker.lanes import LaneLists
from worker.store import accounts, figures

Sms = Callable[..., Any]
PHONE, TEXT = "998901234567", "Your code is 4821"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def busy(sessions: Sessions) -> None:
    """A house at work: a live worker, an answered batch, a code that waits, one in doubt."""
    at = now()
    worker = {"name": "sms@one:1:x", "release": "0.4.0", "started_at": at - timedelta(hours=1), "figures": {}}
    with sessions.begin() as session:
        session.execute(insert(Worker), [worker | {"seen_at": at + timedelta(minutes=5), "bell_at": at}])
        answered = {"state": BatchState.ACCEPTED, "size": 50, "accepted": 50, "refused": 0, "answer_ms": 120}
        a_batch(session, **answered, lane=Lane.OTP, finished_at=at)
        cut_off = a_batch(session, state=BatchState.UNCONFIRMED, finished_at=at - timedelta(hours=1))
    stored(sessions, lane=Lane.OTP, phone=PHONE, text=TEXT, created_at=at, send_at=at)
    doubt = {"state": MessageState.UNCONFIRMED, "reason": "HTTP 502", "batch_id": cut_off}
    stored(sessions, lane=Lane.BULK, phone=PHONE, text=TEXT, **doubt)


@pytest.mark.usefixtures("busy")
def test_the_verdict_comes_first_and_each_line_says_what_it_is(sms: Sms) -> None:
    answer = sms("stats")

    lines = answer.out.splitlines()
    assert answer.code == 0
    assert lines[0].startswith("GOING  Messages go out.")
    (otp,) = (line.split() for line in lines if line.startswith("otp"))
    assert (otp[1], otp[-2:]) == ("1", ["0", "0"])
    assert "1 answers; p50 120 ms, p95 120 ms" in answer.out
    assert "1 alive (0.4.0); beat rang" in answer.out
    assert "unconfirmed (bulk) since" in answer.out
    assert "sms unconfirmed: look, then resend or drop" in answer.out


@pytest.mark.usefixtures("busy")
def test_more_than_is_counted_has_a_plus(sms: Sms, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MOST", 2)
    many_stored(sessions, 3, lane=Lane.BULK, send_at=now())
    many_stored(sessions, 3, lane=Lane.BULK, send_at=now() + timedelta(hours=1))
    for _ in range(3):
        stored(sessions, state=MessageState.SUBMITTED)

    lines = sms("stats").out.splitlines()

    otp, bulk = (next(line.split() for line in lines if line.startswith(lane)) for lane in ("otp", "bulk"))
    assert (otp[1], bulk[1]) == ("1", "2+")
    assert "2+" in bulk[2:]
    assert any("2+ await their report" in line for line in lines)


@pytest.mark.usefixtures("busy")
def test_neither_phone_nor_text_is_shown(sms: Sms) -> None:
    shown = [sms("stats", *words).out for words in ((), ("--json",), ("--csv",))]

    assert not [secret for secret in (PHONE[-4:], TEXT, "not-to-be-seen") for one in shown if secret in one]


def test_an_empty_house_without_a_worker_is_stopped_and_says_what_to_do(sms: Sms) -> None:
    answer = sms("stats")

    assert answer.code == 0
    assert answer.out.startswith("STOPPED  No worker is alive.")
    assert "celery -A worker worker" in answer.out
    assert "beat was never heard" in answer.out


@pytest.mark.usefixtures("busy")
def test_as_json_it_is_one_object_with_all_of_it(sms: Sms) -> None:
    answer = sms("stats", "--json")

    (line,) = answer.out.splitlines()
    told = json.loads(line)
    assert (told["verdict"], told["reason"], told["remedy"]) == ("going", "posting", None)
    assert [lane["lane"] for lane in told["lanes"]] == ["otp", "normal", "bulk"]
    assert told["gateway"]["latency_ms_p50"] == 120
    assert told["on_redis"]["otp"] == {"waiting": 0, "in_flight": 0}
    assert datetime.fromisoformat(told["workers"][0]["started_at"]).tzinfo
    assert told["attention"][0]["remedy"]


@pytest.mark.usefixtures("busy")
def test_as_csv_it_is_a_line_for_each_lane(sms: Sms) -> None:
    answer = sms("stats", "--csv")

    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert [(row["lane"], row["waiting"], row["unconfirmed"]) for row in rows] == [
        ("otp", "1", "0"),
        ("normal", "0", "0"),
        ("bulk", "0", "1"),
    ]
    assert {(row["verdict"], row["on_redis"]) for row in rows} == {("going", "0")}


def test_orders_that_nobody_has_taken_yet_are_counted_on_redis_whoever_holds_them(sms: Sms, redis_url: str) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.lpush("sms.bulk", *[a_send() for _ in range(5)])
        redis.lpush("sms.bulk\x06\x163", a_send())
        LaneLists(redis, owner="sms@one:1:x").take(Lane.BULK, most=2, most_bytes=10_000)

    answer = sms("stats", "--json")

    assert json.loads(answer.out)["on_redis"]["bulk"] == {"waiting": 4, "in_flight": 2}


def test_a_redis_that_is_away_is_said_and_hides_nothing_else(sms: Sms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_REDIS_URL", "redis://:hidden@127.0.0.1:1/0")

    answer = sms("stats")

    assert answer.code == 0
    assert "does not answer (ConnectionError): nobody knows" in answer.out
    assert "hidden" not in answer.out
    assert "STOPPED" in answer.out


def test_with_another_broker_it_says_that_it_cannot_look_there(sms: Sms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_BROKER_URL", "amqp://guest@127.0.0.1//")

    assert "is not the broker here" in sms("stats").out
    assert json.loads(sms("stats", "--json").out)["on_redis"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--json", "--csv"], "Choose one of --json and --csv.", id="two forms"),
        pytest.param(["5"], "sms stats --watch 5", id="an interval without --watch"),
    ],
)
def test_words_that_make_no_sense_get_one_line(sms: Sms, words: list[str], said: str) -> None:
    answer = sms("stats", *words)

    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert said in answer.err


@pytest.fixture
def env(database_url: str, redis_url: str) -> dict[str, str]:
    gateway = {"SMS_GATEWAY_URL": "http://127.0.0.1:9", "SMS_GATEWAY_LOGIN": "login", "SMS_GATEWAY_PASSWORD": "x"}
    return gateway | {"SMS_DATABASE_URL": database_url, "SMS_REDIS_URL": redis_url}


@pytest.mark.usefixtures("busy")
def test_the_live_page_follows_what_happens_outlives_the_database_and_ends_quietly(
    tmp_path: Path, env: dict[str, str], engine: Engine, sessions: Sessions, request: pytest.FixtureRequest
) -> None:
    outage = Outage(engine, lambda: request.getfixturevalue("postgres_server"))
    with OnTerminal(tmp_path, env, "stats", "--watch", "0.1") as page:
        page.wait_until_drawn("GOING  Messages go out.")
        with sessions.begin() as session:
            account_id = accounts.account_id_of(session, "login")
            accounts.hold(session, account_id, now=now(), who="ann", reason="a campaign went wrong")
        held = page.wait_until_drawn("held by ann")
        outage.begin()
        away = page.wait_until_drawn("The database does not answer since")
        outage.end()
        wait_for(lambda: "does not answer" not in page.wait_until_drawn("STOPPED"))
        code, last = page.interrupt(), page.read()

    assert "STOPPED  A person, or a restored database, lets nothing be posted." in held
    assert "held by ann" in away
    assert code == 0
    assert "Traceback" not in last
    assert "Aborted" not in last


@pytest.mark.usefixtures("busy")
def test_the_live_page_fits_a_small_terminal(tmp_path: Path, env: dict[str, str]) -> None:
    with OnTerminal(tmp_path, env, "stats", "--watch", "0.1", columns=80, lines=24) as page:
        seen = page.wait_until_drawn("callbacks")

    assert max(len(line.rstrip()) for line in seen.splitlines()) <= 80
    assert "out/min" in seen
    assert "on redis" in seen


@pytest.mark.usefixtures("busy")
def test_in_24_lines_what_needs_a_person_stands_above_the_details_and_nothing_that_matters_is_cropped(
    tmp_path: Path, env: dict[str, str], sessions: Sessions
) -> None:
    for number in range(9):
        stored(sessions, state=MessageState.UNCONFIRMED, lane=Lane.OTP, reason=f"HTTP {500 + number}")
    with OnTerminal(tmp_path, env, "stats", "--watch", "0.1", columns=80, lines=24) as page:
        small, _, _ = page.wait_until_drawn("callbacks").partition("callbacks")
    with OnTerminal(tmp_path, env, "stats", "--watch", "0.1", columns=80, lines=60) as page:
        large, _, _ = page.wait_until_drawn("in flight").partition("in flight")

    order = ["what to do", "out/min", "needs a person", "HTTP 50", "sms unconfirmed: look", "more kinds", "gateway  "]
    places = [small.find(words) for words in [*order, "account  ", "circuits  ", "workers  "]]
    assert -1 not in places
    assert places == sorted(places)
    assert large.count("sms unconfirmed: look") > small.count("sms unconfirmed: look")


def test_a_refused_order_says_how_to_look_at_all_alike(sms: Sms, sessions: Sessions) -> None:
    an_intake(sessions, now).take_raw([a_send("12345")], Lane.OTP)

    answer = sms("stats")

    assert "1 orders today (UTC): sms refused" in answer.out
    assert "(sms refused --reason phone_invalid)" in " ".join(answer.out.split())


@pytest.mark.usefixtures("busy")
def test_in_sixty_columns_nothing_is_cut_off(tmp_path: Path, env: dict[str, str]) -> None:
    with OnTerminal(tmp_path, env, "stats", columns=60, lines=50) as page:
        seen = page.wait_until_drawn("needs a person")

    assert max(len(line.rstrip()) for line in seen.splitlines()) <= 60
    assert "unconfirmed" in seen
    assert "…" not in seen


@pytest.mark.usefixtures("busy")
def test_what_needs_a_person_names_an_example_and_no_line_of_it_begins_at_the_margin(sms: Sms) -> None:
    answer = sms("stats")

    _, _, below = answer.out.partition("needs a person\n")
    listed, _, _ = below.partition("\n\n")
    assert "sms unconfirmed: look, then resend or drop (sms show " in listed
    assert not [line for line in listed.splitlines() if line.strip() and not line.startswith("  ")]


def test_no_terminal_obeys_what_a_person_or_the_gateway_wrote(sms: Sms, sessions: Sessions) -> None:
    with sessions.begin() as session:
        account_id = accounts.account_id_of(session, "login")
        accounts.hold(session, account_id, now=now(), who="a\u202enn\x9b2J", reason=None)

    shown = [sms("stats", *words).out for words in ((), ("--json",))]

    assert not [one for one in shown if "\u202e" in one or "\x9b" in one]
    assert json.loads(shown[1])["account"]["held_by"] == "a\u202enn\x9b2J"
