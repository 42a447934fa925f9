"""A turnstile never loses a ring."""

import threading
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from worker.turnstile import LONGEST_SECONDS, Turnstile


class Room:
    """Work that comes in while others are inside; it remembers how many were inside at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting = 0
        self.done = 0
        self.inside = 0
        self.most = 0

    def put(self) -> None:
        with self.lock:
            self.waiting += 1

    def step(self) -> bool:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            found = self.waiting > 0
            self.waiting -= found
            self.done += found
        with self.lock:
            self.inside -= 1
        return found


@pytest.mark.parametrize("width", [1, 2, 8])
def test_a_ring_while_it_is_full_is_never_lost(width: int) -> None:
    turnstile, room = Turnstile(width, Event()), Room()

    def ring(_: int) -> None:
        room.put()
        turnstile.run(room.step)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ring, range(3_000)))

    assert (room.done, room.waiting) == (3_000, 0)
    assert room.most <= width


def test_those_inside_look_once_more_when_somebody_rang() -> None:
    turnstile = Turnstile(1, Event())
    steps: list[str] = []

    def outer() -> bool:
        steps.append("looks")
        if len(steps) == 1:
            turnstile.run(inner)
        return False

    def inner() -> bool:
        steps.append("never")
        return False

    turnstile.run(outer)

    assert steps == ["looks", "looks"]


def test_a_step_that_raises_leaves_its_place() -> None:
    turnstile = Turnstile(1, Event())

    with pytest.raises(ZeroDivisionError):
        turnstile.run(lambda: bool(1 / 0))

    room = Room()
    room.put()
    turnstile.run(room.step)
    assert room.done == 1


def test_nothing_is_begun_once_it_is_to_stop() -> None:
    stopping = Event()
    turnstile = Turnstile(1, stopping)
    steps: list[int] = []

    def step() -> bool:
        steps.append(1)
        stopping.set()
        return True

    turnstile.run(step)
    turnstile.run(step)

    assert steps == [1]


def test_nobody_stays_inside_for_long_while_there_is_work() -> None:
    seconds = iter(range(1_000))
    turnstile = Turnstile(1, Event(), monotonic=lambda: float(next(seconds)))

    left_work = turnstile.run(lambda: True)

    assert left_work
    assert next(seconds) == LONGEST_SECONDS + 1


def test_whoever_finds_nothing_more_asks_nobody_to_go_on() -> None:
    assert not Turnstile(1, Event()).run(Room().step)
