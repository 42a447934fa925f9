"""While the gateway does not answer questions well, one at a time tries whether it does; posting is not touched."""

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, a_polling, a_submission, all_of, stored, the_sms
from reports import a_report, asks, submitted
from sqlalchemy import select
from structlog.testing import capture_logs

from models import Account, Circuit, Message
from models.lifecycle import MessageState, Room
from worker.errors import AccountRefused, ReportsUnavailable, RequestIdUnknown
from worker.gateway import Report as Said
from worker.gateway.memory import MemoryGateway

BROKEN = ReportsUnavailable("HTTP 502", http_status=502)
TOO_EARLY = RequestIdUnknown("request_id is wrong", error_no=400)
GOOD: list[Said] = []
A_LEASE = timedelta(seconds=50)


def due(sessions: Sessions, count: int) -> list[int]:
    """So many messages, each of a request of its own, to be asked for now."""
    return [submitted(sessions, request_id=str(number), message_id=str(number)) for number in range(count)]


def the_circuit(sessions: Sessions, room: Room = Room.POLLING) -> Circuit:
    with sessions() as session:
        return session.scalars(select(Circuit).where(Circuit.room == room)).one()


def opened(sessions: Sessions) -> None:
    """Three questions in a row that were answered with a 502, at noon; what was asked is due again a minute later."""
    due(sessions, 3)
    asks(sessions, BROKEN, BROKEN, BROKEN)


def probe_at(sessions: Sessions) -> datetime:
    at = the_circuit(sessions).probe_at
    assert at
    return at


def test_three_questions_in_a_row_without_a_usable_answer_open_the_circuit_and_the_rest_is_handed_back(
    sessions: Sessions,
) -> None:
    due(sessions, 10)

    gateway = asks(sessions, *[BROKEN] * 10)

    circuit = the_circuit(sessions)
    asked = [message for message in all_of(sessions, Message) if message.request_id in gateway.asked]
    left = [message for message in all_of(sessions, Message) if message.request_id not in gateway.asked]
    assert (circuit.state, circuit.reason, circuit.http_status) == ("open", "HTTP 502", 502)
    assert (circuit.opened_at, circuit.probe_at) == (NOON, NOON + timedelta(seconds=1))
    assert [(one.polls, one.next_poll_at) for one in asked] == [(1, NOON + timedelta(minutes=1))] * 3
    assert [(one.polls, one.next_poll_at) for one in left] == [(0, NOON)] * 7


@pytest.mark.parametrize(
    ("answers", "state", "failures"),
    [
        pytest.param([BROKEN, BROKEN, GOOD, BROKEN, BROKEN], "closed", 2, id="not in a row"),
        pytest.param([BROKEN, BROKEN, GOOD], "closed", 0, id="the last was good"),
        pytest.param([BROKEN, BROKEN], "closed", 2, id="two"),
        pytest.param([GOOD, BROKEN, BROKEN, BROKEN], "open", 3, id="three after a good one"),
        pytest.param([TOO_EARLY] * 5, "closed", 0, id="400 says that the gateway is well"),
        pytest.param([BROKEN, BROKEN, TOO_EARLY, BROKEN, BROKEN], "closed", 2, id="400 between them"),
        pytest.param([AccountRefused("account blocked", error_no=102)] * 3, "open", 3, id="the account is refused"),
    ],
)
def test_only_misses_in_a_row_open_the_circuit(
    sessions: Sessions, answers: list[Any], state: str, failures: int
) -> None:
    due(sessions, len(answers))

    asks(sessions, *answers)

    circuit = the_circuit(sessions)
    assert (state, failures) == (circuit.state, circuit.failures)


def test_misses_count_on_from_one_lease_to_the_next(sessions: Sessions) -> None:
    clock = Clock()
    due(sessions, 2)
    asks(sessions, BROKEN, BROKEN, clock=clock)
    submitted(sessions, request_id="later")

    gateway = asks(sessions, BROKEN, clock=clock)

    assert (gateway.asked, the_circuit(sessions).state) == (["later"], "open")


