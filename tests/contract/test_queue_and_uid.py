"""The contract with producers: the queue is the lane, and every message has one uid for ever."""

import uuid

import pytest
from builders import Sessions, a_submission, all_of, states_of
from shop import PHONE, TELL, TEXT, Shop
from taking import the_only_sms, the_refusal

from models import Block, Callback, Message, RefusedIntake
from models.lifecycle import Lane
from worker.gateway.memory import MemoryGateway

NAMESPACE = uuid.UUID("5f0b9a52-6c1e-5d0f-9b1f-0d6a3f6a7c11")  # as producers copied it: it never changes


def uid_of_key(producer: str, key: str) -> str:
    return str(uuid.uuid5(NAMESPACE, producer + "\0" + key))


def test_the_lanes_are_otp_normal_and_bulk_in_this_order() -> None:
    assert [f"sms.{lane}" for lane in Lane] == ["sms.otp", "sms.normal", "sms.bulk"]


@pytest.mark.parametrize("lane", Lane, ids=str)
def test_the_queue_is_the_lane(shop: Shop, sessions: Sessions, lane: str) -> None:
    shop.send(lane=lane)

    shop.take(lane)

    assert the_only_sms(sessions).lane == lane


def test_a_message_in_an_earlier_lane_never_waits_for_a_later_one(shop: Shop, sessions: Sessions) -> None:
    for number, lane in enumerate(["bulk", "normal", "otp"] * 2):
        shop.send(f"99890{number:07}", lane=lane)
    for lane in ("bulk", "normal", "otp"):
        shop.take(lane)
    gateway = MemoryGateway()
    room = a_submission(sessions, gateway, shop.clock, batch_max_messages=1)

    for _ in range(6):
        room.post_next()

    lane_of = {sms.phone: sms.lane for sms in all_of(sessions, Message)}
    order = [lane_of[posted.messages[0].phone] for posted in gateway.posted]
    assert order == ["otp", "otp", "normal", "normal", "bulk", "bulk"]


def test_the_celery_task_id_is_the_uid(shop: Shop, sessions: Sessions) -> None:
    uid = shop.send()

    shop.take()

    assert the_only_sms(sessions).uid == uid


def test_a_task_id_of_ones_own_is_the_uid(shop: Shop, sessions: Sessions) -> None:
    shop.order("sms.send", PHONE, TEXT, options={"task_id": "order 1734, second try"})

    shop.take()

    assert the_only_sms(sessions).uid == "order 1734, second try"


def test_message_i_of_send_many_has_uuid5_of_task_id_and_i(shop: Shop, sessions: Sessions) -> None:
    task_id = shop.order("sms.send_many", [{"phone": f"99890111111{number}"} for number in range(3)], text=TEXT)

    shop.take()

    uids = [str(uuid.uuid5(uuid.UUID(task_id), str(place))) for place in range(3)]
    assert uids == [sms.uid for sms in all_of(sessions, Message)]


def test_the_places_of_refused_messages_count_in_send_many(shop: Shop, sessions: Sessions) -> None:
    task_id = shop.order("sms.send_many", [{"phone": "12"}, {"phone": PHONE}], text=TEXT)

    shop.take()

    uids = [str(uuid.uuid5(uuid.UUID(task_id), str(place))) for place in range(2)]
    assert uids == [the_refusal(sessions).uid, the_only_sms(sessions).uid]


def test_message_i_of_a_task_id_that_is_no_uuid_has_a_uid_by_the_namespace(shop: Shop, sessions: Sessions) -> None:
    shop.order("sms.send_many", [{"phone": PHONE}], text=TEXT, options={"task_id": "nightly"})

    shop.take()

    assert the_only_sms(sessions).uid == str(uuid.uuid5(uuid.uuid5(NAMESPACE, "nightly"), "0"))


@pytest.mark.parametrize("producer", ["shop", "default"])
def test_with_key_the_uid_is_made_of_producer_and_key(shop: Shop, sessions: Sessions, producer: str) -> None:
    shop.send(key="order-1", **({} if producer == "default" else {"producer": producer}))
    shop.order("sms.send_many", [{"phone": PHONE, "key": "order-2"}], text=TEXT, producer=producer)

    shop.take()

    expected = [uid_of_key(producer, "order-1"), uid_of_key(producer, "order-2")]
    assert expected == [sms.uid for sms in all_of(sessions, Message)]


def test_the_same_producer_and_key_are_the_same_message_for_ever(shop: Shop, sessions: Sessions) -> None:
    shop.send(producer="shop", key="order-1")
    shop.take()
    a_submission(sessions, clock=shop.clock).post_next()
    shop.clock.advance(days=700)
    shop.send("+998 90 123-45-67", producer="shop", key="order-1", nickname="OTHER", lane="otp")

    taken = shop.take("otp")

    assert (taken.stored, taken.refused) == (0, 0)
    assert states_of(sessions) == ["submitted"]


