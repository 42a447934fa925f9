"""An account that may not post, a gateway that fails and a person who says stop: each alone keeps messages queued."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import pytest
from builders import NOON, Clock, Sessions, a_submission, all_of, many_stored, post_all, states_of
from in_trouble import CUT_OFF, WRONG_URL, the_circuit
from structlog.testing import capture_logs

from models import Account, Decision
from models.lifecycle import Room
from worker.errors import AccountRefused, NeverPosted
from worker.gateway import OutgoingSms
from worker.gateway.memory import Answer, MemoryGateway
from worker.people import Person
from worker.store import accounts, circuits
from worker.submission import Submission

LIMIT_OVER = AccountRefused("limit is over", error_no=103, http_status=200)


def a_room(sessions: Sessions, clock: Clock, *answers: Answer) -> Submission:
    """Its batches are of up to ten messages."""
    return a_submission(sessions, MemoryGateway(answers=answers, now=clock), clock, batch_max_messages=10)


def a_person(sessions: Sessions, clock: Clock) -> Person:
    return Person(sessions, "login", "a test", clock)


def the_account(sessions: Sessions) -> Account:
    (account,) = all_of(sessions, Account)
    assert isinstance(account, Account)
    return account


def standing(sessions: Sessions) -> tuple[str, str]:
    """The states of the account and of the posting circuit."""
    return the_account(sessions).state, the_circuit(sessions).state


def probes_due(sessions: Sessions) -> list[datetime | None]:
    return [the_account(sessions).probe_at, the_circuit(sessions).probe_at]


def both_in_trouble(sessions: Sessions, clock: Clock) -> None:
    """One of two posts at the same time was cut off, to the other the account was refused; 20 messages wait."""
    many_stored(sessions, 21)
    other = a_submission(sessions, MemoryGateway(answers=[LIMIT_OVER]), clock, batch_max_messages=1)

    def meanwhile(_: Sequence[OutgoingSms]) -> None:
        other.post_next()

    gateway = MemoryGateway(answers=[CUT_OFF], during=meanwhile)
    a_submission(sessions, gateway, clock, batch_max_messages=1).post_next()
    assert standing(sessions) == ("paused", "open")
    assert probes_due(sessions) == [NOON + timedelta(seconds=30), NOON + timedelta(seconds=1)]


def test_while_both_are_in_trouble_a_message_is_posted_only_when_both_let_it_probe(sessions: Sessions) -> None:
    clock = Clock()
    both_in_trouble(sessions, clock)
    room = a_room(sessions, clock, WRONG_URL)
    gateway = room.gateway
    assert isinstance(gateway, MemoryGateway)

    posted = []
    for seconds in (1, 29.999, 30, 31.999, 32):
        clock.at = NOON + timedelta(seconds=seconds)
        posted.append(room.post_next())

    assert posted == [False, False, True, False, True]
    assert [len(one.messages) for one in gateway.posted] == [1, 1]


def test_one_probe_that_is_answered_well_ends_both_troubles(sessions: Sessions) -> None:
    clock = Clock()
    both_in_trouble(sessions, clock)
    clock.advance(seconds=30)
    gateway = MemoryGateway(now=clock)

    with capture_logs() as logs:
        post_all(a_submission(sessions, gateway, clock, batch_max_messages=10))

    assert [len(one.messages) for one in gateway.posted] == [1, 10, 9]
    assert standing(sessions) == ("active", "closed")
    ended = [one["event"] for one in logs if one["event"] in {"account_resumed", "circuit_closed"}]
    assert ended == ["account_resumed", "circuit_closed"]


@pytest.mark.parametrize(
    ("answer", "states", "account_in_seconds", "circuit_in_seconds"),
    [
        pytest.param(LIMIT_OVER, ("paused", "closed"), 60, None, id="the gateway works, the account is still refused"),
        pytest.param(WRONG_URL, ("paused", "open"), 0, 2, id="nothing was taken"),
        pytest.param(CUT_OFF, ("paused", "open"), 0, 2, id="cut off"),
        pytest.param(NeverPosted("late"), ("paused", "open"), 0, 0, id="never begun"),
    ],
)
def test_a_probe_speaks_of_each_trouble_by_itself(
    sessions: Sessions,
    answer: Exception,
    states: tuple[str, str],
    account_in_seconds: int,
    circuit_in_seconds: int | None,
) -> None:
    clock = Clock()
    both_in_trouble(sessions, clock)
    clock.advance(seconds=30)

    a_room(sessions, clock, answer).post_next()

    due = [
        seconds if seconds is None else clock.at + timedelta(seconds=seconds)
        for seconds in (account_in_seconds, circuit_in_seconds)
    ]
    assert standing(sessions) == states
    assert probes_due(sessions) == due


def test_of_many_workers_one_probes_for_both(sessions: Sessions) -> None:
    clock = Clock()
    both_in_trouble(sessions, clock)
    clock.advance(seconds=30)
    gateway = MemoryGateway(answers=[WRONG_URL] * 100)
    rooms = [a_submission(sessions, gateway, clock, worker=f"worker {number}") for number in range(6)]

    for _ in range(10):
        all_at_once = Barrier(len(rooms))

        def step(room: Submission, all_at_once: Barrier = all_at_once) -> bool:
            all_at_once.wait(30)
            return room.post_next()

        with ThreadPoolExecutor(len(rooms)) as pool:
            posted = list(pool.map(step, rooms))
        clock.at = max(at for at in probes_due(sessions) if at)

        assert sum(posted) == 1
    assert [len(one.messages) for one in gateway.posted] == [1] * 10


def test_who_finds_that_the_circuit_was_closed_meanwhile_gives_the_accounts_probe_back(sessions: Sessions) -> None:
    clock = Clock()
    both_in_trouble(sessions, clock)
    clock.advance(seconds=30)

    with sessions.begin() as session:
        account_id = accounts.account_id_of(session, "login")
        stale = accounts.gate_of(session, account_id)
        circuits.close(session, account_id, Room.POSTING)
        taken = accounts.take_probe(session, account_id, stale, now=clock.at, until=clock.at + timedelta(minutes=1))

    assert not taken
    assert probes_due(sessions) == [clock.at, None]


def test_an_account_refused_to_several_posts_at_once_is_paused_and_told_once(sessions: Sessions) -> None:
    many_stored(sessions, 2)
    clock = Clock()
    other = a_submission(sessions, MemoryGateway(answers=[LIMIT_OVER]), clock, batch_max_messages=1)

    def meanwhile(_: Sequence[OutgoingSms]) -> None:
        other.post_next()
        clock.advance(seconds=10)

    gateway = MemoryGateway(answers=[LIMIT_OVER], during=meanwhile)
    with capture_logs() as logs:
        a_submission(sessions, gateway, clock, batch_max_messages=1).post_next()

    assert [one["remedy"] for one in logs if one["event"] == "account_paused"] == [
        "the account's limit is used up: top it up; posting goes on by itself"
    ]
    assert the_account(sessions).probe_at == NOON + timedelta(seconds=30)


def test_while_a_person_holds_it_not_even_a_probe_goes_out(sessions: Sessions) -> None:
    clock = Clock()
    both_in_trouble(sessions, clock)
    a_person(sessions, clock).pause("the vendor asked us to")
    room = a_room(sessions, clock)

    steps = 0
    for _ in range(10):
        clock.advance(hours=1)
        steps += post_all(room)

    assert (steps, states_of(sessions).count("queued")) == (0, 20)


def test_a_post_that_was_under_way_is_recorded_and_lifts_no_hold(sessions: Sessions) -> None:
    many_stored(sessions, 20)
    clock = Clock()
    person = a_person(sessions, clock)

    def meanwhile(_: Sequence[OutgoingSms]) -> None:
        person.pause()

    gateway = MemoryGateway(during=meanwhile)
    post_all(a_submission(sessions, gateway, clock, batch_max_messages=10))

    assert (len(gateway.posted), states_of(sessions).count("submitted")) == (1, 10)
    assert (the_account(sessions).held_at, the_account(sessions).held_by) == (NOON, "a test")


def test_a_person_frees_everything_at_once(sessions: Sessions) -> None:
    clock = Clock()
    both_in_trouble(sessions, clock)
    person = a_person(sessions, clock)
    person.pause()
    gateway = MemoryGateway(now=clock)

    freed = [person.resume(), person.resume()]
    post_all(a_submission(sessions, gateway, clock, batch_max_messages=10))

    account = the_account(sessions)
    assert (freed, standing(sessions)) == ([True, False], ("active", "closed"))
    assert (account.held_at, account.held_by, account.reason) == (None, None, None)
    assert [len(one.messages) for one in gateway.posted] == [10, 10]
    assert [(one.what, one.who) for one in all_of(sessions, Decision)] == [("pause", "a test"), ("resume", "a test")]