def test_a_good_answer_forgets_the_misses_before_it(sessions: Sessions) -> None:
    due(sessions, 2)
    asks(sessions, BROKEN, BROKEN)
    submitted(sessions, request_id="later")

    asks(sessions, GOOD)

    circuit = the_circuit(sessions)
    assert (circuit.state, circuit.failures, circuit.reason) == ("closed", 0, None)


def test_slow_answers_count_as_misses_and_are_stored_all_the_same(sessions: Sessions) -> None:
    ids = due(sessions, 3)
    clock = Clock()

    def slow(request_id: str) -> Sequence[Said]:
        clock.advance(seconds=16)
        return [a_report(message_id=request_id)]

    for _ in ids:  # within one lease no second question begins so late
        asks(sessions, slow, clock=clock)
        clock.advance(minutes=1)

    assert [the_sms(sessions, sms).state for sms in ids] == ["delivered"] * 3
    assert (the_circuit(sessions).state, the_circuit(sessions).reason) == ("open", "the gateway answers slowly")


def test_an_answer_that_takes_half_the_time_out_is_not_slow(sessions: Sessions) -> None:
    due(sessions, 1)
    clock = Clock()

    def just_in_time(_: str) -> Sequence[Said]:
        clock.advance(seconds=15)
        return GOOD

    asks(sessions, just_in_time, clock=clock)

    assert the_circuit(sessions).failures == 0


def test_nothing_is_asked_and_nothing_leased_before_the_probe_is_due(sessions: Sessions) -> None:
    opened(sessions)
    sms = submitted(sessions, request_id="waits")
    gateway = MemoryGateway()

    found = a_polling(sessions, gateway, Clock(NOON + timedelta(milliseconds=999))).ask_next()

    message = the_sms(sessions, sms)
    assert (found, gateway.asked) == (False, [])
    assert (message.polls, message.next_poll_at) == (0, NOON)


def test_while_the_circuit_is_open_one_question_at_a_time_is_asked_by_all_workers_together(sessions: Sessions) -> None:
    opened(sessions)
    due(sessions, 5)
    clock = Clock(NOON + timedelta(seconds=1))
    second = MemoryGateway()

    def meanwhile(_: str) -> Sequence[Said]:
        clock.advance(seconds=49)
        a_polling(sessions, second, clock).ask_next()
        raise BROKEN

    first = asks(sessions, meanwhile, clock=clock)

    assert (len(first.asked), second.asked) == (1, [])


def test_the_probe_of_a_worker_that_died_is_left_to_another_when_its_lease_is_over(sessions: Sessions) -> None:
    opened(sessions)
    due(sessions, 2)
    clock = Clock(NOON + timedelta(seconds=1))
    a_polling(sessions, MemoryGateway(), clock)._lease()

    clock.at += A_LEASE
    gateway = asks(sessions, clock=clock)

    assert len(gateway.asked) == 1


def test_the_pause_between_probes_grows_to_a_minute(sessions: Sessions) -> None:
    opened(sessions)
    clock, pauses = Clock(), []

    for _ in range(8):
        clock.at = probe_at(sessions)
        submitted(sessions, request_id=clock.at.isoformat(), next_poll_at=clock.at)
        asks(sessions, BROKEN, clock=clock)
        pauses.append((probe_at(sessions) - clock.at).total_seconds())

    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize("answer", [GOOD, TOO_EARLY], ids=["a report", "400"])
def test_a_probe_that_is_answered_closes_the_circuit_and_all_are_asked_again(sessions: Sessions, answer: Any) -> None:
    opened(sessions)
    due(sessions, 5)
    clock = Clock(NOON + timedelta(seconds=1))

    probe = asks(sessions, answer, clock=clock)
    circuit = the_circuit(sessions)
    then = asks(sessions, *[GOOD] * 9, clock=clock)

    assert (len(probe.asked), len(then.asked)) == (1, 4)
    assert (circuit.state, circuit.failures, circuit.probes) == ("closed", 0, 0)
    assert (circuit.reason, circuit.opened_at, circuit.probe_at) == (None, None, None)


