"""A message is posted between its send_at and its expires_at or not at all, however slowly a connection comes about."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from builders import (
    NOON,
    Clock,
    Sessions,
    a_phone,
    a_submission,
    all_of,
    an_sms,
    an_upkeep,
    many_stored,
    post_all,
    states_of,
    stored,
    the_sms,
)
from moments import AFTER, BEFORE, Meanwhile
from sqlalchemy import insert

from models import Batch, Callback, Message
from models.lifecycle import Lane
from worker.gateway.memory import MemoryGateway
from worker.submission import Submission

A_SECOND = timedelta(seconds=1)
A_MILLISECOND = timedelta(milliseconds=1)
LATE = 1_200
TWO_MINUTES = timedelta(minutes=2)


def connects_in(sessions: Sessions, clock: Clock, seconds: float) -> Meanwhile:
    """A gateway that takes so long before each post can begin."""
    return Meanwhile(sessions, BEFORE, lambda: clock.advance(seconds=seconds))


def posted(gateway: MemoryGateway) -> list[int]:
    return [sms.reference for batch in gateway.posted for sms in batch.messages]


def test_what_expires_while_it_connects_is_not_posted_and_the_others_are(sessions: Sessions) -> None:
    clock = Clock()
    late = stored(sessions, lane=Lane.OTP, expires_at=NOON + A_SECOND, callback={"task": "shop.told"})
    others = [stored(sessions, lane=Lane.OTP, phone=a_phone(n), expires_at=NOON + TWO_MINUTES) for n in range(3)]
    gateway = connects_in(sessions, clock, seconds=1)

    post_all(a_submission(sessions, gateway, clock))

    assert (the_sms(sessions, late).state, posted(gateway)) == ("expired", others)
    assert [(batch.state, batch.reason) for batch in all_of(sessions, Batch)] == [
        ("released", "the time to begin was over"),
        ("accepted", None),
    ]
    assert [owed.event["state"] for owed in all_of(sessions, Callback)] == ["expired"]


@pytest.mark.parametrize(
    ("took", "state"),
    [(A_SECOND - A_MILLISECOND, "submitted"), (A_SECOND, "expired")],
    ids=["a moment before its end", "as its end comes"],
)
def test_a_message_is_worth_nothing_from_its_end_on(sessions: Sessions, took: timedelta, state: str) -> None:
    clock = Clock()
    stored(sessions, expires_at=NOON + A_SECOND)
    gateway = connects_in(sessions, clock, took.total_seconds())

    post_all(a_submission(sessions, gateway, clock))

    assert (states_of(sessions), len(gateway.posted)) == ([state], int(state == "submitted"))


def test_a_batch_begins_before_the_first_of_its_messages_expires(sessions: Sessions) -> None:
    begins_by: list[datetime | None] = []
    for lifetime in (TWO_MINUTES, A_SECOND, 2 * A_SECOND):
        stored(sessions, expires_at=NOON + lifetime)
    gateway = Meanwhile(sessions, BEFORE, lambda: begins_by.append(all_of(sessions, Batch)[0].begins_by))

    a_submission(sessions, gateway, Clock()).post_next()

    assert begins_by == [NOON + A_SECOND]


def test_a_worker_that_dies_on_the_way_leaves_no_late_message_to_be_posted(sessions: Sessions) -> None:
    clock, gateway = Clock(), MemoryGateway()
    short, long = (stored(sessions, expires_at=NOON + lifetime) for lifetime in (A_SECOND, TWO_MINUTES))
    with pytest.raises(SystemExit):
        a_submission(sessions, Meanwhile(sessions, BEFORE, dies), clock).post_next()

    clock.advance(seconds=1)
    found = an_upkeep(sessions, clock).sweep()
    post_all(a_submission(sessions, gateway, clock))

    assert (found["never_begun"], found["expired"]) == (2, 1)
    assert (posted(gateway), the_sms(sessions, short).state) == ([long], "expired")


def dies() -> None:
    raise SystemExit


@pytest.mark.parametrize("seconds", [0.05, 0.6, 3], ids="{} s to connect".format)
def test_a_row_of_messages_about_to_expire_does_not_hold_up_the_others(sessions: Sessions, seconds: float) -> None:
    """After an outage: the end of each comes a hundredth of a second after the last one's; connecting takes longer."""
    clock = Clock()
    with sessions.begin() as session:
        rows = [an_sms(lane=Lane.OTP, expires_at=NOON + n * timedelta(seconds=0.01)) for n in range(1, LATE + 1)]
        session.execute(insert(Message), rows)
    fresh = many_stored(sessions, 100, lane=Lane.OTP, expires_at=NOON + TWO_MINUTES)
    gateway = connects_in(sessions, clock, seconds)

    post_all(a_submission(sessions, gateway, clock), most=300)

    taken_at = [the_sms(sessions, sms).submitted_at for sms in fresh]
    assert max(at for at in taken_at if at) <= NOON + timedelta(seconds=4 * seconds)
    assert None not in taken_at


