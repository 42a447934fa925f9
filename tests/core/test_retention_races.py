"""What is taken up again in the same moment in which it is deleted stays."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from builders import NOON, Sessions, stored
from servers import wait_for
from sqlalchemy import Engine, insert, text

from models import Callback
from worker.store import sweeps

BEFORE = NOON + timedelta(days=30)
BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
AGAIN = """
UPDATE messages SET state = 'submitted', reason = NULL, finalized_at = NULL, next_poll_at = now() WHERE id = :id
"""
TOLD_AGAIN = "UPDATE callbacks SET state = 'owed', finished_at = NULL, next_try_at = now() WHERE id = :id"
ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def an_unknown_message(sessions: Sessions) -> int:
    return stored(sessions, state="unknown", request_id="5001")


def a_failed_callback(sessions: Sessions) -> int:
    callback: dict[str, Any] = {
        "event_id": "e1",
        "target": {"task": "shop.told"},
        "event": {},
        "state": "failed",
        "attempts": 1,
        "created_at": NOON,
        "finished_at": NOON,
    }
    with sessions.begin() as session:
        return session.scalars(insert(Callback).returning(Callback.id), [callback]).one()


@ON_POSTGRESQL
@pytest.mark.parametrize(
    ("made", "again", "delete"),
    [
        pytest.param(an_unknown_message, AGAIN, sweeps.delete_old, id="a message that is asked about again"),
        pytest.param(a_failed_callback, TOLD_AGAIN, sweeps.delete_old_callbacks, id="a callback that is told again"),
    ],
)
def test_what_is_taken_up_again_meanwhile_is_not_deleted(
    sessions: Sessions,
    engine: Engine,
    made: Callable[[Sessions], int],
    again: str,
    delete: Callable[..., int],
) -> None:
    this = {"id": made(sessions)}

    with engine.begin() as person, ThreadPoolExecutor(1) as pool:
        person.execute(text(again), this)
        deleted = pool.submit(deleted_in_its_own, sessions, delete, BEFORE)
        with engine.connect() as looking:
            wait_for(lambda: looking.execute(text(BLOCKED)).scalar_one())
        person.commit()

        assert deleted.result() == 0


def deleted_in_its_own(sessions: Sessions, delete: Callable[..., int], before: datetime) -> int:
    with sessions.begin() as session:
        return delete(session, before=before)
