"""What the gateway says: matched to our messages, stored when it is news, and final only when it says so."""

from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, a_polling, all_of, states_of, stored, the_sms
from reports import DELIVERED_AT, SILENT, a_report, asks, submitted
from sqlalchemy import Engine, event, update

from models import Message, Report
from models.lifecycle import MessageState
from worker.gateway import Report as Said
from worker.gateway.memory import MemoryGateway


def test_a_delivery_is_stored_with_its_moment_and_its_price(sessions: Sessions) -> None:
    sms = submitted(sessions)

    asks(sessions, [a_report()])

    message = the_sms(sessions, sms)
    assert (
        message.state,
        message.gateway_status,
        message.billed_parts,
        message.polls,
    ) == ("delivered", "delivered", 2, 1)
    assert (message.delivered_at, message.finalized_at, message.next_poll_at) == (DELIVERED_AT, NOON, None)


def test_a_delivery_without_a_date_is_dated_when_we_heard_it(sessions: Sessions) -> None:
    sms = submitted(sessions)

    asks(sessions, [a_report(delivered_at=None)])

    assert the_sms(sessions, sms).delivered_at == NOON


def test_an_undeliverable_message_fails_with_the_gateways_word(sessions: Sessions) -> None:
    sms = submitted(sessions)

    asks(sessions, [a_report("undelivered")])

    message = the_sms(sessions, sms)
    assert (message.state, message.reason, message.delivered_at) == ("failed", "undelivered", None)


def test_a_request_id_is_asked_for_once_however_many_messages_it_has(sessions: Sessions) -> None:
    for number in range(3):
        submitted(sessions, message_id=str(number), phone=f"99890000000{number}")
    submitted(sessions, request_id="5002", message_id="9")

    gateway = asks(sessions)

    assert sorted(gateway.asked) == ["5001", "5002"]


def test_rows_are_matched_by_message_id_whatever_their_order(sessions: Sessions) -> None:
    first, second = (submitted(sessions, message_id=number) for number in ("11", "12"))

    asks(sessions, [a_report("undelivered", message_id="12"), a_report(message_id="11")])

    assert [the_sms(sessions, sms).state for sms in (first, second)] == ["delivered", "failed"]


def test_a_row_without_message_id_is_matched_by_its_recipient(sessions: Sessions) -> None:
    sms = submitted(sessions)
    submitted(sessions, message_id="12", phone="998907654321")

    asks(sessions, [a_report(message_id=None)])

    assert states_of(sessions) == ["delivered", "submitted"]
    assert the_sms(sessions, sms).gateway_status == "delivered"


def test_a_message_without_message_id_is_matched_by_its_recipient(sessions: Sessions) -> None:
    submitted(sessions, message_id=None)

    asks(sessions, [a_report(message_id="77")])

    assert states_of(sessions) == ["delivered"]


def test_two_rows_of_one_recipient_do_not_fit_a_message_without_message_id(sessions: Sessions) -> None:
    submitted(sessions, message_id=None)

    asks(sessions, [a_report(message_id="77"), a_report("undelivered", message_id="78")])

    assert states_of(sessions) == ["submitted"]


def test_a_strangers_message_to_the_same_phone_is_left_alone(sessions: Sessions) -> None:
    sms = submitted(sessions)

    asks(sessions, [a_report("undelivered", message_id="12911573")])

    assert the_sms(sessions, sms).state == "submitted"
    assert all_of(sessions, Report) == []


def test_two_messages_of_ours_whose_request_ids_collide_keep_their_own_reports(sessions: Sessions) -> None:
    first = submitted(sessions, message_id="11", phone="998901111111")
    second = submitted(sessions, message_id="22", phone="998902222222")

    asks(sessions, [a_report(message_id="22", recipient="998902222222")])

    assert [the_sms(sessions, sms).state for sms in (first, second)] == ["submitted", "delivered"]


@pytest.mark.parametrize("sees", [None, 2], ids=["without a number of parts", "with a number of parts"])
def test_a_report_is_added_only_when_it_says_something_new(sessions: Sessions, sees: int | None) -> None:
    submitted(sessions)
    clock = Clock()
    words = ["transmitted", "transmitted", "enroute", "enroute", "delivered"]
    gateway = MemoryGateway(reports_answers=[[a_report("transmitted")]])
    a_polling(sessions, gateway, clock).ask_next()

    for word in words:
        clock.advance(hours=1)
        asks(sessions, [a_report(word, billed_parts=sees)], clock=clock)

    assert [said.gateway_status for said in all_of(sessions, Report)] == ["transmitted", "enroute", "delivered"]


