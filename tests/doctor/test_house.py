"""Workers and beat that are gone, codes that wait, and what needs a person."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Sessions, a_batch, a_send, an_intake, stored
from sqlalchemy import insert
from taking import TELL

from models import Callback, Worker
from models.lifecycle import BatchState, Lane, MessageState, Room
from worker.doctor.check import Finding
from worker.store import accounts, circuits
from worker.store.accounts import Pause
from worker.store.circuits import Trouble
from worker.store.engine import make_engine, make_sessions

See = Callable[[str], Finding]


@pytest.fixture
def sessions(well: None, tmp_path: Any) -> Iterator[Sessions]:  # noqa: ARG001
    engine = make_engine(f"sqlite:///{tmp_path}/sms.db")
    yield make_sessions(engine)
    engine.dispose()


@pytest.fixture
def see(look: Any) -> See:
    """What a check of the house finds at noon."""
    return lambda thing: look(f"house.{thing}", now=lambda: NOON)


def a_worker(sessions: Sessions, name: str = "sms@one:1:x", **changes: Any) -> None:
    row = {"name": name, "release": "0.4.0", "started_at": NOON - timedelta(hours=1), "seen_at": NOON, "figures": {}}
    with sessions.begin() as session:
        session.execute(insert(Worker), [row | {"bell_at": NOON} | changes])


def waiting(sessions: Sessions, lane: Lane, **how_long: float) -> None:
    stored(sessions, lane=lane, send_at=NOON - timedelta(**how_long), created_at=NOON - timedelta(**how_long))


def test_an_idle_house_with_a_worker_and_beat_is_well(see: See, sessions: Sessions) -> None:
    a_worker(sessions)
    things = ("workers", "releases", "beat", "waiting", "account", "circuits", "unconfirmed", "callbacks", "refused")

    found = {thing: see(thing) for thing in things}

    assert {one.outcome for one in found.values()} == {"ok"}
    assert found["workers"].found == "1 alive: sms@one"


def test_without_a_worker_that_is_the_fault_and_the_rest_is_not_known(see: See, sessions: Sessions) -> None:
    a_worker(sessions, seen_at=NOON - timedelta(minutes=1))

    assert (see("workers").outcome, see("releases").outcome, see("beat").outcome) == ("fault", "skipped", "skipped")
    assert "celery -A worker worker" in str(see("workers").remedy)


def test_workers_of_two_releases_are_a_warning(see: See, sessions: Sessions) -> None:
    a_worker(sessions)
    a_worker(sessions, "sms@two:1:y", release="0.3.0")

    found = see("releases")

    assert (found.outcome, found.found.rpartition(": ")[2]) == ("warning", "0.3.0, 0.4.0")


@pytest.mark.parametrize(
    ("bell", "said"),
    [
        pytest.param({"bell_at": NOON - timedelta(minutes=2)}, "its bell was heard 120 s ago", id="it stopped"),
        pytest.param({"bell_at": None}, "no worker has ever heard it", id="it never rang"),
    ],
)
def test_a_beat_that_does_not_ring_is_a_fault(see: See, sessions: Sessions, bell: dict[str, Any], said: str) -> None:
    a_worker(sessions, **bell)

    found = see("beat")

    assert (found.outcome, found.found) == ("fault", said)


@pytest.mark.parametrize(
    ("lane", "minutes", "goes", "outcome"),
    [
        pytest.param(Lane.OTP, 0.2, True, "ok", id="a moment"),
        pytest.param(Lane.OTP, 0.6, True, "fault", id="a code waits"),
        pytest.param(Lane.NORMAL, 11, True, "warning", id="a message waits"),
        pytest.param(Lane.BULK, 300, True, "ok", id="a campaign takes its time"),
        pytest.param(Lane.BULK, 2, False, "fault", id="nothing goes out"),
    ],
)
def test_what_waits_is_judged_by_its_lane(
    see: See, sessions: Sessions, lane: Lane, minutes: float, *, goes: bool, outcome: str
) -> None:
    waiting(sessions, lane, minutes=minutes)
    if goes:
        with sessions.begin() as session:
            a_batch(session, state=BatchState.ACCEPTED, accepted=1, refused=0, finished_at=NOON - timedelta(seconds=1))

    found = see("waiting")

    assert found.outcome == outcome
    assert f"{lane} 1, the oldest" in found.found


def test_an_account_that_may_not_post_is_a_fault(see: See, sessions: Sessions) -> None:
    with sessions.begin() as session:
        account_id = accounts.account_id_of(session, "sandbox")
        accounts.pause(session, account_id, Pause("limit is over", 103, 200), now=NOON, probe_at=NOON)
    paused = see("account")
    with sessions.begin() as session:
        accounts.hold(session, account_id, now=NOON, who="ann", reason="a campaign went wrong")
    held = see("account")

    assert (paused.outcome, "limit is over" in paused.found) == ("fault", True)
    assert (held.outcome, "held by ann" in held.found) == ("fault", True)


@pytest.mark.parametrize(("room", "outcome"), [(Room.POSTING, "fault"), (Room.POLLING, "warning")])
def test_an_open_circuit_is_as_bad_as_what_it_stops(see: See, sessions: Sessions, room: Room, outcome: str) -> None:
    with sessions.begin() as session:
        account_id = accounts.account_id_of(session, "sandbox")
        circuits.fail(session, account_id, room, Trouble("HTTP 502"), most=1, probing=False, now=NOON)

    found = see("circuits")

    assert (found.outcome, found.found) == (outcome, f"{room} is open: HTTP 502")


def test_what_needs_a_person_is_counted_with_its_command(see: See, sessions: Sessions) -> None:
    stored(sessions, state=MessageState.UNCONFIRMED, lane=Lane.OTP)
    event = {"event_id": "e", "target": TELL, "event": {}, "attempts": 1, "created_at": NOON}
    with sessions.begin() as session:
        session.execute(insert(Callback), [event | {"state": "failed", "finished_at": NOON, "reason": "HTTP 404"}])
    an_intake(sessions).take_raw([a_send("12345", task_id="u")], Lane.OTP)

    doubt, untold, refused = see("unconfirmed"), see("callbacks"), see("refused")

    assert (doubt.outcome, doubt.remedy) == ("warning", "sms unconfirmed: look, then resend or drop")
    assert (untold.outcome, untold.found) == ("warning", "1 could not be told for a day, 0 are owed")
    assert (refused.outcome, refused.found) == ("note", "1 orders were refused today (UTC)")
