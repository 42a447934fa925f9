"""``sms unconfirmed`` shows all that is known about what is in doubt, and no phone or text unless it is asked to."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from builders import NOON, Sessions, a_batch, a_phone, many_stored, stored
from typer.testing import CliRunner

from models.lifecycle import BatchState, Lane, MessageState
from worker.cli.main import app

PHONE, TEXT = "998901234567", "Your code is 4821"
IN_DOUBT = MessageState.UNCONFIRMED
Sms = Callable[..., Any]


def a_cut_off_batch(sessions: Sessions, **changes: Any) -> int:
    with sessions.begin() as session:
        return a_batch(session, state=BatchState.UNCONFIRMED, **changes)


def in_doubt(sessions: Sessions, **changes: Any) -> str:
    """Store one message in doubt; return its uid."""
    stored(sessions, **{"state": IN_DOUBT, "uid": "cut-off"} | changes)
    return str(changes.get("uid", "cut-off"))


def the_uids(answer: Any) -> list[str]:
    return [json.loads(line)["uid"] for line in answer.out.splitlines()]


def test_that_nothing_is_in_doubt_is_said(sms: Sms) -> None:
    answer = sms("unconfirmed")

    assert (answer.code, answer.out) == (0, "Nothing is unconfirmed.\n")


def test_nothing_in_doubt_is_no_line_of_json(sms: Sms) -> None:
    answer = sms("unconfirmed", "--json")

    assert (answer.code, answer.out, answer.err) == (0, "", "Nothing is unconfirmed.\n")


def test_all_that_is_known_is_told_to_programs(sessions: Sessions, sms: Sms, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = a_cut_off_batch(sessions, size=3, worker="w1@host", http_status=502, finished_at=NOON)
    known: dict[str, Any] = {"uid": "u1", "lane": "otp", "producer": "shop", "key": "k", "reason": "bad_gateway"}
    known |= {"attempts": 2, "resends": 1, "batch_id": batch}
    sms_id = stored(sessions, **known, state=IN_DOUBT, phone=PHONE, text=TEXT, posted_at=NOON - timedelta(seconds=31))
    monkeypatch.setenv("SMS_UNCONFIRMED_OTP", "drop")

    (line,) = sms("unconfirmed", "--json").out.splitlines()

    known |= {"id": sms_id, "phone": "********4567", "batch_size": 3, "worker": "w1@host", "http_status": 502}
    known |= {"posted_at": "2026-11-30T11:59:29+00:00", "unconfirmed_at": "2026-11-30T12:00:00+00:00"}
    assert json.loads(line) == known | {"policy": "drop"}


def test_all_that_is_known_is_told_to_people(sessions: Sessions, sms: Sms) -> None:
    batch = a_cut_off_batch(sessions, size=3, worker="w1@host", http_status=502)
    in_doubt(sessions, uid="u1", lane=Lane.OTP, key="k", reason="bad_gateway", batch_id=batch, phone=PHONE, parts=2)

    answer = sms("unconfirmed")

    assert answer.out.splitlines() == [
        "Unconfirmed: 1 message (2 parts).",
        "u1  otp  ********4567  producer shop, key k",
        "  posted 2026-11-30T17:00:00+05:00, unconfirmed since 2026-11-30T17:00:00+05:00: bad_gateway, HTTP 502",
        f"  batch {batch} (3 messages) by w1@host, attempts 1, resends 0, the lane's policy is hold",
        "To decide: sms unconfirmed resend, or sms unconfirmed drop, with uids or the same filters.",
    ]
    assert (answer.code, answer.err) == (0, "")


@pytest.mark.parametrize("words", [[], ["--json"], ["--uid", "cut-off"], ["resend", "--all", "--yes"]], ids=str)
def test_no_phone_and_no_text_is_shown_unasked(sessions: Sessions, sms: Sms, words: list[str]) -> None:
    in_doubt(sessions, phone=PHONE, text=TEXT)

    answer = sms("unconfirmed", *words)

    assert answer.code == 0
    assert "98901" not in answer.out + answer.err
    assert "4821" not in answer.out + answer.err


@pytest.mark.parametrize("words", [[], ["--json"]], ids=["for people", "for programs"])
def test_phone_and_text_are_shown_to_whoever_asks(sessions: Sessions, sms: Sms, words: list[str]) -> None:
    in_doubt(sessions, phone=PHONE, text=TEXT)

    answer = sms("unconfirmed", "--reveal", *words)

    assert PHONE in answer.out
    assert TEXT in answer.out


def test_nothing_but_what_is_in_doubt_is_listed(sessions: Sessions, sms: Sms) -> None:
    for state in set(MessageState) - {IN_DOUBT}:
        stored(sessions, state=state)

    assert sms("unconfirmed").out == "Nothing is unconfirmed.\n"


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--uid", "this"], id="its uid"),
        pytest.param(["--lane", "otp"], id="its lane"),
        pytest.param(["--producer", "bank"], id="its producer"),
        pytest.param(["--reason", "read_timeout"], id="what broke"),
        pytest.param(["--since", "2026-11-30T12:30:00+00:00"], id="since, with an offset"),
        pytest.param(["--since", "2026-11-30T17:30:00"], id="since, in the zone of the settings"),
        pytest.param(["--until", "2026-12-01", "--since", "2026-11-30T17:30"], id="a day and a minute"),
        pytest.param(["--lane", "otp", "--producer", "bank"], id="all that is given"),
    ],
)
def test_a_filter_picks_what_it_says(sessions: Sessions, sms: Sms, words: list[str]) -> None:
    in_doubt(sessions, uid="other", reason="bad_gateway")
    later = {"posted_at": NOON + timedelta(hours=1), "reason": "read_timeout"}
    in_doubt(sessions, uid="this", lane=Lane.OTP, producer="bank", **later)

    assert the_uids(sms("unconfirmed", "--json", *words)) == ["this"]


def test_a_batch_is_picked_by_its_number(sessions: Sessions, sms: Sms) -> None:
    batch = a_cut_off_batch(sessions, size=2)
    in_doubt(sessions, uid="other")
    for uid in ("a", "b"):
        in_doubt(sessions, uid=uid, batch_id=batch)

    assert the_uids(sms("unconfirmed", "--json", "--batch", str(batch))) == ["a", "b"]


def test_until_is_a_moment_that_is_not_in_it_any_more(sessions: Sessions, sms: Sms) -> None:
    in_doubt(sessions, posted_at=NOON)
    at, just_after = (moment.isoformat() for moment in (NOON, NOON + timedelta(microseconds=1)))

    assert the_uids(sms("unconfirmed", "--json", "--until", at)) == []
    assert the_uids(sms("unconfirmed", "--json", "--since", at, "--until", just_after)) == ["cut-off"]


def test_people_see_the_first_twenty_and_are_told_of_the_others(sessions: Sessions, sms: Sms) -> None:
    many_stored(sessions, 23, state=IN_DOUBT, batch_id=a_cut_off_batch(sessions))

    answer = sms("unconfirmed")

    assert answer.out.count("unconfirmed since") == 20
    assert "\nNot shown: 3 more. --limit 23 shows them all, filters narrow them.\n" in answer.out
    assert sms("unconfirmed", "--limit", "23").out.count("unconfirmed since") == 23


def test_programs_get_all_of_a_very_long_list(sessions: Sessions, sms: Sms) -> None:
    many_stored(sessions, 1_200, state=IN_DOUBT, batch_id=a_cut_off_batch(sessions))

    uids = the_uids(sms("unconfirmed", "--json"))

    assert len(uids) == len(set(uids)) == 1_200


def test_programs_that_set_a_limit_are_told_of_the_others_aside(sessions: Sessions, sms: Sms) -> None:
    many_stored(sessions, 3, state=IN_DOUBT, batch_id=a_cut_off_batch(sessions))

    answer = sms("unconfirmed", "--json", "--limit", "2")

    assert len(the_uids(answer)) == 2
    assert "Not shown: 1 more." in answer.err


def test_a_producer_s_words_do_not_command_the_terminal(sessions: Sessions, sms: Sms) -> None:
    in_doubt(sessions, key="k\x1b[2J\nUnconfirmed: 0", text="line\r\x9b2J")

    answer = sms("unconfirmed", "--reveal")

    assert r"key k\x1b[2J\nUnconfirmed: 0" in answer.out
    assert all(one.isprintable() or one == "\n" for one in answer.out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--uid", "nobody"], "sms: There is no message nobody: correct the uid", id="uid"),
        pytest.param(["--batch", "4711"], "sms: There is no batch 4711: correct the number", id="batch"),
        pytest.param(["--since", "today"], "sms: --since 'today' is no time: give ISO 8601 such as", id="time"),
        pytest.param(["--until", "9999-12-31T23:59:59-12:00"], "is no time", id="time out of range"),
        pytest.param(["--since", "2026-12-02", "--until", "2026-12-01"], "--since is not before --until", id="order"),
        pytest.param(["--producer", " "], "sms: --producer is empty", id="empty producer"),
        pytest.param(["--reason", ""], "sms: --reason is empty", id="empty reason"),
        pytest.param(["--uid", ""], "sms: --uid is empty", id="empty uid"),
        pytest.param([f"--uid={n}" for n in range(1_001)], "sms: 1001 uids are too many: give at most", id="many uids"),
        pytest.param(["--lane", "otp", "resend"], "sms: Filters stand behind the command", id="filter before resend"),
    ],
)
def test_wrong_words_get_one_line(sms: Sms, words: list[str], said: str) -> None:
    answer = sms("unconfirmed", *words)

    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert answer.out == ""


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        pytest.param(["--lane", "sms.otp"], "'normal'", id="lane"),
        pytest.param(["--batch", "0"], "greater than or equal to 1", id="batch of nothing"),
        pytest.param(
            ["--batch", str(2**63)], "less than or equal to 9223372036854775807", id="batch beyond any database"
        ),
        pytest.param(["--limit", "0"], "greater than or equal to 1", id="limit of nothing"),
        pytest.param(["--limit", "all"], "valid integer", id="limit in words"),
    ],
)
def test_what_is_allowed_is_said(sms: Sms, words: list[str], allowed: str) -> None:
    answer = sms("unconfirmed", *words)

    assert answer.code == 2
    assert allowed in " ".join(answer.err.replace("│", " ").split())


def test_a_message_that_is_settled_is_said_to_be_so(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, uid="taken", state=MessageState.DELIVERED)

    answer = sms("unconfirmed", "--uid", "taken")

    assert answer.code == 0
    assert answer.err == "taken is delivered, not unconfirmed.\n"
    assert answer.out == "Nothing unconfirmed meets all of this.\n"


def test_a_batch_that_is_settled_is_said_to_be_so(sessions: Sessions, sms: Sms) -> None:
    with sessions.begin() as session:
        batch = a_batch(session, state=BatchState.RELEASED)

    assert sms("unconfirmed", "--batch", str(batch)).err == f"Batch {batch} is released.\n"


@pytest.mark.parametrize(
    ("option", "there"), [("--producer", "bank, shop"), ("--reason", "read_timeout, bad_gateway")], ids=str
)
def test_a_name_that_leads_to_none_is_answered_with_those_there_are(
    sessions: Sessions, sms: Sms, option: str, there: str
) -> None:
    in_doubt(sessions, uid="1", reason="bad_gateway")
    for uid in ("2", "3"):
        in_doubt(sessions, uid=uid, producer="bank", reason="read_timeout")

    answer = sms("unconfirmed", option, "shp")

    assert answer.err == f"No unconfirmed message has the {option[2:]} shp. There are: {there}.\n"


def test_a_database_that_is_away_is_one_line(sms: Sms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_DATABASE_URL", "postgresql+psycopg://sms:hidden@127.0.0.1:1/sms")

    answer = sms("unconfirmed")

    assert answer.code == 2
    assert "127.0.0.1:1/sms does not answer" in answer.err
    assert "hidden" not in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("command", [["unconfirmed", "resend"], ["unconfirmed", "drop"], ["recover"]], ids=" ".join)
def test_the_help_says_what_the_exit_codes_mean(command: list[str]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"])

    assert "Exit code 0: " in shown.output
    assert " 1: " in shown.output
    assert " 2: " in shown.output


def test_the_instants_of_json_are_aware(sessions: Sessions, sms: Sms) -> None:
    in_doubt(sessions, phone=a_phone(7))

    (line,) = sms("unconfirmed", "--json").out.splitlines()

    found = json.loads(line)
    assert datetime.fromisoformat(found["posted_at"]) == NOON
    assert datetime.fromisoformat(found["unconfirmed_at"]).tzinfo == UTC
