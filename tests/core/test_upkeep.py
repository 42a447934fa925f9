"""What a crash left half done, and what time has overtaken, is put right: once, however many keepers look."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from builders import (
    NOON,
    Clock,
    Sessions,
    a_batch,
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
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from models import Batch, Callback
from models.lifecycle import MessageState
from worker.errors import SubmissionUnconfirmed
from worker.gateway.memory import MemoryGateway

S = MessageState
TELL = {"task": "shop.sms_changed"}
CUT_OFF = SubmissionUnconfirmed("read timed out")


def never_begun(sessions: Sessions) -> int:
    """A message whose worker died between the claim and the first byte."""
    with sessions.begin() as session:
        batch_id = a_batch(session, begins_by=NOON + timedelta(seconds=20))
    return stored(sessions, state=S.POSTING, batch_id=batch_id)


def test_a_dead_workers_post_becomes_unconfirmed_when_its_lease_is_over(sessions: Sessions) -> None:
    sms = stored(sessions, state=S.POSTING)
    clock = Clock(NOON + timedelta(minutes=1))
    keeper = an_upkeep(sessions, clock)

    in_time = keeper.sweep()
    clock.advance(seconds=1)
    found = keeper.sweep()

    message = the_sms(sessions, sms)
    batch = the_batch(sessions, message.batch_id or 0)
    assert [in_time["worker_died"], found["worker_died"]] == [0, 1]
    assert (message.state, message.reason) == ("unconfirmed", "worker_died")
    assert ("unconfirmed", "worker_died", clock.at) == (batch.state, batch.reason, batch.finished_at)


def test_every_message_of_a_dead_batch_becomes_unconfirmed(sessions: Sessions) -> None:
    with sessions.begin() as session:
        batch_id = a_batch(session, size=5)
    many_stored(sessions, 5, state=S.POSTING, batch_id=batch_id)
    queued = stored(sessions)

    an_upkeep(sessions, Clock(NOON + timedelta(hours=1))).sweep()

    assert Counter(states_of(sessions)) == {"unconfirmed": 5, "queued": 1}
    assert the_sms(sessions, queued).state == "queued"


def test_what_was_not_posted_in_time_expires(sessions: Sessions) -> None:
    stored(sessions, expires_at=NOON)
    stored(sessions, expires_at=NOON + timedelta(seconds=1))
    stored(sessions)

    found = an_upkeep(sessions).sweep()

    assert found["expired"] == 1
    assert states_of(sessions) == ["expired", "queued", "queued"]


def test_what_is_posted_does_not_expire(sessions: Sessions) -> None:
    states = [S.POSTING, S.SUBMITTED, S.UNCONFIRMED]
    for state in states:
        stored(sessions, state=state, expires_at=NOON)

    an_upkeep(sessions).sweep()

    assert states == states_of(sessions)


POLICIES = [("hold", S.UNCONFIRMED, 0), ("resend", S.QUEUED, 1), ("drop", S.FAILED, 0)]


@pytest.mark.parametrize(("policy", "state", "resends"), POLICIES, ids=[policy for policy, *_ in POLICIES])
def test_a_lanes_policy_decides_about_its_unconfirmed_messages(
    sessions: Sessions, policy: str, state: S, resends: int
) -> None:
    otp = stored(sessions, state=S.UNCONFIRMED, lane="otp")
    bulk = stored(sessions, state=S.UNCONFIRMED, lane="bulk")

    an_upkeep(sessions, policy=lambda lane: policy if lane == "otp" else "hold").sweep()

    message = the_sms(sessions, otp)
    assert (state, resends) == (message.state, message.resends)
    assert message.reason == ("dropped_by_policy" if policy == "drop" else None)
    assert the_sms(sessions, bulk).state == "unconfirmed"


def test_a_policy_lets_a_message_be_posted_again_only_once(sessions: Sessions) -> None:
    sms = stored(sessions)
    clock = Clock()
    gateway = MemoryGateway(answers=[CUT_OFF] * 9)
    room, keeper = a_submission(sessions, gateway, clock), an_upkeep(sessions, clock, policy=lambda _: "resend")

    for _ in range(5):
        post_all(room)
        keeper.sweep()
        clock.advance(hours=1)

    assert len(gateway.posted) == 2
    assert (the_sms(sessions, sms).state, the_sms(sessions, sms).resends) == ("unconfirmed", 1)


def test_a_second_sweep_finds_nothing_more(sessions: Sessions) -> None:
    for state in (S.POSTING, S.UNCONFIRMED, S.QUEUED):
        stored(sessions, state=state, callback=TELL, expires_at=NOON)
    never_begun(sessions)
    keeper = an_upkeep(sessions, Clock(NOON + timedelta(hours=1)), policy=lambda _: "drop")

    found = [keeper.sweep(), keeper.sweep()]

    by_policy = {"by_policy_otp": 0, "by_policy_normal": 1, "by_policy_bulk": 0}
    assert found == [
        {"database_restored": 0, "clock_set_back": 0, "never_begun": 1, "worker_died": 1, "expired": 1} | by_policy,
        dict.fromkeys(found[0], 0),
    ]


IN_TROUBLE = [
    pytest.param("circuits", "clock_set_back", id="the first sweep"),
    pytest.param("decisions", "by_policy_normal", id="a policy"),
]


@pytest.mark.parametrize(("table", "sweep"), IN_TROUBLE)
def test_a_sweep_that_fails_keeps_no_other_from_running(
    sessions: Sessions, engine: Engine, table: str, sweep: str
) -> None:
    for state in (S.POSTING, S.UNCONFIRMED, S.QUEUED):
        stored(sessions, state=state, expires_at=NOON, lane="normal")
    never_begun(sessions)
    keeper = an_upkeep(sessions, Clock(NOON + timedelta(hours=1)), policy=lambda _: "drop")
    rename(engine, table, "away")

    with capture_logs() as logs:
        found = keeper.sweep()
    rename(engine, "away", table)
    afterwards = keeper.sweep()

    others = {"never_begun": 1, "worker_died": 1, "expired": 1, "by_policy_normal": 1}
    failed = [one for one in logs if one["event"] == "sweep_failed"]
    assert [(one["sweep"], one["log_level"]) for one in failed] == [(sweep, "warning")]
    assert {name: rows for name, rows in found.items() if rows} == {
        name: rows for name, rows in others.items() if name != sweep
    }
    assert {name: rows for name, rows in afterwards.items() if rows} == {
        name: rows for name, rows in others.items() if name == sweep
    }


def rename(engine: Engine, table: str, name: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))


def test_a_policy_waits_for_the_answer_of_a_worker_that_only_seemed_dead(sessions: Sessions) -> None:
    """Its post may still be on the wire: a resend beside it would be a second SMS that the answer then proves."""
    sms = stored(sessions, state=S.POSTING)
    clock = Clock(NOON + timedelta(hours=1))
    keeper = an_upkeep(sessions, clock, policy=lambda _: "resend")

    keeper.sweep()
    keeper.sweep()
    at_first = the_sms(sessions, sms).state
    clock.advance(minutes=2)
    keeper.sweep()

    assert (at_first, the_sms(sessions, sms).state) == ("unconfirmed", "queued")


def test_keepers_at_the_same_time_do_everything_once(sessions: Sessions) -> None:
    for _ in range(10):
        for state in (S.POSTING, S.UNCONFIRMED, S.QUEUED):
            stored(sessions, state=state, callback=TELL, expires_at=NOON)
        never_begun(sessions)
    clock = Clock(NOON + timedelta(hours=1))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: an_upkeep(sessions, clock, policy=lambda _: "drop").sweep(), range(4)))
    clock.advance(minutes=2)
    an_upkeep(sessions, clock, policy=lambda _: "drop").sweep()

    assert [sum(one[sweep] for one in found) for sweep in ("never_begun", "worker_died", "expired")] == [10] * 3
    assert Counter(states_of(sessions)) == {"failed": 20, "expired": 10, "queued": 10}
    told = Counter(one.event["state"] for one in all_of(sessions, Callback))
    assert told == {"unconfirmed": 10, "failed": 20, "expired": 10}


WAITING: list[Any] = [
    pytest.param({}, (True, False), id="queued"),
    pytest.param({"send_at": NOON + timedelta(seconds=1)}, (False, False), id="not yet"),
    pytest.param({"state": S.SUBMITTED}, (False, False), id="submitted"),
]


@pytest.mark.parametrize(("sms", "waiting"), WAITING)
def test_a_lost_bell_is_rung_again_for_what_stands_in_the_table(
    sessions: Sessions, sms: dict[str, Any], waiting: tuple[bool, bool]
) -> None:
    stored(sessions, **sms)

    found = an_upkeep(sessions).waiting()

    assert waiting == (found.messages, found.callbacks)


def test_an_owed_callback_waits(sessions: Sessions) -> None:
    stored(sessions, callback=TELL, expires_at=NOON)
    keeper = an_upkeep(sessions)
    keeper.sweep()

    assert keeper.waiting().callbacks


def test_a_batch_that_was_answered_is_left_alone(sessions: Sessions) -> None:
    stored(sessions)
    clock = Clock()
    a_submission(sessions, clock=clock).post_next()
    clock.advance(days=1)

    an_upkeep(sessions, clock).sweep()

    assert [batch.state for batch in all_of(sessions, Batch)] == ["accepted"]
    assert states_of(sessions) == ["submitted"]
