"""Whoever comes while work is under way waits, and goes together with the others; nobody is left behind."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from threading import Event

import pytest
from servers import wait_for

from worker.together import Together

FIRST = 0
REFUSED = 7  #: is never served


Coming = Callable[..., list[Future[bool]]]


class Desk:
    """Serves what comes, and remembers each lot; the first of all takes until it is let through."""

    def __init__(self, *, most: int = 100, mistake: Exception | None = None, patience_seconds: float = 60) -> None:
        self.lots: list[list[int]] = []
        self.through = Event()
        self._mistake = mistake
        self.together = Together(self._serve, most=most, patience_seconds=patience_seconds)

    def _serve(self, numbers: Sequence[int]) -> Collection[int]:
        self.lots.append(sorted(numbers))
        if FIRST in numbers:
            assert self.through.wait(30)
            if self._mistake:
                raise self._mistake
        return [number for number in numbers if number != REFUSED]


@pytest.fixture
def come() -> Iterator[Coming]:
    """Let the first be served, others come meanwhile, and the first end."""
    pool = ThreadPoolExecutor(8)

    def coming(desk: Desk, *others: int) -> list[Future[bool]]:
        first = pool.submit(desk.together, FIRST)
        wait_for(lambda: desk.lots)
        behind = [pool.submit(desk.together, number) for number in others]
        wait_for(lambda: len(desk.together._waiting) == len(others))
        desk.through.set()
        for one in behind:
            one.result(30)
        return [first, *behind]

    yield coming
    pool.shutdown()


def test_who_finds_nobody_is_served_alone_and_at_once() -> None:
    desk = Desk()

    desk.together(1)
    desk.together(2)

    assert desk.lots == [[1], [2]]


def test_those_who_come_meanwhile_are_served_together(come: Coming) -> None:
    desk = Desk()

    come(desk, 1, 2, 3)

    assert desk.lots == [[FIRST], [1, 2, 3]]


def test_each_is_told_whether_it_was_served(come: Coming) -> None:
    served = come(Desk(), 1, REFUSED, 3)

    assert [one.result(30) for one in served] == [True, True, False, True]


def test_who_has_waited_for_long_enough_goes_alone() -> None:
    """What holds up the first, a locked row, is not to hold up those behind it for as long."""
    desk = Desk(patience_seconds=0.01)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(desk.together, FIRST)
        wait_for(lambda: desk.lots)

        behind = desk.together(1)

        desk.through.set()
        assert (behind, first.result(30), desk.lots) == (False, True, [[FIRST]])
    assert desk.together(2)


class Leaving(BaseException):
    """A signal's handler raises it, wherever its thread is."""


def test_whoever_is_torn_away_while_it_waits_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    torn_away = Event()

    class Interrupted(Event):
        def wait(self, timeout: float | None = None) -> bool:
            if threading.current_thread().name != "torn away":
                return super().wait(timeout)
            super().wait(timeout)
            torn_away.set()
            raise Leaving

    def come_and_go() -> None:
        with suppress(Leaving):
            desk.together(1)

    desk = Desk()
    monkeypatch.setattr("worker.together.Event", Interrupted)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(desk.together, FIRST)
        wait_for(lambda: desk.lots)
        leaving = threading.Thread(target=come_and_go, name="torn away")
        leaving.start()
        wait_for(lambda: len(desk.together._waiting) == 1)
        behind = pool.submit(desk.together, 2)
        wait_for(lambda: len(desk.together._waiting) == 2)
        desk.through.set()  # the one who is torn away is called to serve them both

        assert (first.result(30), behind.result(30)) == (True, True)
        leaving.join(30)

    assert torn_away.is_set()
    assert desk.lots == [[FIRST], [2]]


def test_no_more_are_served_at_once_than_may_be(come: Coming) -> None:
    desk = Desk(most=2)

    come(desk, 1, 2, 3, 4, 5)

    assert [len(lot) for lot in desk.lots] == [1, 2, 2, 1]
    assert sorted(number for lot in desk.lots for number in lot) == [0, 1, 2, 3, 4, 5]


def test_a_mistake_is_its_servers_own_and_those_behind_are_served_all_the_same(
    come: Coming,
) -> None:
    desk = Desk(mistake=ValueError("broke"))

    first, *_ = come(desk, 1, 2)

    with pytest.raises(ValueError, match="broke"):
        first.result(30)
    assert desk.lots == [[FIRST], [1, 2]]
    desk.together(3)
    assert desk.lots[-1] == [3]


def test_of_many_threads_each_is_served_once_and_never_two_lots_at_a_time() -> None:
    served, lots, busy = Counter[int](), list[int](), threading.Lock()

    def serve(numbers: Sequence[int]) -> Collection[int]:
        assert busy.acquire(blocking=False), "two lots at a time"
        served.update(numbers)
        lots.append(len(numbers))
        busy.release()
        return numbers

    together = Together(serve, most=5, patience_seconds=60)
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(together, range(3_000)))

    assert served == Counter(range(3_000))
    assert max(lots) <= 5


def test_of_many_impatient_threads_each_is_served_once_or_told_to_go_alone() -> None:
    served, alone = Counter[int](), Counter[int]()

    def serve(numbers: Sequence[int]) -> Collection[int]:
        served.update(numbers)
        return numbers

    def come(number: int) -> None:
        if not together(number):
            alone[number] += 1

    together = Together(serve, most=3, patience_seconds=0.0001)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(come, range(3_000)))

    assert served + alone == Counter(range(3_000))
    assert together(FIRST)
