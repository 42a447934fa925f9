"""What comes now is posted at once only if nothing that is due goes before it, by its own lane or an earlier one."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Sessions, a_phone, a_send, a_submission, many_stored, post_all, stored
from express import Making, making
from sqlalchemy import update

from models import Account, Circuit
from models.lifecycle import AccountState, CircuitState, Lane, Room
from worker.store import claims
from worker.store.claims import Way

LANES = tuple(Lane)
PAIRS = [(came, queued) for came in range(len(LANES)) for queued in range(len(LANES))]
A_SECOND = timedelta(seconds=1)


@pytest.fixture
def at_once(redis_url: str, sessions: Sessions) -> Iterator[Making]:
    yield from making(redis_url, sessions)


def way_for(sessions: Sessions, lane: Lane = Lane.NORMAL, **limits: Any) -> Way:
    """Of the only account there is."""
    account_id = a_submission(sessions).account_id
    with sessions() as session:
        return claims.way_for(session, account_id, lane, now=NOON, **limits)


@pytest.mark.parametrize(
    ("came", "queued"), PAIRS, ids=[f"{LANES[came]}, while {LANES[queued]} is queued" for came, queued in PAIRS]
)
def test_what_is_due_by_the_lane_or_an_earlier_one_goes_first(sessions: Sessions, came: int, queued: int) -> None:
    stored(sessions, lane=LANES[queued])

    assert way_for(sessions, LANES[came]) == (Way.BEHIND if queued <= came else Way.CLEAR)


@pytest.mark.parametrize("lane", Lane, ids=str)
def test_nothing_goes_first_where_nothing_is_due(sessions: Sessions, lane: Lane) -> None:
    stored(sessions, lane=Lane.OTP, send_at=NOON + A_SECOND)

    assert way_for(sessions, lane) == Way.CLEAR


def test_what_a_quiet_lane_has_goes_before_nobody(sessions: Sessions) -> None:
    stored(sessions, lane=Lane.NORMAL)

    assert way_for(sessions, Lane.BULK, lanes=(Lane.OTP, Lane.BULK)) == Way.CLEAR


HELD = update(Account).values(held_at=NOON, held_by="nodira")
PAUSED = update(Account).values(state=AccountState.PAUSED, reason="limit is over", paused_at=NOON, probe_at=NOON)
OPENED = update(Circuit).values(state=CircuitState.OPEN, reason="HTTP 502", opened_at=NOON, probe_at=NOON)


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(HELD, id="held"),
        pytest.param(PAUSED, id="paused"),
        pytest.param(OPENED.where(Circuit.room == Room.POSTING), id="the circuit is open"),
    ],
)
def test_what_is_kept_from_posting_is_told_apart_from_what_something_goes_before(sessions: Sessions, kept: Any) -> None:
    stored(sessions)
    a_submission(sessions)
    with sessions.begin() as session:
        session.execute(kept)

    assert way_for(sessions) == Way.KEPT


@pytest.mark.parametrize("earlier", [Lane.OTP, Lane.NORMAL], ids=str)
def test_bulk_is_queued_behind_what_is_due_by_an_earlier_lane(
    at_once: Making, sessions: Sessions, earlier: Lane
) -> None:
    many_stored(sessions, 20, lane=earlier)
    house = at_once()

    house.order(*(a_send(a_phone(5_000 + number)) for number in range(60)), lane=Lane.BULK)
    at_first = house.posted()
    post_all(house.room)

    assert at_first == []
    assert [len(one.messages) for one in house.gateway.posted] == [20, 50, 10]
