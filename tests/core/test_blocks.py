"""The do-not-send list: who stands on it gets nothing, what waited for them is cancelled, and producers are told."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Sessions, a_phone, a_send, all_of, an_envelope, many_stored, stored, the_sms
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session
from taking import TASK_ID, TELL, take, the_refusal

from models import Block, Callback, Message, RefusedIntake
from models.lifecycle import Lane, MessageState
from worker.intake import Taken
from worker.store import blocks
from worker.store.blocks import Blocked, Chosen

PHONE, OTHER = "998901234567", "998917654321"
LANES = tuple(Lane)
LATER = NOON + timedelta(hours=1)


def block(sessions: Sessions, *phones: str, lanes: Sequence[Lane] = LANES, **changes: Any) -> Blocked:
    said: dict[str, Any] = {"now": NOON, "who": "nodira", "reason": None}
    with sessions.begin() as session:
        return blocks.block(session, phones, lanes=lanes, **said | changes)


def lift(sessions: Sessions, *phones: str, lanes: Sequence[Lane] = LANES, who: str = "aziz") -> int:
    with sessions.begin() as session:
        return blocks.lift(session, phones, lanes=lanes, now=LATER, who=who)


def blocked_of(sessions: Sessions, phones: Sequence[str], lane: Lane = Lane.NORMAL) -> set[str]:
    with sessions() as session:
        return blocks.blocked_of(session, phones, lane)


def standing(sessions: Sessions) -> list[tuple[str, str]]:
    return sorted((one.phone, one.lane) for one in all_of(sessions, Block) if one.lifted_at is None)


def ordered(sessions: Sessions, task: str, *phones: str, task_id: str = TASK_ID, **said: Any) -> Taken:
    return take(sessions, an_envelope(task, list(phones), task_id=task_id, **said))


def test_a_block_says_who_asked_for_it_when_and_why(sessions: Sessions) -> None:
    block(sessions, PHONE, lanes=[Lane.BULK], reason="STOP")

    (one,) = all_of(sessions, Block)
    assert (one.phone, one.lane, one.who, one.reason, one.at) == (PHONE, "bulk", "nodira", "STOP", NOON)
    assert (one.lifted_at, one.lifted_by) == (None, None)


def test_who_is_blocked_gets_nothing_by_these_lanes_alone(sessions: Sessions) -> None:
    block(sessions, PHONE, lanes=[Lane.NORMAL, Lane.BULK])

    found = [blocked_of(sessions, [PHONE, OTHER], lane) for lane in Lane]

    assert found == [set(), {PHONE}, {PHONE}]


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 1_200], ids=lambda count: f"{count} on the list")
def test_those_on_the_list_are_found_however_long_it_is(sessions: Sessions, count: int) -> None:
    on_it = [a_phone(number) for number in range(count)]
    others = [a_phone(number) for number in range(5_000, 6_200)]
    block(sessions, *on_it)

    assert blocked_of(sessions, [*others, *on_it]) == set(on_it)
    assert blocked_of(sessions, others) == blocked_of(sessions, []) == set()


def test_many_blocks_of_one_lane_are_none_of_another(sessions: Sessions) -> None:
    many = [a_phone(number) for number in range(500)]
    block(sessions, *many, lanes=[Lane.BULK])

    assert blocked_of(sessions, many, Lane.OTP) == set()


def test_many_numbers_are_blocked_and_lifted_at_once(sessions: Sessions) -> None:
    many = [a_phone(number) for number in range(1_234)]

    assert block(sessions, *many, lanes=[Lane.BULK]) == Blocked(added=1_234, cancelled=0)
    assert len(standing(sessions)) == 1_234
    assert lift(sessions, *many, lanes=[Lane.BULK]) == 1_234
    assert standing(sessions) == []


def test_a_number_that_is_named_twice_is_blocked_once(sessions: Sessions) -> None:
    assert block(sessions, PHONE, PHONE, lanes=[Lane.OTP, Lane.OTP]).added == 1


def test_what_stands_already_stays_as_it_is(sessions: Sessions) -> None:
    block(sessions, PHONE, lanes=[Lane.BULK], reason="STOP")

    again = block(sessions, PHONE, OTHER, lanes=[Lane.BULK], who="aziz", now=LATER)

    first, second = all_of(sessions, Block)
    assert again.added == 1
    assert (first.phone, first.who, first.at, first.reason) == (PHONE, "nodira", NOON, "STOP")
    assert (second.phone, second.who) == (OTHER, "aziz")


def test_a_lifted_block_says_who_lifted_it_and_another_may_follow(sessions: Sessions) -> None:
    block(sessions, PHONE, lanes=[Lane.OTP])

    lifted = lift(sessions, PHONE, OTHER, lanes=[Lane.OTP])
    freed = blocked_of(sessions, [PHONE], Lane.OTP)
    again = block(sessions, PHONE, lanes=[Lane.OTP], now=LATER)

    first, second = all_of(sessions, Block)
    assert (lifted, freed, again.added) == (1, set(), 1)
    assert (first.lifted_at, first.lifted_by) == (LATER, "aziz")
    assert (second.at, second.lifted_at) == (LATER, None)
    assert blocked_of(sessions, [PHONE], Lane.OTP) == {PHONE}


def test_a_lift_leaves_other_lanes_and_numbers_alone(sessions: Sessions) -> None:
    block(sessions, PHONE, OTHER)

    assert lift(sessions, PHONE, lanes=[Lane.OTP]) == 1
    assert len(standing(sessions)) == 5
    assert (PHONE, "otp") not in standing(sessions)


def test_what_is_queued_for_a_blocked_number_is_cancelled_and_its_producer_told(sessions: Sessions) -> None:
    waiting = stored(sessions, phone=PHONE, lane=Lane.BULK, callback=TELL)

    done = block(sessions, PHONE, lanes=[Lane.BULK])

    sms, (callback,) = the_sms(sessions, waiting), all_of(sessions, Callback)
    assert done == Blocked(added=1, cancelled=1)
    assert (sms.state, sms.reason, sms.finalized_at) == ("cancelled", "blocked", NOON)
    assert (callback.event["state"], callback.event["reason"], callback.event["phone"]) == (
        "cancelled",
        "blocked",
        PHONE,
    )


def test_other_numbers_and_other_lanes_are_left_alone(sessions: Sessions) -> None:
    stored(sessions, phone=PHONE, lane=Lane.OTP)
    stored(sessions, phone=OTHER, lane=Lane.BULK)

    assert block(sessions, PHONE, lanes=[Lane.NORMAL, Lane.BULK]).cancelled == 0
    assert {one.state for one in all_of(sessions, Message)} == {"queued"}


@pytest.mark.parametrize("state", [state for state in MessageState if state != MessageState.QUEUED])
def test_only_what_is_queued_is_cancelled(sessions: Sessions, state: MessageState) -> None:
    sms_id = stored(sessions, phone=PHONE, state=state)

    assert block(sessions, PHONE).cancelled == 0
    assert the_sms(sessions, sms_id).state == state


def test_in_staging_the_number_that_was_ordered_counts_too(sessions: Sessions) -> None:
    staged = stored(sessions, phone=OTHER, ordered_phone=PHONE, callback=TELL)

    done = block(sessions, PHONE)

    (callback,) = all_of(sessions, Callback)
    assert (done.cancelled, the_sms(sessions, staged).state) == (1, "cancelled")
    assert callback.event["phone"] == PHONE


def test_in_staging_a_blocked_number_may_stand_in_for_others(sessions: Sessions) -> None:
    for_another = stored(sessions, phone=PHONE, ordered_phone=OTHER)

    assert block(sessions, PHONE).cancelled == 0
    assert the_sms(sessions, for_another).state == "queued"


def test_many_messages_are_cancelled_at_once(sessions: Sessions) -> None:
    many_stored(sessions, 1_300, lane=Lane.BULK)
    many_stored(sessions, 700, lane=Lane.BULK, phone=PHONE)

    done = block(sessions, PHONE, *(a_phone(number) for number in range(1_300)), lanes=[Lane.BULK])

    assert done == Blocked(added=1_301, cancelled=2_000)


def test_a_repeat_cancels_what_slipped_in_while_the_first_was_at_work(sessions: Sessions) -> None:
    block(sessions, PHONE)
    stored(sessions, phone=PHONE)

    assert block(sessions, PHONE) == Blocked(added=0, cancelled=1)


def test_a_producer_blocks_a_number_by_all_lanes(sessions: Sessions) -> None:
    waiting = stored(sessions, phone=PHONE, lane=Lane.OTP)

    taken = ordered(sessions, "sms.block", "+998 90 123-45-67", reason="STOP")

    assert (taken.moved, taken.refused, the_sms(sessions, waiting).state) == (1, 0, "cancelled")
    assert {(one.lane, one.who, one.reason) for one in all_of(sessions, Block)} == {
        (lane.value, f"order:{TASK_ID}", "STOP") for lane in Lane
    }


def test_a_producer_blocks_and_unblocks_by_the_lanes_it_names(sessions: Sessions) -> None:
    ordered(sessions, "sms.block", PHONE, OTHER, lanes=["normal", "bulk"])
    ordered(sessions, "sms.unblock", "90 123 45 67", lanes=["bulk"], task_id="2")

    assert standing(sessions) == [(PHONE, "normal"), (OTHER, "bulk"), (OTHER, "normal")]
    assert {one.lifted_by for one in all_of(sessions, Block)} == {None, "order:2"}


def test_orders_for_a_blocked_number_are_refused_until_it_is_unblocked(sessions: Sessions) -> None:
    ordered(sessions, "sms.block", PHONE)
    while_blocked = take(sessions, a_send(PHONE))
    ordered(sessions, "sms.unblock", PHONE, task_id="2")
    after = take(sessions, a_send(PHONE))

    assert (while_blocked.stored, while_blocked.refused, after.stored) == (0, 1, 1)
    assert the_refusal(sessions).reason == "phone_blocked"


def test_an_order_behind_a_block_on_the_same_list_is_refused(sessions: Sessions) -> None:
    a_block = an_envelope("sms.block", [PHONE])

    taken = take(sessions, a_send(PHONE), a_block, a_send(PHONE))

    assert (taken.stored, taken.moved, taken.refused) == (1, 1, 1)
    assert [one.state for one in all_of(sessions, Message)] == ["cancelled"]


def test_a_redelivered_order_changes_nothing(sessions: Sessions) -> None:
    stored(sessions, phone=PHONE, callback=TELL)
    ordered(sessions, "sms.block", PHONE)

    again = ordered(sessions, "sms.block", PHONE)

    assert again == Taken()
    assert (len(all_of(sessions, Block)), len(all_of(sessions, Callback))) == (3, 1)


def test_a_redelivered_block_does_not_put_back_what_was_lifted_since(sessions: Sessions) -> None:
    ordered(sessions, "sms.block", PHONE, OTHER)
    ordered(sessions, "sms.unblock", PHONE, lanes=["otp"], task_id="2")
    take(sessions, a_send(PHONE), lane=Lane.OTP)

    ordered(sessions, "sms.block", PHONE, OTHER)

    assert (PHONE, "otp") not in standing(sessions)
    assert len(standing(sessions)) == 5
    assert [one.state for one in all_of(sessions, Message)] == ["queued"]


def test_another_block_puts_back_what_was_lifted(sessions: Sessions) -> None:
    ordered(sessions, "sms.block", PHONE)
    ordered(sessions, "sms.unblock", PHONE, task_id="2")

    ordered(sessions, "sms.block", PHONE, task_id="3")

    assert len(standing(sessions)) == 3


def test_a_redelivered_unblock_does_not_lift_what_was_put_there_since(sessions: Sessions) -> None:
    ordered(sessions, "sms.block", PHONE)
    ordered(sessions, "sms.unblock", PHONE, task_id="2")
    ordered(sessions, "sms.block", PHONE, task_id="3")

    ordered(sessions, "sms.unblock", PHONE, task_id="2")

    assert len(standing(sessions)) == 3


def test_a_person_may_block_again_what_was_lifted(sessions: Sessions) -> None:
    block(sessions, PHONE)
    lift(sessions, PHONE, who="nodira")
    block(sessions, PHONE)

    assert len(standing(sessions)) == 3
    assert lift(sessions, PHONE, who="nodira") == 3


WRONG: list[Any] = [
    pytest.param([], {}, "phones_invalid", id="no number"),
    pytest.param(["90 123"], {}, "phone_invalid", id="a number too short"),
    pytest.param([PHONE, "998711234567"], {}, "phone_fixed_line", id="a fixed line among them"),
    pytest.param([PHONE], {"lanes": ["fast"]}, "lanes_invalid", id="no lane"),
    pytest.param([PHONE], {"lanes": []}, "lanes_invalid", id="no lane at all"),
    pytest.param([PHONE], {"reason": "r" * 300}, "reason_invalid", id="a reason too long"),
]


@pytest.mark.parametrize("task", ["sms.block", "sms.unblock"])
@pytest.mark.parametrize(("phones", "said", "reason"), WRONG)
def test_a_wrong_order_is_refused_and_blocks_nobody(
    sessions: Sessions, task: str, phones: list[str], said: dict[str, Any], reason: str
) -> None:
    take(sessions, an_envelope(task, phones, **said))

    assert [one.reason for one in all_of(sessions, RefusedIntake)] == [reason]
    assert all_of(sessions, Block) == []


@pytest.mark.parametrize("task_id", ["a" * 256, "a\0b", "\ud800"], ids=["endless", "NUL", "half a surrogate pair"])
def test_a_task_id_that_cannot_stand_in_the_list_is_refused(sessions: Sessions, task_id: str) -> None:
    ordered(sessions, "sms.block", PHONE, task_id=task_id)

    assert the_refusal(sessions).reason == "task_id_invalid"
    assert all_of(sessions, Block) == []


def test_the_list_is_read_page_by_page_the_last_one_first(sessions: Sessions) -> None:
    for number in range(5):
        block(sessions, a_phone(number), lanes=[Lane.BULK], now=NOON + timedelta(hours=number))

    with sessions() as session:
        first = blocks.listed(session, Chosen(), limit=3)
        second = blocks.listed(session, Chosen(), before_id=first[-1].id, limit=3)

    assert [one.phone for one in (*first, *second)] == [a_phone(number) for number in (4, 3, 2, 1, 0)]


CHOSEN: list[Any] = [
    pytest.param(Chosen(), 5, id="all that stands"),
    pytest.param(Chosen(phone=OTHER), 2, id="a number"),
    pytest.param(Chosen(lane=Lane.OTP), 1, id="a lane"),
    pytest.param(Chosen(since=LATER), 3, id="since"),
    pytest.param(Chosen(lifted_too=True), 6, id="lifted ones too"),
    pytest.param(Chosen(phone=OTHER, lifted_too=True), 3, id="a number, lifted too"),
    pytest.param(Chosen(phone=OTHER, lane=Lane.BULK, since=NOON), 1, id="all at once"),
]


@pytest.mark.parametrize(("chosen", "count"), CHOSEN)
def test_the_list_is_narrowed_by_what_is_asked(sessions: Sessions, chosen: Chosen, count: int) -> None:
    block(sessions, OTHER)
    lift(sessions, OTHER, lanes=[Lane.OTP])
    block(sessions, PHONE, now=LATER)

    with sessions() as session:
        assert blocks.count(session, chosen) == len(blocks.listed(session, chosen)) == count


def test_several_at_the_same_time_block_each_number_once(sessions: Sessions) -> None:
    phones = [a_phone(number) for number in range(1_100)]  # in more than one statement
    orders = [phones, phones[::-1], phones[100:], phones[:200:-1]]

    with ThreadPoolExecutor(len(orders)) as threads:
        done = list(threads.map(lambda some: block(sessions, *some), orders))

    assert sum(one.added for one in done) == len(standing(sessions)) == 3_300


ASKED: list[Any] = [
    pytest.param(
        lambda session, phones: blocks.blocked_of(session, phones, Lane.BULK),
        {"uq_blocks_standing"},
        id="who is blocked",
    ),
    pytest.param(
        lambda session, phones: blocks.block(session, phones[:2], lanes=LANES, now=NOON, who="aziz", reason=None),
        {"ix_messages_phone"},
        id="what is queued for them",
    ),
    pytest.param(
        lambda session, phones: blocks.listed(session, Chosen(phone=phones[0])),
        {"uq_blocks_standing", "ix_blocks_phone", "pk_blocks"},
        id="where a number stands",
    ),
]


@pytest.mark.parametrize(("ask", "indexes"), ASKED)
def test_what_is_asked_reads_an_index(
    sessions: Sessions, engine: Engine, ask: Callable[[Session, list[str]], object], indexes: set[str]
) -> None:
    phones = [a_phone(number) for number in range(2_000)]
    block(sessions, *phones)
    many_stored(sessions, 2_000, state=MessageState.FAILED)
    many_stored(sessions, 10)
    analyze(engine)

    plans = plans_of(sessions, engine, lambda session: ask(session, phones[:500]))

    assert [plan for plan in plans if any(index in plan for index in indexes)]
    assert not [plan for plan in plans if "Seq Scan on messages" in plan or plan == "SCAN messages"]


def analyze(engine: Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def plans_of(sessions: Sessions, engine: Engine, act: Callable[[Session], object]) -> list[str]:
    """How the database goes about each SELECT that *act* sends, with its own values."""
    asked: list[tuple[str, Any]] = []

    def note(_c: Connection, _k: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    with sessions() as session:
        act(session)
    event.remove(engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with engine.connect() as connection:
        rows = [connection.exec_driver_sql(explain + sql, values).all() for sql, values in asked]
    return ["\n".join(str(row[-1]) for row in plan) for plan in rows]
