"""The view of what needs a person: each kind with why and what to do, and nothing that must not be seen."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from builders import NOON, Sessions, a_send, an_intake, stored, the_sms
from sqlalchemy import Row, insert, text
from taking import TELL

from models import Callback
from models.lifecycle import Lane, MessageState, Room, Verdict
from worker.people import Person
from worker.store import accounts, circuits
from worker.store.accounts import Pause
from worker.store.circuits import Trouble
from worker.store.unconfirmed import Chosen

PHONE, TEXT = "998901234567", "Your code is 4821"
LATER = NOON + timedelta(minutes=5)


def a_person(sessions: Sessions) -> Person:
    return Person(sessions, "login", "ann", lambda: NOON)


def attention(sessions: Sessions) -> list[Row[Any]]:
    with sessions() as session:
        return list(session.execute(text("SELECT * FROM v_attention")))


def _unconfirmed(sessions: Sessions) -> None:
    named = {"uid": "u", "lane": "otp", "phone": PHONE, "text": TEXT}
    stored(sessions, state=MessageState.UNCONFIRMED, reason="HTTP 502", **named)


def _paused(sessions: Sessions) -> None:
    with sessions.begin() as session:
        account_id = accounts.account_id_of(session, "login")
        accounts.pause(session, account_id, Pause("limit is over", 103, 200), now=NOON, probe_at=LATER)


def _held(sessions: Sessions) -> None:
    a_person(sessions).pause("a campaign went wrong")


def _held_by_a_restore(sessions: Sessions) -> None:
    with sessions.begin() as session:
        account_id = accounts.account_id_of(session, "login")
        accounts.hold(session, account_id, now=NOON, who=accounts.BY_RESTORE, reason="its last batch is 1")


def _open(room: Room) -> Callable[[Sessions], None]:
    def fail(sessions: Sessions) -> None:
        with sessions.begin() as session:
            account_id = accounts.account_id_of(session, "login")
            circuits.fail(session, account_id, room, Trouble("HTTP 502"), most=1, probing=False, now=NOON)

    return fail


def _callback(sessions: Sessions, *, state: str = "failed", sms_id: int | None = None) -> None:
    event = {"uid": "u", "phone": PHONE}
    told = {"event_id": "e", "target": TELL, "event": event, "state": state, "attempts": 9, "created_at": NOON}
    end = {"finished_at": NOON, "reason": "HTTP 404"} if state == "failed" else {"finished_at": NOON}
    with sessions.begin() as session:
        session.execute(insert(Callback), [told | end | {"sms_id": sms_id}])


def _callback_of_a_message(sessions: Sessions) -> None:
    sms = stored(sessions, state=MessageState.DELIVERED, uid="u", lane="bulk", phone=PHONE, text=TEXT)
    _callback(sessions, sms_id=sms)


def _refused_order(sessions: Sessions) -> None:
    an_intake(sessions).take_raw([a_send("12345", TEXT, task_id="u")], Lane.OTP)


KINDS = [
    pytest.param(_unconfirmed, ("unconfirmed", "u", "otp", "HTTP 502"), "sms unconfirmed", id="unconfirmed"),
    pytest.param(_paused, ("account paused", None, None, "limit is over"), "sms resume", id="account paused"),
    pytest.param(_held, ("account held", None, None, "held by ann"), "sms resume", id="account held"),
    pytest.param(
        _held_by_a_restore,
        ("account held", None, None, "held by restored database"),
        "stop all workers, then sms recover --since",
        id="account held by a restore",
    ),
    pytest.param(
        _open(Room.POSTING), ("circuit open", None, None, "posting: HTTP 502"), "by itself", id="posting circuit"
    ),
    pytest.param(
        _open(Room.POLLING), ("circuit open", None, None, "polling: HTTP 502"), "by itself", id="polling circuit"
    ),
    pytest.param(
        _callback_of_a_message, ("callback failed", "u", "bulk", "HTTP 404"), "receiver", id="a message's callback"
    ),
    pytest.param(_callback, ("callback failed", None, None, "HTTP 404"), "receiver", id="a refused order's callback"),
    pytest.param(_refused_order, ("order refused", "u", "sms.otp", "phone_invalid"), "refused_intakes", id="order"),
]


@pytest.mark.parametrize(("arrange", "said", "remedy"), KINDS)
def test_what_needs_a_person_is_shown_with_its_reason_its_moment_and_what_to_do(
    sessions: Sessions, arrange: Callable[[Sessions], None], said: tuple[str | None, ...], remedy: str
) -> None:
    arrange(sessions)

    (row,) = attention(sessions)

    since = row.since if isinstance(row.since, datetime) else datetime.fromisoformat(row.since).replace(tzinfo=UTC)
    assert row._fields == ("kind", "uid", "lane", "since", "reason", "remedy")
    assert said == (row.kind, row.uid, row.lane, row.reason)
    assert since == NOON
    assert remedy in row.remedy


def test_all_of_it_stands_side_by_side_and_holds_no_phone_and_no_text(sessions: Sessions) -> None:
    with_a_uid_each = [
        _unconfirmed,
        _paused,
        _held,
        _open(Room.POSTING),
        _open(Room.POLLING),
        _callback,
        _refused_order,
    ]
    for arrange in with_a_uid_each:
        arrange(sessions)

    rows = attention(sessions)

    shown = " ".join(str(cell) for row in rows for cell in row)
    assert len(rows) == len(with_a_uid_each)
    assert PHONE not in shown
    assert PHONE[-7:] not in shown
    assert "12345" not in shown
    assert TEXT not in shown
    assert "4821" not in shown


def test_where_all_goes_well_nobody_needs_to_look(sessions: Sessions) -> None:
    for state in set(MessageState) - {MessageState.UNCONFIRMED}:
        stored(sessions, state=state)
    with sessions.begin() as session:
        accounts.account_id_of(session, "login")
    _callback(sessions, state="told")

    assert attention(sessions) == []


def test_what_was_put_right_is_shown_no_more(sessions: Sessions) -> None:
    for arrange in (_unconfirmed, _paused, _held, _open(Room.POSTING)):
        arrange(sessions)
    person = a_person(sessions)

    person.decide(Verdict.DROP, Chosen())
    person.resume()

    assert attention(sessions) == []


def test_a_message_in_doubt_is_shown_though_its_batch_was_answered(sessions: Sessions) -> None:
    """The answer did not name it."""
    sibling = stored(sessions, state=MessageState.SUBMITTED)
    batch_id = the_sms(sessions, sibling).batch_id
    stored(sessions, state=MessageState.UNCONFIRMED, uid="v", batch_id=batch_id)

    assert [row.uid for row in attention(sessions)] == ["v"]
