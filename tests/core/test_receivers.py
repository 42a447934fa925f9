"""A receiver of callbacks that is dead, slow or busy holds up nobody but itself."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, all_of
from sqlalchemy import insert

from models import Callback
from worker import callbacks as room
from worker.callbacks import Callbacks
from worker.errors import CallbackFailed
from worker.receivers import LOOK_AGAIN, REST, Receivers
from worker.store import callbacks as store
from worker.store.callbacks import Owed

DEAD, ALIVE = "https://dead.example", "https://alive.example"
AWAY = CallbackFailed("http 503", away=True)
A_DAY = timedelta(days=1)


@dataclass
class World:
    """Tells nobody at *DEAD*, and everybody else; *fails* is how, and *takes* how long it is about it."""

    clock: Clock
    fails: Exception | None = AWAY
    takes: timedelta = timedelta()
    calls: list[str] = field(default_factory=list)

    @property
    def called(self) -> Counter[str]:
        return Counter(self.calls)

    def __call__(self, owed: Owed) -> None:
        self.calls.append(owed.target["url"])
        if owed.target["url"] != DEAD:
            return
        self.clock.at += self.takes
        if self.fails:
            raise self.fails


@pytest.fixture
def world() -> World:
    return World(Clock())


def owed(sessions: Sessions, count: int, url: str, **changes: Any) -> None:
    with sessions.begin() as session:
        first = session.query(Callback).count()
        rows = [{"event_id": str(number), "event": {"event_id": str(number)}} for number in range(first, first + count)]
        same = {"target": {"url": url}, "state": "owed", "attempts": 0, "created_at": NOON, "next_try_at": NOON}
        session.execute(insert(Callback), [row | same | changes for row in rows])


def a_room(sessions: Sessions, world: World, dice: float = 0.5, **changes: Any) -> Callbacks:
    return Callbacks(sessions, world, world.clock, lambda: dice, **changes)


def tell_all(room: Callbacks) -> None:
    while room.tell_next():
        pass


def of(sessions: Sessions, url: str) -> list[Callback]:
    return [one for one in all_of(sessions, Callback) if one.target["url"] == url]


def test_a_dead_receiver_is_called_once_and_the_others_all_get_theirs(sessions: Sessions, world: World) -> None:
    owed(sessions, 200, DEAD)
    owed(sessions, 60, ALIVE)

    tell_all(a_room(sessions, world))

    assert world.called == {DEAD: 1, ALIVE: 60}
    assert {one.state for one in of(sessions, ALIVE)} == {"told"}


def test_what_is_owed_to_a_receiver_at_rest_waits_for_its_end_and_no_try_is_counted(
    sessions: Sessions, world: World
) -> None:
    owed(sessions, 120, DEAD)

    tell_all(a_room(sessions, world))

    tried, *others = sorted(of(sessions, DEAD), key=lambda one: -one.attempts)
    assert (tried.attempts, tried.reason, tried.next_try_at) == (1, "http 503", NOON + REST[0])
    assert {(one.attempts, one.reason, one.next_try_at) for one in others} == {(0, None, NOON + REST[0])}


@pytest.mark.parametrize(("dice", "factor"), [(0.0, 0.5), (0.5, 1.0), (1.0, 1.5)], ids=["low", "middle", "high"])
def test_a_rest_doubles_up_to_its_longest_and_one_call_probes(
    sessions: Sessions, world: World, dice: float, factor: float
) -> None:
    owed(sessions, 20, DEAD)
    room, rests, calls = a_room(sessions, world, dice), [], []

    for _ in range(9):
        tell_all(room)
        calls.append(world.called[DEAD])
        until = room.receivers.waits_until(DEAD, world.clock())
        assert until
        rests.append((until - world.clock()).total_seconds() / factor)
        world.clock.at = until

    assert rests == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert calls == list(range(1, 10))


def test_a_receiver_that_is_back_gets_all_of_it(sessions: Sessions, world: World) -> None:
    owed(sessions, 120, DEAD)
    room = a_room(sessions, world)
    tell_all(room)
    world.fails = None

    world.clock.at += REST[0]
    tell_all(room)

    assert {one.state for one in of(sessions, DEAD)} == {"told"}
    assert room.receivers.last_heard(DEAD) == 0


def test_a_whole_backlog_of_a_receiver_at_rest_is_passed_over_in_one_step(sessions: Sessions, world: World) -> None:
    room = a_room(sessions, world)
    room.receivers.failed(DEAD, "http 500", now=NOON, jitter=1, at_least=timedelta(0))
    owed(sessions, 500, DEAD)
    owed(sessions, 1, ALIVE)

    room.tell_next()

    assert {one.next_try_at for one in of(sessions, DEAD)} == {NOON + REST[0]}
    assert world.called == {ALIVE: 1}


def test_what_another_teller_has_leased_meanwhile_is_not_put_off(sessions: Sessions) -> None:
    owed(sessions, 2, DEAD)
    leased_until = NOON + timedelta(minutes=5)
    with sessions.begin() as session:
        (leased,) = store.lease_owed(session, now=NOON, until=leased_until, limit=1)

        store.put_off(session, [1, 2], now=NOON, at=NOON + REST[0])

    assert {one.id: one.next_try_at for one in all_of(sessions, Callback)} == {
        leased.id: leased_until,
        3 - leased.id: NOON + REST[0],
    }


def test_whoever_is_in_trouble_is_told_last(sessions: Sessions, world: World) -> None:
    room = a_room(sessions, world)
    owed(sessions, 1, DEAD)
    tell_all(room)
    world.clock.at += REST[0]
    owed(sessions, 5, ALIVE)

    room.tell_next()

    assert world.calls == [DEAD, *[ALIVE] * 5, DEAD]


def test_a_slow_receiver_rests_as_long_as_it_took(sessions: Sessions, world: World) -> None:
    world.fails, world.takes = None, timedelta(seconds=8)
    owed(sessions, 3, DEAD)
    owed(sessions, 3, ALIVE)

    tell_all(a_room(sessions, world))

    assert world.called == {DEAD: 1, ALIVE: 3}
    waiting = [one.next_try_at for one in of(sessions, DEAD) if one.state == "owed"]
    assert waiting == [NOON + timedelta(seconds=16)] * 2


@pytest.mark.parametrize("reason", ["http 400", "http 404", "http 302"])
def test_a_receiver_that_only_refuses_one_event_does_not_rest(sessions: Sessions, world: World, reason: str) -> None:
    world.fails = CallbackFailed(reason)
    owed(sessions, 3, DEAD)

    tell_all(a_room(sessions, world))

    assert world.called[DEAD] == 3


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        pytest.param(timedelta(minutes=2), timedelta(minutes=2), id="two minutes"),
        pytest.param(timedelta(seconds=1), REST[0], id="less than we give anyway"),
        pytest.param(timedelta(days=3), timedelta(hours=1), id="more than we grant"),
    ],
)
def test_a_receiver_that_asks_for_a_rest_has_it_within_bounds(
    sessions: Sessions, world: World, asked: timedelta, granted: timedelta
) -> None:
    world.fails = CallbackFailed("http 429", away=True, retry_after=asked)
    owed(sessions, 2, DEAD)

    tell_all(a_room(sessions, world))

    assert [one.next_try_at for one in of(sessions, DEAD)] == [NOON + granted] * 2


def test_what_a_receiver_wants_no_more_of_is_given_up_at_once(sessions: Sessions, world: World) -> None:
    world.fails = CallbackFailed("http 410", for_good=True)
    owed(sessions, 1, DEAD)

    tell_all(a_room(sessions, world))

    (callback,) = all_of(sessions, Callback)
    assert (callback.state, callback.reason, callback.attempts) == ("failed", "http 410", 1)


def test_what_is_owed_to_a_dead_receiver_is_given_up_after_a_day_tried_or_not(sessions: Sessions, world: World) -> None:
    owed(sessions, 60, DEAD)
    room = a_room(sessions, world)

    for _ in range(150):
        tell_all(room)
        world.clock.advance(minutes=10)

    found = of(sessions, DEAD)
    assert {(one.state, one.reason) for one in found} == {("failed", "http 503")}
    ends = [one.finished_at - NOON for one in found if one.finished_at]
    assert A_DAY <= min(ends) <= max(ends) <= A_DAY + timedelta(hours=1)
    assert min(one.attempts for one in found) < 10, "some were hardly ever tried"
    assert world.called[DEAD] <= 150


@pytest.mark.parametrize("away", [True, False], ids=["its receiver is away", "it is refused"])
def test_after_a_day_without_us_nothing_is_given_up_at_the_first_try(
    sessions: Sessions, world: World, *, away: bool
) -> None:
    """The broker or all workers may have been away for longer than a day: that is not the receiver's fault."""
    owed(sessions, 3, DEAD)
    room = a_room(sessions, world)
    world.fails = CallbackFailed("not now", away=away)
    world.clock.at = NOON + 2 * A_DAY

    tell_all(room)
    at_once = {one.state for one in all_of(sessions, Callback)}
    for _ in range(100):
        world.clock.advance(minutes=2)
        tell_all(room)

    assert at_once == {"owed"}
    assert {one.state for one in all_of(sessions, Callback)} == {"failed"}


