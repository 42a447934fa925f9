"""What cannot be accepted is kept as it came, with its reason, and its producer is told."""

import base64
import json
import uuid
from random import Random
from typing import Any

import pytest
from builders import NOON, Sessions, a_send, all_of, an_envelope
from sqlalchemy import Engine, text
from taking import TASK_ID, TELL, take, the_only_sms, the_refusal

from models import Callback, RefusedIntake
from models.lifecycle import Lane
from worker.orders import uid_of_key

BAD_ORDERS: dict[str, tuple[str, bytes]] = {
    "no phone": ("phone_missing", an_envelope("sms.send", text="Hello")),
    "an empty phone": ("phone_missing", a_send("")),
    "a phone that is no number": ("phone_invalid", a_send("call me")),
    "a foreign phone": ("phone_foreign", a_send("+12025550123x".rstrip("x") + "0")),
    "a fixed line": ("phone_fixed_line", a_send("998712001234")),
    "no text": ("text_missing", an_envelope("sms.send", "998901234567")),
    "an empty text": ("text_missing", a_send(text=" \n")),
    "a text with NUL": ("text_invalid", a_send(text="a\0b")),
    "a text with half a surrogate pair": ("text_invalid", a_send(text="a\ud83d")),
    "a text too long": ("text_too_long", a_send(text="a" * 1_531)),
    "an empty key": ("key_invalid", a_send(key="")),
    "a key that is no text": ("key_invalid", a_send(key=7)),
    "a producer too long": ("producer_invalid", a_send(producer="p" * 256)),
    "an empty nickname": ("nickname_invalid", a_send(nickname="")),
    "a time that is none": ("send_at_invalid", a_send(send_at="tomorrow")),
    "a time beyond all calendars": ("expires_at_invalid", a_send(expires_at="9999-12-31T23:59:59-05:00")),
    "an eta that is none": ("send_at_invalid", a_send(headers={"eta": 7})),
    "a window of no time": ("spread_seconds_invalid", a_send(spread_seconds=0)),
    "a window beyond all plans": ("spread_seconds_invalid", a_send(spread_seconds=30 * 86_400 + 1)),
    "a window that is no number": ("spread_seconds_invalid", a_send(spread_seconds="7200")),
    "a callback that is none": ("callback_invalid", a_send(callback={"mail": "x"})),
    "a task id too long": ("task_id_invalid", a_send(task_id="t" * 256)),
    "a task id with NUL": ("task_id_invalid", a_send(task_id="t\0")),
    "an argument too many": ("arguments_invalid", an_envelope("sms.send", "998901234567", "a", "b")),
    "an argument twice": ("arguments_invalid", an_envelope("sms.send", "998901234567", phone="998901234567")),
    "no list of messages": ("messages_invalid", an_envelope("sms.send_many", "998901234567")),
    "an empty list of messages": ("messages_invalid", an_envelope("sms.send_many", [])),
    "too many messages": ("messages_invalid", an_envelope("sms.send_many", [{}] * 1_001)),
    "too large": ("messages_too_large", an_envelope("sms.send_many", [{"a": "a" * 524_288}])),
    "a thousand long texts": ("messages_too_large", an_envelope("sms.send_many", [{"text": "я" * 270}] * 1_000)),
    "a cancel of nothing": ("uid_missing", an_envelope("sms.cancel")),
    "a decision about nothing": ("uids_invalid", an_envelope("sms.resolve", [], "drop")),
    "no decision": ("decision_invalid", an_envelope("sms.resolve", ["a"], "wait")),
    "a decision that is no word": ("decision_invalid", an_envelope("sms.resolve", ["a"], ["drop"])),
    "a block of nobody": ("phones_invalid", an_envelope("sms.block", [])),
    "a block of too many": ("phones_invalid", an_envelope("sms.block", ["998901234567"] * 1_001)),
    "a block of what is no number": ("phone_invalid", an_envelope("sms.block", ["998901234567", "me"])),
    "a block by no lane": ("lanes_invalid", an_envelope("sms.block", ["998901234567"], lanes=["fast"])),
    "a block for no reason": ("reason_invalid", an_envelope("sms.block", ["998901234567"], reason="")),
    "an unblock of nobody": ("phones_invalid", an_envelope("sms.unblock")),
    "a task that is not ours": ("task_unknown", an_envelope("sms.sned", "998901234567", "a")),
    "a chain": ("canvas_unsupported", a_send(embed={"chain": [{"task": "x"}]})),
    "a link": ("canvas_unsupported", a_send(embed={"callbacks": [{"task": "x"}]})),
    "a link_error": ("canvas_unsupported", a_send(embed={"errbacks": [{"task": "x"}]})),
    "a part of a chord": ("canvas_unsupported", a_send(embed={"chord": {"task": "x"}})),
    "another contract": ("contract_unsupported", a_send(headers={"sms_contract": "2.0"})),
    "a compressed body": ("compressed", a_send(headers={"compression": "application/x-gzip"})),
    "not base64": ("not_base64", json.dumps(json.loads(a_send()) | {"body": "%%%"}).encode()),
    "a body that is not JSON": ("not_json", json.dumps(json.loads(a_send()) | {"body": "YWJj"}).encode()),
    "a body of protocol 1": ("not_protocol_2", json.dumps(json.loads(a_send()) | {"body": "e30="}).encode()),
    "no body": ("not_protocol_2", json.dumps(json.loads(a_send()) | {"body": None}).encode()),
    "pickle": (
        "content_type_forbidden",
        json.dumps(json.loads(a_send()) | {"content-type": "application/x-python-serialize"}).encode(),
    ),
    "no headers": ("not_protocol_2", b'{"body": "e30="}'),
    "a list": ("not_protocol_2", b"[1, 2]"),
    "no JSON": ("not_json", b"hello"),
    "nothing": ("not_json", b""),
    "bytes that are no text": ("not_json", b"\x80\x04\x95\xff"),
    "endlessly nested": ("not_json", b"[" * 100_000),
    "a number beyond all digits": ("not_json", b"1" * 5_000),
}


