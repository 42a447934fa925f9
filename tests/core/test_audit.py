"""Who decided what, when and why stands in the audit: a person, a producer's order, a lane's policy, a proof."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from builders import (
    NOON,
    Clock,
    Sessions,
    a_batch,
    a_polling,
    a_submission,
    all_of,
    an_envelope,
    an_upkeep,
    states_of,
    stored,
)
from reports import a_report, submitted
from taking import TASK_ID, take

from models import Decision
from models.lifecycle import BatchState, MessageState, Room, Verdict
from worker.gateway.memory import MemoryGateway
from worker.people import Person
from worker.store import accounts, circuits
from worker.store.accounts import Pause
from worker.store.circuits import Trouble
from worker.store.unconfirmed import Chosen

S = MessageState
ALL = Chosen()
RESEND, DROP = Verdict.RESEND, Verdict.DROP
LATER = NOON + timedelta(minutes=5)


def a_person(sessions: Sessions, now: Clock | None = None) -> Person:
    return Person(sessions, "login", "ann@night-shift", now or Clock(LATER))


def in_doubt(sessions: Sessions, **changes: Any) -> int:
    return stored(sessions, state=S.UNCONFIRMED, **{"reason": "read timed out"} | changes)


def audit(sessions: Sessions) -> list[tuple[str, str, str | None, str | None]]:
    """Who, what, about which message, and why it was in doubt."""
    return [(one.who, one.what, one.uid, one.reason) for one in all_of(sessions, Decision)]


def _by_person(sessions: Sessions, verdict: Verdict) -> None:
    a_person(sessions).decide(verdict, ALL)


def _by_order(sessions: Sessions, verdict: Verdict) -> None:
    take(sessions, an_envelope("sms.resolve", ["u"], str(verdict), task_id=TASK_ID), now=LATER)


def _by_policy(sessions: Sessions, verdict: Verdict) -> None:
    an_upkeep(sessions, Clock(LATER), policy=lambda _: str(verdict)).sweep()


WHO = [
    pytest.param(_by_person, "ann@night-shift", id="a person"),
    pytest.param(_by_order, f"order:{TASK_ID}", id="a producer's order"),
    pytest.param(_by_policy, "policy", id="a lane's policy"),
]


@pytest.mark.parametrize("verdict", [RESEND, DROP])
@pytest.mark.parametrize(("decide", "who"), WHO)
def test_every_decision_says_who_made_it_when_about_what_and_why_it_was_in_doubt(
    sessions: Sessions, decide: Callable[[Sessions, Verdict], None], who: str, verdict: Verdict
) -> None:
    in_doubt(sessions, uid="u", reason="HTTP 502")
    stored(sessions, state=S.DELIVERED)

    decide(sessions, verdict)

    assert audit(sessions) == [(who, str(verdict), "u", "HTTP 502")]
    assert [decision.at for decision in all_of(sessions, Decision)] == [LATER]


def test_a_proof_stands_in_the_audit_as_well(sessions: Sessions) -> None:
    with sessions.begin() as session:
        batch_id = a_batch(session, state=BatchState.ACCEPTED, size=2, accepted=1, refused=0)
    submitted(sessions, batch_id=batch_id)
    in_doubt(sessions, uid="u", batch_id=batch_id, phone="998907654321", text="Hi", reason="not_in_the_answer")
    row = {"message_id": "12", "recipient": "998907654321", "text": "Hi", "received_at": NOON}
    gateway = MemoryGateway(reports_answers=[[a_report("transmitted"), a_report("transmitted", **row)]])

    a_polling(sessions, gateway, Clock(LATER)).ask_next()

    assert audit(sessions) == [("report of request 5001", "confirm", "u", "not_in_the_answer")]
    assert [decision.at for decision in all_of(sessions, Decision)] == [LATER]


def test_a_decision_that_moved_nothing_is_no_decision(sessions: Sessions) -> None:
    stored(sessions, uid="u")
    for decide in (_by_person, _by_order, _by_policy):
        decide(sessions, RESEND)

    assert audit(sessions) == []


def test_what_goes_its_way_without_a_decision_leaves_no_audit(sessions: Sessions) -> None:
    stored(sessions)
    a_submission(sessions).post_next()
    stored(sessions, state=S.POSTING)
    an_upkeep(sessions, Clock(NOON + timedelta(hours=1))).sweep()

    assert states_of(sessions) == ["submitted", "unconfirmed"]
    assert audit(sessions) == []


def test_pause_and_resume_stand_in_the_audit_once_each(sessions: Sessions) -> None:
    person = a_person(sessions)

    changed = [person.pause("the vendor asked for it"), person.pause("again"), person.resume(), person.resume()]

    assert changed == [True, False, True, False]
    assert audit(sessions) == [
        ("ann@night-shift", "pause", None, "the vendor asked for it"),
        ("ann@night-shift", "resume", None, "ann@night-shift"),
    ]


def _account_paused(sessions: Sessions) -> None:
    with sessions.begin() as session:
        account_id = accounts.account_id_of(session, "login")
        accounts.pause(session, account_id, Pause("limit is over", 103, 200), now=NOON, probe_at=LATER)


def _circuit_open(sessions: Sessions) -> None:
    with sessions.begin() as session:
        account_id = accounts.account_id_of(session, "login")
        circuits.fail(session, account_id, Room.POSTING, Trouble("HTTP 502"), most=1, probing=False, now=NOON)


@pytest.mark.parametrize(
    ("trouble", "reason"), [(_account_paused, "limit is over"), (_circuit_open, None)], ids=["account", "circuit"]
)
def test_a_person_resumes_what_the_gateways_trouble_had_stopped(
    sessions: Sessions, trouble: Callable[[Sessions], None], reason: str | None
) -> None:
    trouble(sessions)
    stored(sessions)
    clock = Clock()
    room = a_submission(sessions, clock=clock)
    before = room.post_next()

    resumed = a_person(sessions, clock).resume()

    assert (before, resumed, room.post_next()) == (False, True, True)
    assert audit(sessions) == [("ann@night-shift", "resume", None, reason)]


def test_decisions_are_kept_as_long_as_messages_are_and_outlive_their_own(sessions: Sessions) -> None:
    """A uid still says something when its message is gone."""
    in_doubt(sessions, uid="old")
    a_person(sessions, Clock(NOON)).decide(DROP, ALL)
    in_doubt(sessions, uid="new")
    a_person(sessions, Clock(NOON + timedelta(days=10))).decide(DROP, ALL)
    stored(sessions, state=S.DELIVERED, finalized_at=NOON - timedelta(days=1))
    clock = Clock(NOON + timedelta(days=30))
    keeper = an_upkeep(sessions, clock, retention=timedelta(days=30))

    keeper.delete_old()
    kept_to_the_day = [uid for _, _, uid, _ in audit(sessions)]
    clock.advance(seconds=1)
    keeper.delete_old()

    assert kept_to_the_day == ["old", "new"]
    assert [uid for _, _, uid, _ in audit(sessions)] == ["new"]


def test_without_a_retention_every_decision_is_kept(sessions: Sessions) -> None:
    in_doubt(sessions)
    a_person(sessions).decide(DROP, ALL)

    an_upkeep(sessions, Clock(NOON + timedelta(days=9_999))).delete_old()

    assert len(audit(sessions)) == 1
