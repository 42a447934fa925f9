"""The contract with producers: what cannot be accepted is not lost, and whoever asks to be told is told."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from builders import NOON, Sessions, a_polling, a_submission, all_of, an_upkeep, stored
from jsonschema import Draft202012Validator
from shop import PHONE, TELL, TEXT, Shop
from taking import the_only_sms, the_refusal

from models import Callback, Message
from models.lifecycle import FINAL, MessageState
from worker.callbacks import Callbacks
from worker.errors import CallbackFailed, SubmissionUnconfirmed
from worker.gateway.memory import MemoryGateway
from worker.orders import uid_of_key
from worker.store.callbacks import Owed
from worker.webhook import signature

KEYS = {"event_id", "uid", "key", "producer", "state", "reason", "phone", "parts", "at"}
EVENT = Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "docs/schemas/event.json").read_text(encoding="utf-8")),
    format_checker=Draft202012Validator.FORMAT_CHECKER,
)
ADDRESS = {"url": "https://shop.example/sms"}
CANNOT: dict[str, tuple[dict[str, Any], str]] = {
    "no phone": ({"text": TEXT}, "phone_missing"),
    "no text": ({"phone": PHONE}, "text_missing"),
    "too long": ({"phone": PHONE, "text": "a" * 1_600}, "text_too_long"),
    "not a number": ({"phone": "call me", "text": TEXT}, "phone_invalid"),
    "a field that is wrong": ({"phone": PHONE, "text": TEXT, "send_at": "soon"}, "send_at_invalid"),
    "an argument too many": ({"args": (PHONE, TEXT, "more")}, "arguments_invalid"),
    "a wrong window": ({"phone": PHONE, "text": TEXT, "spread_seconds": -1}, "spread_seconds_invalid"),
}


@pytest.mark.parametrize("case", CANNOT)
def test_what_cannot_be_accepted_is_a_row_with_the_raw_body_the_reason_and_the_time(
    shop: Shop, sessions: Sessions, case: str
) -> None:
    fields, reason = CANNOT[case]
    uid = shop.order("sms.send", *fields.get("args", ()), **{name: fields[name] for name in fields if name != "args"})
    (raw,) = shop.lying()

    taken = shop.take()

    refused = the_refusal(sessions)
    assert (taken.stored, taken.refused) == (0, 1)
    assert (refused.reason, refused.created_at, refused.queue) == (reason, NOON, "sms.normal")
    assert (refused.task, refused.uid) == ("sms.send", uid)
    assert refused.body.encode() == raw


@pytest.mark.parametrize("raw", [b"not JSON", b"", b"\xff\x00", b"[]"], ids=["words", "nothing", "bytes", "a list"])
def test_what_is_no_json_of_celery_is_a_row_with_the_raw_body(shop: Shop, sessions: Sessions, raw: bytes) -> None:
    shop.redeliver(raw)

    shop.take()

    refused = the_refusal(sessions)
    body = base64.b64decode(refused.body) if refused.body_encoding == "base64" else refused.body.encode()
    assert (body, refused.created_at) == (raw, NOON)
    assert refused.reason in {"not_json", "not_protocol_2"}


@pytest.mark.parametrize("target", [TELL, ADDRESS], ids=["by task", "by address"])
def test_the_producer_of_what_cannot_be_accepted_is_told(
    shop: Shop, sessions: Sessions, target: dict[str, str]
) -> None:
    shop.send("call me", producer="shop", key="order-1", callback=target)

    shop.take()

    (told,) = all_of(sessions, Callback)
    said = {name: told.event[name] for name in KEYS - {"event_id", "at"}}
    assert told.target == target
    assert said == {
        "uid": uid_of_key("shop", "order-1"),
        "key": "order-1",
        "producer": "shop",
        "state": "refused",
        "reason": "phone_invalid",
        "phone": "call me",
        "parts": None,
    }


CALLBACKS = [
    pytest.param({"task": "shop.sms_changed", "queue": "shop"}, id="a task and its queue"),
    pytest.param({"task": "shop.sms_changed"}, id="a task"),
    pytest.param(ADDRESS, id="an address"),
]
NO_CALLBACKS = ["shop", {}, {"queue": "shop"}, {"url": "ftp://shop.example/"}, {**TELL, **ADDRESS}, {"task": ""}]


@pytest.mark.parametrize("callback", CALLBACKS)
def test_a_callback_has_one_of_these_forms(shop: Shop, sessions: Sessions, callback: dict[str, str]) -> None:
    shop.send(callback=callback)

    shop.take()

    assert the_only_sms(sessions).callback == callback


@pytest.mark.parametrize("callback", NO_CALLBACKS, ids=str)
def test_a_callback_has_no_other_form(shop: Shop, sessions: Sessions, callback: Any) -> None:
    shop.send(callback=callback)

    shop.take()

    assert the_refusal(sessions).reason == "callback_invalid"


def test_a_post_to_an_address_is_signed_with_hmac_sha256_of_time_and_body() -> None:
    expected = hmac.new(b"a secret", b"1767225600." + b'{"a":1}', hashlib.sha256).hexdigest()

    assert signature("a secret", b'{"a":1}', 1767225600) == f"t=1767225600,v1={expected}"


def life_to(state: MessageState, shop: Shop, sessions: Sessions) -> None:
    """Let one message reach *state* by the rooms themselves."""
    fields = {"expires_at": "2026-11-30T12:30:00Z"} if state is MessageState.EXPIRED else {}
    shop.send(callback=TELL, producer="shop", key="order-1", **fields)
    if state is MessageState.CANCELLED:
        shop.order("sms.cancel", producer="shop", key="order-1")
    shop.take()
    if state is MessageState.EXPIRED:
        shop.clock.advance(hours=1)
        an_upkeep(sessions, shop.clock).sweep()
        return
    cut_off = [SubmissionUnconfirmed("cut off")] if state is MessageState.UNCONFIRMED else []
    gateway = MemoryGateway(answers=cut_off, now=shop.clock)
    a_submission(sessions, gateway, shop.clock).post_next()
    if state in {MessageState.DELIVERED, MessageState.FAILED}:
        gateway.deliver(PHONE, "rejected" if state is MessageState.FAILED else "delivered")
    shop.clock.advance(hours=49 if state is MessageState.UNKNOWN else 1)
    if state in {MessageState.DELIVERED, MessageState.FAILED, MessageState.UNKNOWN}:
        a_polling(sessions, gateway, shop.clock).ask_next()


TOLD_ON_THE_WAY = {MessageState.DELIVERED, MessageState.FAILED, MessageState.UNKNOWN}


@pytest.mark.parametrize("state", sorted({MessageState.SUBMITTED, MessageState.UNCONFIRMED} | FINAL), ids=str)
def test_a_callback_is_told_at_submitted_unconfirmed_and_each_final_state_with_exactly_these_keys(
    shop: Shop, sessions: Sessions, state: MessageState
) -> None:
    life_to(state, shop, sessions)

    told = [one.event for one in all_of(sessions, Callback)]
    sms = the_only_sms(sessions)
    assert [one["state"] for one in told] == [*(["submitted"] if state in TOLD_ON_THE_WAY else []), str(state)]
    for event in told:
        EVENT.validate(event)
        assert set(event) == KEYS
        assert (event["uid"], event["key"], event["producer"]) == (sms.uid, "order-1", "shop")
        assert (event["phone"], event["parts"]) == (PHONE, 1)
    assert len({event["event_id"] for event in told}) == len(told)


@pytest.mark.parametrize("state", ["queued", "posting"])
def test_a_callback_is_not_told_of_what_is_between(shop: Shop, sessions: Sessions, state: str) -> None:
    seen = []
    shop.send(callback=TELL)
    shop.take()
    seen.append((the_only_sms(sessions).state, all_of(sessions, Callback)))
    look = lambda _: seen.append((the_only_sms(sessions).state, all_of(sessions, Callback)))  # noqa: E731
    a_submission(sessions, MemoryGateway(during=look), shop.clock).post_next()

    assert (state, []) in seen


def test_an_event_is_told_at_least_once_and_under_the_same_event_id_on_a_repeat(shop: Shop, sessions: Sessions) -> None:
    heard: list[dict[str, Any]] = []

    def tell(owed: Owed) -> None:
        heard.append(owed.event)
        if len(heard) < 3:
            raise CallbackFailed("no answer")

    shop.send("call me", callback=TELL)
    shop.take()
    room = Callbacks(sessions, tell, shop.clock, lambda: 0.5)

    for _ in range(5):
        room.tell_next()
        shop.clock.advance(minutes=10)

    assert len(heard) == 3
    assert heard[0] == heard[1] == heard[2]
    assert heard[0]["event_id"]


def test_a_message_without_a_callback_is_nobodys_to_tell(shop: Shop, sessions: Sessions) -> None:
    stored(sessions)
    shop.send()
    shop.send("call me")

    shop.take()
    a_submission(sessions, clock=shop.clock).post_next()

    assert {sms.state for sms in all_of(sessions, Message)} == {"submitted"}
    assert all_of(sessions, Callback) == []
