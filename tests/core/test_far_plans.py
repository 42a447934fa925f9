"""No plan is farther off than it can be when it is made: whatever made it so, a sweep brings it forward, by slices."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from builders import LONGEST, NOON, Clock, Sessions, an_upkeep, many_stored, stored
from plans import in_trouble, owed, posting
from reports import submitted
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import InstrumentedAttribute

from models import Account, Batch, Callback, Circuit, Message
from worker.store.clocks import TOLERANCE

A_MILLISECOND = timedelta(milliseconds=1)
AT_ONCE = 1_000
BACK = NOON - timedelta(hours=1)


def far_question(sessions: Sessions, at: datetime) -> None:
    submitted(sessions, next_poll_at=at)


def far_begin(sessions: Sessions, at: datetime) -> None:
    posting(sessions, begins_by=at)


def far_lease(sessions: Sessions, at: datetime) -> None:
    posting(sessions, lease_until=at)


PLANS: list[Any] = [
    pytest.param(far_question, Message.next_poll_at, LONGEST.poll, id="a question"),
    pytest.param(far_begin, Batch.begins_by, LONGEST.lease, id="a batch that has not begun"),
    pytest.param(far_lease, Batch.lease_until, LONGEST.lease, id="a batch that has"),
    pytest.param(owed, Callback.next_try_at, LONGEST.callback, id="a callback"),
    pytest.param(in_trouble, Account.probe_at, LONGEST.probe, id="the account's probe"),
    pytest.param(in_trouble, Circuit.probe_at, LONGEST.probe, id="the circuits' probes"),
]


def swept(sessions: Sessions, at: datetime = NOON) -> int:
    return an_upkeep(sessions, Clock(at)).sweep()["clock_set_back"]


def planned(sessions: Sessions, column: InstrumentedAttribute[datetime | None]) -> set[datetime | None]:
    with sessions() as session:
        return set(session.scalars(select(column)))


@pytest.mark.parametrize(("plan", "column", "longest"), PLANS)
def test_a_plan_that_is_too_far_off_is_brought_forward_though_no_row_is_from_the_wrong_time(
    sessions: Sessions,
    plan: Callable[[Sessions, datetime], None],
    column: InstrumentedAttribute[datetime | None],
    longest: timedelta,
) -> None:
    plan(sessions, NOON + longest + TOLERANCE + A_MILLISECOND)

    found = swept(sessions)

    assert found >= 1
    assert planned(sessions, column) == {NOON + longest}
    assert swept(sessions) == 0


@pytest.mark.parametrize(("plan", "column", "longest"), PLANS)
def test_a_plan_within_its_longest_and_the_tolerance_is_not_touched(
    sessions: Sessions,
    plan: Callable[[Sessions, datetime], None],
    column: InstrumentedAttribute[datetime | None],
    longest: timedelta,
) -> None:
    at = NOON + longest + TOLERANCE
    plan(sessions, at)

    found = swept(sessions)

    assert (found, planned(sessions, column)) == (0, {at})


@contextmanager
def written_at_once(engine: Engine, table: str) -> Iterator[Sequence[int]]:
    """How many rows of *table* each transaction has updated."""
    rows: list[int] = []

    def note(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(f"UPDATE {table} "):
            rows[-1] += cursor.rowcount

    def begun(_connection: Any) -> None:
        rows.append(0)

    event.listen(engine, "begin", begun)
    event.listen(engine, "after_cursor_execute", note)
    yield rows
    event.remove(engine, "begin", begun)
    event.remove(engine, "after_cursor_execute", note)


def test_however_many_messages_wait_a_transaction_brings_only_some_of_them_forward(
    sessions: Sessions, engine: Engine
) -> None:
    """So that claims always find some that are free, and the others' locks are not held for long."""
    many_stored(sessions, 2 * AT_ONCE + 300)
    later = stored(sessions, send_at=NOON + timedelta(days=1))

    with written_at_once(engine, "messages") as rows:
        found = swept(sessions, BACK)

    assert found == 2 * AT_ONCE + 300
    assert [count for count in rows if count] == [AT_ONCE, AT_ONCE, 300]
    with sessions() as session:
        waiting = session.execute(select(Message.send_at, Message.id == later).distinct()).all()
    assert set(map(tuple, waiting)) == {(BACK, False), (NOON + timedelta(days=1), True)}


def test_however_many_questions_are_too_far_off_a_transaction_brings_only_some_of_them_forward(
    sessions: Sessions, engine: Engine
) -> None:
    first = submitted(sessions, next_poll_at=NOON)
    with sessions() as session:
        batch_id = session.scalars(select(Message.batch_id).where(Message.id == first)).one()
    far = NOON + timedelta(days=1)
    many_stored(sessions, AT_ONCE + 200, state="submitted", batch_id=batch_id, next_poll_at=far)

    with written_at_once(engine, "messages") as rows:
        found = swept(sessions)

    assert found == AT_ONCE + 200
    assert [count for count in rows if count] == [AT_ONCE, 200]
    assert planned(sessions, Message.next_poll_at) == {NOON, NOON + LONGEST.poll}


def test_a_worker_that_is_to_stop_leaves_the_rest_to_another(sessions: Sessions, engine: Engine) -> None:
    many_stored(sessions, AT_ONCE + 1)

    with written_at_once(engine, "messages") as rows:
        stopping = an_upkeep(sessions, Clock(BACK), leaving=lambda: any(rows)).sweep()

    assert (stopping["clock_set_back"], swept(sessions, BACK)) == (AT_ONCE, 1)
