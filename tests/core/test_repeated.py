"""An order that comes again, byte for byte, changes nothing, whatever the rules have become meanwhile."""

import json
from typing import Any

import pytest
from builders import Sessions, a_send, all_of, an_envelope
from taking import TELL, take, the_only_sms

from models import Callback, Message, RefusedIntake

PHONE = "998901234567"
OTHER = "998917654321"
CURLY = "Toʻlov qabul qilindi"
ONE: dict[str, Any] = {"phone": PHONE, "text": CURLY, "key": "order-1"}
FORMS = [
    pytest.param(a_send(PHONE, CURLY, key="order-1", callback=TELL), id="alone"),
    pytest.param(a_send(PHONE, CURLY, callback=TELL), id="without a key"),
    pytest.param(an_envelope("sms.send_many", [ONE], callback=TELL), id="one of many"),
]
STRICTER: list[Any] = [
    pytest.param({"allowed_recipients": ("998911111111",)}, id="another allow list"),
    pytest.param({"max_parts": 0}, id="fewer parts"),
    pytest.param({"fold_text": True}, id="folded"),
    pytest.param({"staging_recipients": ("998911111111",)}, id="staging"),
]


@pytest.mark.parametrize("order", FORMS)
def test_what_was_refused_is_not_stored_when_it_comes_again_though_nothing_stands_against_it_now(
    sessions: Sessions, order: bytes
) -> None:
    take(sessions, an_envelope("sms.block", [PHONE]))
    take(sessions, order)
    take(sessions, an_envelope("sms.unblock", [PHONE]))

    again = take(sessions, order)

    assert (again.stored, again.refused) == (0, 0)
    assert all_of(sessions, Message) == []
    assert [one.event["state"] for one in all_of(sessions, Callback)] == ["refused"]


@pytest.mark.parametrize("form", ["alone", "one of many"])
def test_what_was_refused_may_be_ordered_anew_with_its_key(sessions: Sessions, form: str) -> None:
    def order() -> bytes:
        return an_envelope("sms.send", **ONE) if form == "alone" else an_envelope("sms.send_many", [ONE])

    take(sessions, an_envelope("sms.block", [PHONE]))
    take(sessions, order())
    take(sessions, an_envelope("sms.unblock", [PHONE]))

    anew = take(sessions, order())

    assert anew.stored == 1
    assert the_only_sms(sessions).key == "order-1"


@pytest.mark.parametrize("terms", STRICTER)
@pytest.mark.parametrize("order", FORMS)
def test_what_was_stored_is_not_refused_when_it_comes_again_under_other_settings(
    sessions: Sessions, order: bytes, terms: dict[str, Any]
) -> None:
    take(sessions, order)

    again = take(sessions, order, **terms)

    assert (again.stored, again.refused) == (0, 0)
    assert all_of(sessions, RefusedIntake) == []


def test_a_thousand_that_are_refused_keep_each_no_more_than_its_own(sessions: Sessions) -> None:
    messages = [{"phone": f"99890{number:07}", "text": "Hello"} for number in range(100)]

    take(sessions, an_envelope("sms.send_many", messages, producer="shop"), allowed_recipients=("998911111111",))

    bodies = [json.loads(one.body) for one in all_of(sessions, RefusedIntake)]
    assert bodies == [{"producer": "shop", **message} for message in messages]


def test_none_in_a_message_of_many_counts_as_not_given(sessions: Sessions) -> None:
    one = {"phone": PHONE, "text": None, "nickname": None, "key": None}

    take(sessions, an_envelope("sms.send_many", [one], text="Hello", nickname="SHOP"))

    sms = the_only_sms(sessions)
    assert (sms.text, sms.nickname, sms.key) == ("Hello", "SHOP", None)


@pytest.mark.parametrize("form", ["in one list", "one after the other"])
def test_a_key_that_is_kept_out_with_one_number_is_let_in_with_another(sessions: Sessions, form: str) -> None:
    take(sessions, an_envelope("sms.block", [PHONE]))
    orders = [a_send(phone, CURLY, key="order-1") for phone in (PHONE, OTHER, "998933333333")]

    for some in [orders] if form == "in one list" else [[one] for one in orders]:
        take(sessions, *some)

    assert the_only_sms(sessions).phone == OTHER
    assert [one.reason for one in all_of(sessions, RefusedIntake)] == ["phone_blocked", "key_reused"]
