"""Where the gateway fails or is slow, single probes try whether it works again, and every other message waits."""

import itertools
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from builders import (
    NOON,
    Clock,
    Sessions,
    a_polling,
    a_submission,
    all_of,
    many_stored,
    post_all,
    states_of,
    stored,
)
from in_trouble import CUT_OFF, SLOW_AFTER, UNREACHABLE, WRONG_URL, a_room, opened, the_circuit
from structlog.testing import capture_logs

from models import Account
from models.lifecycle import MessageState, Room
from worker.errors import (
    AccountRefused,
    BatchRefused,
    GatewayError,
    NeverPosted,
    NicknameRefused,
    ReportsUnavailable,
)
from worker.gateway import OutgoingSms
from worker.gateway.memory import Answer, MemoryGateway

A_MILLISECOND = timedelta(milliseconds=1)


def state_of(sessions: Sessions) -> tuple[str, int]:
    circuit = the_circuit(sessions)
    return circuit.state, circuit.failures


def events_of(logs: Sequence[Any]) -> list[str]:
    return [one["event"] for one in logs if one["event"].startswith("circuit")]


def test_three_failures_in_a_row_open_it_whichever_workers_they_met(sessions: Sessions) -> None:
    stored(sessions)
    clock = Clock()
    one, other = a_room(sessions, clock, *[UNREACHABLE] * 2), a_room(sessions, clock, UNREACHABLE, worker="other")

    with capture_logs() as logs:
        one.post_next()
        other.post_next()
        before = state_of(sessions)
        one.post_next()

    circuit = the_circuit(sessions)
    assert (before, state_of(sessions)) == (("closed", 2), ("open", 3))
    assert (circuit.reason, circuit.opened_at, circuit.probe_at) == (
        UNREACHABLE.reason,
        NOON,
        NOON + timedelta(seconds=1),
    )
    assert [(one["room"], one["reason"]) for one in logs if one["event"] == "circuit_opened"] == [
        ("posting", UNREACHABLE.reason)
    ]
    assert states_of(sessions) == ["queued"]


@pytest.mark.parametrize("answer", [CUT_OFF, ValueError("a text")], ids=["cut off", "our mistake"])
def test_one_unconfirmed_post_opens_it_at_once(sessions: Sessions, answer: Exception) -> None:
    many_stored(sessions, 9)
    room = a_room(sessions, Clock(), answer)

    post_all(room)

    circuit = the_circuit(sessions)
    assert (circuit.state, circuit.http_status) == ("open", getattr(answer, "http_status", None))
    assert sorted(states_of(sessions)) == ["queued"] * 8 + ["unconfirmed"], "each further post might have been another"


GOOD: list[Any] = [
    pytest.param(MemoryGateway().accept, id="accepted"),
    pytest.param(BatchRefused("array is not a JSON", error_no=200), id="batch refused"),
    pytest.param(NicknameRefused("incorrect nickname", error_no=203), id="nickname refused"),
    pytest.param(AccountRefused("limit is over", error_no=103), id="account refused"),
]


@pytest.mark.parametrize("good", GOOD)
def test_failures_with_a_good_answer_between_are_not_in_a_row(sessions: Sessions, good: Answer) -> None:
    many_stored(sessions, 5)
    clock = Clock()
    room = a_room(sessions, clock, UNREACHABLE, UNREACHABLE, good, UNREACHABLE, UNREACHABLE)

    for _ in range(5):
        room.post_next()
        clock.advance(minutes=1)

    assert state_of(sessions) == ("closed", 2)


def test_a_good_answer_counts_when_it_comes_whenever_its_post_was_claimed(sessions: Sessions) -> None:
    many_stored(sessions, 3)
    clock = Clock()
    failing = a_room(sessions, clock, *[UNREACHABLE] * 3)

    def two_fail(_: Sequence[OutgoingSms]) -> None:
        failing.post_next()
        failing.post_next()

    a_submission(sessions, MemoryGateway(during=two_fail), clock, batch_max_messages=1).post_next()
    failing.post_next()

    assert state_of(sessions) == ("closed", 1)


def test_a_post_that_never_began_counts_neither_way(sessions: Sessions) -> None:
    stored(sessions)
    never = NeverPosted("the time to begin was over")
    room = a_room(sessions, Clock(), UNREACHABLE, never, UNREACHABLE, never, UNREACHABLE)

    steps = post_all(room)

    assert (steps, state_of(sessions)) == (5, ("open", 3))


