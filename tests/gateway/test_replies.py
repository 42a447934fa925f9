"""What the gateway's answers mean: the vendor's own samples first, then everything else a server may say."""

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.errors import (
    AccountRefused,
    BatchRefused,
    GatewayError,
    GatewayUnavailable,
    NicknameRefused,
    SubmissionUnconfirmed,
)
from worker.gateway import Acceptance, AcceptedSms, OutgoingSms, RefusedSms
from worker.gateway.replies import acceptance_of

TASHKENT = ZoneInfo("Asia/Tashkent")
FIRST = OutgoingSms(1, "998909711322", "тестовое смс 1")
SECOND = OutgoingSms(2, "998901112233", "a secret code 4821")
THIRD = OutgoingSms(3, "998935550000", "third")

#: The document's sample of a success, with one message.
ACCEPTED = {
    "recipient": 998909711322,
    "text": "тестовое смс 1",
    "user_id": 1,
    "date_received": 1499493672,
    "message_id": 16854781,
    "request_id": 52480252,
    "client_ip": "185.8.212.184",
}
#: The document's sample of a refused number, ids and all.
REFUSED = {
    "error": 1,
    "error_text": "is NOT a phone number",
    "error_no": 300,
    "recipient": "+998901112233",
    "text": "a secret code 4821",
    "user_id": 1,
    "date_received": 1499493758,
    "message_id": 20766930,
    "request_id": 76181024,
    "client_ip": "185.8.212.184",
}


def written(answer: Any) -> bytes:
    return json.dumps(answer, ensure_ascii=False).encode()


def row(message: OutgoingSms, request_id: Any = 5, **changes: Any) -> dict[str, Any]:
    ids = {"message_id": 100 + message.reference, "request_id": request_id}
    return {"recipient": int(message.phone), "text": message.text} | ids | changes


def test_the_documented_success_gives_both_ids_as_text_and_keeps_the_answer_without_the_sms() -> None:
    acceptance = acceptance_of([FIRST], 200, written([ACCEPTED]))

    kept = {name: value for name, value in ACCEPTED.items() if name != "text"}
    assert acceptance == Acceptance([AcceptedSms(1, "52480252", "16854781", kept)], [], [], [])


@pytest.mark.parametrize("number", [100, 101, 102, 103])
def test_a_limit_that_runs_out_within_a_request_gives_the_rest_back(number: int) -> None:
    """The message that meets an account's trouble is not at fault: it was not taken, and may be posted again."""
    over = {"error": 1, "error_no": number, "error_text": "Limit is over", "recipient": SECOND.phone, "text": "x"}

    acceptance = acceptance_of([FIRST, SECOND], 200, written([row(FIRST), over]))

    assert [sms.reference for sms in acceptance.accepted] == [1]
    assert [(sms.reference, sms.error_no) for sms in acceptance.returned] == [(2, number)]
    assert (acceptance.refused, acceptance.unanswered) == ([], [])


def test_a_refused_number_between_accepted_ones_fails_alone() -> None:
    answer = [row(FIRST), REFUSED, row(THIRD)]

    acceptance = acceptance_of([FIRST, SECOND, THIRD], 200, written(answer))

    assert [sms.reference for sms in acceptance.accepted] == [1, 3]
    assert [(sms.reference, sms.error_no, sms.reason) for sms in acceptance.refused] == [
        (2, 300, "is not a phone number")
    ]
    assert acceptance.refused[0].answer["request_id"] == 76181024
    assert acceptance.unanswered == []


def test_the_first_element_is_not_the_whole_batch() -> None:
    acceptance = acceptance_of([FIRST, SECOND, THIRD], 200, written([row(FIRST)]))

    assert [sms.reference for sms in acceptance.accepted] == [1]
    assert acceptance.unanswered == [2, 3]


def test_every_message_keeps_its_own_ids() -> None:
    answer = [row(FIRST, 7), row(SECOND, 8), row(THIRD, 9)]

    acceptance = acceptance_of([FIRST, SECOND, THIRD], 200, written(answer))

    assert [(sms.request_id, sms.message_id) for sms in acceptance.accepted] == [
        ("7", "101"),
        ("8", "102"),
        ("9", "103"),
    ]


def test_the_order_of_the_answer_does_not_matter() -> None:
    answer = [row(THIRD, 9), row(FIRST, 7), row(SECOND, 8)]

    acceptance = acceptance_of([FIRST, SECOND, THIRD], 200, written(answer))

    assert [sms.request_id for sms in acceptance.accepted] == ["7", "8", "9"]


