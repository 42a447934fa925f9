"""The clock is set back or forward by an hour: nothing waits for it to come again, and nothing is posted twice."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from builders import (
    LONGEST,
    NOON,
    Clock,
    Sessions,
    a_polling,
    a_send,
    a_submission,
    all_of,
    an_intake,
    an_upkeep,
    many_stored,
    post_all,
    states_of,
    stored,
    the_batch,
    the_sms,
)
from plans import in_trouble, owed, posting
from reports import submitted
from sqlalchemy import Row, select

from models import Account, Callback, Circuit
from models.base import Base
from models.lifecycle import BatchState, Lane, MessageState
from worker.gateway import OutgoingSms
from worker.gateway.memory import MemoryGateway
from worker.submission import Submission

S = MessageState
AN_HOUR = timedelta(hours=1)
BACK = NOON - AN_HOUR
SECONDS_APART = timedelta(seconds=5)


def ordered(sessions: Sessions, clock: Clock, **order: Any) -> None:
    an_intake(sessions, clock).take_raw([a_send(**order)], Lane.NORMAL)


def everything(sessions: Sessions) -> dict[str, Sequence[Row[Any]]]:
    with sessions() as session:
        return {table.name: session.execute(select(table)).all() for table in Base.metadata.sorted_tables}


def swept(sessions: Sessions, at: datetime) -> int:
    """How many plans a sweep at *at* brings forward."""
    return an_upkeep(sessions, Clock(at)).sweep()["clock_set_back"]


def test_what_was_ordered_by_the_wrong_time_is_posted_at_once(sessions: Sessions) -> None:
    clock = Clock()
    ordered(sessions, clock)
    room = a_submission(sessions, clock=clock)
    clock.at = BACK

    before = room.post_next()
    found = an_upkeep(sessions, clock).sweep()

    assert not before, "it would wait for an hour"
    assert found["clock_set_back"] == 1
    assert room.post_next()
    assert states_of(sessions) == ["submitted"]


@pytest.mark.parametrize("minutes", [-30, 1, 240], ids=["within the hour", "just after", "hours later"])
def test_what_its_producer_scheduled_stays_scheduled(sessions: Sessions, minutes: int) -> None:
    """Before the step: one ordered at half past ten for half past eleven, and two ordered at noon for later."""
    at = NOON + timedelta(minutes=minutes)
    sms = stored(sessions, send_at=at, created_at=min(NOON, at - AN_HOUR))
    stored(sessions)

    swept(sessions, BACK)

    assert the_sms(sessions, sms).send_at == at


def test_a_message_does_not_live_longer_or_shorter_for_it(sessions: Sessions) -> None:
    sms = stored(sessions, expires_at=NOON + timedelta(minutes=5))

    swept(sessions, BACK)

    assert the_sms(sessions, sms).expires_at == NOON + timedelta(minutes=5)


def test_questions_are_brought_forward_to_the_longest_pause_there_is(sessions: Sessions) -> None:
    far = submitted(sessions, next_poll_at=NOON + timedelta(seconds=5))
    near = submitted(sessions, message_id="12", next_poll_at=BACK + timedelta(minutes=1))

    swept(sessions, BACK)

    assert the_sms(sessions, far).next_poll_at == BACK + LONGEST.poll
    assert the_sms(sessions, near).next_poll_at == BACK + timedelta(minutes=1)


def test_a_workers_leases_are_brought_forward_so_that_a_dead_ones_batch_is_soon_found(sessions: Sessions) -> None:
    begun = posting(sessions, lease_until=NOON + timedelta(minutes=1))
    claimed = posting(sessions, begins_by=NOON, lease_until=NOON + timedelta(minutes=1))

    swept(sessions, BACK)
    leases = [(the_batch(sessions, one).begins_by, the_batch(sessions, one).lease_until) for one in (begun, claimed)]
    an_upkeep(sessions, Clock(BACK + LONGEST.lease + SECONDS_APART)).sweep()

    end = BACK + LONGEST.lease
    assert leases == [(None, end), (end, end)]
    assert states_of(sessions) == ["unconfirmed", "queued"]


def test_callbacks_are_brought_forward_to_their_longest_pause(sessions: Sessions) -> None:
    stored(sessions)
    back = NOON - timedelta(hours=3)
    owed(sessions, NOON)

    swept(sessions, back)

    assert [one.next_try_at for one in all_of(sessions, Callback)] == [back + LONGEST.callback]


def test_probes_of_the_account_and_of_both_circuits_are_brought_forward(sessions: Sessions) -> None:
    stored(sessions)
    in_trouble(sessions, NOON + timedelta(minutes=15))

    found = swept(sessions, BACK)

    with sessions() as session:
        probes = [*session.scalars(select(Account.probe_at)), *session.scalars(select(Circuit.probe_at))]
    assert probes == [BACK + LONGEST.probe] * 3
    assert found == 4, "and the message that waited"


def test_a_step_back_is_found_though_others_have_ordered_and_posted_since(sessions: Sessions) -> None:
    """The newest message and the newest batch are from after the step when the sweep comes."""
    clock = Clock()
    stored(sessions, state=S.DELIVERED)
    waits = stored(sessions)
    asked = submitted(sessions, next_poll_at=NOON)
    clock.at = BACK
    ordered(sessions, clock)
    room = a_submission(sessions, clock=clock)
    post_all(room)

    an_upkeep(sessions, clock).sweep()
    post_all(room)

    assert the_sms(sessions, waits).state == "submitted"
    assert the_sms(sessions, asked).next_poll_at == BACK + LONGEST.poll


def test_a_second_sweep_has_nothing_more_to_bring_forward(sessions: Sessions) -> None:
    stored(sessions)
    submitted(sessions)
    posting(sessions)
    owed(sessions, NOON + timedelta(hours=2))
    in_trouble(sessions, NOON + timedelta(minutes=15))

    first = swept(sessions, BACK)
    before = everything(sessions)

    assert (first, swept(sessions, BACK)) == (7, 0)
    assert everything(sessions) == before


def test_while_the_clock_is_right_nothing_is_touched_though_another_host_is_some_seconds_ahead(
    sessions: Sessions,
) -> None:
    """Its plans are as far off as a plan can be, and made by its own clock."""
    ahead = NOON + SECONDS_APART
    row = {"created_at": ahead, "send_at": ahead}
    stored(sessions, **row)
    stored(sessions, **row | {"send_at": NOON + timedelta(days=3)})
    stored(sessions, state=S.DELIVERED, finalized_at=ahead, **row)
    submitted(sessions, next_poll_at=ahead + LONGEST.poll, **row)
    end = ahead + LONGEST.lease
    posting(sessions, created_at=ahead, begins_by=end, lease_until=end)
    owed(sessions, ahead + LONGEST.callback)
    in_trouble(sessions, ahead + LONGEST.probe)
    before = everything(sessions)

    found = swept(sessions, NOON)

    assert found == 0
    assert everything(sessions) == before


def test_after_a_step_back_all_is_delivered_soon_and_nothing_is_posted_twice(sessions: Sessions) -> None:
    """Messages wait, are asked for, and have been claimed by a worker that died, when the clock goes back."""
    clock = Clock()
    gateway = MemoryGateway(now=clock)
    room, polling = a_submission(sessions, gateway, clock, batch_max_messages=5), a_polling(sessions, gateway, clock)
    many_stored(sessions, 20)
    for _ in range(2):
        room.post_next()
    _, claimed = room._claim(tuple(Lane))
    keeper = an_upkeep(sessions, clock)
    assert claimed
    assert Counter(states_of(sessions)) == {"submitted": 10, "posting": 5, "queued": 5}

    clock.at = BACK
    for _ in range(25):
        keeper.sweep()
        post_all(room)
        for sms in [sms for one in gateway.posted for sms in one.messages]:
            gateway.deliver(sms.reference)
        while polling.ask_next():
            pass
        clock.advance(minutes=1)

    assert Counter(states_of(sessions)) == {"delivered": 20}
    assert set(posts_of(gateway).values()) == {1}


def posts_of(gateway: MemoryGateway) -> Counter[int]:
    """How often each message was posted."""
    return Counter(sms.reference for one in gateway.posted for sms in one.messages)


def others_go_on(sessions: Sessions, gateway: MemoryGateway, clock: Clock, policy: str) -> None:
    """What the other workers do: keep the house, and post what waits."""
    an_upkeep(sessions, clock, policy=lambda _: policy).sweep()
    an_upkeep(sessions, clock, policy=lambda _: policy).sweep()
    post_all(a_submission(sessions, gateway, clock))


STEPS = [
    pytest.param((AN_HOUR,), id="forward"),
    pytest.param((-AN_HOUR,), id="back"),
    pytest.param((AN_HOUR, -AN_HOUR), id="forward and back"),
    pytest.param((-AN_HOUR, AN_HOUR), id="back and forward"),
]


@pytest.mark.parametrize("policy", ["hold", "resend"])
@pytest.mark.parametrize("steps", STEPS)
def test_a_message_whose_post_is_on_the_wire_when_the_clock_is_set_is_not_posted_again(
    sessions: Sessions, steps: Sequence[timedelta], policy: str
) -> None:
    """Its worker looks dead, and is not: its answer comes."""
    many_stored(sessions, 3)
    clock = Clock()
    others = MemoryGateway(now=clock)

    def meanwhile(_: Sequence[OutgoingSms]) -> None:
        for step in steps:
            clock.at += step
            others_go_on(sessions, others, clock, policy)

    gateway = MemoryGateway(during=meanwhile, now=clock)
    a_submission(sessions, gateway, clock).post_next()
    others_go_on(sessions, others, clock, policy)

    assert others.posted == []
    assert states_of(sessions) == ["submitted"] * 3


def _before_the_byte(room: Submission, meanwhile: Callable[[], None]) -> None:
    """Post as a worker that is held up between its claim and the first byte."""
    _, claimed = room._claim(tuple(Lane))
    assert claimed
    meanwhile()
    room._post(claimed)  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", STEPS)
def test_a_message_that_was_claimed_when_the_clock_was_set_is_posted_once(
    sessions: Sessions, steps: Sequence[timedelta]
) -> None:
    """Either its worker posts it, or that finds that it was given up and others may have."""
    many_stored(sessions, 3)
    clock = Clock()
    gateway = MemoryGateway(now=clock)

    def meanwhile() -> None:
        for step in steps:
            clock.at += step
            others_go_on(sessions, gateway, clock, "hold")

    _before_the_byte(a_submission(sessions, gateway, clock), meanwhile)

    assert sorted(posts_of(gateway).values()) == [1, 1, 1]


def test_a_dead_workers_lease_is_not_made_longer(sessions: Sessions) -> None:
    batch_id = posting(sessions, lease_until=BACK + timedelta(seconds=30))

    swept(sessions, BACK)

    assert the_batch(sessions, batch_id).lease_until == BACK + timedelta(seconds=30)
    assert the_batch(sessions, batch_id).state == BatchState.POSTING
