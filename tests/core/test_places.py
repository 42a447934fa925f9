"""Places at the turnstile that are kept for a while: as many as there are, for whom they may be, and all given back."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from servers import wait_for

from models.lifecycle import Lane
from worker.seats import lanes_for
from worker.turnstile import Turnstile

NOT_AT_ALL = 0.0
LONG = 60.0
MANY = 100


def anybody(_inside: int) -> bool:
    return True


def a_turnstile(width: int = 4, stopping: Event | None = None) -> Turnstile:
    return Turnstile(width, stopping or Event())


def take(turnstile: Turnstile, *, at_least: int = 1, patience_seconds: float = NOT_AT_ALL) -> int:
    return turnstile.take_places(at_least, MANY, may=anybody, patience_seconds=patience_seconds)


def test_all_that_is_free_is_taken_and_nobody_else_comes_in() -> None:
    turnstile = a_turnstile()

    taken = take(turnstile)
    came_in = turnstile.run(lambda: pytest.fail("it is full"))

    assert (taken, turnstile.inside, came_in) == (4, 4, False)
    assert take(turnstile) == 0


def test_no_more_are_taken_than_are_wanted() -> None:
    turnstile = a_turnstile(4)

    taken = turnstile.take_places(1, 3, may=anybody, patience_seconds=NOT_AT_ALL)

    assert (taken, turnstile.inside, take(turnstile)) == (3, 3, 1)


@pytest.mark.parametrize(
    ("lane", "places"), [(Lane.OTP, 4), (Lane.NORMAL, 3), (Lane.BULK, 2)], ids=["otp", "normal", "bulk"]
)
def test_no_lane_takes_the_seats_of_the_more_urgent(lane: Lane, places: int) -> None:
    turnstile = a_turnstile(4)

    taken = turnstile.take_places(1, MANY, may=lambda inside: lane in lanes_for(4, inside), patience_seconds=NOT_AT_ALL)

    assert taken == places


def test_fewer_than_wanted_are_taken_when_the_patience_is_over() -> None:
    turnstile = a_turnstile(4)
    take(turnstile)
    turnstile.give_back(1)

    assert take(turnstile, at_least=2, patience_seconds=0.01) == 1


def test_whoever_waits_for_more_has_them_as_soon_as_they_are_free() -> None:
    turnstile = a_turnstile(4)
    take(turnstile)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(take, turnstile, at_least=2, patience_seconds=LONG)
        turnstile.give_back(1)
        turnstile.give_back(1)

        assert waiting.result(30) == 2


def test_whoever_steps_out_gives_a_place_to_those_who_wait() -> None:
    turnstile, may_leave = a_turnstile(1), Event()

    def step() -> bool:
        assert may_leave.wait(30)
        return False

    with ThreadPoolExecutor(2) as pool:
        pool.submit(turnstile.run, step)
        wait_for(lambda: turnstile.inside)
        waiting = pool.submit(take, turnstile, patience_seconds=LONG)
        may_leave.set()

        assert waiting.result(30) == 1


def test_none_is_taken_by_a_worker_that_is_to_stop() -> None:
    stopping = Event()
    stopping.set()

    assert take(a_turnstile(stopping=stopping), patience_seconds=LONG) == 0


def test_who_found_it_full_is_rung_for_once_when_a_place_is_free() -> None:
    turnstile = a_turnstile(2)
    take(turnstile)
    turnstile.run(lambda: False)

    assert [turnstile.give_back(1), turnstile.give_back(1)] == [True, False]


def test_nobody_is_rung_for_who_never_came() -> None:
    turnstile = a_turnstile(2)
    take(turnstile)

    assert not turnstile.give_back(2)


def test_word_is_left_with_those_inside_or_not_at_all() -> None:
    turnstile = a_turnstile(2)

    nobody = turnstile.leave_word()
    take(turnstile)
    somebody = turnstile.leave_word()

    assert (nobody, somebody) == (False, True)
    assert turnstile.give_back(2)


def test_those_who_step_look_once_more_where_word_was_left() -> None:
    turnstile, looks = a_turnstile(2), list[int]()

    def look() -> bool:
        looks.append(1)
        if len(looks) == 1:
            turnstile.leave_word()
        return False

    turnstile.run(look)

    assert len(looks) == 2
