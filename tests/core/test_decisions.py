"""Producers cancel and decide by orders that are taken in order with the rest."""

import pytest
from builders import Sessions, a_send, all_of, an_envelope, an_intake, states_of, stored, the_sms
from sqlalchemy import update
from taking import TASK_ID, TELL, take, the_only_sms, the_refusal

from models import Callback, Message
from models.lifecycle import Lane, MessageState


def test_a_cancel_behind_its_send_in_one_chunk_stops_it(sessions: Sessions) -> None:
    taken = take(sessions, a_send(task_id=TASK_ID, callback=TELL), an_envelope("sms.cancel", TASK_ID))

    sms = the_only_sms(sessions)
    assert (sms.state, sms.reason, taken.unmatched) == ("cancelled", "cancelled_by_producer", [])
    assert [owed.event["state"] for owed in all_of(sessions, Callback)] == ["cancelled"]


def test_a_cancel_before_its_send_does_not_stop_it(sessions: Sessions) -> None:
    taken = take(sessions, an_envelope("sms.cancel", TASK_ID), a_send(task_id=TASK_ID))

    assert the_only_sms(sessions).state == "queued"
    assert [cancel.uid for cancel in taken.unmatched] == [TASK_ID]


def test_a_message_can_be_cancelled_by_producer_and_key(sessions: Sessions) -> None:
    take(sessions, a_send(producer="shop", key="1"), a_send(key="1"))

    take(sessions, an_envelope("sms.cancel", producer="shop", key="1"))

    assert states_of(sessions) == ["cancelled", "queued"]


def test_a_cancel_by_key_alone_means_the_default_producer(sessions: Sessions) -> None:
    take(sessions, a_send(producer="shop", key="1"), a_send(key="1"))

    take(sessions, an_envelope("sms.cancel", key="1"))

    assert states_of(sessions) == ["queued", "cancelled"]


@pytest.mark.parametrize("state", set(MessageState) - {MessageState.QUEUED, MessageState.CANCELLED}, ids=str)
def test_what_is_posted_cannot_be_cancelled(sessions: Sessions, state: MessageState) -> None:
    sms = stored(sessions, state=state, uid=TASK_ID)

    taken = take(sessions, an_envelope("sms.cancel", TASK_ID))

    assert (state, []) == (the_sms(sessions, sms).state, taken.unmatched)


def test_a_cancel_of_what_nobody_ordered_is_kept_as_refused(sessions: Sessions) -> None:
    intake = an_intake(sessions)
    taken = intake.take_raw([an_envelope("sms.cancel", TASK_ID)], Lane.NORMAL)

    intake.give_up_cancels(taken.unmatched, Lane.NORMAL)

    refused = the_refusal(sessions)
    assert (refused.reason, refused.uid, refused.task) == ("message_unknown", TASK_ID, "sms.cancel")


def test_a_cancel_is_tried_once_more_before_it_is_given_up(sessions: Sessions) -> None:
    """Another taker had the message in flight when it was first looked for, and has stored it since."""
    intake = an_intake(sessions)
    taken = intake.take_raw([an_envelope("sms.cancel", TASK_ID), an_envelope("sms.cancel", "nobody's")], Lane.NORMAL)
    take(sessions, a_send(task_id=TASK_ID, callback=TELL))

    intake.give_up_cancels(taken.unmatched, Lane.NORMAL)

    sms = the_only_sms(sessions)
    assert (sms.state, sms.reason) == ("cancelled", "cancelled_by_producer")
    assert [owed.event["state"] for owed in all_of(sessions, Callback)] == ["cancelled"]
    assert the_refusal(sessions).uid == "nobody's", "only what is really unknown is refused"


@pytest.mark.parametrize(("decision", "state"), [("resend", "queued"), ("drop", "failed")])
def test_a_producer_decides_about_its_unconfirmed_messages_only(sessions: Sessions, decision: str, state: str) -> None:
    unconfirmed = [stored(sessions, state=MessageState.UNCONFIRMED, uid=str(number)) for number in range(2)]
    delivered = stored(sessions, state=MessageState.DELIVERED, uid="d")

    taken = take(sessions, an_envelope("sms.resolve", ["0", "d", "nobody"], decision))

    assert taken.moved == 1
    assert [state, "unconfirmed"] == [the_sms(sessions, sms).state for sms in unconfirmed]
    assert the_sms(sessions, delivered).state == "delivered"


def test_a_resent_message_counts_its_resends(sessions: Sessions) -> None:
    sms = stored(sessions, state=MessageState.UNCONFIRMED, uid=TASK_ID)

    take(sessions, an_envelope("sms.resolve", [TASK_ID], "resend"))

    assert the_sms(sessions, sms).resends == 1


def test_a_decision_that_is_redelivered_does_not_resend_what_was_cut_off_anew(sessions: Sessions) -> None:
    """A worker died between storing the decision and letting go of it, and the second post was cut off as well."""
    sms = stored(sessions, state=MessageState.UNCONFIRMED, uid="1")
    decision = an_envelope("sms.resolve", ["1"], "resend", task_id=TASK_ID)
    take(sessions, decision)
    with sessions.begin() as session:
        session.execute(update(Message).values(state="unconfirmed"))

    again = take(sessions, decision)
    other = take(sessions, an_envelope("sms.resolve", ["1"], "resend"))

    assert (again.moved, other.moved, the_sms(sessions, sms).resends) == (0, 1, 2)


def test_a_decision_that_is_redelivered_after_somebody_elses_does_not_resend_either(sessions: Sessions) -> None:
    sms = stored(sessions, state=MessageState.UNCONFIRMED, uid="1")
    decision = an_envelope("sms.resolve", ["1"], "resend", task_id=TASK_ID)
    for one in (decision, an_envelope("sms.resolve", ["1"], "resend")):
        take(sessions, one)
        with sessions.begin() as session:
            session.execute(update(Message).values(state="unconfirmed"))

    again = take(sessions, decision)

    assert (again.moved, the_sms(sessions, sms).resends) == (0, 2)


def test_a_decision_about_very_many_messages_is_carried_out(sessions: Sessions) -> None:
    stored(sessions, state=MessageState.UNCONFIRMED, uid="last")
    uids = [str(number) for number in range(70_000)]

    taken = take(sessions, an_envelope("sms.resolve", [*uids, "last"], "drop"))

    assert taken.moved == 1
