"""While the account may not post every message stays queued, and one probe at a time looks whether it may again."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from builders import (
    NOON,
    Clock,
    Sessions,
    a_submission,
    all_of,
    many_stored,
    post_all,
    states_of,
    stored,
)
from plans import in_trouble
from sqlalchemy import select

from models import Account, Circuit
from worker.errors import AccountRefused, NeverPosted
from worker.gateway import Acceptance, AcceptedSms, RefusedSms
from worker.gateway.memory import MemoryGateway
from worker.people import Person, standing_of
from worker.store import accounts

LIMIT_OVER = AccountRefused("limit is over", error_no=103, http_status=200)
REFUSALS: list[Any] = [
    pytest.param(LIMIT_OVER, id="103"),
    pytest.param(AccountRefused("HTTP 403", http_status=403), id="HTTP 403"),
]


@pytest.mark.parametrize("error", REFUSALS)
def test_a_pause_keeps_every_message_queued_and_lets_one_probe_at_a_time_try(
    sessions: Sessions, error: AccountRefused
) -> None:
    many_stored(sessions, 3)
    clock = Clock()
    gateway = MemoryGateway(answers=[error])
    during: list[bool] = []
    room = a_submission(sessions, gateway, clock)
    other = a_submission(sessions, gateway, clock)
    room.post_next()

    before_its_time = room.post_next()
    clock.advance(minutes=20)
    gateway._during = lambda _: during.append(other.post_next())
    room.post_next()

    assert not before_its_time
    assert [len(one.messages) for one in gateway.posted] == [3, 1]
    assert during == [False]
    assert [account.state for account in all_of(sessions, Account)] == ["active"]


def test_the_pause_between_probes_doubles_up_to_a_quarter_of_an_hour(sessions: Sessions) -> None:
    many_stored(sessions, 2)
    clock, found = Clock(), list[float]()
    room = a_submission(sessions, MemoryGateway(answers=[LIMIT_OVER] * 9), clock)

    for _ in range(7):
        room.post_next()
        (account,) = all_of(sessions, Account)
        found.append((account.probe_at - clock.at).total_seconds())
        clock.at = account.probe_at

    assert found == [30, 60, 120, 240, 480, 900, 900]
    assert states_of(sessions) == ["queued", "queued"]


def test_posting_goes_on_by_itself_when_a_probe_is_taken(sessions: Sessions) -> None:
    many_stored(sessions, 5)
    clock = Clock()
    gateway = MemoryGateway(answers=[LIMIT_OVER, LIMIT_OVER])
    room = a_submission(sessions, gateway, clock)
    room.post_next()
    clock.advance(minutes=1)
    room.post_next()
    clock.advance(minutes=2)

    post_all(room)

    assert [len(one.messages) for one in gateway.posted] == [5, 1, 1, 4]
    assert set(states_of(sessions)) == {"submitted"}


def test_a_pause_says_why(sessions: Sessions) -> None:
    stored(sessions)

    a_submission(sessions, MemoryGateway(answers=[LIMIT_OVER])).post_next()

    (account,) = all_of(sessions, Account)
    assert (account.reason, account.error_no, account.paused_at) == ("limit is over", 103, NOON)


def test_a_probe_is_not_used_up_where_nothing_can_be_posted(sessions: Sessions) -> None:
    stored(sessions, expires_at=NOON + timedelta(seconds=1))
    clock = Clock()
    room = a_submission(sessions, MemoryGateway(answers=[LIMIT_OVER]), clock)
    room.post_next()
    clock.advance(minutes=1)
    room.post_next()
    stored(sessions)

    assert room.post_next(), "the expired message took the probe of this one"


def test_what_the_gateway_gives_back_is_queued_again_and_the_account_pauses(sessions: Sessions) -> None:
    ids = many_stored(sessions, 3)
    returned = [RefusedSms(sms, 103, "limit is over") for sms in ids[1:]]
    gateway = MemoryGateway(answers=[Acceptance([AcceptedSms(ids[0], "1", "11")], returned=returned)])
    room = a_submission(sessions, gateway)

    post_all(room)

    assert states_of(sessions) == ["submitted", "queued", "queued"]
    assert [(account.state, account.error_no) for account in all_of(sessions, Account)] == [("paused", 103)]
    assert len(gateway.posted) == 1


def test_a_probe_that_never_began_is_anothers_at_once(sessions: Sessions) -> None:
    many_stored(sessions, 2)
    clock = Clock()
    room = a_submission(sessions, MemoryGateway(answers=[LIMIT_OVER, NeverPosted("late")]), clock)
    room.post_next()
    clock.advance(seconds=30)
    room.post_next()

    posted = a_submission(sessions, clock=clock, worker="other").post_next()

    assert (posted, sorted(states_of(sessions))) == (True, ["queued", "submitted"])
    assert [account.state for account in all_of(sessions, Account)] == ["active"]


def test_a_person_can_let_posting_go_on_at_once(sessions: Sessions) -> None:
    many_stored(sessions, 2)
    clock = Clock()
    room = a_submission(sessions, MemoryGateway(answers=[LIMIT_OVER]), clock)
    person = Person(sessions, "login", "a test", clock)
    room.post_next()

    paused = standing_of(sessions, "login")
    resumed = [person.resume(), person.resume()]
    post_all(room)

    assert paused
    assert (paused.reason, paused.error_no) == ("limit is over", 103)
    assert standing_of(sessions, "login") is None
    assert resumed == [True, False]
    assert states_of(sessions) == ["submitted", "submitted"]


def test_the_trouble_of_a_login_that_is_no_longer_set_is_over_and_ones_own_is_not(sessions: Sessions) -> None:
    """Nobody would ever probe with it again, and it would stand in the view of what needs a person for good."""
    for login in ("of last year", "login"):
        in_trouble(sessions, NOON + timedelta(minutes=5), login=login)
    with sessions() as session:
        own = session.scalars(select(Account.id).where(Account.login == "login")).one()

    with sessions.begin() as session:
        accounts.let_others_go(session, "login")

    circuits = {(one.account_id == own, one.state, one.probe_at) for one in _circuits(sessions)}
    found = {(one.login, one.state, one.probe_at, one.reason) for one in all_of(sessions, Account)}
    soon = NOON + timedelta(minutes=5)
    assert found == {("of last year", "active", None, None), ("login", "paused", soon, "limit is over")}
    assert circuits == {(True, "open", soon), (False, "closed", None)}


def _circuits(sessions: Sessions) -> Sequence[Circuit]:
    with sessions() as session:
        return session.scalars(select(Circuit)).all()
