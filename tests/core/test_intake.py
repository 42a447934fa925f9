"""What producers order: all that they may say, and that repeating it changes nothing."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, a_send, a_submission, all_of, an_envelope, an_intake, states_of
from databases import administer
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from taking import TASK_ID, TELL, take, the_only_sms, the_refusal

from models import Callback, Message, RefusedIntake
from models.lifecycle import Lane
from worker import envelope as envelopes
from worker.orders import MANY_BYTES, NAMESPACE, Refusal


def test_an_order_is_stored_with_a_default_for_what_it_does_not_say(sessions: Sessions) -> None:
    taken = take(sessions, a_send("+998 90 123-45-67", "Your code is 4821", task_id=TASK_ID), lane=Lane.OTP)

    sms = the_only_sms(sessions)
    assert (taken.stored, taken.refused) == (1, 0)
    assert (sms.uid, sms.lane, sms.phone, sms.state) == (TASK_ID, "otp", "998901234567", "queued")
    assert (sms.producer, sms.key, sms.nickname, sms.callback) == ("default", None, None, None)
    assert (sms.created_at, sms.send_at, sms.expires_at, sms.tags) == (NOON, NOON, None, {})
    assert (sms.parts, sms.encoding, sms.attempts) == (1, "gsm", 0)


def test_an_order_is_stored_with_all_that_it_says(sessions: Sessions) -> None:
    said: dict[str, Any] = {"nickname": "SHOP", "key": "order-1", "producer": "shop", "tags": {"city": "Toshkent"}}
    times: dict[str, Any] = {"send_at": "2026-12-01T09:00:00+05:00", "expires_at": "2026-12-01T10:00:00+05:00"}

    take(sessions, an_envelope("sms.send", phone="998901234567", text="Салом", callback=TELL, **said, **times))

    sms = the_only_sms(sessions)
    assert (
        sms.nickname,
        sms.key,
        sms.producer,
        sms.callback,
        sms.tags,
    ) == ("SHOP", "order-1", "shop", TELL, {"city": "Toshkent"})
    assert (sms.text, sms.encoding) == ("Салом", "ucs2")
    assert [NOON + timedelta(hours=16), NOON + timedelta(hours=17)] == [sms.send_at, sms.expires_at]


def test_the_settings_nickname_stands_in_where_an_order_names_none(sessions: Sessions) -> None:
    take(sessions, a_send(), a_send(nickname="SHOP"), nickname="HOUSE")

    assert [sms.nickname for sms in all_of(sessions, Message)] == ["HOUSE", "SHOP"]


def test_what_we_do_not_know_is_kept_in_the_tags(sessions: Sessions) -> None:
    take(sessions, a_send(campaign="spring", tags={"city": "Nukus"}, order=[1, {"a": None}]))

    assert the_only_sms(sessions).tags == {"campaign": "spring", "city": "Nukus", "order": [1, {"a": None}]}


@pytest.mark.parametrize("tags", ["spring", ["a", "b"], 7], ids=["a word", "a list", "a number"])
def test_tags_of_any_shape_lose_no_message(sessions: Sessions, tags: Any) -> None:
    take(sessions, a_send(tags=tags))

    assert the_only_sms(sessions).tags == {"tags": tags}


ODD_TAGS: list[Any] = [
    pytest.param({"a": "\0"}, id="NUL"),
    pytest.param({"\0": 1}, id="NUL in a name"),
    pytest.param({"a": "\ud800"}, id="half a surrogate pair"),
    pytest.param({"a": [float("nan"), float("inf")]}, id="no number"),
    pytest.param({"a": 10**400}, id="a huge number"),
]


@pytest.mark.parametrize("tags", ODD_TAGS)
def test_what_a_producer_writes_into_tags_never_loses_a_message(sessions: Sessions, tags: dict[str, Any]) -> None:
    take(sessions, a_send(), a_send(tags=tags, unknown=tags), a_send())

    assert len(all_of(sessions, Message)) == 3


def test_etas_and_expiries_of_celery_mean_the_same_as_ours(sessions: Sessions) -> None:
    times = {"eta": "2026-11-30T13:00:00+00:00", "expires": "2026-11-30T14:00:00+00:00"}

    take(sessions, a_send(headers=times))

    sms = the_only_sms(sessions)
    assert (NOON + timedelta(hours=1), NOON + timedelta(hours=2)) == (sms.send_at, sms.expires_at)


def test_our_own_times_win_over_celerys(sessions: Sessions) -> None:
    take(sessions, a_send(headers={"eta": "2026-11-30T13:00:00+00:00"}, send_at="2026-11-30T15:00:00+00:00"))

    assert the_only_sms(sessions).send_at == NOON + timedelta(hours=3)


def test_a_time_that_is_null_leaves_celerys_in_force(sessions: Sessions) -> None:
    take(sessions, a_send(headers={"eta": "2026-11-30T13:00:00+00:00"}, send_at=None))

    assert the_only_sms(sessions).send_at == NOON + timedelta(hours=1)


def test_a_naive_time_is_read_in_the_gateways_zone(sessions: Sessions) -> None:
    take(sessions, a_send(send_at="2026-11-30T18:00:00"), a_send(headers={"eta": "2026-11-30T18:00:00"}))

    assert [NOON + timedelta(hours=1)] * 2 == [sms.send_at for sms in all_of(sessions, Message)]


def test_many_messages_of_one_order_share_its_defaults_and_have_uids_of_their_own(sessions: Sessions) -> None:
    messages = [
        {"phone": "998901111111"},
        {"phone": "998902222222", "text": "Another", "nickname": "BANK", "campaign": "x"},
        {"phone": "998903333333", "key": "k", "producer": "bank"},
    ]

    taken = take(sessions, an_envelope("sms.send_many", messages, text="Sale", nickname="SHOP", task_id=TASK_ID))

    first, second, third = all_of(sessions, Message)
    assert taken.stored == 3
    assert [(sms.text, sms.nickname) for sms in (first, second, third)] == [
        ("Sale", "SHOP"),
        ("Another", "BANK"),
        ("Sale", "SHOP"),
    ]
    assert [str(uuid.uuid5(uuid.UUID(TASK_ID), str(place))) for place in (0, 1)] == [first.uid, second.uid]
    assert third.uid == str(uuid.uuid5(NAMESPACE, "bank\0k"))
    assert second.tags == {"campaign": "x"}


def test_one_bad_message_of_many_is_refused_alone(sessions: Sessions) -> None:
    messages = [{"phone": f"9989012345{number:02}"} for number in range(9)]
    messages.insert(4, {"phone": "12345"})
    messages.insert(5, "no object")  # type: ignore[arg-type]

    taken = take(sessions, an_envelope("sms.send_many", messages, text="Sale", callback=TELL, task_id=TASK_ID))

    refused = all_of(sessions, RefusedIntake)
    assert (taken.stored, taken.refused) == (9, 2)
    assert [one.reason for one in refused] == ["phone_invalid", "message_invalid"]
    assert [str(uuid.uuid5(uuid.UUID(TASK_ID), str(place))) for place in (4, 5)] == [one.uid for one in refused]
    assert json.loads(refused[0].body)["phone"] == "12345"
    assert {"refused"} == {one.event["state"] for one in all_of(sessions, Callback)}


def test_a_task_id_that_is_no_uuid_names_its_messages_as_well(sessions: Sessions) -> None:
    order = an_envelope("sms.send_many", [{"phone": "998901111111"}], text="Sale", task_id="nightly")

    take(sessions, order)

    assert the_only_sms(sessions).uid == str(uuid.uuid5(uuid.uuid5(NAMESPACE, "nightly"), "0"))


def test_the_same_producer_and_key_are_the_same_message_for_ever(sessions: Sessions) -> None:
    order = {"producer": "shop", "key": "order-1"}
    take(sessions, a_send(**order))

    taken = take(sessions, a_send(**order), a_send("+998 90 123 45 67", **order))

    assert (taken.stored, taken.refused) == (0, 0)
    assert the_only_sms(sessions).uid == str(uuid.uuid5(NAMESPACE, "shop\0order-1"))


def test_the_same_key_of_another_producer_is_another_message(sessions: Sessions) -> None:
    take(sessions, a_send(producer="shop", key="1"), a_send(producer="bank", key="1"))

    assert len(all_of(sessions, Message)) == 2


@pytest.mark.parametrize("together", [True, False], ids=["in one chunk", "one after the other"])
@pytest.mark.parametrize(
    "other", [("998901234567", "Another text"), ("998907654321", "Your code is 4821")], ids=["text", "phone"]
)
def test_the_same_key_with_another_content_is_refused_and_its_producer_told(
    sessions: Sessions, together: bool, other: tuple[str, str]
) -> None:
    chunk = [a_send(key="1"), a_send(*other, key="1", callback=TELL)]

    for orders in [chunk] if together else [[one] for one in chunk]:
        take(sessions, *orders)

    refused = the_refusal(sessions)
    (owed,) = all_of(sessions, Callback)
    assert (the_only_sms(sessions).text, refused.reason, refused.key) == ("Your code is 4821", "key_reused", "1")
    assert (owed.target, owed.event["reason"], owed.event["key"], owed.event["uid"]) == (
        TELL,
        "key_reused",
        "1",
        the_only_sms(sessions).uid,
    )


def test_a_repeated_order_changes_nothing(sessions: Sessions) -> None:
    many = an_envelope("sms.send_many", [{"phone": "998901111111"}, {"phone": "1"}], text="Sale", callback=TELL)
    chunk = [a_send(), many, a_send(phone="", callback=TELL), b"not JSON", a_send(key="a"), a_send(text="x", key="a")]
    take(sessions, *chunk)
    tables = (Message, RefusedIntake, Callback)
    before = [len(all_of(sessions, table)) for table in tables]

    again = [take(sessions, *chunk), take(sessions, *reversed(chunk))]

    assert [(one.stored, one.refused) for one in again] == [(0, 0), (0, 0)]
    assert [3, 4, 2] == before == [len(all_of(sessions, table)) for table in tables]


def test_a_repeated_order_does_not_queue_again_what_is_already_on_its_way(sessions: Sessions) -> None:
    order = a_send()
    take(sessions, order)
    a_submission(sessions).post_next()

    take(sessions, order)

    assert states_of(sessions) == ["submitted"]


def test_an_https_callback_is_kept(sessions: Sessions) -> None:
    take(sessions, a_send(callback={"url": "https://shop.example/sms"}))

    assert the_only_sms(sessions).callback == {"url": "https://shop.example/sms"}


def test_very_many_messages_can_be_taken_twice(sessions: Sessions) -> None:
    messages = [{"phone": f"99890{number:07}"} for number in range(1_000)]
    orders = [an_envelope("sms.send_many", messages, text="Sale") for _ in range(3)]
    take(sessions, *orders)

    taken = take(sessions, *orders)

    assert (taken.stored, taken.refused) == (0, 0)
    assert len(all_of(sessions, Message)) == 3_000


def test_many_messages_are_measured_as_people_count_them(sessions: Sessions) -> None:
    """A thousand Cyrillic texts of two parts: Celery's escapes and base64 make 1.2 MB of 300 KB."""
    messages = [{"phone": f"99890{number:07}", "text": "я" * 131} for number in range(1_000)]
    order = an_envelope("sms.send_many", messages)

    taken = take(sessions, order)

    assert len(order) > 2 * MANY_BYTES
    assert (taken.stored, taken.refused) == (1_000, 0)