def test_the_last_try_is_made_when_the_day_is_over(sessions: Sessions, world: World) -> None:
    world.fails = CallbackFailed("http 400")
    owed(sessions, 1, DEAD)
    tell = a_room(sessions, world)

    while (callback := all_of(sessions, Callback)[0]).state == "owed":
        world.clock.at = callback.next_try_at
        tell_all(tell)

    assert callback.finished_at == NOON + A_DAY
    assert callback.attempts == 34


def test_what_is_retried_has_another_day_and_the_same_event_id(sessions: Sessions, world: World) -> None:
    failed = {"state": "failed", "attempts": 30, "next_try_at": None, "finished_at": NOON + A_DAY}
    owed(sessions, 1, DEAD, **failed)
    tell = a_room(sessions, world)
    world.clock.at = later = NOON + 3 * A_DAY

    retried = room.retry(sessions, [1, 1, 2], now=world.clock, who="ann")
    again = room.retry(sessions, [1], now=world.clock, who="bob")
    for _ in range(150):
        tell_all(tell)
        world.clock.advance(minutes=10)

    (callback,) = all_of(sessions, Callback)
    assert (retried, again) == (1, 0)
    assert (callback.event_id, callback.event["event_id"]) == ("0", "0")
    assert (callback.state, callback.retried_at, callback.retried_by) == ("failed", later, "ann")
    assert callback.finished_at >= later + A_DAY


