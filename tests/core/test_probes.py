"""While the circuit is open one message at a time tries whether the gateway works again, after growing pauses."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import NoReturn

import pytest
from builders import Clock, Sessions, a_submission, many_stored, post_all, states_of, stored
from in_trouble import CUT_OFF, SLOW_AFTER, UNREACHABLE, WRONG_URL, a_room, opened, the_circuit
from structlog.testing import capture_logs

from worker.errors import GatewayError
from worker.gateway import OutgoingSms
from worker.gateway.memory import MemoryGateway
from worker.submission import Submission

A_MILLISECOND = timedelta(milliseconds=1)


def test_while_it_is_open_one_of_many_workers_probes_with_one_message(sessions: Sessions) -> None:
    clock = Clock()
    opened(sessions, clock)
    many_stored(sessions, 20)
    gateway = MemoryGateway(answers=itertools.repeat(WRONG_URL))
    rooms = [a_submission(sessions, gateway, clock, worker=f"worker {number}") for number in range(6)]

    for _ in range(10):
        all_at_once = Barrier(len(rooms))

        def step(room: Submission, all_at_once: Barrier = all_at_once) -> bool:
            all_at_once.wait(30)
            return room.post_next()

        with ThreadPoolExecutor(len(rooms)) as pool:
            posted = list(pool.map(step, rooms))
        clock.at = the_circuit(sessions).probe_at or clock.at

        assert sum(posted) == 1
    assert [len(one.messages) for one in gateway.posted] == [1] * 10


def test_nobody_probes_while_another_does_or_before_it_is_time(sessions: Sessions) -> None:
    clock, others = Clock(), list[bool]()
    opened(sessions, clock)
    many_stored(sessions, 3)
    other = a_room(sessions, clock)
    gateway = MemoryGateway(answers=[WRONG_URL])
    gateway._during = lambda _: others.append(other.post_next())

    probed = a_submission(sessions, gateway, clock).post_next()
    clock.at = (the_circuit(sessions).probe_at or clock.at) - A_MILLISECOND
    too_early = other.post_next()

    assert (probed, others, too_early) == (True, [False], False)


@pytest.mark.parametrize("error", [UNREACHABLE, CUT_OFF], ids=["unreachable", "cut off"])
def test_the_pause_between_probes_doubles_up_to_a_minute(sessions: Sessions, error: GatewayError) -> None:
    many_stored(sessions, 20)
    clock, found = Clock(), list[float]()
    room = a_room(sessions, clock, *[error] * 20)
    post_all(room)

    for _ in range(8):
        probe_at = the_circuit(sessions).probe_at
        assert probe_at
        found.append((probe_at - clock.at).total_seconds())
        clock.at = probe_at
        room.post_next()

    assert found == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_good_probe_closes_it_and_full_batches_go_again(sessions: Sessions) -> None:
    many_stored(sessions, 12)
    clock = Clock()
    gateway = MemoryGateway(answers=[UNREACHABLE] * 3)
    room = a_submission(sessions, gateway, clock, batch_max_messages=10)
    post_all(room)
    clock.advance(seconds=1)

    with capture_logs() as logs:
        post_all(room)

    circuit = the_circuit(sessions)
    assert [len(one.messages) for one in gateway.posted] == [10, 10, 10, 1, 10, 1]
    assert (circuit.state, circuit.failures, circuit.reason, circuit.opened_at) == ("closed", 0, None, None)
    assert [one["event"] for one in logs if one["event"].startswith("circuit")] == ["circuit_closed"]


def test_a_slow_probe_closes_nothing(sessions: Sessions) -> None:
    clock = Clock()
    opened(sessions, clock)
    sms = stored(sessions)
    slow = MemoryGateway(during=lambda _: clock.sleep(16), now=clock)

    a_submission(sessions, slow, clock, slow_after=SLOW_AFTER).post_next()

    assert (the_circuit(sessions).state, the_circuit(sessions).probe_at) == ("open", clock.at + timedelta(seconds=2))
    assert states_of(sessions)[sms - 1] == "submitted"


def test_a_probe_that_never_began_is_anothers_at_once(sessions: Sessions) -> None:
    clock = Clock()
    opened(sessions, clock)
    sms = stored(sessions)

    a_room(sessions, clock, leaving=lambda: True).post_next()
    given_back = the_circuit(sessions)
    a_room(sessions, clock, worker="other").post_next()

    assert (given_back.state, given_back.probe_at, given_back.probes) == ("open", clock.at, 0)
    assert (the_circuit(sessions).state, states_of(sessions)[sms - 1]) == ("closed", "submitted")


def test_a_probe_is_not_used_up_where_nothing_is_to_be_posted(sessions: Sessions) -> None:
    clock = Clock()
    opened(sessions, clock)
    room = a_room(sessions, clock)

    nothing = room.post_next()
    stored(sessions)
    posted = room.post_next()

    assert (nothing, posted, the_circuit(sessions).state) == (False, True, "closed")


def test_who_dies_with_the_probe_keeps_it_no_longer_than_its_lease(sessions: Sessions) -> None:
    clock = Clock()
    opened(sessions, clock)
    many_stored(sessions, 2)

    def dies(_: Sequence[OutgoingSms]) -> NoReturn:
        raise SystemExit

    timeouts = {"connect_timeout": timedelta(seconds=5), "call_timeout": timedelta(seconds=35)}
    with pytest.raises(SystemExit):
        a_submission(sessions, MemoryGateway(during=dies), clock, batch_max_messages=1, **timeouts).post_next()
    room, lease_ends_at = a_room(sessions, clock), clock.at + timedelta(seconds=5 + 15 + 35)

    clock.at = lease_ends_at - A_MILLISECOND
    too_early = room.post_next()
    clock.at = lease_ends_at

    assert (too_early, room.post_next()) == (False, True)
