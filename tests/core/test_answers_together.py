"""Answers that are stored together leave the same rows as one by one; where one is not plain, each goes its own way."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, local
from typing import Any

import pytest
from builders import (
    NOON,
    Clock,
    Sessions,
    a_batch,
    a_phone,
    a_submission,
    all_of,
    an_sms,
    an_upkeep,
    states_of,
    the_batch,
)
from moments import Outage
from servers import wait_for
from sqlalchemy import Engine, insert, select, text

from models import Batch, Callback, Message, Report
from models.lifecycle import BatchState, Lane, MessageState
from worker.errors import SubmissionUnconfirmed
from worker.gateway import Acceptance, AcceptedSms, OutgoingSms, RefusedSms
from worker.recording import Posted
from worker.store import decisions, outcomes
from worker.store.accounts import account_id_of
from worker.store.claims import Claimant, Claimed, begin, into_batch
from worker.store.moves import OWED
from worker.store.outcomes import Accepted, NotAsClaimed
from worker.submission import FREE, Submission
from worker.trouble import Outcome

TELL = {"task": "shop.sms_changed", "queue": "shop"}
TOOK, LEASE_UNTIL = timedelta(milliseconds=123), NOON + timedelta(seconds=55)
LESS_THAN_A_LOCK_IS_WAITED_FOR = 8.0
ANSWERED_AT, POLL_AT = NOON + timedelta(seconds=1), NOON + timedelta(seconds=6)
OF_THEIR_OWN = frozenset({"id", "uid", "batch_id", "sms_id", "event_id", "event", "phone"})


def claimed(sessions: Sessions, messages: int = 2, **changes: Any) -> Claimed:
    """A batch on the wire, as the worker holds it that posts it."""
    with sessions.begin() as session:
        rows = [an_sms(phone=a_phone(number), callback=TELL, **changes) for number in range(messages)]
        ids = session.scalars(insert(Message).returning(Message.id, sort_by_parameter_order=True), rows).all()
        chosen = session.scalars(select(Message).where(Message.id.in_(ids)).order_by(Message.id)).all()
        claimant = Claimant(account_id_of(session, "login"), "worker@test", NOON, LEASE_UNTIL, LEASE_UNTIL)
        batch = into_batch(session, claimant, Lane.NORMAL, chosen)
        assert begin(session, batch, now=NOON, lease_until=LEASE_UNTIL)
        return batch


def taken(batch: Claimed) -> Acceptance:
    """The gateway took all of it."""
    return Acceptance([AcceptedSms(sms.reference, f"request {sms.phone}", sms.phone[-3:]) for sms in batch.messages])


def posted(batch: Claimed, answer: Any = None, **changes: Any) -> Posted:
    return Posted(batch, Outcome(answer or taken(batch), FREE, took=TOOK, **changes))


def record(room: Submission, answers: Sequence[Posted]) -> None:
    """What can be stored together is, and the others alone."""
    stored = room.recording.store_together(answers)
    for one in answers:
        if one not in stored:
            room.recording.store(one.claimed, one.outcome)


def accept_together(sessions: Sessions, *batches: Claimed) -> bool:
    with sessions.begin() as session:
        accepted = [Accepted(one, taken(one), TOOK, POLL_AT) for one in batches]
        outcomes.accept_all(session, accepted, now=ANSWERED_AT)
        return bool(session.info.get(OWED))


def accept_alone(sessions: Sessions, batch: Claimed) -> bool:
    with sessions.begin() as session:
        assert outcomes.lock(session, batch)
        outcomes.accept_batch(session, batch.batch_id, taken(batch), now=ANSWERED_AT, first_poll_at=POLL_AT, took=TOOK)
        return bool(session.info.get(OWED))


def rows_of(sessions: Sessions, table: type[Any], ids: Sequence[int], column: str) -> list[dict[str, Any]]:
    """Without what no two rows share."""
    names = [name for name in table.__table__.c.keys() if name not in OF_THEIR_OWN]  # noqa: SIM118
    return [
        {name: getattr(one, name) for name in names} for one in all_of(sessions, table) if getattr(one, column) in ids
    ]


@pytest.mark.parametrize("sizes", [[1], [2, 3], [1, 50, 2]], ids=["one", "two", "three batches"])
@pytest.mark.parametrize("before", ["posting", "unconfirmed"])
def test_stored_together_they_leave_the_rows_of_one_by_one(sessions: Sessions, sizes: list[int], before: str) -> None:
    alone = [claimed(sessions, size, split=7) for size in sizes]
    together = [claimed(sessions, size, split=7) for size in sizes]
    if before == "unconfirmed":  # upkeep was quicker
        an_upkeep(sessions, Clock(NOON + timedelta(hours=1))).sweep()

    owed_alone = [accept_alone(sessions, batch) for batch in alone]
    owed_together = accept_together(sessions, *together)

    assert (all(owed_alone), owed_together) == (True, True)
    for table, column in ((Message, "batch_id"), (Batch, "id")):
        one_by_one = rows_of(sessions, table, [batch.batch_id for batch in alone], column)
        assert rows_of(sessions, table, [batch.batch_id for batch in together], column) == one_by_one
        assert one_by_one
    ids_alone, ids_together = ([sms.reference for one in many for sms in one.messages] for many in (alone, together))
    assert rows_of(sessions, Callback, ids_together, "sms_id") == rows_of(sessions, Callback, ids_alone, "sms_id")
    assert told(sessions, ids_together) == told(sessions, ids_alone)
    assert all_of(sessions, Report) == []


def told(sessions: Sessions, ids: Sequence[int]) -> list[dict[str, Any]]:
    """What the producers hear, without the names of the event and the message."""
    events = [one.event for one in all_of(sessions, Callback) if one.sms_id in ids]
    return [{name: value for name, value in event.items() if name not in {"event_id", "uid"}} for event in events]


def drop_one(sessions: Sessions, batch: Claimed) -> None:
    """Upkeep gives it up, and a person drops its first message."""
    an_upkeep(sessions, Clock(NOON + timedelta(hours=1))).sweep()
    with sessions.begin() as session:
        uid = batch.known[batch.messages[0].reference].uid
        assert decisions.resolve(session, [uid], "drop", now=NOON + timedelta(hours=1), by="nodira")


def test_where_something_came_between_nothing_is_stored_together(sessions: Sessions) -> None:
    plain, dropped = claimed(sessions), claimed(sessions)
    drop_one(sessions, dropped)
    before = states_of(sessions)

    with pytest.raises(NotAsClaimed):
        accept_together(sessions, plain, dropped)

    assert states_of(sessions) == before


def test_another_batch_of_the_same_number_is_not_taken_for_it(sessions: Sessions) -> None:
    """The database came from a backup meanwhile."""
    with sessions.begin() as session:
        batch_id = a_batch(session, worker="another@test")
    forgotten = claimed(sessions)
    forgotten = Claimed(batch_id, Lane.NORMAL, None, forgotten.messages, "worker@test", NOON, known=forgotten.known)

    with pytest.raises(NotAsClaimed):
        accept_together(sessions, forgotten)

    assert the_batch(sessions, batch_id).state == BatchState.POSTING


@pytest.mark.parametrize(
    "before", [{"worker": "another@test"}, {"claimed_at": NOON - timedelta(hours=1)}], ids=["worker", "time"]
)
def test_the_same_messages_in_another_batch_of_the_same_number_are_not_taken_for_them(
    sessions: Sessions, before: dict[str, Any]
) -> None:
    """The database came from a backup meanwhile, and they were claimed again."""
    batch = claimed(sessions)

    with pytest.raises(NotAsClaimed):
        accept_together(sessions, replace(batch, **before))

    assert (the_batch(sessions, batch.batch_id).state, states_of(sessions)) == ("posting", ["posting"] * 2)


def test_what_a_person_decided_meanwhile_stands_and_all_others_are_accepted(sessions: Sessions) -> None:
    plain, dropped = claimed(sessions), claimed(sessions)
    drop_one(sessions, dropped)
    room = a_submission(sessions, clock=Clock(ANSWERED_AT))

    record(room, [posted(plain), posted(dropped)])

    assert states_of(sessions) == ["submitted", "submitted", "failed", "submitted"]
    assert [report.sms_id for report in all_of(sessions, Report)] == [dropped.messages[0].reference]
    assert {batch.state for batch in all_of(sessions, Batch)} == {"accepted"}


@pytest.mark.parametrize(
    ("answer", "states"),
    [
        pytest.param(lambda _: SubmissionUnconfirmed("cut off"), ["unconfirmed", "unconfirmed"], id="cut off"),
        pytest.param(
            lambda batch: Acceptance(taken(batch).accepted[:1], [RefusedSms(batch.messages[1].reference, 300, "bad")]),
            ["submitted", "failed"],
            id="one refused",
        ),
        pytest.param(
            lambda batch: Acceptance(taken(batch).accepted[:1]), ["submitted", "unconfirmed"], id="one not mentioned"
        ),
    ],
)
def test_an_answer_that_is_not_plain_goes_its_own_way(sessions: Sessions, answer: Any, states: list[str]) -> None:
    first, other, last = (claimed(sessions) for _ in range(3))
    room = a_submission(sessions, clock=Clock(ANSWERED_AT))

    record(room, [posted(first), posted(other, answer(other)), posted(last)])

    assert states_of(sessions) == ["submitted", "submitted", *states, "submitted", "submitted"]


def test_the_ids_of_each_message_are_its_own(sessions: Sessions) -> None:
    """Whatever their order in the answer."""
    batches = [claimed(sessions, 3), claimed(sessions, 3)]

    accept_together(sessions, *(replace(batch, messages=list(reversed(batch.messages))) for batch in batches))

    assert all(
        (one.request_id, one.message_id) == (f"request {one.phone}", one.phone[-3:])
        for one in all_of(sessions, Message)
    )


def test_the_producers_are_rung_for_once(sessions: Sessions) -> None:
    rings: list[int] = []
    room = a_submission(sessions, on_owed=lambda: rings.append(1))

    record(room, [posted(claimed(sessions)), posted(claimed(sessions))])

    assert len(rings) == 1
    assert len(all_of(sessions, Callback)) == 4


@pytest.fixture
def outage(engine: Engine, request: pytest.FixtureRequest) -> Outage:
    return Outage(engine, lambda: str(request.getfixturevalue("postgres_server")))


def test_all_answers_wait_for_a_database_that_is_away(sessions: Sessions, outage: Outage) -> None:
    waits: list[float] = []

    def comes_back(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            outage.end()

    batches = [claimed(sessions), claimed(sessions)]
    room = a_submission(sessions, wait=comes_back)
    outage.begin()

    record(room, [posted(batch) for batch in batches])

    assert (len(waits), set(states_of(sessions))) == (2, {MessageState.SUBMITTED})


def test_a_worker_that_is_to_stop_waits_no_longer_for_many_than_for_one(sessions: Sessions, outage: Outage) -> None:
    clock, batches = Clock(), [claimed(sessions) for _ in range(5)]
    all_wait, waiting = Barrier(len(batches), timeout=30), local()

    def wait(seconds: float) -> None:
        if not hasattr(waiting, "begun"):
            waiting.begun = all_wait.wait()  # on a busy machine the last would begin when the clock has gone far
        clock.advance(seconds=seconds)

    changes: dict[str, Any] = {"wait": wait, "leaving": lambda: True, "give_up_recording_after": timedelta(seconds=30)}
    room = a_submission(sessions, clock=clock, **changes)
    outage.begin()

    with ThreadPoolExecutor(len(batches)) as threads:
        list(threads.map(lambda batch: record(room, [posted(batch)]), batches))

    outage.end()
    assert clock() - NOON < timedelta(seconds=60)
    assert set(states_of(sessions)) == {"posting"}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_row_that_somebody_has_locked_keeps_its_own_answer_from_being_stored_and_no_other(sessions: Sessions) -> None:
    locked, other = claimed(sessions), claimed(sessions)
    room = a_submission(sessions, clock=Clock(ANSWERED_AT))

    def settle(batch: Claimed) -> None:
        record_as_the_room_does(room, posted(batch))

    def are_submitted(batch: Claimed) -> bool:
        references = [sms.reference for sms in batch.messages]
        return {one.state for one in all_of(sessions, Message) if one.id in references} == {"submitted"}

    with ThreadPoolExecutor(2) as threads:
        with sessions.begin() as somebody:
            somebody.execute(select(Message.id).where(Message.id == locked.messages[0].reference).with_for_update())
            threads.submit(settle, locked)
            wait_for(lambda: waits_for_a_lock(sessions))
            threads.submit(settle, other)

            wait_for(lambda: are_submitted(other), seconds=LESS_THAN_A_LOCK_IS_WAITED_FOR)
            assert not are_submitted(locked)

        wait_for(lambda: are_submitted(locked))


def record_as_the_room_does(room: Submission, answer: Posted) -> None:
    if not room.record(answer):
        room.recording.store(answer.claimed, answer.outcome)


def waits_for_a_lock(sessions: Sessions) -> bool:
    with sessions.begin() as session:
        return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def test_a_batch_of_another_time_knows_its_messages_too(sessions: Sessions) -> None:
    """What is told of them is what was known at the claim, and the ids of the answer."""
    batch = claimed(sessions, 1, key="order-1", producer="shop")

    accept_together(sessions, batch)

    (event,) = [one.event for one in all_of(sessions, Callback)]
    assert (event["key"], event["producer"], event["state"], event["phone"]) == (
        "order-1",
        "shop",
        "submitted",
        a_phone(0),
    )
    assert [OutgoingSms(one.id, one.phone, one.text) for one in all_of(sessions, Message)] == list(batch.messages)
