"""The contract with producers: the tasks and their arguments, one by one."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from builders import NOON, Sessions, all_of, states_of, stored
from shop import PHONE, TELL, TEXT, Shop
from taking import the_only_sms, the_refusal

from models import Block, Message, RefusedIntake
from models.lifecycle import Lane, MessageState
from worker.orders import TASKS

LATER = "2026-11-30T18:00:00+05:00"
AN_HOUR = timedelta(hours=1)
DECISIONS = [pytest.param("resend", "queued", id="resend"), pytest.param("drop", "failed", id="drop")]


def test_there_are_six_tasks_and_no_other() -> None:
    assert TASKS == ("sms.send", "sms.send_many", "sms.cancel", "sms.resolve", "sms.block", "sms.unblock")


def test_sms_send_takes_phone_and_text_by_position(shop: Shop, sessions: Sessions) -> None:
    shop.order("sms.send", PHONE, TEXT)

    shop.take()

    assert (the_only_sms(sessions).phone, the_only_sms(sessions).text) == (PHONE, TEXT)


def test_sms_send_takes_phone_and_text_by_name(shop: Shop, sessions: Sessions) -> None:
    shop.order("sms.send", phone=PHONE, text=TEXT)

    shop.take()

    assert (the_only_sms(sessions).phone, the_only_sms(sessions).text) == (PHONE, TEXT)


KEYWORDS: dict[str, tuple[Any, str, Any]] = {  # what is said, and what stands in which column then
    "nickname": ("SHOP", "nickname", "SHOP"),
    "key": ("order-1", "key", "order-1"),
    "producer": ("shop", "producer", "shop"),
    "send_at": (LATER, "send_at", NOON + AN_HOUR),
    "expires_at": (LATER, "expires_at", NOON + AN_HOUR),
    "callback": (TELL, "callback", TELL),
    "tags": ({"city": "Nukus"}, "tags", {"city": "Nukus"}),
}


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_sms_send_takes_the_keyword(shop: Shop, sessions: Sessions, keyword: str) -> None:
    said, column, expected = KEYWORDS[keyword]
    shop.send(**{keyword: said})

    shop.take()

    assert getattr(the_only_sms(sessions), column) == expected


WITHOUT: dict[str, Any] = {
    "nickname": None,
    "key": None,
    "producer": "default",
    "expires_at": None,
    "callback": None,
    "tags": {},
}


@pytest.mark.parametrize("said", [{}, dict.fromkeys(KEYWORDS)], ids=["not given", "None"])
def test_sms_send_needs_none_of_its_keywords(shop: Shop, sessions: Sessions, said: dict[str, Any]) -> None:
    shop.send(**said)

    shop.take()

    sms = the_only_sms(sessions)
    assert {name: getattr(sms, name) for name in (*WITHOUT, "send_at")} == WITHOUT | {"send_at": NOON}


def test_spread_seconds_gives_each_message_a_moment_of_its_own_in_the_window(shop: Shop, sessions: Sessions) -> None:
    for _ in range(5):
        shop.send(send_at=LATER, spread_seconds=600)

    shop.take()

    moments = [sms.send_at for sms in all_of(sessions, Message)]
    assert len(set(moments)) == 5
    assert all(NOON + AN_HOUR <= moment < NOON + AN_HOUR + timedelta(seconds=600) for moment in moments)


def test_sms_send_many_takes_the_same_fields_each_and_the_same_keywords_as_defaults_for_all(
    shop: Shop, sessions: Sessions
) -> None:
    own = {"phone": "998902222222", "text": "Another", "nickname": "BANK", "tags": {"own": 1}, "expires_at": LATER}
    shop.order("sms.send_many", [{"phone": PHONE}, own], text=TEXT, nickname="SHOP", tags={"all": 1}, send_at=LATER)

    shop.take()

    first, second = all_of(sessions, Message)
    assert (first.phone, first.text, first.nickname, first.tags) == (PHONE, TEXT, "SHOP", {"all": 1})
    assert (second.phone, second.text, second.nickname, second.tags) == ("998902222222", "Another", "BANK", {"own": 1})
    assert [first.send_at, second.send_at] == [NOON + AN_HOUR] * 2
    assert [first.expires_at, second.expires_at] == [None, NOON + AN_HOUR]


@pytest.mark.parametrize(("count", "reasons"), [(1_000, []), (1_001, ["messages_invalid"])], ids=["1,000", "1,001"])
def test_sms_send_many_takes_up_to_a_thousand(shop: Shop, sessions: Sessions, count: int, reasons: list[str]) -> None:
    shop.order("sms.send_many", [{"phone": f"99890{number:07}"} for number in range(count)], text=TEXT)

    taken = shop.take()

    assert taken.stored == (0 if reasons else count)
    assert reasons == [one.reason for one in all_of(sessions, RefusedIntake)]


def test_sms_cancel_stops_by_uid_what_is_not_posted_yet(shop: Shop, sessions: Sessions) -> None:
    uid = shop.send()
    shop.order("sms.cancel", uid)

    shop.take()

    assert states_of(sessions) == ["cancelled"]


def test_sms_cancel_stops_by_producer_and_key_what_is_not_posted_yet(shop: Shop, sessions: Sessions) -> None:
    shop.send(producer="shop", key="order-1")
    shop.order("sms.cancel", producer="shop", key="order-1")

    shop.take()

    assert states_of(sessions) == ["cancelled"]


@pytest.mark.parametrize("state", sorted(set(MessageState) - {MessageState.QUEUED}), ids=str)
def test_sms_cancel_changes_nothing_of_what_is_posted_or_ended(
    shop: Shop, sessions: Sessions, state: MessageState
) -> None:
    stored(sessions, uid="posted", state=state)
    shop.order("sms.cancel", "posted")

    shop.take()

    assert [str(state)] == states_of(sessions)
    assert all_of(sessions, RefusedIntake) == []


@pytest.mark.parametrize(("decision", "state"), DECISIONS)
def test_sms_resolve_decides_what_to_do_with_unconfirmed_messages(
    shop: Shop, sessions: Sessions, decision: str, state: str
) -> None:
    for uid in ("one", "two", "three"):
        stored(sessions, uid=uid, state=MessageState.UNCONFIRMED)
    shop.order("sms.resolve", ["one", "two"], decision)

    shop.take()

    assert [state, state, "unconfirmed"] == states_of(sessions)


@pytest.mark.parametrize("state", sorted(set(MessageState) - {MessageState.UNCONFIRMED}), ids=str)
@pytest.mark.parametrize("decision", ["resend", "drop"])
def test_sms_resolve_changes_nothing_of_what_is_not_unconfirmed(
    shop: Shop, sessions: Sessions, state: MessageState, decision: str
) -> None:
    stored(sessions, uid="one", state=state)
    shop.order("sms.resolve", ["one", "nobody's"], decision)

    shop.take()

    assert [str(state)] == states_of(sessions)


def test_sms_block_keeps_out_what_comes_later_by_its_lanes_and_cancels_what_is_queued(
    shop: Shop, sessions: Sessions
) -> None:
    shop.send("998901111111")
    shop.order("sms.block", ["+998 90 111-11-11", "998902222222"], lanes=["normal", "bulk"], reason="asked for it")
    shop.send("998901111111", "Another")
    shop.send("998903333333")

    shop.take()

    assert [(sms.phone, sms.state, sms.reason) for sms in all_of(sessions, Message)] == [
        ("998901111111", "cancelled", "blocked"),
        ("998903333333", "queued", None),
    ]
    assert the_refusal(sessions).reason == "phone_blocked"
    blocked = {(one.phone, one.lane, one.reason) for one in all_of(sessions, Block)}
    phones = ("998901111111", "998902222222")
    assert blocked == {(phone, lane, "asked for it") for phone in phones for lane in ("normal", "bulk")}


def test_sms_block_without_lanes_means_all_of_them(shop: Shop, sessions: Sessions) -> None:
    shop.order("sms.block", [PHONE])

    shop.take()

    assert {str(lane) for lane in Lane} == {one.lane for one in all_of(sessions, Block)}


def test_sms_unblock_lets_a_number_be_written_to_again(shop: Shop, sessions: Sessions) -> None:
    shop.order("sms.block", [PHONE])
    shop.order("sms.unblock", [PHONE], lanes=["normal"])
    shop.send(lane="normal")
    shop.send(text="Another", lane="bulk")

    shop.take("normal")
    shop.take("bulk")

    assert [sms.lane for sms in all_of(sessions, Message)] == ["normal"]
    assert the_refusal(sessions).reason == "phone_blocked"


@pytest.mark.parametrize("lane", Lane, ids=str)
@pytest.mark.parametrize("task", ["sms.block", "sms.unblock"])
def test_sms_block_and_sms_unblock_travel_on_any_lane(shop: Shop, sessions: Sessions, task: str, lane: str) -> None:
    shop.order("sms.block", [PHONE], lane=lane)
    shop.order(task, [PHONE], lane=lane)

    shop.take(lane)

    in_force = [one for one in all_of(sessions, Block) if one.lifted_at is None]
    assert len(in_force) == (len(Lane) if task == "sms.block" else 0)


TIMES = [
    pytest.param("2026-11-30T18:00:00+05:00", id="with an offset"),
    pytest.param("2026-11-30T13:00:00Z", id="with Z"),
    pytest.param("2026-11-30T18:00:00", id="naive: in the gateway's zone"),
    pytest.param("2026-11-30 18:00", id="naive, as people write it"),
]


@pytest.mark.parametrize("written", TIMES)
def test_times_are_iso_8601(shop: Shop, sessions: Sessions, written: str) -> None:
    shop.send(send_at=written, expires_at=written)

    shop.take()

    assert [the_only_sms(sessions).send_at, the_only_sms(sessions).expires_at] == [NOON + AN_HOUR] * 2


def test_celerys_own_eta_and_expires_mean_send_at_and_expires_at(shop: Shop, sessions: Sessions) -> None:
    shop.order("sms.send", PHONE, TEXT, options={"eta": NOON + AN_HOUR, "expires": NOON + 2 * AN_HOUR})

    shop.take()

    assert (the_only_sms(sessions).send_at, the_only_sms(sessions).expires_at) == (NOON + AN_HOUR, NOON + 2 * AN_HOUR)


def test_celerys_own_countdown_means_send_at(shop: Shop, sessions: Sessions) -> None:
    before = datetime.now(NOON.tzinfo)
    shop.order("sms.send", PHONE, TEXT, options={"countdown": 60, "expires": 120})
    after = datetime.now(NOON.tzinfo)

    shop.take()

    sms = the_only_sms(sessions)
    assert before <= sms.send_at - timedelta(seconds=60) <= after
    assert sms.expires_at
    assert before <= sms.expires_at - timedelta(seconds=120) <= after


def test_our_own_times_win_over_celerys(shop: Shop, sessions: Sessions) -> None:
    shop.order("sms.send", PHONE, TEXT, options={"eta": NOON + 9 * AN_HOUR}, send_at=LATER)

    shop.take()

    assert the_only_sms(sessions).send_at == NOON + AN_HOUR


def test_unknown_keywords_are_kept_in_tags_under_their_names(shop: Shop, sessions: Sessions) -> None:
    shop.send(campaign="spring", tags={"city": "Nukus"}, retries=[1, {"a": None}])

    shop.take()

    assert the_only_sms(sessions).tags == {"campaign": "spring", "city": "Nukus", "retries": [1, {"a": None}]}


ODD: list[Any] = ["", 7, None, [[]], {"\0": "\ud800"}, float("nan"), "a" * 10_000]


@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
def test_unknown_keywords_never_lose_a_message(shop: Shop, sessions: Sessions, value: Any) -> None:
    shop.send(unheard_of=value)

    taken = shop.take()

    assert (taken.stored, taken.refused) == (1, 0)
    assert all_of(sessions, Message)
