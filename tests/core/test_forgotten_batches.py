"""The database came from a backup while a post was under way: what has its number now is another batch, left alone."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, a_batch, a_submission, an_sms, many_stored, post_all
from in_trouble import CUT_OFF, WRONG_URL
from moments import AFTER, BEFORE, Meanwhile
from sqlalchemy import Row, delete, insert, select
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from models import Batch, Message
from models.base import Base
from models.lifecycle import MessageState
from worker.errors import AccountRefused, BatchRefused, NicknameRefused
from worker.gateway import Acceptance, AcceptedSms
from worker.gateway.memory import Answer, MemoryGateway

PHONE, TEXT = "998907654321", "Your code is 4821"
LATER = NOON + timedelta(seconds=1)
Everything = dict[str, Sequence[Row[Any]]]


def everything(sessions: Sessions) -> Everything:
    with sessions() as session:
        return {table.name: session.execute(select(table)).all() for table in Base.metadata.sorted_tables}


def restored(sessions: Sessions, **batch: Any) -> Everything:
    """Of the same numbers there is another batch now, and another message; return all that stands there."""
    with sessions.begin() as session:
        session.execute(delete(Message))
        session.execute(delete(Batch))
        until = {"begins_by": NOON + timedelta(seconds=20), "lease_until": NOON + timedelta(minutes=1)}
        batch_id = a_batch(session, **{"id": 1} | until | batch)
        session.execute(insert(Message), [an_sms(id=1, state=MessageState.POSTING, batch_id=batch_id, uid="another's")])
    return everything(sessions)


def gone(sessions: Sessions) -> Everything:
    """The number was not given again; its message waits."""
    with sessions.begin() as session:
        session.execute(delete(Message))
        session.execute(delete(Batch))
        session.execute(insert(Message), [an_sms(id=1, uid="another's")])
    return everything(sessions)


RESTORES: list[Any] = [
    pytest.param(lambda sessions: restored(sessions, worker="another@test"), id="another worker's"),
    pytest.param(lambda sessions: restored(sessions, created_at=LATER), id="of another time"),
    pytest.param(
        lambda sessions: restored(sessions, worker="another@test", begins_by=None),
        id="another worker's, that has begun",
    ),
    pytest.param(gone, id="none"),
]
Restore = Callable[[Sessions], Everything]

ANSWERS: list[Any] = [
    pytest.param(Acceptance([AcceptedSms(1, "5001", "11")]), [(1, "5001")], id="accepted"),
    pytest.param(Acceptance([], unanswered=[1]), [], id="not answered for"),
    pytest.param(BatchRefused("array is not a JSON", error_no=200), [], id="refused"),
    pytest.param(NicknameRefused("incorrect nickname", error_no=203), [], id="nickname refused"),
    pytest.param(WRONG_URL, [], id="unavailable"),
    pytest.param(AccountRefused("limit is over", error_no=103), [], id="account refused"),
    pytest.param(CUT_OFF, [], id="cut off"),
    pytest.param(ValueError(PHONE, TEXT), [], id="our mistake"),
]


@pytest.mark.parametrize("restore", RESTORES)
@pytest.mark.parametrize(("answer", "taken"), ANSWERS)
def test_an_answer_to_a_batch_that_is_forgotten_changes_nothing_and_its_ids_are_in_the_log(
    sessions: Sessions, answer: Answer, taken: list[tuple[int, str]], restore: Restore
) -> None:
    many_stored(sessions, 1, phone=PHONE, text=TEXT)
    owed, left = list[None](), Everything()
    gateway = MemoryGateway(answers=[answer], during=lambda _: left.update(restore(sessions)))

    with capture_logs(processors=[merge_contextvars]) as logs:
        a_submission(sessions, gateway, on_owed=lambda: owed.append(None)).post_next()

    (given_up,) = [one for one in logs if one["event"] == "answer_given_up"]
    assert everything(sessions) == left
    assert (given_up["batch_id"], given_up["taken"], given_up["log_level"]) == (1, taken, "error")
    assert "backup" in given_up["because"]
    assert not any(word in str(logs) for word in (PHONE, TEXT))
    assert not any(one["event"] in {"batch_accepted", "circuit_opened", "account_paused"} for one in logs)
    assert owed == []


@pytest.mark.parametrize("restore", RESTORES)
def test_a_batch_that_is_forgotten_does_not_begin(sessions: Sessions, restore: Restore) -> None:
    many_stored(sessions, 1, phone=PHONE, text=TEXT)
    left = Everything()
    gateway = Meanwhile(sessions, BEFORE, lambda: left.update(restore(sessions)))

    with capture_logs(processors=[merge_contextvars]) as logs:
        a_submission(sessions, gateway, Clock()).post_next()

    assert gateway.posted == []
    assert everything(sessions) == left
    assert [one["batch_id"] for one in logs if one["event"] == "answer_given_up"] == [1]
    assert not any(word in str(logs) for word in (PHONE, TEXT))


def test_what_has_its_number_now_is_answered_by_its_own_worker(sessions: Sessions) -> None:
    """Both are on the wire at the same time: each answer goes to its own."""
    many_stored(sessions, 1)
    clock, theirs = Clock(), MemoryGateway()
    others = a_submission(sessions, theirs, clock, worker="another@test")

    def meanwhile(_: Sequence[object]) -> None:
        gone(sessions)
        post_all(others)

    ours = MemoryGateway(answers=[Acceptance([AcceptedSms(1, "of the forgotten", None)])], during=meanwhile)
    a_submission(sessions, ours, clock).post_next()

    with sessions() as session:
        (sms,) = session.scalars(select(Message)).all()
    assert (sms.uid, sms.state, len(theirs.posted)) == ("another's", "submitted", 1)
    assert sms.request_id == "10000000"


def test_a_restore_between_the_begin_and_the_first_byte_is_found_when_the_answer_comes(sessions: Sessions) -> None:
    many_stored(sessions, 1)
    left = Everything()
    gateway = Meanwhile(sessions, AFTER, lambda: left.update(restored(sessions, worker="another@test")))

    with capture_logs(processors=[merge_contextvars]) as logs:
        a_submission(sessions, gateway).post_next()

    assert everything(sessions) == left
    assert [one["taken"] for one in logs if one["event"] == "answer_given_up"] == [[(1, "10000000")]]
