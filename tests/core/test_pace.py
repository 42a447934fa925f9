"""A batch waits a moment for more messages only where they can be expected, and a turn is spent only on a post."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, a_submission, many_stored, post_all, states_of, stored, the_sms

from models.lifecycle import Lane
from worker.errors import AccountRefused, GatewayError, SubmissionUnconfirmed
from worker.gateway.memory import MemoryGateway
from worker.pace import LONGEST, NOT_AT_ALL, WINDOW, Pace
from worker.people import Person
from worker.submission import Submission

MILLISECOND = timedelta(milliseconds=1)


def a_busy_pace(lane: Lane = Lane.NORMAL, messages: int = 500) -> Pace:
    """*messages* were claimed just now."""
    pace = Pace()
    pace.note(lane, messages, now=NOON)
    return pace


def test_on_a_quiet_lane_a_message_goes_at_once() -> None:
    assert Pace().linger(Lane.OTP, 49, NOON, now=NOON) == NOT_AT_ALL


def test_where_much_is_coming_a_batch_waits_for_what_it_misses() -> None:
    assert a_busy_pace().linger(Lane.NORMAL, 40, NOON, now=NOON) == 40 * MILLISECOND


def test_a_batch_that_would_not_fill_in_time_does_not_wait() -> None:
    assert a_busy_pace(messages=5).linger(Lane.NORMAL, 45, NOON, now=NOON) == NOT_AT_ALL


@pytest.mark.parametrize("lane", Lane, ids=str)
def test_no_message_waits_longer_than_its_lane_allows(lane: Lane) -> None:
    pace = a_busy_pace(lane)
    longest = LONGEST[lane]

    assert pace.linger(lane, 50, NOON - longest + MILLISECOND, now=NOON) == MILLISECOND
    assert pace.linger(lane, 50, NOON - longest, now=NOON) == NOT_AT_ALL


def test_what_was_claimed_a_while_ago_promises_nothing() -> None:
    assert a_busy_pace().linger(Lane.NORMAL, 1, NOON + WINDOW, now=NOON + WINDOW) == NOT_AT_ALL


def test_it_is_forgotten_where_nobody_ever_lingers() -> None:
    pace = Pace()

    for number in range(100):
        pace.note(Lane.NORMAL, 50, now=NOON + number * WINDOW)

    assert len(pace._claimed[Lane.NORMAL]) == 1


def test_a_busy_lane_makes_nobody_wait_on_another() -> None:
    assert a_busy_pace(Lane.BULK).linger(Lane.OTP, 1, NOON, now=NOON) == NOT_AT_ALL


def test_a_partial_batch_is_posted_together_with_what_came_meanwhile(sessions: Sessions) -> None:
    clock = Clock()
    gateway = MemoryGateway()
    waits: list[float] = []

    def meanwhile(seconds: float) -> None:
        waits.append(seconds)
        many_stored(sessions, 3)
        clock.sleep(seconds)

    room = a_submission(sessions, gateway, clock, batch_max_messages=5, wait=meanwhile)
    many_stored(sessions, 5)
    room.post_next()
    stored(sessions)
    stored(sessions)

    assert [room.post_next(), room.post_next()] == [True, True]

    assert [len(posted.messages) for posted in gateway.posted] == [5, 5]
    assert len(waits) == 1


def test_only_one_thread_waits_for_a_fuller_batch(sessions: Sessions) -> None:
    clock = Clock()
    others: list[bool] = []
    room: Submission
    wait = lambda _: others.append(room.post_next())  # noqa: E731
    room = a_submission(sessions, clock=clock, batch_max_messages=5, wait=wait)
    many_stored(sessions, 5)
    room.post_next()
    stored(sessions)

    room.post_next()

    assert (others, states_of(sessions)[-1]) == ([False], "queued")


def test_whoever_waits_for_a_fuller_batch_of_bulk_keeps_no_otp_back(sessions: Sessions) -> None:
    clock = Clock()
    otps: list[int] = []
    room: Submission

    def wait(seconds: float) -> None:
        clock.sleep(seconds)
        if not otps:  # it is for bulk; meanwhile another thread finds an OTP, and waits for more of these
            otps.append(stored(sessions, lane=Lane.OTP, send_at=clock()))
            post_all(room)

    room = a_submission(sessions, clock=clock, pace=a_busy_pace(Lane.OTP, messages=5_000), wait=wait)
    many_stored(sessions, 50, lane=Lane.BULK)
    room.post_next()
    stored(sessions, lane=Lane.BULK)

    room.post_next()

    assert [the_sms(sessions, otp).state for otp in otps] == ["submitted"]


class Turns:
    """Turns that come at once, for whoever has a lane to post; it notes the lanes."""

    def __init__(self, *, comes: bool = True) -> None:
        self.lanes: list[Lane] = []
        self._comes = comes

    def __call__(self, best_lane: Callable[[], Lane | None]) -> bool:
        lane = best_lane()
        if lane is None:
            return False
        self.lanes.append(lane)
        return self._comes


NO_POST: list[Any] = [
    pytest.param(AccountRefused("limit is over", error_no=103), id="the account is paused"),
    pytest.param(SubmissionUnconfirmed("read timed out"), id="the circuit is open"),
]


@pytest.mark.parametrize("answer", NO_POST)
def test_no_turn_is_spent_where_nothing_can_be_posted(sessions: Sessions, answer: GatewayError) -> None:
    turns = Turns()
    gateway = MemoryGateway(answers=[answer])
    room = a_submission(sessions, gateway, turn=turns)

    room.post_next()
    many_stored(sessions, 2)
    room.post_next()
    room.post_next()

    assert (turns.lanes, len(gateway.posted)) == ([Lane.NORMAL], 1)


def test_no_turn_is_spent_while_a_person_lets_nothing_be_posted(sessions: Sessions) -> None:
    turns = Turns()
    room = a_submission(sessions, turn=turns)
    stored(sessions)
    Person(sessions, "login", "a test", Clock()).pause()

    posted = room.post_next()

    assert (posted, turns.lanes, states_of(sessions)) == (False, [], ["queued"])


def test_a_turn_is_taken_for_the_best_lane_that_may_be_posted(sessions: Sessions) -> None:
    turns = Turns()
    room = a_submission(sessions, turn=turns)
    for lane in (Lane.BULK, Lane.OTP, Lane.NORMAL):
        stored(sessions, lane=lane)

    room.post_next(lanes=lambda: (Lane.NORMAL, Lane.BULK))
    room.post_next()
    room.post_next()

    assert turns.lanes == [Lane.NORMAL, Lane.OTP, Lane.BULK]
    assert set(states_of(sessions)) == {"submitted"}


def test_a_message_whose_turn_does_not_come_stays_queued(sessions: Sessions) -> None:
    stored(sessions)
    gateway = MemoryGateway()

    posted = a_submission(sessions, gateway, turn=Turns(comes=False)).post_next()

    assert (posted, gateway.posted, states_of(sessions)) == (False, [], ["queued"])
