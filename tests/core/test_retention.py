"""What is past its retention is deleted, little by little; nothing else is."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, all_of, an_upkeep, many_stored, states_of, stored
from sqlalchemy import Engine, event, insert

from models import Batch, Callback, Decision, Message, RefusedIntake, Report
from models.lifecycle import FINAL, MessageState
from worker.store import sweeps
from worker.turnstile import LONGEST_SECONDS
from worker.upkeep import Upkeep

S = MessageState
TELL = {"task": "shop.sms_changed"}


def test_what_holds_phones_and_texts_beside_messages_is_deleted_as_well(sessions: Sessions) -> None:
    for _ in range(3):
        stored(sessions, state=S.DELIVERED)
    refused = {"digest": "d", "queue": "sms.otp", "reason": "r", "explanation": "e", "body": "b"}
    told = {"event_id": "e", "target": TELL, "event": {}, "state": "told", "attempts": 1, "finished_at": NOON}
    with sessions.begin() as session:
        session.execute(insert(RefusedIntake), [refused | {"body_encoding": "utf-8", "created_at": NOON}])
        session.execute(insert(Callback), [told | {"created_at": NOON}])

    an_upkeep(sessions, Clock(NOON + timedelta(days=31)), retention=timedelta(days=30)).delete_old()

    assert [len(all_of(sessions, table)) for table in (Message, RefusedIntake, Callback)] == [0, 0, 0]
    assert [batch.id for batch in all_of(sessions, Batch)] == [3], "the last one's number is given to no other"


@pytest.mark.parametrize("state", S, ids=str)
def test_only_final_messages_past_their_retention_are_deleted(sessions: Sessions, state: S) -> None:
    old = stored(sessions, state=state)
    report = {"sms_id": old, "received_at": NOON, "answer": {}}
    owed = {"event_id": "e", "sms_id": old, "target": TELL, "event": {}, "attempts": 1, "created_at": NOON}
    with sessions.begin() as session:
        session.execute(insert(Report), [report])
        session.execute(insert(Callback), [owed | {"state": "told", "finished_at": NOON}])

    an_upkeep(sessions, Clock(NOON + timedelta(days=31)), retention=timedelta(days=30)).delete_old()

    left = 0 if state in FINAL else 1
    assert [left] * 3 == [len(all_of(sessions, table)) for table in (Message, Report, Callback)]


def test_a_decision_is_kept_as_long_as_messages_are(sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(insert(Decision), [{"at": NOON, "who": "a test", "what": "pause"}])
    clock = Clock(NOON + timedelta(days=30))
    keeper = an_upkeep(sessions, clock, retention=timedelta(days=30))

    in_time = keeper.delete_old()
    clock.advance(seconds=1)
    past = keeper.delete_old()

    assert (in_time, past, all_of(sessions, Decision)) == (0, 1, [])


def test_what_is_younger_than_the_retention_is_kept(sessions: Sessions) -> None:
    stored(sessions, state=S.DELIVERED)
    keeper = an_upkeep(sessions, Clock(NOON + timedelta(days=30)), retention=timedelta(days=30))

    assert keeper.delete_old() == 0
    assert states_of(sessions) == ["delivered"]


def test_without_a_retention_everything_is_kept(sessions: Sessions) -> None:
    stored(sessions, state=S.DELIVERED)

    assert an_upkeep(sessions, Clock(NOON + timedelta(days=9_999))).delete_old() == 0
    assert states_of(sessions) == ["delivered"]


def test_all_that_is_old_is_deleted_however_much_it_is(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "DELETED_AT_ONCE", 10)
    many_stored(sessions, 25, state=S.EXPIRED)
    keepers = [an_upkeep(sessions, Clock(NOON + timedelta(days=2)), retention=timedelta(days=1)) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        deleted = sum(pool.map(lambda keeper: keeper.delete_old(), keepers))

    assert (deleted, states_of(sessions)) == (25, [])


@dataclass
class Slowly:
    """Time passes while a row is deleted, and while the keeper rests."""

    at: float = 0.0
    rests: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> None:
        self.rests.append(round(seconds, 3))
        self.at += seconds

    def keeper(self, sessions: Sessions, engine: Engine, *, each_seconds: float, **changes: Any) -> Upkeep:
        def took(_c: object, _k: object, statement: str, *_: object) -> None:
            self.at += each_seconds if statement.startswith("DELETE") else 0

        event.listen(engine, "before_cursor_execute", took)
        told = {"retention": timedelta(days=1), "wait": self.wait, "monotonic": lambda: self.at}
        return an_upkeep(sessions, Clock(NOON + timedelta(days=2)), **told | changes)


def test_after_each_deletion_the_keeper_rests_four_times_as_long(sessions: Sessions, engine: Engine) -> None:
    stored(sessions, state=S.DELIVERED)
    slowly = Slowly()

    slowly.keeper(sessions, engine, each_seconds=0.1).delete_old()

    assert slowly.rests == [0.4] * (len(sweeps.OF_THE_OLD) + 1)


def test_what_one_bell_cannot_delete_is_left_to_the_next_and_nothing_starves_behind_much_else(
    sessions: Sessions, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "DELETED_AT_ONCE", 1)
    many_stored(sessions, 5, state=S.EXPIRED)
    with sessions.begin() as session:
        session.execute(insert(Decision), [{"at": NOON, "who": "a test", "what": "pause"}])
    slowly = Slowly()
    keeper = slowly.keeper(sessions, engine, each_seconds=0.3)

    deleted, left = [], []
    while states_of(sessions):
        deleted.append(keeper.delete_old())
        left.append(len(all_of(sessions, Decision)))

    assert (deleted, left) == ([3, 3], [0, 0])
    assert slowly.at <= len(deleted) * (LONGEST_SECONDS + 0.3)


def test_a_keeper_that_is_to_leave_deletes_no_more(sessions: Sessions, engine: Engine) -> None:
    many_stored(sessions, 5, state=S.EXPIRED)
    slowly = Slowly()
    keeper = slowly.keeper(sessions, engine, each_seconds=0.1, leaving=lambda: bool(slowly.rests))

    keeper.delete_old()

    assert len(slowly.rests) == 1
