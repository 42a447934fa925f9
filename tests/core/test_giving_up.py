"""An answer in hand waits for a database that is away, however long, unless its worker is to stop."""

from collections.abc import Sequence
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, a_submission, an_upkeep, many_stored, states_of, the_sms
from moments import BEFORE, Meanwhile, Outage
from sqlalchemy import Engine
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from worker.errors import BatchRefused
from worker.gateway import OutgoingSms
from worker.gateway.memory import Answer, MemoryGateway
from worker.submission import Submission

AT_MOST = timedelta(seconds=30)
TEXT = "Your code is 4821"


@pytest.fixture
def outage(engine: Engine, request: pytest.FixtureRequest) -> Outage:
    return Outage(engine, lambda: str(request.getfixturevalue("postgres_server")))


class Waits:
    """How long a worker waited each time; when it waited *ends_after* seconds in all the database is back."""

    def __init__(self, clock: Clock, outage: Outage, ends_after: float) -> None:
        self.seconds: list[float] = []
        self._clock = clock
        self._outage = outage
        self._ends_after = ends_after

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._clock.sleep(seconds)
        if sum(self.seconds[:-1]) < self._ends_after <= sum(self.seconds):
            self._outage.end()


NEVER = 10**9


def a_room(sessions: Sessions, gateway: MemoryGateway, waits: Waits, clock: Clock, stopping: Event) -> Submission:
    leave = {"leaving": stopping.is_set, "give_up_recording_after": AT_MOST}
    return a_submission(sessions, gateway, clock, wait=waits, **leave)


def gateway_that_outlives(outage: Outage, stopping: Event | None, *answers: Answer) -> MemoryGateway:
    """While it is posted to the database goes away, and the worker is to stop if *stopping* is given."""

    def meanwhile(_: Sequence[OutgoingSms]) -> None:
        outage.begin()
        if stopping:
            stopping.set()

    return MemoryGateway(answers=answers, during=meanwhile)


def given_up(logs: Sequence[Any]) -> list[Any]:
    return [one for one in logs if one["event"] == "answer_given_up"]


def test_a_worker_that_stays_waits_for_the_database_however_long(sessions: Sessions, outage: Outage) -> None:
    many_stored(sessions, 2)
    clock, stopping = Clock(), Event()
    waits = Waits(clock, outage, ends_after=600)

    with capture_logs(processors=[merge_contextvars]) as logs:
        a_room(sessions, gateway_that_outlives(outage, None), waits, clock, stopping).post_next()

    assert (states_of(sessions), given_up(logs)) == (["submitted", "submitted"], [])
    assert max(waits.seconds) == 5


def test_a_worker_that_is_to_stop_still_waits_a_while(sessions: Sessions, outage: Outage) -> None:
    many_stored(sessions, 2)
    clock, stopping = Clock(), Event()
    waits = Waits(clock, outage, ends_after=25)

    with capture_logs(processors=[merge_contextvars]) as logs:
        a_room(sessions, gateway_that_outlives(outage, stopping), waits, clock, stopping).post_next()

    assert (states_of(sessions), given_up(logs)) == (["submitted", "submitted"], [])


def test_a_worker_that_is_to_stop_gives_up_in_the_end_and_says_what_was_taken(
    sessions: Sessions, outage: Outage
) -> None:
    ids = many_stored(sessions, 2, text=TEXT)
    phones = [the_sms(sessions, sms).phone for sms in ids]
    clock, stopping = Clock(), Event()
    waits = Waits(clock, outage, ends_after=NEVER)
    gateway = gateway_that_outlives(outage, stopping)

    with capture_logs(processors=[merge_contextvars]) as logs:
        a_room(sessions, gateway, waits, clock, stopping).post_next()
    outage.end()

    (said,) = given_up(logs)
    assert (said["batch_id"], said["outcome"], said["log_level"]) == (1, "Acceptance", "error")
    assert said["taken"] == [(taken.ids.reference, taken.ids.request_id) for taken in gateway._taken]
    assert [one["event"] for one in logs if one["event"] == "batch_accepted"] == []
    assert [word for word in (TEXT, *phones) if word in str(logs)] == []
    assert sum(waits.seconds[:-1]) <= AT_MOST.total_seconds() < sum(waits.seconds)


def test_what_was_given_up_is_in_doubt_when_its_lease_is_over(sessions: Sessions, outage: Outage) -> None:
    many_stored(sessions, 2)
    clock, stopping = Clock(), Event()
    waits = Waits(clock, outage, ends_after=NEVER)
    a_room(sessions, gateway_that_outlives(outage, stopping), waits, clock, stopping).post_next()
    outage.end()

    an_upkeep(sessions, Clock(NOON + timedelta(hours=1))).sweep()

    assert states_of(sessions) == ["unconfirmed", "unconfirmed"]


def test_of_a_refusal_that_is_given_up_nothing_was_taken(sessions: Sessions, outage: Outage) -> None:
    many_stored(sessions, 2)
    clock, stopping = Clock(), Event()
    waits = Waits(clock, outage, ends_after=NEVER)
    refuses = gateway_that_outlives(outage, stopping, BatchRefused("array is not a JSON", error_no=200))

    with capture_logs(processors=[merge_contextvars]) as logs:
        a_room(sessions, refuses, waits, clock, stopping).post_next()
    outage.end()

    assert [(one["outcome"], one["taken"]) for one in given_up(logs)] == [("BatchRefused", [])]


def test_what_never_began_when_it_was_given_up_is_queued_again(sessions: Sessions, outage: Outage) -> None:
    many_stored(sessions, 2)
    clock, stopping = Clock(), Event()
    waits = Waits(clock, outage, ends_after=NEVER)

    def meanwhile() -> None:
        outage.begin()
        stopping.set()

    gateway = Meanwhile(sessions, BEFORE, meanwhile)
    a_room(sessions, gateway, waits, clock, stopping).post_next()
    outage.end()
    an_upkeep(sessions, Clock(NOON + timedelta(hours=1))).sweep()

    assert (gateway.posted, states_of(sessions)) == ([], ["queued", "queued"])
