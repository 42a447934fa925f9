"""``sms send`` orders one SMS, and says at once what became of it."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from builders import Sessions, all_of
from sqlalchemy import update

from models import Message, RefusedIntake
from models.lifecycle import MessageState

PHONE, TEXT = "+998 90 123-45-67", "Your code is 4821"
Sms = Callable[..., Any]


def test_it_is_stored_as_every_order_is(sms: Sms, sessions: Sessions) -> None:
    answer = sms("send", PHONE, TEXT, "--lane", "otp", "--nickname", "SHOP", "--as", "ali@shop")

    (one,) = all_of(sessions, Message)
    assert (one.phone, one.text, one.lane, one.nickname) == ("998901234567", TEXT, "otp", "SHOP")
    assert (one.state, one.producer, one.tags) == ("queued", "default", {"ordered_by": "ali@shop"})
    assert answer.code == 0
    assert answer.out == f"Ordered: {one.uid} (1 part, gsm).\nIts story: sms show {one.uid}\n"


def test_it_says_what_it_costs(sms: Sms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_PRICE_PER_PART", "95")

    answer = sms("send", PHONE, "Салом " * 20)

    assert "(2 parts, ucs2, 190.00 UZS)" in answer.out


def test_the_text_can_be_kept_out_of_the_shells_history(sms: Sms, sessions: Sessions) -> None:
    sms("send", PHONE, "-", say=f"{TEXT}\n")

    assert all_of(sessions, Message)[0].text == TEXT


def test_the_same_key_is_the_same_message(sms: Sms, sessions: Sessions) -> None:
    sms("send", PHONE, TEXT, "--key", "k")

    again = sms("send", PHONE, TEXT, "--key", "k")

    assert len(all_of(sessions, Message)) == 1
    assert again.code == 0
    assert "was ordered before by this key: it is queued" in again.out


def test_another_text_by_the_same_key_is_refused_and_the_first_is_not_touched(sms: Sms, sessions: Sessions) -> None:
    sms("send", PHONE, TEXT, "--key", "k")

    other = sms("send", PHONE, "Another", "--key", "k")
    again = sms("send", PHONE, TEXT, "--key", "k")

    assert (other.code, other.err.count("\n")) == (1, 1)
    assert other.err.startswith("Refused (key_reused): ")
    assert again.code == 0
    assert [one.text for one in all_of(sessions, Message)] == [TEXT]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param(["12", TEXT], "phone_invalid", id="no phone"),
        pytest.param([PHONE, " "], "text_missing", id="no text"),
        pytest.param([PHONE, "a" * 2000], "text_too_long", id="too long"),
        pytest.param([PHONE, TEXT, "--key", "k" * 300], "key_invalid", id="long key"),
        pytest.param([PHONE, TEXT, "--callback-url", "nowhere"], "callback_invalid", id="callback"),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_1(sms: Sms, sessions: Sessions, words: list[str], reason: str) -> None:
    answer = sms("send", *words)

    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1), answer
    assert answer.err.startswith(f"Refused ({reason}): ")
    assert all_of(sessions, Message) == []
    assert len(all_of(sessions, RefusedIntake)) == 1


def test_programs_get_one_object(sms: Sms) -> None:
    ordered = json.loads(sms("send", PHONE, TEXT, "--json").out)
    refused = sms("send", "12", TEXT, "--json")

    assert (ordered["state"], ordered["is_new"], ordered["parts"], ordered["refused"]) == ("queued", True, 1, None)
    assert json.loads(refused.out)["refused"] == "phone_invalid"
    assert refused.code == 1


@pytest.mark.parametrize(
    ("target", "callback"),
    [
        pytest.param(
            ["--callback-task", "shop.told", "--callback-queue", "shop"],
            {"task": "shop.told", "queue": "shop"},
            id="task",
        ),
        pytest.param(["--callback-url", "https://shop.example/sms"], {"url": "https://shop.example/sms"}, id="address"),
    ],
)
def test_somebody_can_be_told(
    sms: Sms, sessions: Sessions, monkeypatch: pytest.MonkeyPatch, target: list[str], callback: dict[str, str]
) -> None:
    monkeypatch.setenv("SMS_CALLBACK_SECRET", "s" * 40)

    answer = sms("send", PHONE, TEXT, *target)

    assert answer.code == 0
    assert all_of(sessions, Message)[0].callback == callback


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--send-at", "tomorrow"], id="time"),
        pytest.param(["--expires-at", "2020-01-01"], id="over"),
        pytest.param(["--key", ""], id="empty key"),
        pytest.param(["--callback-queue", "shop"], id="queue alone"),
    ],
)
def test_wrong_input_is_exit_code_2_and_orders_nothing(sms: Sms, sessions: Sessions, words: list[str]) -> None:
    answer = sms("send", PHONE, TEXT, *words)

    assert answer.code == 2
    assert all_of(sessions, Message) == []
    assert all_of(sessions, RefusedIntake) == []


def test_it_does_not_wait_longer_than_it_may(sms: Sms) -> None:
    answer = sms("send", PHONE, TEXT, "--wait", "--deadline", "0")

    assert answer.code == 1
    assert answer.out.splitlines()[-2:] == ["queued", "Not final after 0 seconds; it goes on all the same."]


@pytest.mark.parametrize(("state", "code"), [("delivered", 0), ("cancelled", 1)])
def test_it_waits_for_the_end(sms: Sms, sessions: Sessions, state: str, code: int) -> None:
    end = threading.Timer(0.2, _end, [sessions, MessageState(state)])
    end.start()

    answer = sms("send", PHONE, TEXT, "--wait", "--deadline", "60")

    end.join()
    assert answer.out.splitlines()[-1] == state
    assert answer.code == code


def _end(sessions: Sessions, state: MessageState) -> None:
    """As the rooms would, in the end."""
    taken = {"request_id": "1", "submitted_at": Message.created_at, "delivered_at": Message.created_at}
    values = {"state": state, "finalized_at": Message.created_at} | (taken if state == MessageState.DELIVERED else {})
    for _ in range(200):
        with sessions.begin() as session:
            if session.scalars(update(Message).values(values).returning(Message.id)).all():
                return
        threading.Event().wait(0.05)