@pytest.mark.parametrize(("reason", "raw"), BAD_ORDERS.values(), ids=BAD_ORDERS)
def test_what_cannot_be_accepted_is_kept_with_its_reason_and_its_body(
    sessions: Sessions, reason: str, raw: bytes
) -> None:
    taken = take(sessions, raw)

    refused = the_refusal(sessions)
    body = base64.b64decode(refused.body) if refused.body_encoding == "base64" else refused.body.encode()
    assert (taken.stored, taken.refused) == (0, 1)
    assert (reason, "sms.normal", NOON) == (refused.reason, refused.queue, refused.created_at)
    assert refused.explanation.endswith((".", "!"))
    assert body == raw


OUR_QUEUES = ["sms.submission", "sms.polling", "sms.callbacks", "sms.upkeep", *(f"sms.{lane}" for lane in Lane)]
OUR_LISTS = [
    "sms.otp\x06\x163",
    "sms:intake:owners",
    "unacked",
    "unacked_index",
    "shop.unacked_index",
    "_kombu.binding.x",
]


@pytest.mark.parametrize("queue", [*OUR_QUEUES, *OUR_LISTS], ids=ascii)
def test_nobody_is_told_by_what_workers_live_on(sessions: Sessions, queue: str) -> None:
    take(sessions, a_send(callback={"task": "sms.submit_batches", "queue": queue}))

    assert (the_refusal(sessions).reason, all_of(sessions, Callback)) == ("callback_invalid", [])


@pytest.mark.parametrize("queue", ["celery", "shop", "sms.events", "sms"])
def test_a_queue_of_the_producer_s_own_may_have_such_a_name(sessions: Sessions, queue: str) -> None:
    take(sessions, a_send(callback={"task": "sms.tasks.changed", "queue": queue}))

    assert the_only_sms(sessions).callback == {"task": "sms.tasks.changed", "queue": queue}


def test_an_address_needs_a_secret_to_sign_with(sessions: Sessions) -> None:
    take(sessions, a_send(callback={"url": "https://shop.example/sms"}), signs_callbacks=False)

    assert the_refusal(sessions).reason == "callback_invalid"


REFUSED_WITH_CALLBACK: list[Any] = [
    pytest.param(a_send("", callback=TELL, key="k", producer="shop", task_id=TASK_ID), id="no phone"),
    pytest.param(a_send("998\0", callback=TELL, key="k", producer="shop", task_id=TASK_ID), id="a phone with NUL"),
    pytest.param(a_send(text="", callback=TELL, key="k", producer="shop", task_id=TASK_ID), id="no text"),
]


