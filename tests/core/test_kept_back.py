"""What is queued is looked at once more when it is claimed: numbers that are blocked, or not to be posted to here."""

import pytest
from builders import (
    NOON,
    Clock,
    Sessions,
    a_phone,
    a_submission,
    all_of,
    many_stored,
    post_all,
    states_of,
    stored,
    the_sms,
)
from in_trouble import opened
from sqlalchemy import insert, update

from models import Block, Callback
from models.lifecycle import Lane, MessageState
from worker.gateway.memory import MemoryGateway

TELL = {"task": "shop.sms_changed"}
MINE, OTHER = a_phone(1), a_phone(2)


def blocked(sessions: Sessions, phone: str, lane: Lane = Lane.NORMAL) -> None:
    """A number was blocked, and what is queued for it was not cancelled: it was being stored at that moment."""
    with sessions.begin() as session:
        session.execute(insert(Block), [{"phone": phone, "lane": lane, "who": "a person", "at": NOON}])


def posted_phones(gateway: MemoryGateway) -> list[str]:
    return [sms.phone for batch in gateway.posted for sms in batch.messages]


def test_a_blocked_number_is_not_posted_to_and_its_producer_is_told(sessions: Sessions) -> None:
    sms = stored(sessions, phone=MINE, callback=TELL)
    stored(sessions, phone=OTHER)
    blocked(sessions, MINE)
    gateway = MemoryGateway()

    post_all(a_submission(sessions, gateway))

    found = the_sms(sessions, sms)
    assert (found.state, found.reason, found.attempts, found.batch_id) == ("cancelled", "blocked", 0, None)
    assert posted_phones(gateway) == [OTHER]
    assert [(owed.event["state"], owed.event["reason"]) for owed in all_of(sessions, Callback)] == [
        ("cancelled", "blocked")
    ]


def test_a_block_of_another_lane_or_one_that_was_lifted_keeps_nothing_back(sessions: Sessions) -> None:
    blocked(sessions, MINE, Lane.BULK)
    blocked(sessions, MINE, Lane.NORMAL)
    with sessions.begin() as session:
        session.execute(update(Block).where(Block.lane == Lane.NORMAL).values(lifted_at=NOON, lifted_by="a person"))
    stored(sessions, phone=MINE)
    gateway = MemoryGateway()

    post_all(a_submission(sessions, gateway))

    assert posted_phones(gateway) == [MINE]


def test_the_number_that_was_ordered_counts_where_another_is_posted_to(sessions: Sessions) -> None:
    for_blocked = stored(sessions, phone=OTHER, ordered_phone=MINE)
    for_free = stored(sessions, phone=MINE, ordered_phone=OTHER)
    blocked(sessions, MINE)

    post_all(a_submission(sessions))

    assert [the_sms(sessions, sms).state for sms in (for_blocked, for_free)] == ["cancelled", "submitted"]


def test_a_crowd_of_blocked_messages_does_not_hide_those_behind_it(sessions: Sessions) -> None:
    many_stored(sessions, 12, phone=MINE)
    stored(sessions, phone=OTHER)
    blocked(sessions, MINE)
    gateway = MemoryGateway()

    a_submission(sessions, gateway, batch_max_messages=5).post_next()

    assert posted_phones(gateway) == [OTHER]


def test_nothing_of_a_copied_database_is_posted_to_others_than_the_allowed(sessions: Sessions) -> None:
    stored(sessions, phone=MINE)
    sms = [stored(sessions, phone=OTHER, lane=lane, callback=TELL) for lane in Lane]
    gateway = MemoryGateway()

    post_all(a_submission(sessions, gateway, recipients=frozenset({MINE})))

    assert posted_phones(gateway) == [MINE]
    assert {(the_sms(sessions, one).state, the_sms(sessions, one).reason) for one in sms} == {
        ("cancelled", "phone_not_allowed")
    }
    assert len(all_of(sessions, Callback)) == len(Lane)


def test_a_probe_goes_to_nobody_else_either(sessions: Sessions) -> None:
    clock, gateway = Clock(), MemoryGateway()
    opened(sessions, clock)
    stored(sessions, phone=OTHER)
    stored(sessions, phone=MINE)

    post_all(a_submission(sessions, gateway, clock, recipients=frozenset({MINE})))

    assert posted_phones(gateway) == [MINE]


@pytest.mark.parametrize("recipients", [None, frozenset({MINE, OTHER})], ids=["everybody", "both"])
def test_who_may_be_posted_to_is(sessions: Sessions, recipients: frozenset[str] | None) -> None:
    many_stored(sessions, 1, phone=MINE)
    stored(sessions, phone=OTHER)

    post_all(a_submission(sessions, recipients=recipients))

    assert set(states_of(sessions)) == {MessageState.SUBMITTED}
