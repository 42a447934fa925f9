"""Connections are kept for the more urgent lanes: a message never waits for a post of a later lane."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

import pytest
from builders import NOON, Sessions, a_submission, all_of, stored
from servers import wait_for

from models import Message
from models.lifecycle import Lane
from worker.gateway import OutgoingSms
from worker.gateway.memory import MemoryGateway
from worker.seats import LastLook, lanes_for
from worker.turnstile import Turnstile

EVERY = tuple(Lane)
OTP_AND_NORMAL = (Lane.OTP, Lane.NORMAL)
ONLY_OTP = (Lane.OTP,)
HELD = "held at the gateway"


def lanes_by_seat(width: int) -> list[Sequence[Lane]]:
    """What each of those inside may post when it comes in, the first one first."""
    turnstile, found = Turnstile(width, Event()), list[Sequence[Lane]]()

    def sit_down() -> bool:
        found.append(LastLook(turnstile)())
        if len(found) < width:
            turnstile.run(sit_down)
        return False

    turnstile.run(sit_down)
    return found


@pytest.mark.parametrize(
    ("width", "seats"),
    [
        pytest.param(1, [EVERY], id="one seat"),
        pytest.param(2, [EVERY, EVERY], id="two seats"),
        pytest.param(3, [EVERY, OTP_AND_NORMAL, ONLY_OTP], id="three seats"),
        pytest.param(8, [*[EVERY] * 6, OTP_AND_NORMAL, ONLY_OTP], id="eight seats"),
    ],
)
def test_the_last_seat_is_otps_and_the_last_but_one_is_not_for_bulk(width: int, seats: list[Sequence[Lane]]) -> None:
    assert lanes_by_seat(width) == seats


def test_whoever_is_left_alone_may_post_everything_again() -> None:
    turnstile, found = Turnstile(3, Event()), list[Sequence[Lane]]()

    def look() -> bool:
        found.append(LastLook(turnstile)())
        return False

    turnstile.run(lambda: turnstile.run(look))
    turnstile.run(look)

    assert found == [OTP_AND_NORMAL, EVERY]


def test_the_last_to_leave_rings_for_what_it_was_kept_from() -> None:
    """Two may meet, each kept from bulk by the other, and both leave: bulk would wait for the next sweep."""
    turnstile = Turnstile(3, Event())
    first, second = LastLook(turnstile), LastLook(turnstile)

    def both_look() -> bool:
        first()
        second()
        return False

    turnstile.run(lambda: turnstile.run(both_look))

    assert (first.would_see_more(), second.would_see_more()) == (True, True)


def test_who_leaves_while_the_others_still_post_rings_for_nothing() -> None:
    turnstile, would = Turnstile(3, Event()), list[bool]()
    lanes = LastLook(turnstile)

    def outer() -> bool:
        turnstile.run(lambda: bool(lanes()) and False)
        would.append(lanes.would_see_more())
        return False

    turnstile.run(outer)

    assert would == [False]


class SlowForBulk:
    """Holds posts of bulk messages until they are let through, and counts how many it holds at once."""

    def __init__(self) -> None:
        self.through = Event()
        self.most = 0
        self._held = 0
        self._lock = threading.Lock()

    def __call__(self, messages: Sequence[OutgoingSms]) -> None:
        if messages[0].text != HELD:
            return
        with self._lock:
            self._held += 1
            self.most = max(self.most, self._held)
        assert self.through.wait(60)
        with self._lock:
            self._held -= 1


def state_of(sessions: Sessions, lane: Lane) -> set[str]:
    return {message.state for message in all_of(sessions, Message) if message.lane == lane}


@pytest.fixture
def bulk() -> SlowForBulk:
    return SlowForBulk()


@pytest.fixture
def ring(sessions: Sessions, bulk: SlowForBulk) -> Callable[[], bool]:
    """What a bell does in a process with three connections."""
    room = a_submission(sessions, MemoryGateway(during=bulk), batch_max_messages=1)
    turnstile = Turnstile(3, Event())

    def hear() -> bool:
        lanes = LastLook(turnstile)
        early = turnstile.run(lambda: room.post_next(lanes=lanes))
        return hear() if early or lanes.would_see_more() else False

    return hear


@pytest.mark.parametrize("urgent", [Lane.OTP, Lane.NORMAL], ids=str)
def test_slow_bulk_posts_keep_no_other_lane_waiting(
    sessions: Sessions, bulk: SlowForBulk, ring: Callable[[], bool], urgent: Lane
) -> None:
    for _ in range(10):
        stored(sessions, lane=Lane.BULK, text=HELD)

    with ThreadPoolExecutor(8) as workers:
        bells = [workers.submit(ring)]
        try:
            wait_for(lambda: bulk.most == 1)
            bells += [workers.submit(ring) for _ in range(2)]
            wait_for(lambda: sum(bell.done() for bell in bells) == 2)
            stored(sessions, lane=urgent)
            bells.append(workers.submit(ring))
            wait_for(lambda: state_of(sessions, urgent) == {"submitted"})
            most_while_slow, bulk_while_slow = bulk.most, state_of(sessions, Lane.BULK)
        finally:
            bulk.through.set()
        for bell in bells:
            bell.result(30)

    assert (most_while_slow, bulk_while_slow) == (1, {"posting", "queued"})
    assert (bulk.most, state_of(sessions, Lane.BULK)) == (1, {"submitted"})


def test_slow_bulk_and_slow_normal_posts_leave_a_connection_for_otp(
    sessions: Sessions, bulk: SlowForBulk, ring: Callable[[], bool]
) -> None:
    for lane in (Lane.BULK, Lane.BULK, Lane.BULK):
        stored(sessions, lane=lane, text=HELD)

    with ThreadPoolExecutor(8) as workers:
        bells = [workers.submit(ring)]
        try:
            wait_for(lambda: bulk.most == 1)
            for _ in range(3):
                stored(sessions, lane=Lane.NORMAL, text=HELD)
            bells.append(workers.submit(ring))
            wait_for(lambda: bulk.most == 2)
            stored(sessions, lane=Lane.OTP)
            bells.append(workers.submit(ring))
            wait_for(lambda: state_of(sessions, Lane.OTP) == {"submitted"})
            most_while_slow = bulk.most
        finally:
            bulk.through.set()
        for bell in bells:
            bell.result(30)

    assert most_while_slow == 2
    assert {message.state for message in all_of(sessions, Message)} == {"submitted"}


def test_of_two_bells_at_the_same_moment_one_looks_at_every_lane(sessions: Sessions) -> None:
    stored(sessions, lane=Lane.BULK)
    room, turnstile, both_inside = a_submission(sessions), Turnstile(3, Event()), threading.Barrier(2)

    def ring(steps_to_meet: int) -> None:
        meetings, lanes = [both_inside.wait] * steps_to_meet, LastLook(turnstile)

        def step() -> bool:
            while meetings:
                meetings.pop()(30)
            return room.post_next(lanes=lanes)

        if turnstile.run(step) or lanes.would_see_more():
            ring(0)

    with ThreadPoolExecutor(2) as workers:
        list(workers.map(ring, [1, 1]))

    assert state_of(sessions, Lane.BULK) == {"submitted"}


def test_a_bell_that_takers_posts_kept_from_a_lane_is_rung_for_when_these_are_over(sessions: Sessions) -> None:
    """They look for nothing more themselves: what is queued would wait for the next sweep."""
    stored(sessions, lane=Lane.BULK)
    room, turnstile = a_submission(sessions), Turnstile(3, Event())
    turnstile.take_places(1, 3, may=lambda inside: Lane.NORMAL in lanes_for(3, inside), patience_seconds=0)
    lanes = LastLook(turnstile)

    turnstile.run(lambda: room.post_next(lanes=lanes))
    is_due = room.is_due(lanes.kept_from)
    left_word = turnstile.leave_word()

    assert (lanes.kept_from, is_due, left_word) == ([Lane.NORMAL, Lane.BULK], True, True)
    assert not lanes.would_see_more()
    assert turnstile.give_back(2)


def test_a_bell_that_was_kept_from_nothing_that_is_due_leaves_no_word(sessions: Sessions) -> None:
    stored(sessions, lane=Lane.BULK, send_at=NOON + timedelta(hours=1))
    room, turnstile = a_submission(sessions), Turnstile(3, Event())
    turnstile.take_places(1, 3, may=lambda inside: inside < 3, patience_seconds=0)
    lanes = LastLook(turnstile)

    turnstile.run(lambda: room.post_next(lanes=lanes))

    assert not room.is_due(lanes.kept_from)