def test_a_clock_that_is_set_back_prolongs_no_rest() -> None:
    receivers = Receivers()
    receivers.failed(DEAD, "http 500", now=NOON, jitter=1, at_least=timedelta(0))

    assert receivers.waits_until(DEAD, NOON - timedelta(hours=1)) is None


def test_calls_that_fail_at_the_same_time_are_one_failure() -> None:
    receivers = Receivers()
    for _ in range(3):
        receivers.failed(DEAD, "http 500", now=NOON, jitter=1, at_least=timedelta(0))

    assert receivers.waits_until(DEAD, NOON) == NOON + REST[0]


def test_one_call_at_a_time_probes_a_receiver_in_trouble() -> None:
    receivers = Receivers()
    receivers.failed(DEAD, "http 500", now=NOON, jitter=1, at_least=timedelta(0))
    after = NOON + REST[0]

    entered = [receivers.enter(DEAD, after) for _ in range(2)]
    receivers.leave(DEAD)

    assert entered == [None, after + LOOK_AGAIN]
    assert receivers.enter(DEAD, after) is None


def test_who_finds_no_place_comes_again_later_with_all_that_it_has() -> None:
    receivers = Receivers(most=2, patience_seconds=0)

    entered = [receivers.enter(DEAD, NOON) for _ in range(3)]

    assert entered == [None, None, NOON + LOOK_AGAIN]
    assert receivers.waits_until(DEAD, NOON) == NOON + LOOK_AGAIN


def test_receivers_that_nobody_calls_any_more_are_forgotten() -> None:
    receivers = Receivers()
    for number in range(100):
        now = NOON + number * timedelta(hours=1)
        receivers.failed(f"https://{number}.example", "http 500", now=now, jitter=1, at_least=timedelta(0))

    assert len(receivers._troubles) < 10


def test_of_whoever_owns_a_million_hosts_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.receivers.MOST_REMEMBERED", 10)
    receivers = Receivers()

    for number in range(100):
        now = NOON + number * timedelta(milliseconds=1)
        receivers.failed(f"https://{number}.example", "http 500", now=now, jitter=1, at_least=timedelta(0))

    assert len(receivers._troubles) <= 20
    assert receivers.waits_until("https://99.example", now)
    assert not receivers.waits_until("https://0.example", now)


def test_however_many_names_are_silent_one_thread_is_left_for_those_that_answered() -> None:
    known = Receivers(most=3, patience_seconds=0)
    known.answered(ALIVE, now=NOON, took=timedelta(seconds=1))
    entered = [known.enter(f"https://silent{number}.example", NOON) for number in range(5)]

    assert entered == [None, None, None, NOON + LOOK_AGAIN, NOON + LOOK_AGAIN]
    assert known.enter(ALIVE, NOON) is None


def test_one_that_fails_once_is_a_stranger_again() -> None:
    known = Receivers()
    known.answered(ALIVE, now=NOON, took=timedelta(seconds=1))

    known.failed(ALIVE, "http 503", now=NOON, jitter=1, at_least=timedelta())

    assert known.last_heard(ALIVE) == 2
