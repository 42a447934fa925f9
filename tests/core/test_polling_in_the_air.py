"""Many questions in the air at once: each is stored in its time, whatever becomes of the others."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, a_polling, all_of, the_sms
from reports import a_report, submitted
from sqlalchemy import Engine, create_engine, event, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import sessionmaker

from models import Circuit, Message
from models.lifecycle import Room
from worker.errors import ReportsUnavailable
from worker.gateway import Report as Said
from worker.gateway.memory import MemoryGateway

BROKEN = ReportsUnavailable("HTTP 502", http_status=502)
GOOD: list[Said] = []


def due(sessions: Sessions, count: int, word: str = "") -> list[int]:
    """So many messages, each of a request of its own, to be asked for now."""
    names = [f"{word}{number}" for number in range(count)]
    return [submitted(sessions, request_id=name, message_id=name) for name in names]


def delivering(*hanging: str) -> MemoryGateway:
    """A gateway that reports everything as delivered, and does not answer about some."""

    def delivered(request_id: str) -> Sequence[Said]:
        return [a_report(message_id=request_id)]

    gateway = MemoryGateway(reports_answers=itertools.repeat(delivered))
    gateway.hanging |= set(hanging)
    return gateway


def states(sessions: Sessions, ids: Sequence[int]) -> list[str]:
    return [the_sms(sessions, sms).state for sms in ids]


def the_circuit(sessions: Sessions) -> Circuit:
    with sessions() as session:
        return session.scalars(select(Circuit).where(Circuit.room == Room.POLLING)).one()


def test_as_many_are_asked_at_once_as_there_are_connections(sessions: Sessions) -> None:
    due(sessions, 10)
    gateway = delivering()

    a_polling(sessions, gateway, Clock(), connections=4).ask_next()

    assert (len(gateway.asked), gateway.most_at_once) == (10, 4)


def test_their_answers_share_a_transaction(sessions: Sessions) -> None:
    due(sessions, 20)
    room = a_polling(sessions, delivering(), Clock(), connections=20)
    commits: list[Any] = []
    engine = sessions.kw["bind"]
    assert isinstance(engine, Engine)
    event.listen(engine, "commit", commits.append)

    room.ask_next()

    assert len(commits) == 2, "the lease, and what came of it"


def test_a_question_that_hangs_holds_up_neither_answers_nor_questions(sessions: Sessions) -> None:
    hangs, *first = due(sessions, 4)
    clock, gateway = Clock(), delivering("0")
    room = a_polling(sessions, gateway, clock, connections=2)

    room.ask_next()
    second = due(sessions, 4, "later")
    room.ask_next()
    clock.advance(seconds=1)
    room.ask_next()

    assert states(sessions, [*first, *second]) == ["delivered"] * 7
    assert the_sms(sessions, hangs).state == "submitted"
    assert gateway.asked.count("0") == 0


def test_what_was_under_way_when_its_bell_ended_is_heard_at_the_next(sessions: Sessions) -> None:
    (sms,) = due(sessions, 1)
    gateway = delivering("0")
    room = a_polling(sessions, gateway, Clock())

    is_under_way = room.ask_next()
    gateway.hanging.clear()
    room.ask_next()

    assert is_under_way
    assert states(sessions, [sms]) == ["delivered"]


def test_who_leaves_waits_for_what_is_under_way_and_stores_it(sessions: Sessions) -> None:
    (sms,) = due(sessions, 1)
    gateway = delivering("0")
    room = a_polling(sessions, gateway, Clock())
    room.ask_next()
    looks = itertools.count()

    def let_go_at_the_third_look() -> bool:
        if next(looks) == 2:
            gateway.hanging.clear()
        return False

    room.finish(unless=let_go_at_the_third_look)

    assert states(sessions, [sms]) == ["delivered"]


def test_who_leaves_does_not_wait_where_somebody_else_goes_on(sessions: Sessions) -> None:
    (sms,) = due(sessions, 1)
    gateway = delivering("0")
    room = a_polling(sessions, gateway, Clock())
    room.ask_next()

    room.finish(unless=lambda: True)

    assert states(sessions, [sms]) == ["submitted"]


def test_an_answer_that_nobody_listened_to_until_its_lease_was_over_is_no_news(sessions: Sessions) -> None:
    """By then another worker has asked again, and knows better."""
    (sms,) = due(sessions, 1)
    clock = Clock()
    late = MemoryGateway(reports_answers=[[a_report("transmitted", message_id="0")]])
    late.hanging.add("0")
    room = a_polling(sessions, late, clock)
    room.ask_next()
    clock.advance(seconds=50)
    newer = MemoryGateway(reports_answers=[[a_report("enroute", message_id="0")]])
    a_polling(sessions, newer, clock).ask_next()

    late.hanging.clear()
    room.ask_next()

    assert the_sms(sessions, sms).gateway_status == "enroute"


def test_an_answer_that_takes_long_is_slow_however_many_came_meanwhile(sessions: Sessions) -> None:
    due(sessions, 4)
    clock, gateway = Clock(), delivering("1", "2", "3")
    room = a_polling(sessions, gateway, clock, connections=4)
    room.ask_next()

    for _ in range(4):
        clock.advance(seconds=4)
        room.ask_next()
    gateway.hanging.clear()
    room.ask_next()

    assert (the_circuit(sessions).state, the_circuit(sessions).reason) == ("open", "the gateway answers slowly")
    assert {message.state for message in all_of(sessions, Message)} == {"delivered"}


def test_answers_that_nobody_listened_to_while_the_database_was_away_say_nothing_about_the_circuit(
    sessions: Sessions,
) -> None:
    ids = due(sessions, 4)
    clock, gateway = Clock(), delivering("0", "1", "2", "3")
    room = a_polling(sessions, gateway, clock, connections=4)
    room.ask_next()
    away = sessionmaker(create_engine("sqlite:////nowhere/at/all"))

    clock.advance(seconds=20)
    with pytest.raises(OperationalError):
        replace(room, sessions=away).ask_next()
    gateway.hanging.clear()
    room.ask_next()

    assert (the_circuit(sessions).state, the_circuit(sessions).failures) == ("closed", 0)
    assert states(sessions, ids) == ["delivered"] * 4


def test_three_misses_open_the_circuit_and_what_is_not_yet_in_the_air_is_handed_back(sessions: Sessions) -> None:
    due(sessions, 12)
    gateway = MemoryGateway(reports_answers=itertools.repeat(BROKEN))

    a_polling(sessions, gateway, Clock(), connections=4).ask_next()

    left = [message for message in all_of(sessions, Message) if message.request_id not in gateway.asked]
    assert (len(gateway.asked), the_circuit(sessions).state) == (4, "open")
    assert [(one.polls, one.next_poll_at) for one in left] == [(0, NOON)] * 8


@pytest.mark.parametrize("answer", [BROKEN, GOOD], ids=["bad", "good"])
def test_what_was_in_the_air_when_the_circuit_opened_says_nothing_about_it(sessions: Sessions, answer: Any) -> None:
    ids = due(sessions, 6)
    clock = Clock()
    gateway = MemoryGateway(reports_answers=[BROKEN] * 3 + [GOOD] * 2 + [answer] * 3)
    gateway.hanging |= {"3", "4", "5"}
    room = a_polling(sessions, gateway, clock, connections=6)
    room.ask_next()
    opened = the_circuit(sessions).state
    clock.advance(seconds=1)
    due(sessions, 2, "probe")
    for _ in range(2):
        room.ask_next()
    closed = the_circuit(sessions).state

    gateway.hanging.clear()
    room.ask_next()

    assert (opened, closed) == ("open", "closed")
    assert (the_circuit(sessions).state, the_circuit(sessions).failures) == ("closed", 0)
    assert {the_sms(sessions, sms).next_poll_at for sms in ids[3:]} == {clock.at + timedelta(minutes=1)}


def test_the_probe_goes_out_though_older_questions_hang(sessions: Sessions) -> None:
    due(sessions, 6)
    clock = Clock()
    gateway = MemoryGateway(reports_answers=[BROKEN] * 5)
    gateway.hanging.add("5")
    room = a_polling(sessions, gateway, clock, connections=6)
    room.ask_next()
    due(sessions, 3, "new")
    asked = len(gateway.asked)

    clock.advance(seconds=1)
    room.ask_next()

    assert len(gateway.asked) - asked == 1
    assert the_circuit(sessions).state == "closed"


def test_a_lease_grows_as_long_as_all_of_it_is_asked(sessions: Sessions) -> None:
    due(sessions, 200)
    gateway = delivering()
    room = a_polling(sessions, gateway, Clock(), connections=64)
    counts = [0]

    while room.ask_next():
        counts.append(len(gateway.asked))

    assert [after - before for before, after in itertools.pairwise(counts)] == [20, 40, 80, 60]


def test_a_lease_shrinks_where_there_are_not_turns_enough(sessions: Sessions) -> None:
    """Else hundreds of rows would be written to be leased, and again to be handed back, for a few questions."""
    due(sessions, 200)
    gateway = delivering()
    turns = itertools.chain([0.0] * 60, itertools.repeat(1.0))
    clock = Clock()

    def turn() -> float:
        wait = next(turns)
        clock.advance(seconds=wait)
        return wait

    room = a_polling(sessions, gateway, clock, connections=64, turn=turn)
    lots = []
    for _ in range(4):
        lots.append(room.air.lot)
        room.ask_next()

    assert len(gateway.asked) == 60
    assert lots == [20, 40, 80, 4]


def test_a_lease_is_no_larger_than_what_is_asked_within_a_second(sessions: Sessions) -> None:
    """Codes that become due meanwhile would wait behind it."""
    due(sessions, 200)
    clock = Clock()

    def eight_a_second() -> float:
        clock.advance(seconds=0.125)
        return 0.0

    room = a_polling(sessions, delivering(), clock, connections=64, turn=eight_a_second)
    lots = []
    for _ in range(4):
        lots.append(room.air.lot)
        room.ask_next()

    assert lots == [20, 8, 8, 8]


@pytest.mark.parametrize(
    ("answer", "state"), [pytest.param(GOOD, "closed", id="well"), pytest.param(BROKEN, "open", id="still in trouble")]
)
def test_a_probe_counts_however_long_its_answer_takes(sessions: Sessions, answer: Any, state: str) -> None:
    """It is heard at a later look than that which asked, and by then others have looked at the open circuit."""
    due(sessions, 3)
    clock = Clock()
    gateway = MemoryGateway(reports_answers=[BROKEN, BROKEN, BROKEN, answer])
    room = a_polling(sessions, gateway, clock, connections=3)
    room.ask_next()
    clock.advance(minutes=5)
    gateway.hanging |= {"0", "1", "2"}

    room.ask_next()
    room.ask_next()
    gateway.hanging.clear()
    room.ask_next()

    circuit = the_circuit(sessions)
    assert (len(gateway.asked), circuit.state) == (4, state)
    assert circuit.probes == (state == "open")
