"""A worker that slept between claim and post posts nothing: others may have decided about its batch meanwhile."""

from datetime import timedelta
from typing import Any

from builders import (
    Clock,
    Sessions,
    a_submission,
    all_of,
    an_upkeep,
    many_stored,
    post_all,
    states_of,
)

from models import Account, Batch, Message
from worker.gateway.memory import MemoryGateway
from worker.store import decisions
from worker.submission import LEASE_MARGIN, Submission

CALL_TIMEOUT = timedelta(seconds=35)
A_MILLISECOND = timedelta(milliseconds=1)


def a_room(sessions: Sessions, gateway: MemoryGateway, clock: Clock, **changes: Any) -> Submission:
    """Its batches are full with two messages."""
    return a_submission(sessions, gateway, clock, batch_max_messages=2, call_timeout=CALL_TIMEOUT, **changes)


def test_what_was_claimed_before_a_long_sleep_is_not_posted_but_queued_again(sessions: Sessions) -> None:
    many_stored(sessions, 2)
    clock, gateway = Clock(), MemoryGateway()
    sleeps = lambda: clock.advance(seconds=(LEASE_MARGIN + A_MILLISECOND).total_seconds())  # noqa: E731

    found = a_room(sessions, gateway, clock).post_next(on_full=sleeps)

    assert found
    assert (gateway.posted, states_of(sessions)) == ([], ["queued", "queued"])
    assert [account.state for account in all_of(sessions, Account)] == ["active"]
    assert [batch.state for batch in all_of(sessions, Batch)] == ["released"]


def test_a_short_nap_changes_nothing(sessions: Sessions) -> None:
    many_stored(sessions, 2)
    clock, gateway = Clock(), MemoryGateway()

    a_room(sessions, gateway, clock).post_next(on_full=lambda: clock.advance(seconds=LEASE_MARGIN.total_seconds()))

    assert (len(gateway.posted), states_of(sessions)) == (1, ["submitted", "submitted"])


def test_what_was_not_posted_for_a_sleep_is_posted_once_afterwards(sessions: Sessions) -> None:
    many_stored(sessions, 2)
    clock, gateway = Clock(), MemoryGateway()
    room = a_room(sessions, gateway, clock)

    room.post_next(on_full=lambda: clock.advance(hours=1))
    post_all(room)

    assert (len(gateway.posted), states_of(sessions)) == (1, ["submitted", "submitted"])


def given_up_meanwhile(sessions: Sessions, clock: Clock) -> None:
    """Upkeep takes the worker for dead."""
    clock.advance(hours=1)
    an_upkeep(sessions, clock).sweep()
    assert states_of(sessions) == ["unconfirmed", "unconfirmed"]


def test_what_upkeep_gave_up_during_the_sleep_is_queued_again_because_nothing_was_posted(sessions: Sessions) -> None:
    many_stored(sessions, 2)
    clock, gateway = Clock(), MemoryGateway()

    a_room(sessions, gateway, clock).post_next(on_full=lambda: given_up_meanwhile(sessions, clock))

    assert (gateway.posted, states_of(sessions)) == ([], ["queued", "queued"])


def test_what_a_person_dropped_during_the_sleep_is_never_posted(sessions: Sessions) -> None:
    ids = many_stored(sessions, 2)
    clock, gateway = Clock(), MemoryGateway()
    room = a_room(sessions, gateway, clock)

    def dropped_meanwhile() -> None:
        given_up_meanwhile(sessions, clock)
        with sessions.begin() as session:
            decisions.drop(session, Message.id.in_(ids), now=clock(), by="a test")

    room.post_next(on_full=dropped_meanwhile)
    post_all(room)

    assert (gateway.posted, states_of(sessions)) == ([], ["failed", "failed"])
    assert {account.state for account in all_of(sessions, Account)} == {"active"}


def test_what_a_person_let_another_worker_post_during_the_sleep_is_posted_only_there(sessions: Sessions) -> None:
    ids = many_stored(sessions, 2)
    clock, slept, awake = Clock(), MemoryGateway(), MemoryGateway()
    other = a_room(sessions, awake, clock)

    def resent_meanwhile() -> None:
        given_up_meanwhile(sessions, clock)
        with sessions.begin() as session:
            decisions.resend(session, Message.id.in_(ids), now=clock(), by="a test")
        other.post_next()

    a_room(sessions, slept, clock).post_next(on_full=resent_meanwhile)

    assert (len(slept.posted), len(awake.posted), states_of(sessions)) == (0, 1, ["submitted", "submitted"])
