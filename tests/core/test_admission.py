"""What a rule of the house keeps out: the do-not-send list, and all rules together, for several workers at once."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from admitted import NO_REPEATS, PHONE, TWO_A_DAY, TWO_AN_HOUR, block, outcome, reasons, sends, tallied
from builders import (
    NOON,
    Clock,
    Sessions,
    a_phone,
    a_send,
    all_of,
    an_intake,
    some_terms,
)
from servers import wait_for
from sqlalchemy import Engine, insert, text
from sqlalchemy.orm import Session
from taking import TELL, take, the_only_sms, the_refusal

from models import Block, Callback, Message, RefusedIntake
from models.lifecycle import Lane
from worker.envelope import unpack
from worker.errors import OrderRefused
from worker.intake import Taken
from worker.order_fields import Caps
from worker.orders import refusal
from worker.store.admission import let_one_in_at_a_time
from worker.store.intake import insert_refusals

HOUR = timedelta(hours=1)


# The do-not-send list


def test_a_blocked_number_gets_nothing_and_its_producer_is_told(sessions: Sessions) -> None:
    block(sessions)

    taken = take(sessions, a_send(PHONE, callback=TELL), a_send("998907654321"))

    (owed,) = all_of(sessions, Callback)
    assert outcome(taken) == (1, 1)
    assert the_refusal(sessions).reason == "phone_blocked"
    assert (owed.event["state"], owed.event["reason"], owed.event["phone"]) == ("refused", "phone_blocked", PHONE)


def test_a_block_is_of_one_lane(sessions: Sessions) -> None:
    block(sessions, lane=Lane.BULK)

    taken = [take(sessions, a_send(PHONE), lane=lane) for lane in Lane]

    assert [outcome(one) for one in taken] == [(1, 0), (1, 0), (0, 1)]


def test_a_number_whose_block_is_lifted_is_written_to_again(sessions: Sessions) -> None:
    block(sessions, lifted_at=NOON, lifted_by="tester")

    taken = take(sessions, a_send(PHONE))

    assert outcome(taken) == (1, 0)


def test_in_staging_it_is_the_ordered_number_that_is_blocked(sessions: Sessions) -> None:
    block(sessions)

    taken = take(sessions, a_send(PHONE), a_send("998907654321"), staging_recipients=(a_phone(1),))

    assert outcome(taken) == (1, 1)
    assert the_only_sms(sessions).ordered_phone == "998907654321"


@pytest.mark.parametrize("caps", [Caps(), TWO_AN_HOUR, NO_REPEATS, TWO_A_DAY], ids=str)
def test_an_order_that_comes_again_is_not_kept_out_by_a_block_that_came_since(sessions: Sessions, caps: Caps) -> None:
    order = a_send(PHONE)
    take(sessions, order, caps=caps)
    block(sessions)

    taken = take(sessions, order, caps=caps)

    assert outcome(taken) == (0, 0)


# All together


ALL_AT_ONCE = Caps(hourly_per_phone=2, daily_per_producer=4, duplicate_window=HOUR)


def test_the_first_of_several_reasons_is_told_and_what_is_kept_out_counts_for_nothing(sessions: Sessions) -> None:
    block(sessions, a_phone(9))
    to = [(9, "a"), (9, "a"), (1, "a"), (1, "a"), (1, "b"), (1, "b"), (1, "c"), (2, "a"), (3, "a"), (4, "a"), (4, "a")]

    take(sessions, *(a_send(a_phone(phone), words) for phone, words in to), caps=ALL_AT_ONCE)

    assert Counter(reasons(sessions)) == {
        "phone_blocked": 2,
        "duplicate": 2,
        "phone_capped": 1,
        "producer_capped": 2,
    }
    assert [(a_phone(phone), words) for phone, words in ((1, "a"), (1, "b"), (2, "a"), (3, "a"))] == [
        (sms.phone, sms.text) for sms in all_of(sessions, Message)
    ]


@pytest.mark.parametrize("caps", [TWO_AN_HOUR, NO_REPEATS, TWO_A_DAY, ALL_AT_ONCE], ids=str)
@pytest.mark.parametrize("stored_first", range(4))
def test_orders_that_come_again_beside_new_ones_are_counted_once(
    sessions: Sessions, caps: Caps, stored_first: int
) -> None:
    """A worker that died between its commits and Redis: part of what it took is stored, all of it comes again."""
    orders = [a_send(PHONE, words) for words in ("a", "b", "b", "c", "a", "d")]
    take(sessions, *orders[:stored_first], caps=caps)

    again = [take(sessions, *orders, caps=caps), take(sessions, *orders, caps=caps)]

    at_once = {"a", "b", "c", "d"} if caps == NO_REPEATS else {"a", "b"}
    assert {sms.text for sms in all_of(sessions, Message)} == at_once
    assert outcome(again[1]) == (0, 0)
    assert len(all_of(sessions, Message)) + len(all_of(sessions, RefusedIntake)) == len(orders)
    assert sum(tallied(sessions).values()) in {0, len(all_of(sessions, Message))}


def test_what_is_stored_stays_accepted_though_the_caps_came_later(sessions: Sessions) -> None:
    orders = [a_send(PHONE, "a") for _ in range(6)]
    take(sessions, *orders)

    taken = take(sessions, *orders, caps=ALL_AT_ONCE)

    assert outcome(taken) == (0, 0)
    assert tallied(sessions) == {}


def test_the_same_key_with_other_words_is_told_that_and_not_that_it_is_capped(sessions: Sessions) -> None:
    one_an_hour = Caps(hourly_per_phone=1, daily_per_producer=1)
    take(sessions, a_send(PHONE, "a", key="k"), caps=one_an_hour)

    take(sessions, a_send(PHONE, "b", key="k"), caps=one_an_hour)

    assert reasons(sessions) == ["key_reused"]


def test_a_key_that_was_kept_out_may_be_ordered_again_later(sessions: Sessions) -> None:
    clock = Clock()
    intake = an_intake(sessions, clock, caps=TWO_AN_HOUR)
    intake.take_raw([*sends(2), a_send(PHONE, "Late", key="k")], Lane.NORMAL)

    clock.advance(hours=1)
    taken = intake.take_raw([a_send(PHONE, "Late", key="k")], Lane.NORMAL)

    assert outcome(taken) == (1, 0)


@pytest.mark.parametrize("reason", ["phone_blocked", "duplicate", "phone_capped", "producer_capped"])
def test_an_explanation_tells_neither_phone_nor_text(sessions: Sessions, reason: str) -> None:
    if reason == "phone_blocked":
        block(sessions)
    caps = {"duplicate": NO_REPEATS, "phone_capped": Caps(1), "producer_capped": Caps(0, 1)}.get(reason, Caps())

    take(sessions, a_send(PHONE, "Secret 4821"), a_send(PHONE, "Secret 4821"), caps=caps)

    said = all_of(sessions, RefusedIntake)[-1].explanation
    assert (reasons(sessions)[-1], PHONE in said, PHONE[-4:] in said, "4821" in said) == (reason, False, False, False)
    assert said.startswith(("phone: ", "text: ", "producer: "))
    assert said.endswith(".")


@pytest.mark.parametrize("caps", [Caps(3), NO_REPEATS, Caps(daily_per_producer=3)], ids=str)
def test_several_workers_together_let_in_no_more_than_one_would(sessions: Sessions, caps: Caps) -> None:
    texts = ["same"] * 5 if caps == NO_REPEATS else list("abcde")
    start = Barrier(4)

    def work(_: int) -> Sequence[Taken]:
        start.wait()
        return [take(sessions, a_send(PHONE, words), caps=caps) for words in texts]

    with ThreadPoolExecutor(4) as workers:
        list(workers.map(work, range(4)))

    assert len(all_of(sessions, Message)) == (1 if caps == NO_REPEATS else 3)
    assert sum(tallied(sessions).values()) == caps.daily_per_producer


@pytest.mark.parametrize("caps", [Caps(5), NO_REPEATS, Caps(daily_per_producer=5)], ids=str)
def test_the_same_orders_taken_by_several_workers_at_once_count_once(sessions: Sessions, caps: Caps) -> None:
    """Who was taken for dead, and had only slept, stores beside the one that took over."""
    orders = sends(5)
    start = Barrier(4)

    def work(_: int) -> Taken:
        start.wait()
        return take(sessions, *orders, caps=caps)

    with ThreadPoolExecutor(4) as workers:
        taken = list(workers.map(work, range(4)))

    assert sorted(map(outcome, taken)) == [(0, 0), (0, 0), (0, 0), (5, 0)]
    assert sum(tallied(sessions).values()) == caps.daily_per_producer


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_order_that_the_database_cannot_hold_counts_for_nothing(engine: Engine, sessions: Sessions) -> None:
    """Its transaction is undone, and the others come in halves of it."""
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE messages ADD CHECK (phone <> '998901111111')"))
    orders = [a_send("998901111111"), *(a_send(a_phone(number)) for number in range(3))]

    taken = take(sessions, *orders, caps=Caps(daily_per_producer=3))

    assert outcome(taken) == (3, 1)
    assert sum(tallied(sessions).values()) == 3


TakeBeside = Callable[[Callable[[Session], object], bytes], Taken]


@pytest.fixture
def take_beside(engine: Engine, sessions: Sessions) -> TakeBeside:
    """Takes an order while another worker, which does something first, stores in the lane; and lets that one commit."""

    def beside_another(act: Callable[[Session], object], order: bytes) -> Taken:
        with ThreadPoolExecutor(1) as beside:
            with sessions.begin() as session:
                let_one_in_at_a_time(session, some_terms(caps=TWO_AN_HOUR))
                act(session)
                taken = beside.submit(take, sessions, order, caps=TWO_AN_HOUR)
                wait_for(lambda: waits_for_the_lane(engine))
            return taken.result()

    return beside_another


def waits_for_the_lane(engine: Engine) -> bool:
    with engine.connect() as connection:
        waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return connection.execute(text(waiting)).first() is not None


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_waited_for_the_lane_sees_a_block_that_came_meanwhile(sessions: Sessions, take_beside: TakeBeside) -> None:
    a_block = insert(Block).values(phone=PHONE, lane=Lane.NORMAL, who="tester", at=NOON)

    taken = take_beside(lambda session: session.execute(a_block), a_send(PHONE))

    assert (outcome(taken), reasons(sessions)) == ((0, 1), ["phone_blocked"])


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_waited_for_the_lane_does_not_store_what_was_refused_meanwhile(
    sessions: Sessions, take_beside: TakeBeside
) -> None:
    """Who was taken for dead refuses the order; who took over has a later clock, by which there is room."""
    order = a_send(PHONE)
    refused = refusal(unpack(order), OrderRefused("phone_capped", "No room."), fields={})

    taken = take_beside(lambda session: insert_refusals(session, [("sms.normal", refused)], now=NOON), order)

    assert (outcome(taken), all_of(sessions, Message)) == ((0, 0), [])