def test_rows_without_recipients_are_matched_by_position_if_there_is_one_for_each_message() -> None:
    answer = [row(FIRST, 7), row(SECOND, 8, recipient=None)]

    acceptance = acceptance_of([FIRST, SECOND], 200, written(answer))

    assert [sms.request_id for sms in acceptance.accepted] == ["7", "8"]


def test_rows_without_recipients_match_nothing_if_their_number_differs() -> None:
    answer = [row(SECOND, 8, recipient=None)]

    acceptance = acceptance_of([FIRST, SECOND], 200, written(answer))

    assert acceptance.unanswered == [1, 2]


def test_the_text_tells_two_rows_of_one_phone_apart() -> None:
    answer = [row(FIRST, 6, text="somebody else's"), row(FIRST, 7)]

    acceptance = acceptance_of([FIRST], 200, written(answer))

    assert [sms.request_id for sms in acceptance.accepted] == ["7"]


def test_a_strangers_row_is_nobodys_answer() -> None:
    acceptance = acceptance_of([FIRST], 200, written([row(SECOND)]))

    assert acceptance.unanswered == [1]


@pytest.mark.parametrize("request_id", [None, 0, "0", "", " ", True, [], {}, "9" * 65], ids=repr)
def test_a_row_without_a_usable_request_id_says_nothing(request_id: Any) -> None:
    acceptance = acceptance_of([FIRST], 200, written([row(FIRST, request_id)]))

    assert acceptance.unanswered == [1]


def test_a_number_under_error_that_means_none_is_no_refusal() -> None:
    acceptance = acceptance_of([FIRST], 200, written([row(FIRST, error=0, error_no="")]))

    assert [sms.reference for sms in acceptance.accepted] == [1]


@pytest.mark.parametrize("bare", [True, False], ids=["bare object", "array of one"])
@pytest.mark.parametrize("text_under", ["error_text", "text"])
@pytest.mark.parametrize("as_text", [True, False], ids=["numbers as strings", "numbers"])
@pytest.mark.parametrize(
    ("error_no", "refusal"),
    [
        *((number, AccountRefused) for number in (100, 101, 102, 103)),
        *((number, BatchRefused) for number in (200, 201, 777)),
        *((number, NicknameRefused) for number in (202, 203)),
    ],
)
def test_a_refusal_of_the_whole_request_is_known_in_every_shape(
    bare: bool, text_under: str, as_text: bool, error_no: int, refusal: type[GatewayError]
) -> None:
    error = {"error": "1" if as_text else 1, text_under: "words", "error_no": str(error_no) if as_text else error_no}

    with pytest.raises(GatewayError) as refused:
        acceptance_of([FIRST, SECOND], 200, written(error if bare else [error]))

    assert type(refused.value) is refusal
    assert (refused.value.error_no, refused.value.http_status) == (error_no, 200)


NUMBERLESS: list[Any] = [
    pytest.param({"error": "Gateway Timeout"}, id="a proxy's words"),
    pytest.param({"error": True}, id="true"),
    pytest.param({"error": 1, "error_no": 0}, id="number 0"),
    pytest.param({"error_no": "E500"}, id="no digits"),
    pytest.param({"error": 1, "error_no": ""}, id="an empty number"),
    pytest.param({"error": 1, "error_no": -1}, id="a negative number"),
    pytest.param({"error": 1, "error_no": True}, id="true for a number"),
    pytest.param({"error": 1, "error_no": "9" * 10}, id="a number too long"),
    pytest.param({"error": {"code": 502}}, id="an object"),
]


@pytest.mark.parametrize("in_a_list", [False, True], ids=["bare object", "array of one"])
@pytest.mark.parametrize("error", NUMBERLESS)
def test_an_error_without_the_vendors_number_proves_nothing(error: dict[str, Any], in_a_list: bool) -> None:
    """A proxy in between writes such words too, after the gateway may have taken the request."""
    with pytest.raises(SubmissionUnconfirmed) as unconfirmed:
        acceptance_of([FIRST, SECOND], 200, written([error] if in_a_list else error))

    assert (unconfirmed.value.error_no, unconfirmed.value.http_status) == (None, 200)
    assert unconfirmed.value.answer == error


