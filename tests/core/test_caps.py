"""How much is accepted: messages to one number, the same one again, and by one producer."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from admitted import NO_REPEATS, PHONE, TWO_A_DAY, TWO_AN_HOUR, outcome, reasons, sends, tallied
from builders import (
    NOON,
    Clock,
    Sessions,
    a_phone,
    a_send,
    all_of,
    an_envelope,
    an_intake,
    an_upkeep,
    states_of,
    stored,
)
from sqlalchemy import select
from taking import TELL, take, the_refusal

from models import Callback, Message, RefusedIntake, Tally
from models.lifecycle import Lane, MessageState
from worker.order_fields import Caps

HOUR = timedelta(hours=1)


# How many to one number


def test_a_number_gets_as_many_messages_in_an_hour_as_its_cap_allows(sessions: Sessions) -> None:
    taken = take(sessions, *sends(3), *sends(1, "998907654321"), caps=TWO_AN_HOUR)

    assert outcome(taken) == (3, 1)
    assert (reasons(sessions), the_refusal(sessions).uid in {sms.uid for sms in all_of(sessions, Message)}) == (
        ["phone_capped"],
        False,
    )


@pytest.mark.parametrize(
    ("later", "expected"),
    [(HOUR - timedelta(seconds=1), (0, 1)), (HOUR, (1, 0))],
    ids=["within the hour", "when the hour is over"],
)
def test_a_number_has_room_again_when_its_hour_is_over(
    sessions: Sessions, later: timedelta, expected: tuple[int, int]
) -> None:
    take(sessions, *sends(2), caps=TWO_AN_HOUR)

    taken = an_intake(sessions, Clock(NOON + later), caps=TWO_AN_HOUR).take_raw(sends(1), Lane.NORMAL)

    assert expected == outcome(taken)


def test_each_lane_counts_for_itself(sessions: Sessions) -> None:
    taken = [take(sessions, *sends(3), lane=lane, caps=TWO_AN_HOUR) for lane in Lane]

    assert [outcome(one) for one in taken] == [(2, 1)] * 3


COUNTING: dict[MessageState, bool] = dict.fromkeys(MessageState, True) | {
    MessageState.CANCELLED: False,
    MessageState.EXPIRED: False,
}


@pytest.mark.parametrize(("state", "counts"), COUNTING.items(), ids=[str(state) for state in COUNTING])
def test_what_was_never_sent_leaves_room_for_another(sessions: Sessions, state: MessageState, counts: bool) -> None:
    stored(sessions, state=state, phone=PHONE)

    taken = take(sessions, *sends(2), caps=TWO_AN_HOUR)

    assert outcome(taken) == ((1, 1) if counts else (2, 0))


def test_in_staging_each_ordered_number_counts_for_itself(sessions: Sessions) -> None:
    orders = [order for number in range(4) for order in sends(2, a_phone(number))]
    stand_in: dict[str, Any] = {"staging_recipients": (a_phone(99),), "caps": TWO_AN_HOUR}
    first = take(sessions, *orders, **stand_in)

    again = take(sessions, *sends(1, a_phone(1)), *sends(1, a_phone(7)), **stand_in)

    assert (outcome(first), outcome(again)) == ((8, 0), (1, 1))
    assert {sms.phone for sms in all_of(sessions, Message)} == {a_phone(99)}


def test_many_numbers_are_counted_however_many_orders_come_at_once(sessions: Sessions) -> None:
    orders = [order for number in range(1_100) for order in (a_send(a_phone(number)), a_send(a_phone(number), "Other"))]
    one_an_hour = Caps(hourly_per_phone=1)
    first = take(sessions, *orders[::2], caps=one_an_hour)

    again = take(sessions, *orders, caps=one_an_hour)

    assert (outcome(first), outcome(again)) == ((1_100, 0), (0, 1_100))


def test_what_was_kept_out_is_refused_once_however_often_its_order_comes(sessions: Sessions) -> None:
    clock = Clock()
    intake = an_intake(sessions, clock, caps=TWO_AN_HOUR)
    many = an_envelope("sms.send_many", [{"phone": PHONE, "text": words} for words in "abc"], callback=TELL)
    orders = [many, *sends(1)]

    taken = []
    for _ in range(3):
        taken.append(intake.take_raw(orders, Lane.NORMAL))
        clock.advance(seconds=5)

    assert [outcome(one) for one in taken] == [(2, 2), (0, 0), (0, 0)]
    assert (len(all_of(sessions, RefusedIntake)), len(all_of(sessions, Callback))) == (2, 1)


def test_one_of_many_in_an_order_is_kept_out_alone_and_can_be_read(sessions: Sessions) -> None:
    messages = [{"phone": PHONE, "text": f"Text {number}"} for number in range(3)]

    taken = take(sessions, an_envelope("sms.send_many", messages, producer="shop"), caps=TWO_AN_HOUR)

    refused = the_refusal(sessions)
    assert outcome(taken) == (2, 1)
    assert json.loads(refused.body) == {"phone": PHONE, "text": "Text 2", "producer": "shop"}


def test_a_message_that_expired_in_its_queue_leaves_room(sessions: Sessions) -> None:
    clock = Clock()
    intake = an_intake(sessions, clock, caps=TWO_AN_HOUR)
    intake.take_raw(sends(2, expires_at=(NOON + timedelta(minutes=5)).isoformat()), Lane.NORMAL)
    clock.advance(minutes=6)
    an_upkeep(sessions, clock).sweep()

    taken = intake.take_raw(sends(2), Lane.NORMAL)

    assert outcome(taken) == (2, 0)
    assert states_of(sessions) == ["expired", "expired", "queued", "queued"]


# Duplicates


def test_the_same_text_to_the_same_number_is_a_duplicate_of_the_first(sessions: Sessions) -> None:
    take(sessions, a_send(task_id="first"), caps=NO_REPEATS)

    taken = take(sessions, a_send(), a_send(text="Another text"), a_send("998907654321"), caps=NO_REPEATS)

    refused = the_refusal(sessions)
    assert (outcome(taken), refused.reason) == ((2, 1), "duplicate")
    assert "as the message first, which stands" in refused.explanation


def test_a_duplicate_within_one_order_is_one_as_well(sessions: Sessions) -> None:
    messages = [{"phone": PHONE}, {"phone": "998907654321"}, {"phone": PHONE}]

    taken = take(sessions, an_envelope("sms.send_many", messages, text="Sale"), caps=NO_REPEATS)

    assert (outcome(taken), reasons(sessions)) == ((2, 1), ["duplicate"])


def test_a_duplicate_by_another_lane_or_producer_is_one_as_well(sessions: Sessions) -> None:
    take(sessions, a_send(producer="shop"), lane=Lane.OTP, caps=NO_REPEATS)

    taken = take(sessions, a_send(producer="bank"), lane=Lane.BULK, caps=NO_REPEATS)

    assert outcome(taken) == (0, 1)


def test_the_same_text_is_none_when_the_window_is_over(sessions: Sessions) -> None:
    clock = Clock()
    intake = an_intake(sessions, clock, caps=NO_REPEATS)
    taken = [intake.take_raw([a_send()], Lane.NORMAL)]

    for minutes in (9, 1):
        clock.advance(minutes=minutes)
        taken.append(intake.take_raw([a_send()], Lane.NORMAL))

    assert [outcome(one) for one in taken] == [(1, 0), (0, 1), (1, 0)]


@pytest.mark.parametrize("state", MessageState, ids=str)
def test_what_did_not_go_may_be_ordered_again(sessions: Sessions, state: MessageState) -> None:
    stored(sessions, state=state, phone=PHONE, text="Your code is 4821")

    taken = take(sessions, a_send(), caps=NO_REPEATS)

    gone = state in {MessageState.CANCELLED, MessageState.EXPIRED, MessageState.FAILED}
    assert outcome(taken) == ((1, 0) if gone else (0, 1))


def test_a_duplicate_is_told_by_what_was_ordered(sessions: Sessions) -> None:
    """Two numbers that staging sends to one phone are two; what is stored is compared by its ordered words."""
    stored(sessions, phone=PHONE, text="Toʻlandi".replace("ʻ", "'"), ordered_text="Toʻlandi")
    stand_in: dict[str, Any] = {"staging_recipients": (a_phone(99),), "caps": NO_REPEATS}

    ordered = [take(sessions, a_send(PHONE, words), caps=NO_REPEATS) for words in ("Toʻlandi", "To'landi")]
    staged = take(sessions, a_send(a_phone(1)), a_send(a_phone(2)), a_send(a_phone(1)), **stand_in)
    again = take(sessions, a_send(a_phone(2)), **stand_in)

    assert [outcome(one) for one in (*ordered, staged, again)] == [(0, 1), (1, 0), (2, 1), (0, 1)]


# How many by one producer


def test_a_producer_has_its_day_over_all_lanes(sessions: Sessions) -> None:
    taken = [
        take(sessions, a_send(a_phone(number), producer=producer), lane=lane, caps=TWO_A_DAY)
        for number, (producer, lane) in enumerate(
            [("shop", Lane.OTP), ("shop", Lane.BULK), ("bank", Lane.OTP), ("shop", Lane.NORMAL)]
        )
    ]

    assert [outcome(one) for one in taken] == [(1, 0), (1, 0), (1, 0), (0, 1)]
    assert tallied(sessions) == {
        ("2026-11-30", "shop", "otp"): 1,
        ("2026-11-30", "shop", "bulk"): 1,
        ("2026-11-30", "bank", "otp"): 1,
    }
    assert (the_refusal(sessions).reason, the_refusal(sessions).producer) == ("producer_capped", "shop")


def test_a_producers_day_ends_at_midnight_in_the_zone_of_the_gateway(sessions: Sessions) -> None:
    clock = Clock(datetime(2026, 11, 30, 18, 59, 59, tzinfo=UTC))  # a second before midnight in Tashkent
    intake = an_intake(sessions, clock, caps=TWO_A_DAY)
    taken = [intake.take_raw(sends(3), Lane.NORMAL)]

    clock.advance(seconds=1)
    taken.append(intake.take_raw(sends(3), Lane.NORMAL))

    assert [outcome(one) for one in taken] == [(2, 1), (2, 1)]
    assert tallied(sessions) == {
        ("2026-11-30", "default", "normal"): 2,
        ("2026-12-01", "default", "normal"): 2,
    }


def test_tallies_are_kept_for_two_days(sessions: Sessions) -> None:
    clock = Clock()
    intake = an_intake(sessions, clock, caps=TWO_A_DAY)
    for number in range(5):
        intake.take_raw(sends(1, a_phone(number)), Lane.NORMAL)
        clock.advance(days=1)

    days = sorted(day for day, *_ in tallied(sessions))

    assert [(NOON + timedelta(days=ahead)).date().isoformat() for ahead in (2, 3, 4)] == days


def test_nothing_is_tallied_while_no_day_is_capped(sessions: Sessions) -> None:
    take(sessions, *sends(2), caps=TWO_AN_HOUR)

    assert tallied(sessions) == {}


def test_a_cancelled_message_is_still_of_its_producers_day(sessions: Sessions) -> None:
    take(sessions, *sends(1, task_id="a"), an_envelope("sms.cancel", "a"), caps=TWO_A_DAY)

    taken = take(sessions, *sends(2), caps=TWO_A_DAY)

    assert outcome(taken) == (1, 1)


def test_a_tally_is_of_a_date(sessions: Sessions) -> None:
    take(sessions, *sends(1), caps=TWO_A_DAY)

    with sessions() as session:
        assert session.scalars(select(Tally.day)).all() == [date(2026, 11, 30)]
