"""More is due than can be asked: what somebody waits for comes first, and what has waited longest is always reached."""

import itertools
from collections.abc import Sequence
from datetime import timedelta
from random import Random

import pytest
from builders import NOON, Clock, Sessions, a_polling, all_of, an_sms, many_stored
from explained import rows_read
from reports import a_report, submitted
from sqlalchemy import Engine, insert, text, update

from models import Message
from models.lifecycle import Lane, MessageState
from worker.errors import ReportsUnavailable
from worker.gateway import Report as Said
from worker.gateway.memory import MemoryGateway
from worker.store import polls

OLD = 9  #: polls: on the last step of the ladder
LEASE = 20


class Turns:
    """One turn every so many seconds of the clock; who finds none waits a second before the next try."""

    def __init__(self, clock: Clock, every_seconds: float) -> None:
        self._clock = clock
        self._every = timedelta(seconds=every_seconds)
        self._free_at = clock.at
        self.taken = 0

    def __call__(self) -> float:
        if self._clock.at < self._free_at:
            self._clock.advance(seconds=1)
            return 1.0
        self._free_at = self._clock.at + self._every
        self.taken += 1
        return 0.0


def due(
    sessions: Sessions,
    *request_ids: str,
    polls: int = 0,
    for_minutes: float = 0,
    at: Clock | None = None,
    lane: Lane = Lane.NORMAL,
) -> None:
    """Store a message for each request_id, asked for so often and due since so many minutes."""
    since = (at or Clock()).at - timedelta(minutes=for_minutes)
    taken = {"state": MessageState.SUBMITTED, "batch_id": 1, "polls": polls, "next_poll_at": since, "lane": lane}
    with sessions.begin() as session:
        rows = [an_sms(request_id=one, message_id=one, **taken) for one in request_ids]
        session.execute(insert(Message), rows)


def names(word: str, count: int) -> list[str]:
    return [f"{word}{number}" for number in range(count)]


def delivers() -> MemoryGateway:
    """A gateway that reports everything as delivered."""

    def delivered(request_id: str) -> Sequence[Said]:
        return [a_report(message_id=request_id)]

    return MemoryGateway(reports_answers=itertools.repeat(delivered))


def words(gateway: MemoryGateway) -> list[str]:
    """The names of what was asked for, without their numbers."""
    return [name.rstrip("0123456789") for name in gateway.asked]


@pytest.fixture(autouse=True)
def _a_batch(sessions: Sessions) -> None:
    submitted(sessions, next_poll_at=NOON + timedelta(days=1))


def test_when_more_is_due_than_a_lease_holds_three_of_four_questions_are_for_the_youngest(sessions: Sessions) -> None:
    due(sessions, *names("old", 30), polls=OLD, for_minutes=60)
    due(sessions, *names("middle", 30), polls=1, for_minutes=10)
    due(sessions, *names("new", 30), polls=0)
    gateway = delivers()

    a_polling(sessions, gateway, Clock()).ask_next()

    assert words(gateway) == ["new", "new", "old", "new"] * 5, "so it is for any part of a lease that the budget allows"


def test_where_there_are_not_enough_of_the_youngest_the_next_step_of_the_ladder_is_asked_for(
    sessions: Sessions,
) -> None:
    due(sessions, *names("old", 30), polls=OLD, for_minutes=60)
    due(sessions, *names("middle", 30), polls=2, for_minutes=10)
    due(sessions, *names("new", 3), polls=0)
    gateway = delivers()

    a_polling(sessions, gateway, Clock()).ask_next()

    assert [words(gateway).count(word) for word in ("new", "middle", "old")] == [3, 12, 5]


