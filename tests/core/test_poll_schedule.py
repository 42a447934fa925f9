"""When the gateway is asked, by whom, and until when."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, a_polling, states_of, stored, the_sms
from reports import SILENT, a_report, asks, submitted

from models.lifecycle import MessageState
from worker.gateway import Report as Said
from worker.gateway.memory import MemoryGateway


def test_nobody_is_asked_about_what_is_not_due(sessions: Sessions) -> None:
    submitted(sessions, next_poll_at=NOON + timedelta(seconds=1))
    stored(sessions, state=MessageState.DELIVERED)
    gateway = MemoryGateway()

    assert not a_polling(sessions, gateway, Clock()).ask_next()
    assert gateway.asked == []


def test_the_pauses_between_questions_climb_the_ladder(sessions: Sessions) -> None:
    sms = submitted(sessions)
    clock = Clock()
    pauses = []

    for _ in range(4):
        asks(sessions, [a_report("transmitted")], clock=clock)
        next_poll_at = the_sms(sessions, sms).next_poll_at
        assert next_poll_at
        pauses.append((next_poll_at - clock.at).total_seconds())
        clock.at = next_poll_at

    assert pauses == [60, 600, 600, 600]


@pytest.mark.parametrize(("dice", "pause"), [(0.0, 54), (0.5, 60), (1.0, 66)], ids=["low", "middle", "high"])
def test_a_pause_is_longer_or_shorter_by_a_tenth_as_the_dice_fall(
    sessions: Sessions, dice: float, pause: float
) -> None:
    sms = submitted(sessions)
    gateway = MemoryGateway(reports_answers=[[a_report("transmitted")]])

    a_polling(sessions, gateway, Clock(), dice=lambda: dice).ask_next()

    assert the_sms(sessions, sms).next_poll_at == NOON + timedelta(seconds=pause)


def test_a_message_can_be_asked_for_as_often_as_a_short_ladder_wants(sessions: Sessions) -> None:
    sms = submitted(sessions, polls=32_767)

    asks(sessions, [a_report("transmitted")])

    assert the_sms(sessions, sms).polls == 32_768


@pytest.mark.parametrize("answer", [*SILENT, pytest.param([a_report("transmitted")], id="still on its way")])
def test_without_a_final_report_by_the_deadline_a_message_is_unknown(sessions: Sessions, answer: Any) -> None:
    sms = submitted(sessions)
    clock = Clock(NOON + timedelta(hours=48))

    asks(sessions, answer, clock=clock)

    message = the_sms(sessions, sms)
    assert ("unknown", "no_final_report", clock.at) == (message.state, message.reason, message.finalized_at)


def test_the_report_at_the_deadline_still_counts(sessions: Sessions) -> None:
    sms = submitted(sessions)

    asks(sessions, [a_report()], clock=Clock(NOON + timedelta(hours=48)))

    assert the_sms(sessions, sms).state == "delivered"


def test_nobody_is_asked_about_an_unknown_message_any_more(sessions: Sessions) -> None:
    stored(sessions, state=MessageState.UNKNOWN)

    assert asks(sessions, clock=Clock(NOON + timedelta(days=9))).asked == []


def test_a_leased_request_is_not_asked_for_again_before_its_lease_is_over(sessions: Sessions) -> None:
    submitted(sessions)
    clock = Clock()
    second = MemoryGateway()

    def meanwhile(_: str) -> Sequence[Said]:
        clock.advance(seconds=49)
        a_polling(sessions, second, clock).ask_next()
        return [a_report()]

    asks(sessions, meanwhile, clock=clock)

    assert second.asked == []
    assert states_of(sessions) == ["delivered"]


def test_a_dead_askers_request_is_asked_for_again_when_its_lease_is_over(sessions: Sessions) -> None:
    submitted(sessions)
    clock = Clock()
    room = a_polling(sessions, MemoryGateway(), clock)
    room._lease()

    clock.advance(seconds=50)

    assert list(room._lease().request_ids) == ["5001"]


def test_askers_at_the_same_time_never_ask_for_the_same_request(sessions: Sessions) -> None:
    clock = Clock()
    gateway = MemoryGateway()
    for number in range(120):
        submitted(sessions, request_id=str(number // 2), message_id=str(number), phone=f"99890{number:07}")
    rooms = [a_polling(sessions, gateway, clock) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda room: room.ask_next(), rooms))

    assert len(gateway.asked) == len(set(gateway.asked)) == 60


def test_what_is_not_asked_because_the_worker_stops_is_handed_back(sessions: Sessions) -> None:
    """Due since when it was, so that it loses no place; and no question is counted, so that it stays as young."""
    sms = submitted(sessions, polls=3)
    gateway = MemoryGateway()
    clock = Clock(NOON + timedelta(seconds=9))

    a_polling(sessions, gateway, clock, leaving=lambda: True).ask_next()

    message = the_sms(sessions, sms)
    assert gateway.asked == []
    assert (message.state, message.next_poll_at, message.polls) == ("submitted", NOON, 3)


def test_no_question_is_begun_that_may_outlast_its_lease(sessions: Sessions) -> None:
    for number in range(3):
        submitted(sessions, request_id=str(number), message_id="1")
    clock = Clock()

    def slow(_: str) -> Sequence[Said]:
        clock.advance(seconds=10)
        return [a_report("transmitted", message_id="1")]

    gateway = asks(sessions, slow, slow, slow, clock=clock)

    assert len(gateway.asked) == 2, "at 0 and 10 seconds of the 15 within which a question begins"


def test_others_are_called_only_when_there_may_be_more(sessions: Sessions) -> None:
    for number in range(21):
        submitted(sessions, request_id=str(number))
    rung: list[int] = []
    room = a_polling(sessions, MemoryGateway(), Clock())

    for turn in range(2):
        room.ask_next(on_full=partial(rung.append, turn))

    assert rung == [0]
