"""The sandbox answers as the vendor's document says: its samples, word for word."""

from typing import Any

import pytest

PHONE = "998909711322"


def test_the_documented_request_is_answered_message_by_message_in_numbers(sandbox: Any, post: Any) -> None:
    answer = post(sandbox, [{"phone": PHONE, "text": "тестовое смс 1"}, {"phone": PHONE, "text": "тестовое смс 2"}])

    first, second = answer.json()
    assert answer.headers["Content-Type"].startswith("text/html")
    assert list(first) == ["recipient", "text", "user_id", "date_received", "message_id", "request_id", "client_ip"]
    assert (first["recipient"], first["text"], second["text"]) == (998909711322, "тестовое смс 1", "тестовое смс 2")
    assert (first["user_id"], first["date_received"], first["client_ip"]) == (1, 1531028434, "127.0.0.1")
    assert all(
        10_000_000 <= row[name] <= 99_999_999 for row in (first, second) for name in ("message_id", "request_id")
    )
    assert first["message_id"] != second["message_id"]


@pytest.mark.parametrize("phone", ["+998909711322", "99890971132", "9989097113222", "79161234567", "abc"])
def test_what_is_not_a_phone_is_refused_in_its_place_and_gets_ids_all_the_same(
    sandbox: Any, post: Any, phone: str
) -> None:
    refused, taken = post(sandbox, [{"phone": phone, "text": "text1"}, {"phone": PHONE, "text": "text2"}]).json()

    assert {name: refused[name] for name in ("error", "error_text", "error_no", "recipient", "text")} == {
        "error": 1,
        "error_text": "is NOT a phone number",
        "error_no": 300,
        "recipient": phone,
        "text": "text1",
    }
    assert refused["request_id"] != taken["request_id"]
    assert [sms["phone"] for sms in sandbox.control.journal()] == [PHONE]


def test_a_documented_status_is_all_strings(sandbox: Any, post: Any, clock: Any) -> None:
    sandbox.control.change(delivery_seconds=(18, 18))
    (taken,) = post(sandbox, [{"phone": PHONE, "text": "ў" * 71}]).json()
    clock.forward(60)

    (report,) = post(sandbox, [{"request_id": str(taken["request_id"])}], "/status/").json()

    assert report == {
        "recipient": PHONE,
        "text": "ў" * 71,
        "user_id": "1",
        "date_received": "2018-07-08 10:40:34",
        "date_sent": "2018-07-08 10:40:34",
        "date_delivered": "2018-07-08 10:40:52",
        "message_id": str(taken["message_id"]),
        "request_id": str(taken["request_id"]),
        "status": "delivered",
        "count_messages": "2",
        "client_ip": "127.0.0.1",
        "description": "OK",
    }


def test_the_key_of_a_question_may_have_the_documents_space(sandbox: Any, post: Any) -> None:
    (taken,) = post(sandbox, [{"phone": PHONE, "text": "x"}]).json()

    reports = post(sandbox, [{"request_id ": taken["request_id"]}], "/status/").json()

    assert [report["message_id"] for report in reports] == [str(taken["message_id"])]


SMS = {"phone": PHONE, "text": "x"}


@pytest.mark.parametrize(
    ("data", "fields", "error"),
    [
        pytest.param(
            [SMS], {"login": None}, {"error_text": "Login or Password is NULL", "error_no": 100}, id="no login"
        ),
        pytest.param([SMS], {"password": ""}, {"error_text": "Login or Password is NULL", "error_no": 100}, id="empty"),
        pytest.param("[{", {}, {"error_text": "Array is not a JSON", "error_no": 200}, id="not JSON"),
        pytest.param(None, {}, {"error_text": "Array is not a JSON", "error_no": 200}, id="no data"),
        pytest.param([SMS | {"text": "\ud83d"}], {}, {"error_text": "Array is not a JSON", "error_no": 200}, id="half"),
        pytest.param({}, {}, {"error_text": "Array is invalid", "error_no": 201}, id="no array"),
        pytest.param([], {}, {"error_text": "Array is invalid", "error_no": 201}, id="empty array"),
        pytest.param([1], {}, {"error_text": "Array is invalid", "error_no": 201}, id="no object"),
        pytest.param([{"phone": PHONE}], {}, {"error_text": "Array is invalid", "error_no": 201}, id="no text"),
        pytest.param([{"text": "x"}], {}, {"error_text": "Array is invalid", "error_no": 201}, id="no phone"),
        pytest.param([SMS] * 101, {}, {"error_text": "Array is invalid", "error_no": 201}, id="101 messages"),
        pytest.param([SMS], {"nickname": ""}, {"error_text": "Nickname didn't set", "error_no": 202}, id="empty name"),
        pytest.param([SMS], {"nickname": "ME"}, {"error_text": "Incorrect nickname", "error_no": 203}, id="whose name"),
    ],
)
def test_a_request_at_fault_is_refused_as_a_whole_by_a_bare_object(
    open_sandbox: Any, post: Any, data: Any, fields: dict[str, Any], error: dict[str, Any]
) -> None:
    sandbox = open_sandbox(nicknames=("SHOP",))

    answer = post(sandbox, data, **fields)

    assert (answer.status_code, answer.json()) == (200, {"error": 1} | error)
    assert sandbox.control.journal() == []