def test_a_report_says_what_the_gateway_said_and_when(sessions: Sessions) -> None:
    sms = submitted(sessions)

    asks(sessions, [a_report(answer={"status": "delivered", "description": "OK"})])

    (said,) = all_of(sessions, Report)
    assert (said.sms_id, said.request_id, said.message_id, said.state) == (sms, "5001", "11", "delivered")
    assert (said.billed_parts, said.delivered_at, said.received_at) == (2, DELIVERED_AT, NOON)
    assert said.answer == {"status": "delivered", "description": "OK"}


@pytest.mark.parametrize("answer", SILENT)
def test_an_error_while_asking_says_nothing_about_the_message(sessions: Sessions, answer: Any) -> None:
    sms = submitted(sessions)

    asks(sessions, answer)

    message = the_sms(sessions, sms)
    assert (message.state, message.gateway_status, message.next_poll_at) == (
        "submitted",
        None,
        NOON + timedelta(minutes=1),
    )
    assert all_of(sessions, Report) == []


def test_one_question_that_breaks_does_not_hold_up_the_others(sessions: Sessions) -> None:
    broken = submitted(sessions)
    fine = submitted(sessions, request_id="5002")

    def answer(request_id: str) -> list[Said]:
        if request_id == "5001":
            raise ValueError("a text")
        return [a_report()]

    asks(sessions, answer, answer)

    assert [the_sms(sessions, sms).state for sms in (broken, fine)] == ["submitted", "delivered"]


def test_an_absurd_number_of_parts_does_not_hold_up_the_others(sessions: Sessions) -> None:
    odd = submitted(sessions)
    fine = submitted(sessions, request_id="5002")

    def answer(request_id: str) -> list[Said]:
        return [a_report(billed_parts=999_999_999 if request_id == "5001" else 2)]

    asks(sessions, answer, answer)

    assert [the_sms(sessions, sms).state for sms in (odd, fine)] == ["delivered", "delivered"]
    assert the_sms(sessions, odd).billed_parts == 999_999_999


def test_a_late_report_still_resolves_an_unknown_message_of_the_same_request(sessions: Sessions) -> None:
    late = stored(sessions, state=MessageState.UNKNOWN, request_id="5001", message_id="22")
    submitted(sessions)

    asks(sessions, [a_report(message_id="22"), a_report("transmitted")])

    assert (the_sms(sessions, late).state, the_sms(sessions, late).reason) == ("delivered", None)


def test_an_unknown_message_that_is_still_on_its_way_is_no_news(sessions: Sessions) -> None:
    stored(sessions, state=MessageState.UNKNOWN, request_id="5001", message_id="22")
    submitted(sessions)
    clock = Clock()

    for _ in range(3):
        asks(sessions, [a_report("transmitted", message_id="22")], clock=clock)
        clock.advance(hours=1)

    assert all_of(sessions, Report) == []


def test_no_message_is_touched_that_is_not_submitted(sessions: Sessions) -> None:
    stored(sessions, state=MessageState.DELIVERED, request_id="5001", message_id="22")
    submitted(sessions)

    asks(sessions, [a_report("undelivered", message_id="22"), a_report()])

    assert states_of(sessions) == ["delivered", "delivered"]
    assert len(all_of(sessions, Message)) == 2


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_ended_while_its_answer_was_read_is_not_asked_about_again(sessions: Sessions, engine: Engine) -> None:
    sms = submitted(sessions)
    ended = {"state": MessageState.FAILED, "finalized_at": NOON, "next_poll_at": None}
    moments = list[str]()

    def end_it(_c: object, _k: object, statement: str, *_: object) -> None:
        if "gateway_status" in statement and statement.lstrip().startswith(("UPDATE", "WITH")) and not moments:
            moments.append(statement)
            with sessions.begin() as session:
                session.execute(update(Message).where(Message.id == sms).values(ended))

    event.listen(engine, "before_cursor_execute", end_it)
    asks(sessions, [a_report("transmitted")])

    message = the_sms(sessions, sms)
    assert (len(moments), message.state, message.next_poll_at) == (1, "failed", None)