def test_codes_are_asked_for_before_a_campaign_that_was_asked_for_less_often(sessions: Sessions) -> None:
    """Its messages may be a million, and whoever waits for a code does so now."""
    due(sessions, *names("campaign", 40), lane=Lane.BULK, for_minutes=60)
    due(sessions, *names("notice", 5), lane=Lane.NORMAL, polls=1, for_minutes=5)
    due(sessions, *names("code", 5), lane=Lane.OTP, polls=2)
    gateway = delivers()

    a_polling(sessions, gateway, Clock()).ask_next()

    asked = words(gateway)
    others = [word for place, word in enumerate(asked) if place % 4 != 2]
    assert others == ["code"] * 5 + ["notice"] * 5 + ["campaign"] * 5
    assert asked[2::4] == ["campaign"] * 5


def test_where_all_that_is_due_fits_into_a_lease_codes_still_go_first(sessions: Sessions) -> None:
    due(sessions, *names("campaign", 5), lane=Lane.BULK, for_minutes=60)
    due(sessions, *names("code", 5), lane=Lane.OTP, polls=2)
    gateway = delivers()

    a_polling(sessions, gateway, Clock()).ask_next()

    assert words(gateway)[:6] == ["code", "code", "campaign", "code", "code", "code"]


def test_where_all_that_is_due_fits_into_a_lease_the_youngest_still_go_first(sessions: Sessions) -> None:
    """The budget may be smaller than the lease."""
    due(sessions, *names("old", 8), polls=OLD, for_minutes=60)
    due(sessions, *names("new", 8), polls=0)
    gateway = delivers()
    clock = Clock()

    a_polling(sessions, gateway, clock, turn=Turns(clock, 2)).ask_next()

    assert words(gateway) == ["new", "new", "old", "new", "new", "new", "old", "new"]


def test_requests_of_many_messages_each_do_not_hide_the_youngest(sessions: Sessions) -> None:
    """Thirty whole batches under a request_id each were due before them."""
    for number in range(30):
        taken = {"state": MessageState.SUBMITTED, "batch_id": 1, "polls": OLD, "request_id": f"old{number}"}
        many_stored(sessions, 50, **taken, next_poll_at=NOON - timedelta(minutes=60 - number))
    due(sessions, *names("new", 30), polls=0)
    gateway = delivers()
    full: list[bool] = []

    a_polling(sessions, gateway, Clock()).ask_next(on_full=lambda: full.append(True))

    assert len(set(gateway.asked)) == len(gateway.asked) == LEASE
    assert [name for name in gateway.asked if name.startswith("old")] == names("old", 5)
    assert full == [True], "others are called to help"


def test_what_is_handed_back_keeps_its_place(sessions: Sessions) -> None:
    due(sessions, *names("old", 10), polls=OLD, for_minutes=60)
    due(sessions, *names("later", 10), polls=OLD, for_minutes=30)
    clock = Clock()
    room = a_polling(sessions, delivers(), clock, turn=Turns(clock, 20))
    before = {message.request_id: message.next_poll_at for message in all_of(sessions, Message)}

    room.ask_next()

    left = [message for message in all_of(sessions, Message) if message.state == "submitted"]
    assert len(left) == len(before) - 1
    assert all(message.next_poll_at == before[message.request_id] for message in left)
    assert {message.polls for message in left} == {0, OLD}


def test_what_somebody_else_has_leased_meanwhile_is_not_handed_back(sessions: Sessions) -> None:
    due(sessions, "1")
    until, later = NOON + timedelta(minutes=1), NOON + timedelta(minutes=3)
    with sessions.begin() as session:
        leased = polls.lease_due(session, now=NOON, until=until, limit=1, rungs=OLD, dice=lambda: 0.5)
    with sessions.begin() as session:
        polls.lease_due(session, now=until, until=later, limit=1, rungs=OLD, dice=lambda: 0.5)

    with sessions.begin() as session:
        polls.hand_back(session, leased, leased_until=until)

    (message,) = (one for one in all_of(sessions, Message) if one.request_id == "1")
    assert (message.next_poll_at, message.polls) == (later, 2)


BUDGETS = [
    pytest.param(0.0, id="more than a lease holds"),
    pytest.param(2.0, id="eight questions in a lease"),
    pytest.param(10.0, id="two questions in a lease"),
    pytest.param(20.0, id="less than one question in a lease"),
]


