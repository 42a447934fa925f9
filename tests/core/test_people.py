"""A person on call looks at what is in doubt and decides; who decided what, and when, stands in the audit."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from builders import (
    NOON,
    Clock,
    Sessions,
    a_batch,
    a_submission,
    all_of,
    many_stored,
    stored,
    the_sms,
)
from taking import TELL

from models import Callback, Decision, Message
from models.lifecycle import BatchState, Lane, MessageState, Verdict
from worker.errors import SubmissionUnconfirmed
from worker.gateway.memory import MemoryGateway
from worker.people import Person
from worker.store import decisions
from worker.store.unconfirmed import Chosen

S = MessageState
ALL = Chosen()
RESEND, DROP = Verdict.RESEND, Verdict.DROP
LATER = NOON + timedelta(minutes=5)
CUT_OFF = SubmissionUnconfirmed("read timed out")


def a_person(sessions: Sessions, now: Callable[[], datetime] | None = None) -> Person:
    return Person(sessions, "login", "ann@night-shift", now or Clock(LATER))


def in_doubt(sessions: Sessions, **changes: Any) -> int:
    return stored(sessions, state=S.UNCONFIRMED, **{"reason": "read timed out"} | changes)


def audit(sessions: Sessions) -> list[tuple[str, str, str | None, str | None]]:
    """Who, what, about which message, and why it was in doubt."""
    return [(one.who, one.what, one.uid, one.reason) for one in all_of(sessions, Decision)]


def test_all_that_is_known_about_a_message_in_doubt_is_listed(sessions: Sessions) -> None:
    with sessions.begin() as session:
        post = {"size": 3, "worker": "worker@one", "http_status": 502, "finished_at": LATER}
        batch_id = a_batch(session, state=BatchState.UNCONFIRMED, **post)
    message = {"uid": "u", "lane": "otp", "producer": "shop", "key": "k", "phone": "998901234567", "text": "Your code"}
    sms = in_doubt(sessions, **message, batch_id=batch_id, reason="HTTP 502", attempts=2, resends=1)

    (one,) = a_person(sessions).unconfirmed(ALL)

    assert one._asdict() == message | {
        "id": sms,
        "posted_at": NOON,
        "unconfirmed_at": LATER,
        "batch_id": batch_id,
        "batch_size": 3,
        "worker": "worker@one",
        "reason": "HTTP 502",
        "http_status": 502,
        "attempts": 2,
        "resends": 1,
    }


def test_only_what_is_unconfirmed_is_listed(sessions: Sessions) -> None:
    for state in S:
        stored(sessions, state=state, uid=str(state))

    assert [one.uid for one in a_person(sessions).unconfirmed(ALL)] == ["unconfirmed"]


def test_more_than_a_page_is_listed_once_each_and_in_order(sessions: Sessions) -> None:
    with sessions.begin() as session:
        batch_id = a_batch(session, state=BatchState.UNCONFIRMED)
    ids = many_stored(sessions, 1_001, state=S.UNCONFIRMED, batch_id=batch_id)

    listed = [one.id for one in a_person(sessions).unconfirmed(ALL)]

    assert listed == ids


HOUR = timedelta(hours=1)
FILTERS = [
    pytest.param(ALL, "abcd", id="none"),
    pytest.param(Chosen(uids=("a", "c", "nobody's")), "ac", id="uids"),
    pytest.param(Chosen(lane=Lane.OTP), "ab", id="lane"),
    pytest.param(Chosen(producer="bank"), "bd", id="producer"),
    pytest.param(Chosen(reason="worker_died"), "cd", id="reason"),
    pytest.param(Chosen(posted_since=NOON + HOUR), "bcd", id="posted since, and then as well"),
    pytest.param(Chosen(posted_until=NOON + 2 * HOUR), "ab", id="posted until, and not then"),
    pytest.param(Chosen(posted_since=NOON + HOUR, posted_until=NOON + 3 * HOUR), "bc", id="posted between"),
    pytest.param(Chosen(lane=Lane.OTP, producer="bank", reason="read timed out"), "b", id="several"),
    pytest.param(Chosen(uids=("a",), lane=Lane.BULK), "", id="several that nothing meets"),
]


def four_in_doubt(sessions: Sessions) -> None:
    lanes, producers = ("otp", "otp", "bulk", "bulk"), ("shop", "bank", "shop", "bank")
    reasons = ("read timed out", "read timed out", "worker_died", "worker_died")
    for number, (uid, lane, producer, reason) in enumerate(zip("abcd", lanes, producers, reasons, strict=True)):
        at = NOON + number * HOUR
        in_doubt(sessions, uid=uid, lane=lane, producer=producer, reason=reason, posted_at=at)


@pytest.mark.parametrize(("chosen", "uids"), FILTERS)
def test_what_is_listed_meets_every_filter_that_is_given(sessions: Sessions, chosen: Chosen, uids: str) -> None:
    four_in_doubt(sessions)

    assert "".join(one.uid for one in a_person(sessions).unconfirmed(chosen)) == uids


@pytest.mark.parametrize(("chosen", "uids"), FILTERS)
def test_a_decision_is_about_what_the_same_filters_list(sessions: Sessions, chosen: Chosen, uids: str) -> None:
    four_in_doubt(sessions)

    moved = a_person(sessions).decide(DROP, chosen)

    assert moved == len(uids)
    assert "".join(message.uid for message in all_of(sessions, Message) if message.state == "failed") == uids


def test_a_batch_can_be_chosen(sessions: Sessions) -> None:
    first, second = in_doubt(sessions), in_doubt(sessions)

    moved = a_person(sessions).decide(RESEND, Chosen(batch_id=the_sms(sessions, second).batch_id))

    assert (moved, the_sms(sessions, first).state, the_sms(sessions, second).state) == (1, "unconfirmed", "queued")


@pytest.mark.parametrize(("verdict", "state"), [(RESEND, S.QUEUED), (DROP, S.FAILED)])
def test_a_decision_moves_what_is_unconfirmed_and_nothing_else(sessions: Sessions, verdict: Verdict, state: S) -> None:
    for other in S:
        stored(sessions, state=other, uid=str(other))

    moved = a_person(sessions).decide(verdict, Chosen(uids=[str(one) for one in S]))

    assert moved == 1
    assert {message.uid: message.state for message in all_of(sessions, Message)} == {
        str(one): str(state if one is S.UNCONFIRMED else one) for one in S
    }


@pytest.mark.parametrize("verdict", [RESEND, DROP])
def test_more_than_a_page_is_decided_about_and_each_message_has_its_row(sessions: Sessions, verdict: Verdict) -> None:
    with sessions.begin() as session:
        batch_id = a_batch(session, state=BatchState.UNCONFIRMED)
    many_stored(sessions, 1_001, state=S.UNCONFIRMED, batch_id=batch_id, reason="HTTP 502")
    person = a_person(sessions)

    moved = [person.decide(verdict, ALL), person.decide(verdict, ALL)]

    uids = {message.uid for message in all_of(sessions, Message)}
    assert moved == [1_001, 0]
    assert len(audit(sessions)) == 1_001
    assert set(audit(sessions)) == {("ann@night-shift", str(verdict), uid, "HTTP 502") for uid in uids}


def test_what_becomes_unconfirmed_while_a_decision_is_carried_out_is_left_alone(sessions: Sessions) -> None:
    """The person has never seen it. So is what somebody else let be posted again, and what was cut off anew."""
    with sessions.begin() as session:
        batch_id = a_batch(session, state=BatchState.UNCONFIRMED)
    *_, last = many_stored(sessions, 501, state=S.UNCONFIRMED, batch_id=batch_id)
    later: list[int] = []

    def now() -> datetime:
        if not later:
            later.append(in_doubt(sessions, uid="new"))
            with sessions.begin() as session:
                decisions.resend(session, Message.id == last, now=NOON, who="ben")
            a_submission(sessions, MemoryGateway(answers=[CUT_OFF])).post_next()
        return LATER

    moved = a_person(sessions, now).decide(RESEND, ALL)

    assert moved == 500
    assert [the_sms(sessions, sms).state for sms in (last, *later)] == ["unconfirmed", "unconfirmed"]
    assert the_sms(sessions, last).resends == 1, "by the other one alone"


def test_a_message_that_a_person_resends_is_posted_once_more_and_told_when_it_is_taken(sessions: Sessions) -> None:
    sms = stored(sessions, callback=TELL)
    gateway = MemoryGateway(answers=[CUT_OFF])
    clock = Clock()
    room = a_submission(sessions, gateway, clock)
    room.post_next()

    moved = a_person(sessions, clock).decide(RESEND, ALL)
    clock.advance(minutes=1)
    room.post_next()

    assert moved == 1
    assert (len(gateway.posted), the_sms(sessions, sms).state, the_sms(sessions, sms).resends) == (2, "submitted", 1)
    assert [owed.event["state"] for owed in all_of(sessions, Callback)] == ["unconfirmed", "submitted"]


def test_a_message_that_a_person_drops_has_failed_and_its_producer_is_told(sessions: Sessions) -> None:
    sms = in_doubt(sessions, callback=TELL)

    a_person(sessions).decide(DROP, ALL)

    message = the_sms(sessions, sms)
    assert (message.state, message.reason, message.resolved_by) == ("failed", "dropped", "ann@night-shift")
    assert [owed.event["state"] for owed in all_of(sessions, Callback)] == ["failed"]