@pytest.mark.parametrize("raw", REFUSED_WITH_CALLBACK)
def test_the_producer_of_a_refused_order_is_told_at_its_callback(sessions: Sessions, raw: bytes) -> None:
    take(sessions, raw)

    (owed,) = all_of(sessions, Callback)
    assert set(owed.event) == {"event_id", "uid", "key", "producer", "state", "reason", "phone", "parts", "at"}
    assert (owed.target, owed.event["uid"], owed.event["key"], owed.event["producer"], owed.event["state"]) == (
        TELL,
        uid_of_key("shop", "k"),
        "k",
        "shop",
        "refused",
    )
    assert owed.event["reason"] == the_refusal(sessions).reason


@pytest.fixture
def complaint(request: pytest.FixtureRequest, engine: Engine) -> None:
    """A PostgreSQL that cannot hold anything for 99890111…, whatever the reason: SQLSTATE is the test's."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                f"RAISE EXCEPTION 'no' USING ERRCODE = '{request.param}'; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER complaint BEFORE INSERT ON messages FOR EACH ROW "
                "WHEN (NEW.phone LIKE '99890111%') EXECUTE FUNCTION complain()"
            )
        )


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("complaint", ["22000"], indirect=True)
@pytest.mark.parametrize("place", [0, 99, 199], ids=["first", "in the middle", "last"])
@pytest.mark.usefixtures("complaint")
def test_an_order_that_the_database_cannot_hold_is_refused_alone(sessions: Sessions, place: int) -> None:
    orders = [a_send(f"99890123{number:04}") for number in range(199)]
    orders.insert(place, a_send("998901111111"))

    taken = take(sessions, *orders)

    assert (taken.stored, taken.refused) == (199, 1)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "complaint",
    [pytest.param("22000", id="a value it cannot hold"), pytest.param("54001", id="nested too deep for it")],
    indirect=True,
)
@pytest.mark.usefixtures("complaint")
def test_messages_that_cannot_be_stored_are_told_to_their_producer_and_stop_nobody(sessions: Sessions) -> None:
    many = [{"phone": phone} for phone in ("998901111111", "998902222222", "998901111112")]

    taken = take(sessions, an_envelope("sms.send_many", many, text="Sale", callback=TELL, task_id=TASK_ID))

    uids = [str(uuid.uuid5(uuid.UUID(TASK_ID), str(place))) for place in (0, 2)]
    assert (taken.stored, taken.refused) == (1, 2)
    refused = sorted((one.uid, one.reason) for one in all_of(sessions, RefusedIntake))
    assert refused == sorted((uid, "not_storable") for uid in uids)
    assert sorted(uids) == sorted(one.event["uid"] for one in all_of(sessions, Callback))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("complaint", ["22000"], indirect=True)
@pytest.mark.usefixtures("complaint")
def test_in_staging_a_message_that_cannot_be_stored_is_told_by_the_number_that_was_ordered(sessions: Sessions) -> None:
    take(sessions, a_send("998902222222", callback=TELL), staging_recipients=("998901111111",))

    (owed,) = all_of(sessions, Callback)
    assert (owed.event["reason"], owed.event["phone"]) == ("not_storable", "998902222222")


def test_tags_that_are_nested_without_end_are_cut_where_nobody_means_more(sessions: Sessions) -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]

    taken = take(sessions, a_send(tags=deep), a_send())

    assert (taken.stored, taken.refused) == (2, 0)


def test_an_order_with_an_endless_task_id_does_not_stop_its_lane(sessions: Sessions) -> None:
    endless = Random(1).randbytes(10_000).hex()  # nothing that an index could compress

    taken = take(sessions, a_send(task_id=endless), a_send())

    assert (taken.stored, taken.refused) == (1, 1)
    assert the_refusal(sessions).reason == "task_id_invalid"


@pytest.mark.parametrize(("plain", "refused"), [(True, 0), (False, 1)], ids=["plain http allowed", "https only"])
def test_a_callback_that_could_never_be_told_is_refused_at_once(sessions: Sessions, plain: bool, refused: int) -> None:
    order = a_send(callback={"url": "http://shop.example/sms"})

    taken = take(sessions, order, plain_callbacks=plain)

    assert (taken.stored, taken.refused) == (1 - refused, refused)
    assert [one.reason for one in all_of(sessions, RefusedIntake)] == ["callback_invalid"] * refused