@pytest.mark.parametrize(("over", "outcome"), [(0, (2, 0)), (1, (0, 1))], ids=["the most", "one byte more"])
def test_many_messages_are_512_kib_at_most(sessions: Sessions, over: int, outcome: tuple[int, int]) -> None:
    pad = {"pad": ""}
    messages = [{"phone": "998901111111", "text": "я"}, {"phone": "998902222222", "text": "я", "tags": pad}]
    size = len(json.dumps(messages, ensure_ascii=False, separators=(",", ":")).encode())
    pad["pad"] = "p" * (MANY_BYTES - size + over)

    taken = take(sessions, an_envelope("sms.send_many", messages))

    assert outcome == (taken.stored, taken.refused)
    assert [refused.reason for refused in all_of(sessions, RefusedIntake)] == ["messages_too_large"] * over


def test_an_order_that_comes_as_an_ordinary_task_is_stored_the_same_way(sessions: Sessions) -> None:
    taken = an_intake(sessions).take(envelopes.unpack(a_send(task_id=TASK_ID)), Lane.BULK)

    assert taken.stored == 1
    assert (the_only_sms(sessions).lane, the_only_sms(sessions).uid) == ("bulk", TASK_ID)


def test_what_came_by_no_lane_is_kept_with_its_queue(sessions: Sessions) -> None:
    an_intake(sessions).refuse("sms.upkeep", Refusal("task_unknown", "There is no such task.", b"{}", task="sms.sned"))

    refused = the_refusal(sessions)
    assert (refused.queue, refused.task, refused.body) == ("sms.upkeep", "sms.sned", "{}")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_nothing_is_lost_while_the_database_is_away(
    sessions: Sessions, postgres_server: str, database_url: str
) -> None:
    name = make_url(database_url).database
    chunk = [a_send(), a_send(""), b"not JSON"]
    administer(postgres_server, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    with pytest.raises(OperationalError):
        take(sessions, *chunk)
    administer(postgres_server, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

    taken = take(sessions, *chunk)

    assert (taken.stored, taken.refused) == (1, 2)


def test_orders_are_dated_by_the_clock(sessions: Sessions) -> None:
    clock = Clock(NOON + timedelta(days=1))

    an_intake(sessions, clock).take_raw([a_send()], Lane.NORMAL)

    assert the_only_sms(sessions).created_at == clock.at
