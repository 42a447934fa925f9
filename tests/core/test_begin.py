"""A post begins by a commit of its own, right before its first byte: what dies before is queued, after in doubt."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import NoReturn

import pytest
from builders import (
    NOON,
    Clock,
    Sessions,
    a_batch,
    a_claimed,
    a_submission,
    all_of,
    an_upkeep,
    many_stored,
    post_all,
    states_of,
    stored,
    the_batch,
    the_sms,
)
from moments import AFTER, BEFORE, Meanwhile, Outage
from servers import wait_for
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from models import Batch, Callback, Message
from models.lifecycle import BatchState, MessageState
from worker.errors import GatewayUnavailable
from worker.gateway import OutgoingSms
from worker.gateway.memory import MemoryGateway
from worker.store import claims, sweeps
from worker.store.claims import Claimed
from worker.submission import LEASE_MARGIN, Submission

TELL = {"task": "shop.sms_changed"}
CONNECT_TIMEOUT, CALL_TIMEOUT = timedelta(seconds=5), timedelta(seconds=35)
BEGINS_BY = NOON + CONNECT_TIMEOUT + LEASE_MARGIN
LEASE = CALL_TIMEOUT + LEASE_MARGIN
A_MILLISECOND = timedelta(milliseconds=1)
DURING = "while it is on the wire"


def a_room(sessions: Sessions, gateway: MemoryGateway, clock: Clock, **changes: object) -> Submission:
    timeouts = {"connect_timeout": CONNECT_TIMEOUT, "call_timeout": CALL_TIMEOUT}
    return a_submission(sessions, gateway, clock, **timeouts | changes)


def begin(sessions: Sessions, batch: Claimed, *, now: datetime = NOON) -> bool:
    with sessions.begin() as session:
        return claims.begin(session, batch, now=now, lease_until=NOON + LEASE)


def claimed(sessions: Sessions) -> Claimed:
    """A batch of one message that may begin before `BEGINS_BY`."""
    with sessions.begin() as session:
        batch_id = a_batch(session, begins_by=BEGINS_BY, lease_until=BEGINS_BY + CALL_TIMEOUT)
    stored(sessions, state=MessageState.POSTING, batch_id=batch_id)
    return a_claimed(batch_id)


def test_a_claim_says_that_nothing_has_left_and_the_begin_takes_it_back(sessions: Sessions) -> None:
    stored(sessions)
    clock, seen = Clock(), list[tuple[object, object]]()

    def look(_: object = None) -> None:
        batch = the_batch(sessions, 1)
        seen.append((batch.begins_by, batch.lease_until))
        clock.advance(seconds=1)

    gateway = Meanwhile(sessions, BEFORE, look)
    gateway._during = look
    a_room(sessions, gateway, clock).post_next()

    begun_at = NOON + timedelta(seconds=1)
    assert seen == [(BEGINS_BY, BEGINS_BY + CALL_TIMEOUT), (None, begun_at + LEASE)]
    assert [(batch.begins_by, batch.lease_until) for batch in all_of(sessions, Batch)] == [(None, None)]


def test_a_batch_begins_once(sessions: Sessions) -> None:
    batch = claimed(sessions)

    assert [begin(sessions, batch), begin(sessions, batch)] == [True, False]


@pytest.mark.parametrize(
    ("now", "begins"), [(BEGINS_BY - A_MILLISECOND, True), (BEGINS_BY, False)], ids=["in time", "too late"]
)
def test_a_batch_begins_in_time_or_never(sessions: Sessions, now: datetime, *, begins: bool) -> None:
    batch = claimed(sessions)

    assert begin(sessions, batch, now=now) == begins


@pytest.mark.parametrize("state", set(BatchState) - {BatchState.POSTING}, ids=str)
def test_a_batch_that_has_ended_does_not_begin(sessions: Sessions, state: BatchState) -> None:
    counts = {"accepted": 1, "refused": 0} if state is BatchState.ACCEPTED else {}
    with sessions.begin() as session:
        batch_id = a_batch(session, state=state, begins_by=BEGINS_BY, **counts)

    assert not begin(sessions, a_claimed(batch_id))


def test_of_a_begin_and_upkeep_at_the_same_moment_exactly_one_wins(sessions: Sessions) -> None:
    """Each by its own clock is in the right: the two hosts' clocks differ."""
    for _ in range(100):
        ours, both = claimed(sessions), Barrier(2)

        def released(both: Barrier = both) -> int:
            both.wait(30)
            with sessions.begin() as session:
                return sweeps.release_never_begun(session, now=BEGINS_BY)

        with ThreadPoolExecutor(2) as pool:
            keeper = pool.submit(released)
            both.wait(30)
            begun = begin(sessions, ours, now=BEGINS_BY - A_MILLISECOND)
            messages = keeper.result(30)

        batch = the_batch(sessions, ours.batch_id)
        assert (messages, batch.state) == ((0, "posting") if begun else (1, "released"))
        assert batch.begins_by is None
        assert states_of(sessions)[-1] == ("posting" if begun else "queued")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_begin_waits_for_upkeep_that_is_just_releasing_its_batch(sessions: Sessions, engine: Engine) -> None:
    batch = claimed(sessions)

    with sessions() as keeper, ThreadPoolExecutor(1) as pool:
        sweeps.release_never_begun(keeper, now=BEGINS_BY)
        begun = pool.submit(begin, sessions, batch)
        wait_for(lambda: waits_for_a_lock(engine))
        keeper.commit()

        assert not begun.result(30)
    assert states_of(sessions) == ["queued"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_upkeep_leaves_a_batch_alone_that_is_just_beginning(sessions: Sessions) -> None:
    batch = claimed(sessions)

    with sessions.begin() as worker:
        claims.begin(worker, batch, now=NOON, lease_until=NOON + LEASE)
        found = an_upkeep(sessions, Clock(BEGINS_BY)).sweep()

    assert (found["never_begun"], found["worker_died"], states_of(sessions)) == (0, 0, ["posting"])


def waits_for_a_lock(engine: Engine) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with engine.connect() as connection:
        return bool(connection.execute(text(waiting)).scalar_one())


def dies(_: object = None) -> NoReturn:
    raise SystemExit


def test_what_a_worker_claimed_that_died_before_it_began_is_posted_once_by_another(sessions: Sessions) -> None:
    ids = many_stored(sessions, 3, callback=TELL)
    clock, gateway = Clock(), MemoryGateway()
    dying = Meanwhile(sessions, BEFORE, dies)
    with pytest.raises(SystemExit):
        a_room(sessions, dying, clock).post_next()
    keeper = an_upkeep(sessions, clock)

    clock.at = BEGINS_BY - A_MILLISECOND
    in_time = keeper.sweep()
    clock.at = BEGINS_BY
    found = keeper.sweep()
    post_all(a_room(sessions, gateway, clock))

    assert (dying.posted, len(gateway.posted), set(states_of(sessions))) == ([], 1, {"submitted"})
    assert [(one["never_begun"], one["worker_died"]) for one in (in_time, found)] == [(0, 0), (3, 0)]
    assert {(sms.attempts, sms.resends) for sms in all_of(sessions, Message)} == {(2, 0)}
    assert [(batch.state, batch.reason) for batch in all_of(sessions, Batch)] == [
        ("released", "worker_died"),
        ("accepted", None),
    ]
    assert [owed.event["state"] for owed in all_of(sessions, Callback)] == ["submitted"] * len(ids)


def test_what_never_began_is_released_and_not_in_doubt_however_much_it_is(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.store.sweeps.AT_ONCE", 2)
    for _ in range(5):
        claimed(sessions)
    keeper = an_upkeep(sessions, Clock(NOON + timedelta(days=1)))

    found = [keeper.sweep() for _ in range(3)]

    assert [(one["never_begun"], one["worker_died"]) for one in found] == [(2, 0), (2, 0), (1, 0)]
    assert {(sms.state, sms.posted_at) for sms in all_of(sessions, Message)} == {("queued", None)}


def test_what_was_released_keeps_its_place(sessions: Sessions) -> None:
    first = stored(sessions)
    clock, gateway = Clock(), MemoryGateway()
    with pytest.raises(SystemExit):
        a_room(sessions, Meanwhile(sessions, BEFORE, dies), clock).post_next()
    second = stored(sessions, send_at=NOON + A_MILLISECOND)
    clock.at = BEGINS_BY
    an_upkeep(sessions, clock).sweep()

    post_all(a_room(sessions, gateway, clock, batch_max_messages=1))

    assert [one.messages[0].reference for one in gateway.posted] == [first, second]
    assert the_sms(sessions, first).posted_at == BEGINS_BY


@pytest.mark.parametrize("moment", [AFTER, DURING])
def test_what_a_worker_began_that_died_then_is_in_doubt_when_its_lease_is_over(sessions: Sessions, moment: str) -> None:
    many_stored(sessions, 3)
    clock, gateway = Clock(), MemoryGateway()
    dying = MemoryGateway(during=dies) if moment == DURING else Meanwhile(sessions, moment, dies)
    with pytest.raises(SystemExit):
        a_room(sessions, dying, clock).post_next()
    keeper = an_upkeep(sessions, clock)

    found = []
    for at in (BEGINS_BY, NOON + LEASE, NOON + LEASE + A_MILLISECOND, NOON + timedelta(days=1)):
        clock.at = at
        found.append(keeper.sweep())
        post_all(a_room(sessions, gateway, clock))

    assert [(one["never_begun"], one["worker_died"]) for one in found] == [(0, 0), (0, 0), (0, 3), (0, 0)]
    assert (gateway.posted, set(states_of(sessions))) == ([], {"unconfirmed"})


def test_a_batch_of_the_last_release_which_knew_no_begin_is_never_released(sessions: Sessions) -> None:
    """Its worker posts right after the claim and says nothing more: as if it had begun."""
    with sessions.begin() as session:
        batch_id = a_batch(session, begins_by=None, lease_until=NOON + LEASE)
    stored(sessions, state=MessageState.POSTING, batch_id=batch_id)
    clock = Clock()
    keeper = an_upkeep(sessions, clock)

    found = []
    for at in (NOON + LEASE, NOON + LEASE + A_MILLISECOND):
        clock.at = at
        found.append(keeper.sweep())

    assert [(one["never_begun"], one["worker_died"]) for one in found] == [(0, 0), (0, 1)]
    assert states_of(sessions) == ["unconfirmed"]


@pytest.fixture
def outage(engine: Engine, request: pytest.FixtureRequest) -> Outage:
    return Outage(engine, lambda: str(request.getfixturevalue("postgres_server")))


def test_without_a_database_to_begin_in_nothing_leaves_and_all_queue_again_when_it_is_back(
    sessions: Sessions, outage: Outage
) -> None:
    many_stored(sessions, 2)
    clock, waits = Clock(), list[float]()

    def comes_back(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            outage.end()

    cut_off, gateway = Meanwhile(sessions, BEFORE, outage.begin), MemoryGateway()
    a_room(sessions, cut_off, clock, wait=comes_back).post_next()
    released = states_of(sessions)
    post_all(a_room(sessions, gateway, clock))

    assert (cut_off.posted, released, len(waits)) == ([], ["queued", "queued"], 3)
    assert (len(gateway.posted), states_of(sessions)) == (1, ["submitted", "submitted"])


def test_a_begin_whose_commit_was_not_heard_of_posts_nothing(sessions: Sessions) -> None:
    """It may stand in the table or not; that nothing left is certain."""
    stored(sessions)
    clock, begun = Clock(), list[bool]()

    def is_cut_off() -> None:
        begun.append(the_batch(sessions, 1).begins_by is None)
        raise OperationalError("COMMIT", None, Exception("server closed the connection"))

    gateway = Meanwhile(sessions, AFTER, is_cut_off)
    a_room(sessions, gateway, clock).post_next()

    assert (begun, gateway.posted, states_of(sessions)) == ([True], [], ["queued"])


def test_a_worker_that_is_to_stop_does_not_begin(sessions: Sessions) -> None:
    many_stored(sessions, 2)
    gateway = MemoryGateway()

    a_room(sessions, gateway, Clock(), leaving=lambda: True).post_next()

    assert (gateway.posted, states_of(sessions)) == ([], ["queued", "queued"])
    assert [(batch.state, batch.reason) for batch in all_of(sessions, Batch)] == [("released", "the worker is to stop")]


def test_who_could_not_connect_changes_nothing_about_what_others_posted_meanwhile(sessions: Sessions) -> None:
    stored(sessions)
    clock, gateway = Clock(), MemoryGateway()

    def meanwhile(_: Sequence[OutgoingSms]) -> None:
        clock.at = BEGINS_BY
        an_upkeep(sessions, clock).sweep()
        a_room(sessions, gateway, clock).post_next()

    unreachable = MemoryGateway(answers=[GatewayUnavailable("connection refused")], during=meanwhile)
    a_room(sessions, unreachable, clock).post_next()

    assert (len(gateway.posted), states_of(sessions)) == (1, ["submitted"])
    assert [batch.state for batch in all_of(sessions, Batch)] == ["released", "accepted"]
