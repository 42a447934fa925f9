"""What the gateway's answers to a status question mean, whatever they are."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.lifecycle import MessageState
from worker.errors import AccountRefused, GatewayError, ReportsUnavailable, RequestIdUnknown
from worker.gateway.replies import reports_of

TASHKENT = ZoneInfo("Asia/Tashkent")

#: The first of the document's two reports under one request_id.
REPORT = {
    "recipient": "998909711322",
    "text": "Ваш текст смс",
    "user_id": "1",
    "date_received": "2018-07-08 10:40:34",
    "date_sent": "2018-07-08 10:40:34",
    "date_delivered": "2018-07-08 10:40:52",
    "message_id": "38457358",
    "request_id": "93786401",
    "status": "delivered",
    "count_messages": "1",
    "client_ip": "185.8.212.184",
    "description": "OK",
}


def written(answer: Any) -> bytes:
    return json.dumps(answer, ensure_ascii=False).encode()


def test_the_documented_report_is_read_in_the_gateways_time_zone() -> None:
    (report,) = reports_of(200, written([REPORT]), TASHKENT)

    assert (report.message_id, report.recipient) == ("38457358", "998909711322")
    assert (report.gateway_status, report.state, report.billed_parts) == ("delivered", MessageState.DELIVERED, 1)
    assert report.sent_at == datetime(2018, 7, 8, 5, 40, 34, tzinfo=UTC)
    assert report.delivered_at == datetime(2018, 7, 8, 5, 40, 52, tzinfo=UTC)
    assert report.received_at == datetime(2018, 7, 8, 5, 40, 34, tzinfo=UTC)
    assert report.text == "Ваш текст смс"
    assert report.answer == {name: value for name, value in REPORT.items() if name != "text"}


def test_a_report_shows_no_text_in_a_log() -> None:
    (report,) = reports_of(200, written([REPORT]), TASHKENT)

    assert "текст" not in repr(report)


@pytest.mark.parametrize("text", [None, 4821, ["code"], {}], ids=repr)
def test_what_is_no_text_is_none(text: Any) -> None:
    (report,) = reports_of(200, written([REPORT | {"text": text}]), TASHKENT)

    assert report.text is None


def test_one_request_id_may_stand_for_several_messages() -> None:
    reports = reports_of(200, written([REPORT, REPORT | {"message_id": "12911573"}]), TASHKENT)

    assert [report.message_id for report in reports] == ["38457358", "12911573"]


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("DELIVERED", MessageState.DELIVERED),
        *(
            (word, MessageState.FAILED)
            for word in ("rejected", "undelivered", "NotDelivered", "not_delivered", "undeliverable")
        ),
        *((word, MessageState.FAILED) for word in ("failed", "expired", "deleted")),
        *((word, None) for word in ("transmitted", "sent", "enroute", "gone fishing")),
    ],
)
def test_the_gateways_words_are_translated_and_kept(word: str, state: MessageState | None) -> None:
    (report,) = reports_of(200, written([REPORT | {"status": word}]), TASHKENT)

    assert (report.gateway_status, report.state) == (word.lower(), state)


def test_an_endless_word_is_cut() -> None:
    (report,) = reports_of(200, written([REPORT | {"status": "x" * 1_000}]), TASHKENT)

    assert report.gateway_status == "x" * 64


@pytest.mark.parametrize("date", [None, "", "0000-00-00 00:00:00", "soon", 0, "9999-99-99 10:00:00", []], ids=repr)
def test_no_date_is_no_date_however_it_is_written(date: Any) -> None:
    (report,) = reports_of(200, written([REPORT | {"date_delivered": date}]), TASHKENT)

    assert report.delivered_at is None


def test_a_missing_date_and_a_missing_count_are_survived() -> None:
    bare = {name: REPORT[name] for name in ("message_id", "status")}

    (report,) = reports_of(200, written([bare]), TASHKENT)

    assert (report.sent_at, report.delivered_at, report.billed_parts, report.recipient) == (None, None, None, None)


@pytest.mark.parametrize("bare", [True, False], ids=["bare object", "array of one"])
@pytest.mark.parametrize(
    ("error_no", "refusal"),
    [
        (400, RequestIdUnknown),
        *((number, AccountRefused) for number in (100, 101, 102, 103)),
        *((number, ReportsUnavailable) for number in (200, 201, 300, 777)),
    ],
)
def test_an_error_while_asking_is_never_a_report(bare: bool, error_no: int, refusal: type[GatewayError]) -> None:
    error = {"error": 1, "error_text": "words", "error_no": error_no}

    with pytest.raises(GatewayError) as refused:
        reports_of(200, written(error if bare else [error]), TASHKENT)

    assert type(refused.value) is refusal


def test_an_error_row_about_a_recipient_is_an_error_while_asking_too() -> None:
    with pytest.raises(RequestIdUnknown):
        reports_of(200, written([{"error": 1, "error_no": "400", "recipient": "998909711322"}]), TASHKENT)


def test_an_error_row_does_not_hide_the_reports_beside_it() -> None:
    reports = reports_of(200, written([{"error": 1, "error_no": 400}, REPORT]), TASHKENT)

    assert [report.message_id for report in reports] == ["38457358"]


@pytest.mark.parametrize("http_status", [301, 404, 500, 502])
def test_any_other_status_while_asking_says_nothing(http_status: int) -> None:
    with pytest.raises(ReportsUnavailable):
        reports_of(http_status, written([REPORT]), TASHKENT)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>", b"[{}]", b"[1]", written([REPORT])[:40]], ids=repr)
def test_an_unusable_answer_while_asking_says_nothing(body: bytes) -> None:
    with pytest.raises(ReportsUnavailable):
        reports_of(200, body, TASHKENT)


def test_403_while_asking_means_that_our_address_is_not_registered() -> None:
    with pytest.raises(AccountRefused, match="IP address is not registered"):
        reports_of(403, b"<html>", TASHKENT)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=10,
)
names = st.sampled_from([*REPORT, "error", "error_no"])
likely = st.sampled_from([998909711322, "+998901112233", "delivered", 300, 101, "400", 1, "2018-07-08 10:40:34"])
rows = st.lists(st.dictionaries(names, likely | anything), max_size=5)
bodies = st.binary() | (anything | rows).map(lambda answer: json.dumps(answer).encode())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # busy machines
@given(bodies)
def test_every_report_is_fit_to_be_stored_whatever_the_gateway_answers(body: bytes) -> None:
    try:
        reports = reports_of(200, body, TASHKENT)
    except (AccountRefused, RequestIdUnknown, ReportsUnavailable):
        return

    for report in reports:
        assert 1 <= len(report.gateway_status) <= 64
        assert report.billed_parts is None or 0 <= report.billed_parts < 2**31
        assert all(moment is None or moment.tzinfo is UTC for moment in (report.sent_at, report.delivered_at))