@pytest.mark.parametrize(
    ("took", "state"),
    [(SLOW_AFTER, ("closed", 0)), (SLOW_AFTER + A_MILLISECOND, ("open", 3))],
    ids=["just in time", "slow"],
)
def test_three_slow_answers_in_a_row_open_it_however_good_they_are(
    sessions: Sessions, took: timedelta, state: tuple[str, int]
) -> None:
    many_stored(sessions, 3)
    clock = Clock()
    slow = MemoryGateway(during=lambda _: clock.sleep(took.total_seconds()), now=clock)
    room = a_submission(sessions, slow, clock, batch_max_messages=1, slow_after=SLOW_AFTER)

    post_all(room)

    assert state_of(sessions) == state
    assert the_circuit(sessions).reason == (None if state[0] == "closed" else "the gateway answers slowly")
    assert states_of(sessions) == ["submitted"] * 3


@pytest.mark.parametrize("failures", [0, 2])
def test_a_good_answer_of_a_post_that_was_under_way_when_it_opened_closes_nothing(
    sessions: Sessions, failures: int
) -> None:
    many_stored(sessions, 2)
    clock = Clock()
    failing = a_room(sessions, clock, *[UNREACHABLE] * failures, CUT_OFF)
    for _ in range(failures):
        failing.post_next()

    def meanwhile(_: Sequence[OutgoingSms]) -> None:
        failing.post_next()

    under_way = MemoryGateway(during=meanwhile)
    a_submission(sessions, under_way, clock, batch_max_messages=1).post_next()

    circuit = the_circuit(sessions)
    assert sorted(states_of(sessions)) == ["submitted", "unconfirmed"]
    assert (circuit.state, circuit.failures, circuit.reason) == ("open", failures + 3, CUT_OFF.reason)


@pytest.mark.parametrize("answer", [WRONG_URL, CUT_OFF], ids=["refused", "cut off"])
def test_a_failure_of_a_post_that_was_under_way_when_it_opened_puts_no_probe_off(
    sessions: Sessions, answer: GatewayError
) -> None:
    many_stored(sessions, 2)
    clock = Clock()
    failing = a_room(sessions, clock, CUT_OFF)

    def meanwhile(_: Sequence[OutgoingSms]) -> None:
        failing.post_next()
        clock.advance(seconds=1)

    under_way = MemoryGateway(answers=[answer], during=meanwhile)
    a_submission(sessions, under_way, clock, batch_max_messages=1).post_next()

    circuit = the_circuit(sessions)
    assert (circuit.opened_at, circuit.probe_at, circuit.probes) == (NOON, NOON + timedelta(seconds=1), 0)


def test_posting_in_trouble_keeps_nobody_from_asking(sessions: Sessions) -> None:
    clock = Clock()
    opened(sessions, clock)
    stored(sessions, state=MessageState.SUBMITTED)
    gateway = MemoryGateway()

    asked = a_polling(sessions, gateway, clock).ask_next()

    assert (asked, gateway.asked) == (True, ["5001"])
    assert [the_circuit(sessions, room).state for room in (Room.POSTING, Room.POLLING)] == ["open", "closed"]


def test_asking_in_trouble_keeps_nobody_from_posting(sessions: Sessions) -> None:
    clock = Clock()
    for number in range(3):
        stored(sessions, state=MessageState.SUBMITTED, request_id=str(number))
    broken = MemoryGateway(reports_answers=itertools.repeat(ReportsUnavailable("HTTP 502", http_status=502)))
    a_polling(sessions, broken, clock).ask_next()
    many_stored(sessions, 2)
    gateway = MemoryGateway()

    a_submission(sessions, gateway, clock).post_next()

    assert [the_circuit(sessions, room).state for room in (Room.POSTING, Room.POLLING)] == ["closed", "open"]
    assert [len(one.messages) for one in gateway.posted] == [2]


@pytest.mark.parametrize("good", [True, False], ids=["a good answer before the last", "none"])
def test_questions_without_an_answer_count_only_in_a_row(sessions: Sessions, *, good: bool) -> None:
    clock = Clock()
    bad = ReportsUnavailable("HTTP 502", http_status=502)
    for number in range(2):
        stored(sessions, state=MessageState.SUBMITTED, request_id=f"early {number}")
    a_polling(sessions, MemoryGateway(reports_answers=[bad, bad]), clock).ask_next()
    clock.advance(hours=1)

    answers: list[Any] = [[], bad] if good else [bad, bad]
    a_polling(sessions, MemoryGateway(reports_answers=answers), clock).ask_next()

    circuit = the_circuit(sessions, Room.POLLING)
    assert (circuit.state, circuit.failures) == (("closed", 1) if good else ("open", 4))


def test_a_gateway_in_trouble_says_nothing_about_the_account(sessions: Sessions) -> None:
    opened(sessions, Clock())

    assert [account.state for account in all_of(sessions, Account)] == ["active"]
