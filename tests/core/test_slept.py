"""A worker that slept between claim and post posts nothing: others may have decided about its batch meanwhile.

It may sleep before it says that it begins, so that upkeep comes first, or between saying so and the first byte.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from builders import Clock, Sessions, a_submission, all_of, an_upkeep, many_stored, post_all, states_of
from moments import AFTER, BEFORE, Meanwhile
from sqlalchemy import select

from models import Batch, Circuit, Message
from models.lifecycle import Lane
from worker.gateway import OutgoingSms
from worker.gateway.memory import MemoryGateway
from worker.store import decisions
from worker.store.accounts import Gate, gate_of
from worker.store.claims import Claimed
from worker.submission import LEASE_MARGIN, Submission
from worker.trouble import Outcome

CONNECT_TIMEOUT, CALL_TIMEOUT = timedelta(seconds=5), timedelta(seconds=35)
BEGINS_WITHIN = CONNECT_TIMEOUT + LEASE_MARGIN
A_MILLISECOND = timedelta(milliseconds=1)


def a_room(sessions: Sessions, gateway: MemoryGateway, clock: Clock, **changes: Any) -> Submission:
    timeouts = {"connect_timeout": CONNECT_TIMEOUT, "call_timeout": CALL_TIMEOUT}
    return a_submission(sessions, gateway, clock, **timeouts | changes)


def post_sleepily(sessions: Sessions, clock: Clock, point: str, meanwhile: Callable[[], object]) -> MemoryGateway:
    """Post once; the gateway tells what has left."""
    gateway = Meanwhile(sessions, point, meanwhile)
    assert a_room(sessions, gateway, clock).post_next()
    return gateway


def the_gate(sessions: Sessions) -> Gate:
    with sessions() as session:
        return gate_of(session, session.scalars(select(Circuit.account_id).limit(1)).one())


TOO_LONG: list[Any] = [
    pytest.param(BEFORE, BEGINS_WITHIN, id=BEFORE),
    pytest.param(AFTER, LEASE_MARGIN + A_MILLISECOND, id=AFTER),
]


@pytest.mark.parametrize(("point", "sleep"), TOO_LONG)
def test_what_was_claimed_before_a_long_sleep_is_not_posted_but_queued_again(
    sessions: Sessions, point: str, sleep: timedelta
) -> None:
    many_stored(sessions, 2)
    clock = Clock()

    gateway = post_sleepily(sessions, clock, point, lambda: clock.sleep(sleep.total_seconds()))

    assert (gateway.posted, states_of(sessions)) == ([], ["queued", "queued"])
    assert [(batch.state, batch.reason) for batch in all_of(sessions, Batch)] == [
        ("released", "the time to begin was over")
    ]


@pytest.mark.parametrize(("point", "sleep"), TOO_LONG)
def test_a_sleep_says_nothing_about_the_gateway_or_the_account(
    sessions: Sessions, point: str, sleep: timedelta
) -> None:
    many_stored(sessions, 2)
    clock = Clock()

    for _ in range(5):
        post_sleepily(sessions, clock, point, lambda: clock.sleep(sleep.total_seconds()))

    assert the_gate(sessions) == Gate(held=False, paused=False, open=False)


NAPS: list[Any] = [
    pytest.param(BEFORE, BEGINS_WITHIN - A_MILLISECOND, id=BEFORE),
    pytest.param(AFTER, LEASE_MARGIN, id=AFTER),
]


@pytest.mark.parametrize(("point", "nap"), NAPS)
def test_a_short_nap_changes_nothing(sessions: Sessions, point: str, nap: timedelta) -> None:
    many_stored(sessions, 2)
    clock = Clock()

    gateway = post_sleepily(sessions, clock, point, lambda: clock.sleep(nap.total_seconds()))

    assert (len(gateway.posted), states_of(sessions)) == (1, ["submitted", "submitted"])


POINTS = pytest.mark.parametrize("point", [BEFORE, AFTER])


@POINTS
def test_what_was_not_posted_for_a_sleep_is_posted_once_afterwards(sessions: Sessions, point: str) -> None:
    many_stored(sessions, 2)
    clock, awake = Clock(), MemoryGateway()

    slept = post_sleepily(sessions, clock, point, lambda: clock.advance(hours=1))
    post_all(a_room(sessions, awake, clock))

    assert (len(slept.posted), len(awake.posted), states_of(sessions)) == (0, 1, ["submitted", "submitted"])


def given_up_meanwhile(sessions: Sessions, clock: Clock, point: str) -> None:
    """Upkeep takes the worker for dead, and knows whether anything may have left."""
    clock.advance(hours=1)
    an_upkeep(sessions, clock).sweep()
    assert set(states_of(sessions)) == {"queued" if point == BEFORE else "unconfirmed"}


@POINTS
def test_what_upkeep_gave_up_during_the_sleep_is_queued_because_nothing_was_posted(
    sessions: Sessions, point: str
) -> None:
    many_stored(sessions, 2)
    clock = Clock()

    gateway = post_sleepily(sessions, clock, point, lambda: given_up_meanwhile(sessions, clock, point))

    assert (gateway.posted, states_of(sessions)) == ([], ["queued", "queued"])


def test_what_upkeep_released_is_not_posted_though_the_sleepers_clock_says_that_there_is_time(
    sessions: Sessions,
) -> None:
    many_stored(sessions, 2)
    clock = Clock()
    ahead = an_upkeep(sessions, Clock(clock.at + BEGINS_WITHIN))

    gateway = post_sleepily(sessions, clock, BEFORE, ahead.sweep)

    assert (gateway.posted, states_of(sessions)) == ([], ["queued", "queued"])


def test_what_upkeep_released_during_the_sleep_may_have_been_posted_by_others(sessions: Sessions) -> None:
    many_stored(sessions, 2)
    clock, awake = Clock(), MemoryGateway()

    def posted_meanwhile() -> None:
        given_up_meanwhile(sessions, clock, BEFORE)
        a_room(sessions, awake, clock).post_next()

    slept = post_sleepily(sessions, clock, BEFORE, posted_meanwhile)

    assert (len(slept.posted), len(awake.posted), states_of(sessions)) == (0, 1, ["submitted", "submitted"])
    assert [batch.state for batch in all_of(sessions, Batch)] == ["released", "accepted"]


def test_what_others_are_posting_when_the_sleeper_wakes_is_left_to_them(sessions: Sessions) -> None:
    many_stored(sessions, 2)
    clock, slept, seen = Clock(), MemoryGateway(), list[list[str]]()
    sleeper = a_room(sessions, slept, clock)
    gate, claimed = sleeper._claim(tuple(Lane))
    assert isinstance(claimed, Claimed)
    given_up_meanwhile(sessions, clock, BEFORE)

    def wakes(_: Sequence[OutgoingSms]) -> None:
        sleeper.recording.store(claimed, Outcome(sleeper._post(claimed)[0], gate))
        seen.append(states_of(sessions))

    a_room(sessions, MemoryGateway(during=wakes), clock).post_next()

    assert (slept.posted, seen, states_of(sessions)) == ([], [["posting", "posting"]], ["submitted", "submitted"])


def test_what_a_producer_cancelled_during_the_sleep_is_never_posted(sessions: Sessions) -> None:
    ids = many_stored(sessions, 2)
    clock, awake = Clock(), MemoryGateway()

    def cancelled_meanwhile() -> None:
        given_up_meanwhile(sessions, clock, BEFORE)
        with sessions.begin() as session:
            for uid in session.scalars(select(Message.uid).where(Message.id.in_(ids))).all():
                decisions.cancel(session, uid, now=clock(), reason="a test")

    slept = post_sleepily(sessions, clock, BEFORE, cancelled_meanwhile)
    post_all(a_room(sessions, awake, clock))

    assert (slept.posted, awake.posted, states_of(sessions)) == ([], [], ["cancelled", "cancelled"])


def test_what_a_person_dropped_during_the_sleep_is_never_posted(sessions: Sessions) -> None:
    ids = many_stored(sessions, 2)
    clock, awake = Clock(), MemoryGateway()

    def dropped_meanwhile() -> None:
        given_up_meanwhile(sessions, clock, AFTER)
        with sessions.begin() as session:
            decisions.drop(session, Message.id.in_(ids), now=clock(), who="a test")

    slept = post_sleepily(sessions, clock, AFTER, dropped_meanwhile)
    post_all(a_room(sessions, awake, clock))

    assert (slept.posted, awake.posted, states_of(sessions)) == ([], [], ["failed", "failed"])


def test_what_a_person_let_another_worker_post_during_the_sleep_is_posted_only_there(sessions: Sessions) -> None:
    ids = many_stored(sessions, 2)
    clock, awake = Clock(), MemoryGateway()

    def resent_meanwhile() -> None:
        given_up_meanwhile(sessions, clock, AFTER)
        with sessions.begin() as session:
            decisions.resend(session, Message.id.in_(ids), now=clock(), who="a test")
        a_room(sessions, awake, clock).post_next()

    slept = post_sleepily(sessions, clock, AFTER, resent_meanwhile)

    assert (len(slept.posted), len(awake.posted), states_of(sessions)) == (0, 1, ["submitted", "submitted"])
