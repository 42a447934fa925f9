"""A report of a shared request_id that proves that an unconfirmed message was taken; and all that proves nothing."""

from collections.abc import Callable, Sequence
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
    an_upkeep,
    many_stored,
    states_of,
    stored,
    the_sms,
)
from reports import a_report, asks, submitted
from taking import TELL

from models import Callback, Decision, Message
from models.lifecycle import BatchState, Lane, MessageState
from worker.errors import SubmissionUnconfirmed
from worker.gateway import Acceptance, OutgoingSms
from worker.gateway import Report as Said
from worker.gateway.memory import MemoryGateway
from worker.store import decisions, proofs

S = MessageState
PHONE, TEXT = "998907654321", "Your code is 4821"
A_YEAR = timedelta(days=365)


def answered_in_part(sessions: Sessions, request_id: str = "5001", **changes: Any) -> tuple[int, int]:
    """A batch of which the gateway's answer named one message and left out another; return their ids."""
    with sessions.begin() as session:
        batch_id = a_batch(session, state=BatchState.ACCEPTED, size=2, accepted=1, refused=0)
    doubtful = {"state": S.UNCONFIRMED, "phone": PHONE, "text": TEXT, "reason": "not_in_the_answer"}
    sibling = submitted(sessions, batch_id=batch_id, request_id=request_id)
    return sibling, stored(sessions, **doubtful | {"batch_id": batch_id} | changes)


def its_row(**changes: Any) -> Said:
    """What the gateway says about the message that its answer to the post had left out."""
    said = {"message_id": "12", "recipient": PHONE, "text": TEXT, "received_at": NOON}
    return a_report("transmitted", **said | changes)


def confirmed(sessions: Sessions) -> list[str | None]:
    return [decision.uid for decision in all_of(sessions, Decision) if decision.what == "confirm"]


def test_a_message_that_the_answer_left_out_is_found_among_the_reports_and_asked_for_until_delivered(
    sessions: Sessions,
) -> None:
    ids = many_stored(sessions, 2)
    clock = Clock()

    def answer_for_one(messages: Sequence[OutgoingSms]) -> Acceptance:
        taken = gateway.accept(messages).accepted
        return Acceptance(accepted=taken[:1], unanswered=[one.reference for one in taken[1:]])

    gateway = MemoryGateway(answers=[answer_for_one], request_ids="shared", now=clock)
    a_submission(sessions, gateway, clock).post_next()
    polling = a_polling(sessions, gateway, clock)
    states = [states_of(sessions)]
    for _ in range(2):
        clock.advance(minutes=1)
        polling.ask_next()
        states.append(states_of(sessions))
        gateway.deliver(ids[1])

    assert states == [["submitted", "unconfirmed"], ["submitted", "submitted"], ["submitted", "delivered"]]
    assert [len(one.messages) for one in gateway.posted] == [2], "and nothing was posted again"
    assert confirmed(sessions) == [the_sms(sessions, ids[1]).uid]


def test_what_was_proven_is_written_down_told_and_asked_for_at_once(sessions: Sessions) -> None:
    _, sms = answered_in_part(sessions, callback=TELL)
    clock = Clock(NOON + timedelta(seconds=5))

    asks(sessions, [a_report("transmitted"), its_row()], clock=clock)

    message = the_sms(sessions, sms)
    (decision,) = all_of(sessions, Decision)
    assert (message.state, message.request_id, message.message_id, message.reason) == ("submitted", "5001", "12", None)
    assert (clock.at, clock.at, 0) == (message.submitted_at, message.next_poll_at, message.polls)
    assert (decision.what, decision.who, decision.uid) == ("confirm", "report of request 5001", message.uid)
    assert (decision.reason, decision.at) == ("not_in_the_answer", clock.at)
    assert [owed.event["state"] for owed in all_of(sessions, Callback)] == ["submitted"]


def test_a_report_proves_as_much_when_it_is_the_last_of_its_request(sessions: Sessions) -> None:
    """Nobody asks for the request again once its other messages are delivered."""
    sibling, sms = answered_in_part(sessions)

    asks(sessions, [a_report(), its_row()])

    assert [the_sms(sessions, one).state for one in (sibling, sms)] == ["delivered", "submitted"]


def test_what_the_gateway_took_and_could_not_deliver_fails_only_by_its_own_report(sessions: Sessions) -> None:
    _, sms = answered_in_part(sessions)
    rows = [a_report("transmitted"), its_row(gateway_status="undelivered", state=S.FAILED)]

    asks(sessions, rows)
    proven = the_sms(sessions, sms).state
    asks(sessions, rows)

    assert (proven, the_sms(sessions, sms).state, the_sms(sessions, sms).reason) == (
        "submitted",
        "failed",
        "undelivered",
    )


@pytest.mark.parametrize("hours", [-23, 0, 23], ids=["a day before", "at once", "a day after"])
def test_the_gateways_dates_may_be_in_another_zone_than_was_set(sessions: Sessions, hours: int) -> None:
    answered_in_part(sessions)

    asks(sessions, [a_report("transmitted"), its_row(received_at=NOON + timedelta(hours=hours))])

    assert states_of(sessions) == ["submitted", "submitted"]