def test_a_number_we_never_met_is_kept_raw() -> None:
    error = {"error": 1, "error_no": 777, "error_text": "out of stars for 998909711322"}

    with pytest.raises(BatchRefused) as refused:
        acceptance_of([FIRST], 200, written(error))

    assert refused.value.answer == error
    assert refused.value.reason == "gateway error 777: out of stars for …"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([{"error": 1, "error_no": 777, "text": SECOND.text}], id="of the request"),
        pytest.param([{"error": 1, "error_no": 777, "text": SECOND.text, "recipient": SECOND.phone}], id="of one"),
    ],
)
def test_the_text_of_an_sms_never_becomes_a_reason(answer: Any) -> None:
    try:
        reasons = [sms.reason for sms in acceptance_of([SECOND], 200, written(answer)).refused]
    except BatchRefused as refused:
        reasons = [refused.reason]

    assert reasons == ["gateway error 777"]


def test_json_is_read_under_a_byte_order_mark_and_white_space() -> None:
    acceptance = acceptance_of([FIRST], 200, b" \xef\xbb\xbf\r\n " + written([ACCEPTED]) + b"\n")

    assert [sms.reference for sms in acceptance.accepted] == [1]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"OK", id="a word"),
        pytest.param(b"<html>Welcome</html>", id="HTML"),
        pytest.param(written([ACCEPTED])[:60], id="cut"),
        pytest.param(b"[]", id="empty array"),
        pytest.param(b"{}", id="empty object"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[1, 2]", id="array of numbers"),
        pytest.param(written(ACCEPTED), id="bare acceptance"),
        pytest.param(b"[" * 100_000, id="endless nesting"),
        pytest.param(b"1" * 5_000, id="endless number"),
    ],
)
def test_http_200_is_not_success(body: bytes) -> None:
    with pytest.raises(SubmissionUnconfirmed):
        acceptance_of([FIRST], 200, body)


@pytest.mark.parametrize("http_status", [301, 307, 308, 401, 404, 405, 407, 411, 413, 414, 415, 421, 429, 431])
def test_a_status_of_the_server_before_the_program_proves_that_nothing_was_taken(http_status: int) -> None:
    with pytest.raises(GatewayUnavailable) as unavailable:
        acceptance_of([FIRST], http_status, b"")

    assert unavailable.value.http_status == http_status
    assert str(http_status) in unavailable.value.reason


@pytest.mark.parametrize("http_status", [201, 204, 302, 303, 400, 408, 409, 500, 502, 503, 504, 599])
def test_any_other_status_leaves_the_request_unconfirmed_even_with_a_good_body(http_status: int) -> None:
    with pytest.raises(SubmissionUnconfirmed) as unconfirmed:
        acceptance_of([FIRST], http_status, written([ACCEPTED]))

    assert unconfirmed.value.http_status == http_status


def test_403_means_that_our_address_is_not_registered() -> None:
    with pytest.raises(AccountRefused, match="IP address is not registered") as refused:
        acceptance_of([FIRST], 403, b"<html>")

    assert refused.value.http_status == 403


def test_what_no_database_can_store_is_taken_out() -> None:
    body = b'[{"recipient": 998909711322, "request_id": "5\\u0000\\ud800", "odd": [1e999, {"a": "\\u0000"}]}]'

    (accepted,) = acceptance_of([FIRST], 200, body).accepted

    assert accepted.request_id == "5\ufffd?"
    assert accepted.answer["odd"] == ["inf", {"a": "\ufffd"}]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=10,
)
names = st.sampled_from([*{**ACCEPTED, **REFUSED}])
likely = st.sampled_from([998909711322, "+998901112233", "delivered", 300, 101, "400", 1, "2018-07-08 10:40:34"])
rows = st.lists(st.dictionaries(names, likely | anything), max_size=5)
bodies = st.binary() | (anything | rows).map(lambda answer: json.dumps(answer).encode())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # busy machines
@given(bodies, st.just(200) | st.integers(100, 599))
def test_every_message_has_exactly_one_outcome_whatever_the_gateway_answers(body: bytes, http_status: int) -> None:
    try:
        acceptance = acceptance_of([FIRST, SECOND, THIRD], http_status, body)
    except GatewayError:
        return

    answered: list[AcceptedSms | RefusedSms] = [*acceptance.accepted, *acceptance.refused, *acceptance.returned]
    assert sorted([*(sms.reference for sms in answered), *acceptance.unanswered]) == [1, 2, 3]
    assert json.dumps([sms.answer for sms in acceptance.accepted], allow_nan=False, ensure_ascii=False).encode()