def test_after_one_that_came_too_late_what_has_little_time_left_still_goes_where_nothing_else_waits(
    sessions: Sessions,
) -> None:
    clock = Clock()
    stored(sessions, expires_at=NOON + A_SECOND)
    post_all(a_room_of(sessions, clock, lambda: clock.advance(seconds=1)))
    room = a_submission(sessions, clock=clock)
    room.rota.note_begin(in_time=False)
    short = stored(sessions, expires_at=clock.at + A_SECOND)

    post_all(room)

    assert the_sms(sessions, short).state == "submitted"


def a_room_of(sessions: Sessions, clock: Clock, before: Callable[[], None]) -> Submission:
    return a_submission(sessions, Meanwhile(sessions, BEFORE, before), clock)


def test_a_post_that_began_in_time_may_end_after_it(sessions: Sessions) -> None:
    clock = Clock()
    stored(sessions, expires_at=NOON + A_SECOND)
    gateway = Meanwhile(sessions, AFTER, lambda: clock.advance(seconds=2))

    a_submission(sessions, gateway, clock).post_next()

    assert states_of(sessions) == ["submitted"]


def test_a_message_is_rung_for_and_posted_to_the_moment_of_its_send_at_and_never_before(sessions: Sessions) -> None:
    clock, gateway = Clock(), MemoryGateway()
    sms = stored(sessions, send_at=NOON + timedelta(hours=5))
    room, keeper = a_submission(sessions, gateway, clock), an_upkeep(sessions, clock)

    rings = []
    for clock.at in (NOON, NOON + timedelta(hours=5) - A_MILLISECOND, NOON + timedelta(hours=5)):
        keeper.sweep()
        rings.append(keeper.waiting().messages)
        post_all(room)

    assert (rings, posted(gateway)) == ([False, False, True], [sms])
    assert the_sms(sessions, sms).posted_at == NOON + timedelta(hours=5)


@pytest.mark.parametrize("back", [timedelta(minutes=2), timedelta(days=2)], ids=["two minutes", "two days"])
def test_after_the_clock_was_set_back_it_is_still_not_posted_before(sessions: Sessions, back: timedelta) -> None:
    """Messages that were to go at once go at once; one that names its time keeps it."""
    clock, gateway = Clock(), MemoryGateway()
    planned = stored(sessions, send_at=NOON + timedelta(hours=5))
    at_once = stored(sessions)
    clock.at = NOON - back
    room, keeper = a_submission(sessions, gateway, clock), an_upkeep(sessions, clock)

    keeper.sweep()
    post_all(room)
    before = posted(gateway)
    clock.at = NOON + timedelta(hours=5) - A_MILLISECOND
    keeper.sweep()
    rings = [keeper.waiting().messages]
    post_all(room)
    clock.advance(milliseconds=1)
    rings.append(keeper.waiting().messages)
    post_all(room)

    assert (before, rings, posted(gateway)) == ([at_once], [False, True], [at_once, planned])


def test_after_the_clock_was_set_forward_it_goes_when_the_clock_shows_its_time(sessions: Sessions) -> None:
    clock, gateway = Clock(), MemoryGateway()
    stored(sessions, send_at=NOON + timedelta(hours=5))
    clock.advance(hours=6)

    rings = an_upkeep(sessions, clock).waiting().messages
    post_all(a_submission(sessions, gateway, clock))

    assert (rings, [sms.state for sms in all_of(sessions, Message)]) == (True, ["submitted"])