def test_a_wrong_login_is_refused_by_the_array_of_the_document(sandbox: Any, post: Any) -> None:
    answer = post(sandbox, [SMS], password="guess")

    assert answer.json() == [{"error": 1, "text": "Incorrect Login or Password", "error_no": 101}]


@pytest.mark.parametrize(
    ("data", "error_no"),
    [
        pytest.param([{"request_id": "1"}], 400, id="unknown"),
        pytest.param([{"request_id": "abc"}], 400, id="no number"),
        pytest.param([{}], 400, id="missing"),
        pytest.param([{"request_id": "1"}, {"request_id": "2"}], 201, id="two"),
        pytest.param("x", 200, id="not JSON"),
    ],
)
def test_a_question_at_fault_is_refused(sandbox: Any, post: Any, data: Any, error_no: int) -> None:
    assert post(sandbox, data, "/status/").json()["error_no"] == error_no


def test_a_nickname_may_be_asked_for(open_sandbox: Any, post: Any) -> None:
    sandbox = open_sandbox(nickname_required=True)

    assert post(sandbox, [SMS]).json()["error_no"] == 202
    assert post(sandbox, [SMS], nickname="ANY").json()[0]["text"] == "x"


def test_the_limit_of_a_request_may_be_the_documents_other_one(open_sandbox: Any, post: Any) -> None:
    sandbox = open_sandbox(batch_limit=50)

    assert post(sandbox, [SMS] * 51).json()["error_no"] == 201
    assert len(post(sandbox, [SMS] * 50).json()) == 50


@pytest.mark.parametrize("path", ["", "/status"])
def test_without_its_last_slash_an_address_has_moved(sandbox: Any, post: Any, path: str) -> None:
    answer = post(sandbox, [SMS], path)

    assert (answer.status_code, answer.headers["Location"]) == (301, f"/smsgateway{path}/")


@pytest.mark.parametrize(
    ("seconds", "phone", "told"),
    [
        pytest.param(9, PHONE, ("transmitted", ""), id="on its way"),
        pytest.param(10, PHONE, ("delivered", "2018-07-08 10:40:44"), id="arrived"),
        pytest.param(9, "998901110000", ("transmitted", ""), id="on its way to nobody"),
        pytest.param(10, "998901110000", ("undelivered", "0000-00-00 00:00:00"), id="never reached"),
    ],
)
def test_time_brings_the_final_status(
    sandbox: Any, post: Any, clock: Any, *, seconds: float, phone: str, told: tuple[str, str]
) -> None:
    sandbox.control.change(delivery_seconds=(10, 10))
    (taken,) = post(sandbox, [{"phone": phone, "text": "x"}]).json()

    clock.forward(seconds)
    (report,) = post(sandbox, [{"request_id": taken["request_id"]}], "/status/").json()

    assert (report["status"], report["date_delivered"]) == told


@pytest.mark.parametrize(
    ("request_ids", "of_requests"),
    [
        pytest.param("per-message", [2, 2, 2, 2], id="each message has its own"),
        pytest.param("shared", [1, 1, 1, 1], id="a request has one"),
        pytest.param("colliding", [1, 1, 1, 1], id="requests share it"),
    ],
)
def test_a_request_id_stands_for_what_was_chosen(
    open_sandbox: Any, post: Any, request_ids: str, of_requests: list[int]
) -> None:
    sandbox = open_sandbox(request_ids=request_ids)

    answers = [post(sandbox, [SMS, SMS]).json() for _ in range(4)]

    ids = [{row["request_id"] for row in answer} for answer in answers]
    assert [len(of_request) for of_request in ids] == of_requests
    assert len(set.union(*ids)) == {"per-message": 8, "shared": 4, "colliding": 2}[request_ids]
    assert len({row["message_id"] for answer in answers for row in answer}) == 8