NO_PROOF = [
    pytest.param([its_row(text="Your code is 1111")], id="another text"),
    pytest.param([its_row(text=TEXT + " ")], id="nearly the same text"),
    pytest.param([its_row(text=None)], id="no text"),
    pytest.param([its_row(recipient="998901111111")], id="another phone"),
    pytest.param([its_row(recipient=None)], id="no phone"),
    pytest.param([its_row(received_at=NOON - A_YEAR)], id="a year before, as in the vendor's sample"),
    pytest.param([its_row(received_at=NOON - timedelta(hours=25))], id="two days before"),
    pytest.param([its_row(received_at=NOON + timedelta(hours=25))], id="two days after"),
    pytest.param([its_row(received_at=None)], id="no date"),
    pytest.param([its_row(message_id=None)], id="no message_id"),
    pytest.param([its_row(message_id="11")], id="the message_id of another message of ours"),
    pytest.param([its_row(), its_row(message_id="13")], id="two rows fit"),
    pytest.param([its_row(), its_row()], id="the same row twice"),
    pytest.param([its_row(), its_row(message_id=None)], id="a second row fits, without a message_id"),
    pytest.param([], id="no row of it"),
]


@pytest.mark.parametrize("rows", NO_PROOF)
def test_what_may_be_about_something_else_proves_nothing(sessions: Sessions, rows: list[Said]) -> None:
    _, sms = answered_in_part(sessions)

    asks(sessions, [a_report("transmitted"), *rows])

    assert the_sms(sessions, sms).state == "unconfirmed"
    assert all_of(sessions, Decision) == []


def test_a_row_of_a_year_before_beside_the_right_one_does_no_harm(sessions: Sessions) -> None:
    """As in the vendor's sample: one request_id, one phone, one text, two years."""
    _, sms = answered_in_part(sessions)

    asks(sessions, [a_report("transmitted"), its_row(), its_row(message_id="12911573", received_at=NOON - A_YEAR)])

    assert (the_sms(sessions, sms).state, the_sms(sessions, sms).message_id) == ("submitted", "12")


def test_strangers_under_the_same_request_id_change_nothing(sessions: Sessions) -> None:
    sibling, sms = answered_in_part(sessions)
    strangers = [
        its_row(message_id="77", text="A stranger's words"),
        its_row(message_id="78", recipient="998935554433"),
        a_report(message_id="79", recipient="998935554433", text=TEXT, received_at=NOON),
    ]

    asks(sessions, strangers)

    assert [the_sms(sessions, one).state for one in (sibling, sms)] == ["submitted", "unconfirmed"]
    assert all_of(sessions, Decision) == []


def test_a_request_proves_nothing_about_another_batch(sessions: Sessions) -> None:
    answered_in_part(sessions, phone="998901111111")
    _, sms = answered_in_part(sessions, "5002")
    cut_off = stored(sessions, state=S.UNCONFIRMED, phone="998902222222", text=TEXT)

    def answer(request_id: str) -> Sequence[Said]:
        of_others = [its_row(), its_row(message_id="13", recipient="998902222222")]
        return [a_report("transmitted"), *(of_others if request_id == "5001" else [its_row(text="A stranger's")])]

    asks(sessions, answer, answer)

    assert [the_sms(sessions, one).state for one in (sms, cut_off)] == ["unconfirmed", "unconfirmed"]


def test_a_row_under_the_same_request_id_that_another_message_of_ours_is_known_by_proves_nothing(
    sessions: Sessions,
) -> None:
    """An SMS of the same words to the same phone went with a request whose request_id is the same by chance."""
    _, sms = answered_in_part(sessions)
    stored(sessions, state=S.DELIVERED, request_id="5001", message_id="12", phone=PHONE, text=TEXT)

    asks(sessions, [a_report("transmitted"), its_row()])

    assert the_sms(sessions, sms).state == "unconfirmed"


def test_one_row_that_fits_two_messages_proves_nothing_of_either(sessions: Sessions) -> None:
    """Both went with requests whose request_id is the same."""
    _, first = answered_in_part(sessions)
    _, second = answered_in_part(sessions)

    asks(sessions, [a_report("transmitted"), its_row()])

    assert [the_sms(sessions, sms).state for sms in (first, second)] == ["unconfirmed", "unconfirmed"]
    assert all_of(sessions, Decision) == []


TWINS = [
    pytest.param({"state": S.UNCONFIRMED}, id="cut off with its whole batch"),
    pytest.param({"state": S.POSTING}, id="being posted"),
    pytest.param({"state": S.QUEUED, "attempts": 1}, id="decided to be posted again"),
    pytest.param({"state": S.FAILED, "attempts": 1, "reason": "dropped"}, id="dropped"),
    pytest.param({"state": S.SUBMITTED, "message_id": None, "request_id": "5002"}, id="taken under no message_id"),
]