@pytest.mark.parametrize("every_seconds", BUDGETS)
def test_what_has_been_due_longest_is_always_reached_while_young_ones_keep_coming(
    sessions: Sessions, every_seconds: float
) -> None:
    """However small the budget, and however many come anew: about a quarter of the questions is for them."""
    due(sessions, *names("old", 8), polls=OLD, for_minutes=60)
    clock = Clock()
    gateway = delivers()
    room = a_polling(sessions, gateway, clock, turn=Turns(clock, every_seconds), dice=Random(4).random)
    numbers = itertools.count()

    while not set(names("old", 8)) <= set(gateway.asked):
        due(sessions, *(f"new{next(numbers)}" for _ in range(30)), at=clock)
        room.ask_next()
        clock.advance(seconds=1)
        assert len(gateway.asked) < 100, "they are starved"
        assert clock.at < NOON + timedelta(hours=1), "nobody asks any more"

    young = [name for name in gateway.asked if name.startswith("new")]
    assert len(young) > len(gateway.asked) / 2, "and the young ones are heard of meanwhile"


def test_what_has_been_due_longest_is_reached_while_the_gateway_hardly_answers(sessions: Sessions) -> None:
    """Three misses in a row end a lease again and again, and what is left of it is handed back."""
    due(sessions, *names("old", 8), polls=OLD, for_minutes=60)
    clock = Clock()
    dice = Random(7)

    def now_and_then(request_id: str) -> Sequence[Said]:
        if dice.random() < 0.7:
            raise ReportsUnavailable("HTTP 502", http_status=502)
        return [a_report(message_id=request_id)]

    gateway = MemoryGateway(reports_answers=itertools.repeat(now_and_then))
    room = a_polling(sessions, gateway, clock, dice=dice.random, ladder_seconds=(5, 60))
    numbers = itertools.count()

    while not set(names("old", 8)) <= set(gateway.asked):
        due(sessions, *(f"new{next(numbers)}" for _ in range(10)), at=clock)
        room.ask_next()
        clock.advance(seconds=5)
        assert clock.at < NOON + timedelta(hours=2), "they are starved"


@pytest.mark.parametrize("every_seconds", [4.0, 20.0], ids=["some questions in a lease", "less than one"])
def test_no_turn_is_wasted_on_a_lease_that_is_over_when_it_comes(sessions: Sessions, every_seconds: float) -> None:
    """Under a slow limit, or one that many share, that could be every turn there is."""
    due(sessions, *names("new", 30))
    clock = Clock()
    gateway = delivers()
    turns = Turns(clock, every_seconds)
    room = a_polling(sessions, gateway, clock, turn=turns)

    for _ in range(8):
        room.ask_next()

    assert len(gateway.asked) == turns.taken >= 5


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_rung_that_has_nothing_due_costs_nothing_however_much_is_due_elsewhere(
    sessions: Sessions, engine: Engine
) -> None:
    asked = {"state": MessageState.SUBMITTED, "batch_id": 1, "lane": Lane.NORMAL, "polls": OLD}
    many_stored(sessions, 5_000, state=MessageState.DELIVERED, batch_id=1, lane=Lane.OTP, polls=2)
    many_stored(sessions, 50, **asked, next_poll_at=NOON - timedelta(hours=1))
    with engine.begin() as connection:
        connection.execute(text("ANALYZE messages"))  # and knows nothing of what comes now
    many_stored(sessions, 5_000, **asked, next_poll_at=NOON - timedelta(hours=1))
    with sessions.begin() as session:
        session.execute(update(Message).where(Message.polls == OLD).values(request_id=Message.id))

    def lease() -> None:
        with sessions.begin() as session:
            until = NOON + timedelta(minutes=1)
            polls.lease_due(session, now=NOON, until=until, limit=LEASE, rungs=OLD, dice=lambda: 0.5)

    rows = rows_read(engine, lease, of=("SELECT anon_1",))

    assert len(rows) > OLD * len(Lane)
    assert max(rows) <= 10 * LEASE
