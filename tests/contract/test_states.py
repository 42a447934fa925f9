"""The contract's table of states, row by row, through the real rooms: from, to, and when."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from builders import (
    NOON,
    Clock,
    Sessions,
    a_phone,
    a_polling,
    a_send,
    a_submission,
    all_of,
    an_envelope,
    an_upkeep,
    many_stored,
    states_of,
    stored,
    the_sms,
)
from flights import Flight, Vendor
from taking import take, the_only_sms

from models import Batch, Message
from models.lifecycle import FINAL, MessageState
from worker.errors import BatchRefused, GatewayUnavailable, NicknameRefused, SubmissionUnconfirmed
from worker.gateway import Acceptance, OutgoingSms, RefusedSms
from worker.gateway.memory import Answer, MemoryGateway
from worker.people import Person
from worker.store.unconfirmed import Chosen

S = MessageState
CUT_OFF = SubmissionUnconfirmed("read timed out")
BEYOND_ALL_LEASES = timedelta(hours=1)


def posted(sessions: Sessions, *answers: Answer, clock: Clock | None = None) -> MemoryGateway:
    """Post once; the gateway answers so, or takes everything."""
    clock = clock or Clock()
    gateway = MemoryGateway(answers=answers, now=clock)
    a_submission(sessions, gateway, clock).post_next()
    return gateway


def refuse_each(messages: Sequence[OutgoingSms]) -> Acceptance:
    return Acceptance(refused=[RefusedSms(sms.reference, 300, "is not a phone number") for sms in messages])


def test_queued_to_posting_is_committed_before_the_first_byte_leaves(sessions: Sessions) -> None:
    take(sessions, a_send())
    seen: list[tuple[list[str], int, int]] = []

    def look(messages: Sequence[OutgoingSms]) -> None:
        sms = the_only_sms(sessions)  # by another connection: what it sees is committed
        seen.append((states_of(sessions), len(messages), sms.attempts))

    a_submission(sessions, MemoryGateway(during=look)).post_next()

    assert seen == [(["posting"], 1, 1)]
    assert the_only_sms(sessions).batch_id == all_of(sessions, Batch)[0].id


def test_queued_to_cancelled_by_its_producer(sessions: Sessions) -> None:
    take(sessions, a_send(task_id="my-id"), an_envelope("sms.cancel", "my-id"))

    assert (the_only_sms(sessions).state, the_only_sms(sessions).reason) == ("cancelled", "cancelled_by_producer")


def test_queued_to_expired_when_expires_at_has_passed(sessions: Sessions) -> None:
    take(sessions, a_send(expires_at="2026-11-30T12:30:00Z"))

    an_upkeep(sessions, Clock(NOON + timedelta(minutes=31))).sweep()

    assert states_of(sessions) == ["expired"]


def test_what_has_expired_is_never_posted_even_if_nobody_swept(sessions: Sessions) -> None:
    take(sessions, a_send(expires_at="2026-11-30T12:30:00Z"))

    gateway = posted(sessions, clock=Clock(NOON + timedelta(minutes=31)))

    assert gateway.posted == []


def test_posting_to_submitted_when_the_gateway_took_it_and_its_ids_are_stored(sessions: Sessions) -> None:
    take(sessions, a_send())

    posted(sessions)

    sms = the_only_sms(sessions)
    assert (sms.state, sms.submitted_at) == ("submitted", NOON)
    assert sms.request_id
    assert sms.message_id
    assert sms.next_poll_at


FOR_GOOD: list[Any] = [
    pytest.param(refuse_each, 300, id="300, no phone number"),
    pytest.param(NicknameRefused("nickname didn't set", error_no=202), 202, id="the nickname"),
    pytest.param(BatchRefused("array is not a JSON", error_no=200), 200, id="the only message of a bad batch"),
]


@pytest.mark.parametrize(("answer", "error_no"), FOR_GOOD)
def test_posting_to_failed_when_the_gateway_refused_it_for_good(
    sessions: Sessions, answer: Answer, error_no: int
) -> None:
    take(sessions, a_send())

    posted(sessions, answer)

    assert (the_only_sms(sessions).state, the_only_sms(sessions).error_no) == ("failed", error_no)


def test_posting_to_failed_is_the_guilty_message_of_a_bad_batch_alone(sessions: Sessions) -> None:
    ids = many_stored(sessions, 5)
    gateway, guilty = MemoryGateway(), a_phone(3)

    def answer(messages: Sequence[OutgoingSms]) -> Acceptance:
        if guilty in {sms.phone for sms in messages}:
            raise BatchRefused("array is not a JSON", error_no=200)
        return gateway.accept(messages)

    gateway._answers = iter([answer] * 50)
    room = a_submission(sessions, gateway)
    while room.post_next():
        pass

    states = {the_sms(sessions, sms_id).phone: the_sms(sessions, sms_id).state for sms_id in ids}
    assert states == dict.fromkeys(map(a_phone, range(5)), "submitted") | {guilty: "failed"}


NOTHING_TAKEN: list[Any] = [
    pytest.param(GatewayUnavailable("connection refused"), id="no connection"),
    pytest.param(GatewayUnavailable("HTTP 404", http_status=404), id="no such page"),
]


@pytest.mark.parametrize("answer", NOTHING_TAKEN)
def test_posting_to_queued_when_the_gateway_certainly_took_nothing(sessions: Sessions, answer: Answer) -> None:
    take(sessions, a_send())

    posted(sessions, answer)

    assert (the_only_sms(sessions).state, the_only_sms(sessions).request_id) == ("queued", None)


def test_posting_to_unconfirmed_when_cut_off_after_the_request_may_have_arrived(sessions: Sessions) -> None:
    take(sessions, a_send())

    posted(sessions, CUT_OFF)

    assert states_of(sessions) == ["unconfirmed"]


def test_posting_to_unconfirmed_when_the_worker_died(sessions: Sessions) -> None:
    take(sessions, a_send())
    clock = Clock()
    flight = Flight(a_submission(sessions, Vendor(clock, "per-message"), clock).post_next)
    flight.go_on()  # the connection stands, and the first byte leaves
    flight.crash()
    assert states_of(sessions) == ["posting"]

    clock.at += BEYOND_ALL_LEASES
    an_upkeep(sessions, clock).sweep()

    assert states_of(sessions) == ["unconfirmed"]


DECIDED = [pytest.param("resend", "queued", id="resend"), pytest.param("drop", "failed", id="drop")]


@pytest.mark.parametrize(("decision", "state"), DECIDED)
def test_unconfirmed_is_left_by_a_producers_decision(sessions: Sessions, decision: str, state: str) -> None:
    take(sessions, a_send(task_id="my-id"))
    posted(sessions, CUT_OFF)

    take(sessions, an_envelope("sms.resolve", ["my-id"], decision))

    assert [state] == states_of(sessions)


@pytest.mark.parametrize(("decision", "state"), DECIDED)
def test_unconfirmed_is_left_by_a_persons_decision(sessions: Sessions, decision: Any, state: str) -> None:
    take(sessions, a_send(task_id="my-id"))
    posted(sessions, CUT_OFF)

    Person(sessions, "login", "aziz", Clock()).decide(decision, Chosen(uids=["my-id"]))

    assert [state] == states_of(sessions)


@pytest.mark.parametrize(("decision", "state"), [*DECIDED, pytest.param("hold", "unconfirmed", id="hold")])
def test_unconfirmed_is_left_by_the_policy_of_its_lane(sessions: Sessions, decision: str, state: str) -> None:
    take(sessions, a_send())
    posted(sessions, CUT_OFF)
    clock = Clock(NOON + BEYOND_ALL_LEASES)

    an_upkeep(sessions, clock, policy=lambda _lane: decision).sweep()

    assert [state] == states_of(sessions)


REPORTED = [pytest.param("delivered", "delivered", id="delivered"), pytest.param("rejected", "failed", id="failed")]


@pytest.mark.parametrize(("word", "state"), REPORTED)
def test_submitted_to_delivered_or_failed_by_the_gateways_report(sessions: Sessions, word: str, state: str) -> None:
    take(sessions, a_send("998901234567"))
    clock = Clock()
    gateway = posted(sessions, clock=clock)
    gateway.deliver("998901234567", word)
    clock.advance(minutes=1)

    a_polling(sessions, gateway, clock).ask_next()

    assert [state] == states_of(sessions)


def unknown_one(sessions: Sessions) -> tuple[MemoryGateway, Clock]:
    """A message of which no final report has come by the deadline."""
    clock = Clock()
    take(sessions, a_send("998901234567"))
    gateway = posted(sessions, clock=clock)
    clock.advance(hours=49)
    a_polling(sessions, gateway, clock).ask_next()
    return gateway, clock


def test_submitted_to_unknown_when_no_final_report_has_come_by_the_deadline(sessions: Sessions) -> None:
    unknown_one(sessions)

    assert states_of(sessions) == ["unknown"]


@pytest.mark.parametrize(("word", "state"), REPORTED)
def test_unknown_to_delivered_or_failed_by_a_late_report(sessions: Sessions, word: str, state: str) -> None:
    gateway, clock = unknown_one(sessions)
    sms = the_only_sms(sessions)
    another = {"request_id": sms.request_id, "message_id": "another", "phone": a_phone(7), "batch_id": sms.batch_id}
    stored(sessions, state=S.SUBMITTED, next_poll_at=clock(), **another)  # of the same request, still asked for
    gateway.deliver("998901234567", word)

    a_polling(sessions, gateway, clock).ask_next()

    assert the_sms(sessions, sms.id).state == state


def test_unknown_to_submitted_asked_again_by_a_person(sessions: Sessions) -> None:
    _, clock = unknown_one(sessions)

    Person(sessions, "login", "nodira", clock).ask_again([the_only_sms(sessions).uid])

    assert (the_only_sms(sessions).state, the_only_sms(sessions).finalized_at) == ("submitted", None)


def test_queued_to_cancelled_by_a_person(sessions: Sessions) -> None:
    take(sessions, a_send())

    Person(sessions, "login", "nodira", Clock()).cancel([the_only_sms(sessions).uid])

    assert (the_only_sms(sessions).state, the_only_sms(sessions).reason) == ("cancelled", "cancelled_by_person")


ENDED = {str(state): f"99890111110{place}" for place, state in enumerate(sorted(FINAL))}  #: uid and state → phone


def cancel(sessions: Sessions) -> None:
    take(sessions, *(an_envelope("sms.cancel", uid) for uid in ENDED))


def resend(sessions: Sessions) -> None:
    take(sessions, an_envelope("sms.resolve", [*ENDED], "resend"))


def drop(sessions: Sessions) -> None:
    take(sessions, an_envelope("sms.resolve", [*ENDED], "drop"))


def order_again(sessions: Sessions) -> None:
    take(sessions, *(a_send(phone, "Your order is on its way", task_id=uid) for uid, phone in ENDED.items()))


def post(sessions: Sessions) -> None:
    assert posted(sessions, clock=Clock(NOON + timedelta(days=1))).posted == []


def sweep(sessions: Sessions) -> None:
    an_upkeep(sessions, Clock(NOON + timedelta(days=1)), policy=lambda _lane: "resend").sweep()


def block(sessions: Sessions) -> None:
    take(sessions, an_envelope("sms.block", [*ENDED.values()]))


TRIES = [cancel, resend, drop, order_again, post, sweep, block]


@pytest.mark.parametrize("attempt", TRIES, ids=lambda one: one.__name__)
def test_a_final_state_never_goes_back(sessions: Sessions, attempt: Callable[[Sessions], None]) -> None:
    for uid, phone in ENDED.items():
        stored(sessions, uid=uid, phone=phone, state=MessageState(uid), expires_at=NOON)

    attempt(sessions)

    assert {sms.uid: sms.state for sms in all_of(sessions, Message)} == {uid: uid for uid in ENDED}