@pytest.mark.parametrize("twin", TWINS)
def test_a_row_that_may_be_of_another_message_of_the_same_words_proves_nothing(
    sessions: Sessions, twin: dict[str, Any]
) -> None:
    """The request_ids of several requests may be the same: the row may be of that message's post."""
    _, sms = answered_in_part(sessions)
    stored(sessions, phone=PHONE, text=TEXT, **twin)

    asks(sessions, [a_report("transmitted"), its_row()])

    assert the_sms(sessions, sms).state == "unconfirmed"


NO_TWINS = [
    pytest.param({"state": S.DELIVERED, "message_id": "99"}, id="known by its own message_id"),
    pytest.param({"state": S.QUEUED}, id="never posted yet"),
    pytest.param({"state": S.UNCONFIRMED, "text": "Your code is 1111"}, id="of other words"),
    pytest.param({"state": S.UNCONFIRMED, "phone": "998901111111"}, id="to another phone"),
]


@pytest.mark.parametrize("other", NO_TWINS)
def test_another_message_that_the_row_cannot_be_of_does_not_weaken_the_proof(
    sessions: Sessions, other: dict[str, Any]
) -> None:
    _, sms = answered_in_part(sessions)
    stored(sessions, **{"phone": PHONE, "text": TEXT} | other)

    asks(sessions, [a_report("transmitted"), its_row()])

    assert the_sms(sessions, sms).state == "submitted"


def _resend(sessions: Sessions, sms: int) -> None:
    with sessions.begin() as session:
        decisions.resend(session, Message.id == sms, now=NOON, who="ann")


def _drop(sessions: Sessions, sms: int) -> None:
    with sessions.begin() as session:
        decisions.drop(session, Message.id == sms, now=NOON, who="ann")


def _resend_and_claim(sessions: Sessions, sms: int) -> None:
    _resend(sessions, sms)
    a_submission(sessions)._claim(tuple(Lane))


def _resend_and_cut_off(sessions: Sessions, sms: int) -> None:
    """So that it is unconfirmed once more, but by another post, of which this request says nothing."""
    _resend(sessions, sms)
    a_submission(sessions, MemoryGateway(answers=[SubmissionUnconfirmed("read timed out")])).post_next()


DECIDED = [
    pytest.param(_resend, "queued", id="to be posted again"),
    pytest.param(_drop, "failed", id="dropped"),
    pytest.param(_resend_and_claim, "posting", id="posted again already"),
]


@pytest.mark.parametrize(("decide", "state"), DECIDED)
def test_a_decision_that_was_made_while_the_gateway_was_asked_stands(
    sessions: Sessions, decide: Callable[[Sessions, int], None], state: str
) -> None:
    _, sms = answered_in_part(sessions)

    def meanwhile(_: str) -> Sequence[Said]:
        decide(sessions, sms)
        return [a_report("transmitted"), its_row()]

    asks(sessions, meanwhile)

    assert (state, None) == (the_sms(sessions, sms).state, the_sms(sessions, sms).request_id)
    assert confirmed(sessions) == []


@pytest.mark.parametrize(
    "decide", [*(case.values[0] for case in DECIDED), _resend_and_cut_off], ids=["resend", "drop", "claim", "cut off"]
)
def test_a_decision_that_was_made_between_the_look_and_the_proof_stands(
    sessions: Sessions, decide: Callable[[Sessions, int], None]
) -> None:
    _, sms = answered_in_part(sessions)
    with sessions.begin() as session:
        (seen,) = proofs._doubtful(session, [the_sms(sessions, sms).batch_id or 0])
    decide(sessions, sms)
    decided = the_sms(sessions, sms).state

    with sessions.begin() as session:
        moved = proofs._confirm(session, seen, "5001", its_row(), NOON)

    assert (moved, decided) == (0, the_sms(sessions, sms).state)
    assert confirmed(sessions) == []


def test_a_lanes_policy_waits_for_the_reports_of_a_batch_before_it_posts_anything_of_it_again(
    sessions: Sessions,
) -> None:
    _, sms = answered_in_part(sessions)
    clock = Clock(NOON + timedelta(seconds=4))
    keeper = an_upkeep(sessions, clock, policy=lambda _: "resend")

    before_the_first_question = keeper.sweep()["by_policy_normal"]
    asks(sessions, [a_report("transmitted"), its_row()], clock=clock)
    clock.advance(hours=1)

    assert [before_the_first_question, keeper.sweep()["by_policy_normal"]] == [0, 0]
    assert the_sms(sessions, sms).state == "submitted"


def test_what_no_report_proves_is_left_to_the_policy_after_a_minute(sessions: Sessions) -> None:
    _, sms = answered_in_part(sessions)
    clock = Clock(NOON + timedelta(seconds=61))

    an_upkeep(sessions, clock, policy=lambda _: "resend").sweep()

    assert the_sms(sessions, sms).state == "queued"
