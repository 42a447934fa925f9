"""Whatever the gateway answers to a question: reports or a `GatewayError`; nothing ends without the vendor's word."""

import json
from datetime import timedelta
from zoneinfo import ZoneInfo

from anything import JSON, WORDS, emptied, fewer, written
from builders import Clock, Sessions, a_phone, a_polling, all_of, stored
from hypothesis import given
from hypothesis import strategies as some

from models import Message
from models.lifecycle import MessageState
from worker.errors import AccountRefused, GatewayError, ReportsUnavailable, RequestIdUnknown
from worker.gateway.memory import MemoryGateway
from worker.gateway.replies import reports_of

TASHKENT = ZoneInfo("Asia/Tashkent")
OUTCOMES = (AccountRefused, ReportsUnavailable, RequestIdUnknown)
TEXT = "Your code is 4821"
REQUEST_ID, MESSAGE_ID = "5001", "38457358"

#: The document's report.
REPORT = {
    "recipient": a_phone(1),
    "text": TEXT,
    "user_id": "1",
    "date_received": "2018-07-08 10:40:34",
    "date_sent": "2018-07-08 10:40:34",
    "date_delivered": "2018-07-08 10:40:52",
    "message_id": MESSAGE_ID,
    "request_id": REQUEST_ID,
    "status": "delivered",
    "count_messages": "1",
    "client_ip": "185.8.212.184",
    "description": "OK",
}
DATES = some.sampled_from(["0000-00-00 00:00:00", "9999-12-31 23:59:59", "0001-01-01 00:00:00", "", None])
STATUSES_OF_AN_SMS = some.sampled_from(["delivered", "DELIVERED ", "rejected", "transmitted", "Delivered?", ""])
LIKELY = {
    **dict.fromkeys(REPORT, JSON),
    **dict.fromkeys(("date_received", "date_sent", "date_delivered"), DATES | some.datetimes().map(str) | JSON),
    "status": STATUSES_OF_AN_SMS | JSON,
    "count_messages": some.integers(-1, 10**12) | JSON,
    "message_id": some.just(MESSAGE_ID) | some.just(None) | JSON,
    "recipient": some.just(int(a_phone(1))) | JSON,
    "error": some.sampled_from([0, 1, None]) | JSON,
    "error_no": some.sampled_from([0, 101, 400]) | JSON,
}
CHANGES = some.fixed_dictionaries({}, optional=LIKELY) | some.dictionaries(WORDS, JSON, max_size=2)
ROWS = CHANGES.map(lambda changes: REPORT | changes)
ERRORS = some.fixed_dictionaries({"error": some.just(1) | JSON, "error_no": some.integers(99, 401) | JSON})
ANSWERS = some.lists(ROWS | JSON, max_size=4) | ROWS | ERRORS | some.lists(ERRORS, max_size=2) | JSON
BODIES = ANSWERS.map(written) | some.binary(max_size=80)
HTTP = some.sampled_from([200, 200, 200, 403, 404, 502]) | some.integers(100, 599)


@given(http_status=HTTP, body=BODIES)
def test_an_answer_is_reports_or_an_error_that_says_nothing_about_messages(http_status: int, body: bytes) -> None:
    try:
        reports = reports_of(http_status, body, TASHKENT)
    except GatewayError as error:
        assert isinstance(error, OUTCOMES)
        assert TEXT not in error.reason
        return

    assert http_status == 200
    assert 0 < len(reports) <= len(json.loads(body))
    assert {one.state for one in reports} <= {MessageState.DELIVERED, MessageState.FAILED, None}
    for one in reports:
        assert one.state is not MessageState.DELIVERED or one.gateway_status == "delivered"
        assert all(moment.utcoffset() == timedelta(0) for moment in (one.sent_at, one.delivered_at) if moment)
        assert not {key.lower() for key in one.answer} & {"text"}


@given(cut=some.integers(0, 10_000), count=some.integers(1, 4))
def test_an_answer_that_is_cut_anywhere_says_nothing(cut: int, count: int) -> None:
    body = written([REPORT] * count)
    whole = len(body)

    try:
        reports_of(200, body[: cut % whole], TASHKENT)
    except ReportsUnavailable:
        return

    raise AssertionError("half an answer was believed")


@fewer(by=4)
@given(http_status=HTTP, body=BODIES)
def test_whatever_is_answered_can_be_stored_and_ends_only_what_it_names(
    sessions: Sessions, http_status: int, body: bytes
) -> None:
    clock = Clock()
    ours = stored(emptied(sessions), state="submitted", request_id=REQUEST_ID, message_id=MESSAGE_ID, phone=a_phone(1))
    other = stored(sessions, state="submitted", request_id=REQUEST_ID, message_id="another", phone=a_phone(2))
    gateway = MemoryGateway(reports_answers=[lambda _: reports_of(http_status, body, TASHKENT)])

    a_polling(sessions, gateway, clock).ask_next()

    found = {one.id: one for one in all_of(sessions, Message)}
    assert found[other].state == "submitted" or says(body, "another") or says(body, a_phone(2))
    assert found[ours].state == "submitted" or says(body, MESSAGE_ID) or says(body, a_phone(1))
    assert all(one.next_poll_at > clock.at for one in found.values() if one.state == "submitted")


def says(body: bytes, word: str) -> bool:
    return word.encode() in body
