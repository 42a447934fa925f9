"""``sms cancel`` and ``sms ask``: a person decides about messages by their uids."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, a_polling, a_submission, all_of, states_of, stored
from taking import TELL

from models import Callback, Decision, Message
from worker.clock import utc_now
from worker.gateway.memory import MemoryGateway
from worker.orders import uid_of_key

Sms = Callable[..., Any]
LONG_AGO = NOON - timedelta(days=30)


def audit(sessions: Sessions) -> list[tuple[str, str, str | None]]:
    return [(one.who, one.what, one.uid) for one in all_of(sessions, Decision)]


def test_a_cancelled_message_is_never_posted_and_its_producer_is_told(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, uid="a", callback=TELL)

    answer = sms("cancel", "a", "--as", "nodira")

    assert (answer.code, answer.out) == (0, "a: cancelled.\n")
    assert not a_submission(sessions).post_next()
    assert [(one.state, one.reason) for one in all_of(sessions, Message)] == [("cancelled", "cancelled_by_person")]
    assert [one.event["state"] for one in all_of(sessions, Callback)] == ["cancelled"]
    assert audit(sessions) == [("nodira", "cancel", "a")]


def test_what_is_not_queued_any_more_is_left_and_named(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, uid="a")
    stored(sessions, uid="b", state="delivered")

    answer = sms("cancel", "a", "b", "a")

    assert (answer.code, answer.out) == (1, "a: cancelled.\nb: left as it is, delivered.\n")
    assert states_of(sessions) == ["cancelled", "delivered"]


def test_an_unknown_message_is_asked_about_once_more(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, uid="a", state="unknown", submitted_at=LONG_AGO, finalized_at=LONG_AGO)

    answer = sms("ask", "a", "--as", "nodira")

    (asked,) = all_of(sessions, Message)
    assert (answer.code, answer.out) == (0, "a: to be asked about.\n")
    assert (asked.state, asked.finalized_at, asked.next_poll_at is not None) == ("submitted", None, True)
    assert audit(sessions) == [("nodira", "ask", "a")]


def test_without_a_final_answer_it_is_unknown_again(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, uid="a", state="unknown", submitted_at=LONG_AGO, finalized_at=LONG_AGO)
    sms("ask", "a")
    clock = Clock(utc_now() + timedelta(seconds=1))

    a_polling(sessions, MemoryGateway(now=clock), clock).ask_next()

    assert states_of(sessions) == ["unknown"]


@pytest.mark.parametrize("command", ["cancel", "ask"])
@pytest.mark.parametrize("uids", [["a", "nobody"], ["a", ""]], ids=["one that nobody has", "an empty one"])
def test_a_wrong_uid_changes_nothing(sessions: Sessions, sms: Sms, command: str, uids: list[str]) -> None:
    stored(sessions, uid="a")

    answer = sms(command, *uids)

    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert states_of(sessions) == ["queued"]
    assert audit(sessions) == []


def test_a_message_is_named_as_its_producer_does(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, uid=uid_of_key("shop", "order-1"), producer="shop", key="order-1")
    stored(sessions, uid=uid_of_key("shop", "order-2"), producer="shop", key="order-2", state="delivered")

    answer = sms("cancel", "--producer", "shop", "--key", "order-1", "--key", "order-2")

    assert (answer.code, answer.out) == (1, "key order-1: cancelled.\nkey order-2: left as it is, delivered.\n")
    assert states_of(sessions) == ["cancelled", "delivered"]


def test_who_names_no_producer_means_the_one_of_orders_that_name_none(sessions: Sessions, sms: Sms) -> None:
    gone = {"state": "unknown", "submitted_at": LONG_AGO, "finalized_at": LONG_AGO}
    stored(sessions, uid=uid_of_key("default", "k"), producer="default", key="k", **gone)

    assert sms("ask", "--key", "k").out == "key k: to be asked about.\n"


@pytest.mark.parametrize("command", ["cancel", "ask"])
@pytest.mark.parametrize(
    ("words", "line"),
    [
        pytest.param([], "Which messages? Name their uids, or a --key", id="nothing"),
        pytest.param(["a", "--key", "order-1"], "There is no message key order-1 of this producer", id="no such key"),
        pytest.param(["a", "--key", ""], "--key is empty", id="an empty key"),
        pytest.param(["a", "--key", "k", "--producer", " "], "--producer is empty", id="an empty producer"),
    ],
)
def test_a_wrong_key_changes_nothing(sessions: Sessions, sms: Sms, command: str, words: list[str], line: str) -> None:
    stored(sessions, uid="a")

    answer = sms(command, *words)

    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert line in answer.err
    assert states_of(sessions) == ["queued"]