def test_another_producer_or_another_key_is_another_message(shop: Shop, sessions: Sessions) -> None:
    shop.send(producer="shop", key="1")
    shop.send(producer="bank", key="1")
    shop.send(producer="shop", key="2")

    shop.take()

    assert [(sms.producer, sms.key) for sms in all_of(sessions, Message)] == [
        ("shop", "1"),
        ("bank", "1"),
        ("shop", "2"),
    ]


REUSED = [pytest.param({"phone": "998907654321"}, id="phone"), pytest.param({"text": "Another"}, id="text")]


@pytest.mark.parametrize("other", REUSED)
def test_the_same_key_with_another_phone_or_text_is_kept_out_with_its_reason_and_told(
    shop: Shop, sessions: Sessions, other: dict[str, str]
) -> None:
    shop.send(producer="shop", key="order-1")
    shop.take()
    shop.send(**other, producer="shop", key="order-1", callback=TELL)

    taken = shop.take()

    uid = uid_of_key("shop", "order-1")
    refused, (told,) = the_refusal(sessions), all_of(sessions, Callback)
    assert (taken.stored, taken.refused) == (0, 1)
    assert (the_only_sms(sessions).phone, the_only_sms(sessions).text) == (PHONE, TEXT)
    assert (refused.reason, refused.producer, refused.key, refused.uid) == ("key_reused", "shop", "order-1", uid)
    assert (told.target, told.event["state"], told.event["reason"], told.event["key"]) == (
        TELL,
        "refused",
        "key_reused",
        "order-1",
    )


@pytest.mark.parametrize("other", REUSED)
def test_the_same_task_id_with_another_phone_or_text_is_kept_out_as_well(
    shop: Shop, sessions: Sessions, other: dict[str, str]
) -> None:
    ordered = {"phone": PHONE, "text": TEXT}
    for fields in (ordered, ordered | other):
        shop.order("sms.send", **fields, options={"task_id": "my-id"})

    shop.take()

    assert (the_only_sms(sessions).text, the_refusal(sessions).reason) == (TEXT, "task_id_reused")


def test_a_cancel_never_overtakes_its_own_send(shop: Shop, sessions: Sessions) -> None:
    uids = [shop.send(f"99890{number:07}") for number in range(3)]
    for uid in uids:
        shop.order("sms.cancel", uid)
    later = shop.send()

    shop.take()

    assert {sms.uid: sms.state for sms in all_of(sessions, Message)} == dict.fromkeys(uids, "cancelled") | {
        later: "queued"
    }


def test_a_resolve_is_taken_in_order_with_the_orders_of_its_lane(shop: Shop, sessions: Sessions) -> None:
    uid = shop.send()
    shop.order("sms.resolve", [uid], "drop")
    shop.order("sms.cancel", uid)

    shop.take()

    assert states_of(sessions) == ["cancelled"]  # nothing was unconfirmed when the decision came


def all_kinds(shop: Shop) -> None:
    """An order of every task, and some that are refused."""
    uid = shop.send(callback=TELL)
    shop.send(producer="shop", key="order-1")
    shop.order("sms.send_many", [{"phone": "998902222222"}, {"phone": "1"}], text=TEXT, callback=TELL)
    shop.send("", callback=TELL)
    shop.order("sms.cancel", uid)
    shop.order("sms.cancel", "nobody's")
    shop.order("sms.block", ["998903333333", "998904444444"])
    shop.order("sms.unblock", ["998904444444"])
    shop.send("998903333333")
    shop.send("998904444444")


def test_a_repeated_or_redelivered_celery_message_changes_nothing(shop: Shop, sessions: Sessions) -> None:
    all_kinds(shop)
    raws = shop.lying()
    shop.take()
    before = everything(sessions)

    for again in (raws, raws * 2, raws[::-1]):
        shop.redeliver(*again)
        taken = shop.take()
        assert (taken.stored, taken.refused) == (0, 0)

    assert everything(sessions) == before


def everything(sessions: Sessions) -> list[tuple[object, ...]]:
    messages = [(one.uid, one.state, one.send_at, one.attempts) for one in all_of(sessions, Message)]
    refused = [(one.uid, one.reason, one.body) for one in all_of(sessions, RefusedIntake)]
    refused += [(one.phone, one.lane, one.lifted_by) for one in all_of(sessions, Block)]
    return [*messages, *refused, *((one.event_id, one.state) for one in all_of(sessions, Callback))]