def test_a_slow_probe_leaves_the_circuit_open(sessions: Sessions) -> None:
    opened(sessions)
    due(sessions, 1)
    clock = Clock(NOON + timedelta(seconds=1))

    def slow(_: str) -> Sequence[Said]:
        clock.advance(seconds=16)
        return GOOD

    asks(sessions, slow, clock=clock)

    assert the_circuit(sessions).state == "open"


def test_a_probe_that_has_nothing_to_ask_is_left_to_what_is_due_next(sessions: Sessions) -> None:
    opened(sessions)
    clock = Clock(NOON + timedelta(seconds=1))
    nothing = asks(sessions, clock=clock).asked
    submitted(sessions, request_id="new", next_poll_at=clock.at)

    gateway = asks(sessions, GOOD, clock=clock)

    assert (nothing, gateway.asked) == ([], ["new"])


def test_a_probe_that_is_not_made_because_the_worker_stops_is_left_to_another(sessions: Sessions) -> None:
    opened(sessions)
    due(sessions, 1)
    clock = Clock(NOON + timedelta(seconds=1))
    a_polling(sessions, MemoryGateway(), clock, leaving=lambda: True).ask_next()

    gateway = asks(sessions, GOOD, clock=clock)

    assert len(gateway.asked) == 1


@pytest.mark.parametrize("answer", [GOOD, BROKEN], ids=["a good answer", "a bad one"])
def test_a_question_that_was_under_way_when_the_circuit_opened_changes_nothing(sessions: Sessions, answer: Any) -> None:
    submitted(sessions, request_id="under way")

    def others_meanwhile(_: str) -> Sequence[Said]:
        opened(sessions)
        if isinstance(answer, Exception):
            raise answer
        return GOOD

    asks(sessions, others_meanwhile)

    circuit = the_circuit(sessions)
    assert (circuit.state, circuit.failures, circuit.probes) == ("open", 3, 0)
    assert circuit.probe_at == NOON + timedelta(seconds=1)


def test_posting_goes_on_while_nobody_can_ask_and_asking_while_nobody_can_post(sessions: Sessions) -> None:
    opened(sessions)
    stored(sessions)
    posted = a_submission(sessions).post_next()
    stored(sessions)
    a_submission(sessions, MemoryGateway(answers=[ValueError("broke")])).post_next()

    rooms = {room: the_circuit(sessions, room).state for room in Room}
    clock = Clock(probe_at(sessions))
    due(sessions, 2)
    asks(sessions, GOOD, clock=clock)

    assert posted
    assert rooms == {Room.POLLING: "open", Room.POSTING: "open"}
    assert {room: the_circuit(sessions, room).state for room in Room} == {Room.POLLING: "closed", Room.POSTING: "open"}


def test_an_account_that_is_refused_while_asking_is_not_paused(sessions: Sessions) -> None:
    """An error while asking says nothing about posting: there the account has its own say."""
    due(sessions, 3)

    asks(sessions, *[AccountRefused("account blocked", error_no=102)] * 3)

    assert [account.state for account in all_of(sessions, Account)] == ["active"]


def test_a_circuit_that_opens_and_closes_is_told_once_each(sessions: Sessions) -> None:
    due(sessions, 20)
    clock = Clock()
    answers: Iterable[Any] = itertools.chain([BROKEN] * 6, itertools.repeat(GOOD))
    room = a_polling(sessions, MemoryGateway(reports_answers=answers), clock)

    with capture_logs() as logs:
        for _ in range(60):
            room.ask_next()
            clock.advance(seconds=1)

    told = [(line["event"], line["room"]) for line in logs if line["event"].startswith("circuit_")]
    assert told == [("circuit_opened", "polling"), ("circuit_closed", "polling")]
    assert {message.state for message in all_of(sessions, Message)} == {MessageState.SUBMITTED}
