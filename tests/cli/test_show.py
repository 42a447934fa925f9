"""``sms show`` tells one message's story."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from builders import NOON, Sessions, a_send, an_envelope, an_intake, stored

from models.lifecycle import Lane, MessageState

UID = "0b9a5000-0000-4000-8000-000000000001"
OTHER = "0b9a500f-0000-4000-8000-000000000001"
PHONE, TEXT = "998901234567", "Your code is 4821"
Sms = Callable[..., Any]


@pytest.fixture
def ordered(sessions: Sessions) -> None:
    an_intake(sessions).take_raw([a_send(PHONE, TEXT, task_id=UID)], Lane.OTP)


@pytest.mark.usefixtures("ordered")
def test_it_is_told_in_the_gateways_time_zone_and_without_phone_and_text(sms: Sms) -> None:
    answer = sms("show", UID)

    lines = answer.out.splitlines()
    assert answer.code == 0
    assert lines[0] == f"{UID}  otp  ********4567  queued"
    assert (
        lines[1] == "   2026-11-30 17:00:00+05:00  Ordered by default on lane otp and stored (parts: 1, encoding gsm)."
    )
    assert lines[2] == "What is next:"
    assert "4821" not in answer.out


@pytest.mark.usefixtures("ordered")
def test_phone_and_text_are_shown_to_whoever_asks(sms: Sms) -> None:
    answer = sms("show", UID, "--reveal")

    assert PHONE in answer.out
    assert f"text: {TEXT}" in answer.out


@pytest.mark.usefixtures("ordered")
def test_programs_get_one_object_with_instants_in_utc(sms: Sms) -> None:
    story = json.loads(sms("show", UID, "--json").out)

    assert story["uid"] == UID
    assert (story["message"]["state"], story["message"]["phone"]) == ("queued", "********4567")
    assert "text" not in story["message"]
    assert story["events"][0]["kind"] == "ordered"
    assert story["events"][0]["at"] == NOON.isoformat()
    assert story["ahead"][0]["words"].startswith("It waits")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["u-77"], id="its uid"),
        pytest.param(["--phone", "90 123 45 67"], id="its phone"),
        pytest.param(["--request-id", "77"], id="its request"),
    ],
)
def test_a_message_is_found_by(sms: Sms, sessions: Sessions, words: list[str]) -> None:
    stored(sessions, uid="older", phone=PHONE)
    stored(sessions, uid="u-77", phone=PHONE, state=MessageState.DELIVERED, request_id="77")

    assert sms("show", *words).out.startswith("u-77 ")


def test_or_by_its_key(sms: Sms, sessions: Sessions) -> None:
    an_intake(sessions).take_raw([a_send(key="order-1", producer="shop")], Lane.OTP)

    answer = sms("show", "--key", "order-1", "--producer", "shop")

    assert "(key order-1)" in answer.out
    assert sms("show", "--key", "order-1").code == 2


def test_or_by_how_its_uid_begins_if_no_other_does(sms: Sms, sessions: Sessions) -> None:
    stored(sessions, uid=UID)
    stored(sessions, uid=OTHER)

    by_long, by_short, by_few = sms("show", "0B9A5000"), sms("show", "0b9a50"), sms("show", "0b9a5")

    assert by_long.out.startswith(UID)
    assert f"More than one uid begins so: {UID}, {OTHER}." in by_short.err
    assert "There is no message" in by_few.err


def test_a_refused_order_has_a_story(sms: Sms, sessions: Sessions) -> None:
    an_intake(sessions).take_raw([an_envelope("sms.send", "12", "Hello", task_id=UID)], Lane.NORMAL)

    answer = sms("show", UID)

    assert answer.code == 0
    assert "never stored" in answer.out
    assert "phone_invalid" in answer.out


def test_a_request_of_many_messages_names_them(sms: Sms, sessions: Sessions) -> None:
    for uid in ("u1", "u2"):
        stored(sessions, uid=uid, state=MessageState.DELIVERED, request_id="77")

    answer = sms("show", "--request-id", "77")

    assert answer.code == 2
    assert "u2, u1" in answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param([], "Which message?", id="nothing"),
        pytest.param([UID, "--key", "k"], "Which message?", id="two"),
        pytest.param(["nobody"], "There is no message nobody", id="unknown uid"),
        pytest.param(["--phone", PHONE], "There is no message with this --phone", id="unknown phone"),
    ],
)
def test_wrong_input_is_one_line(sms: Sms, words: list[str], said: str) -> None:
    answer = sms("show", *words)

    assert answer.code == 2
    assert said in answer.err


def test_no_terminal_obeys_the_words_of_others(sms: Sms, sessions: Sessions) -> None:
    stored(sessions, uid=UID, producer="a\x1b[2J\u202e", text="\x1b[2J", reason="\x07")

    for words in ([UID], [UID, "--reveal"], [UID, "--json", "--reveal"]):
        assert not {"\x1b", "\u202e", "\x07"} & set(sms("show", *words).out)
