"""The real client against real servers: what was certainly not taken, what nobody knows, and what arrives."""

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from structlog.testing import capture_logs
from wires import nothing

from worker.errors import (
    AccountRefused,
    BatchRefused,
    GatewayError,
    GatewayUnavailable,
    NicknameRefused,
    ReportsUnavailable,
    RequestIdUnknown,
    SubmissionUnconfirmed,
)
from worker.gateway import OutgoingSms
from worker.gateway.http import HttpGateway, http_gateway
from worker.sandbox.faults import Fault
from worker.settings import Settings

OpenGateway = Callable[..., HttpGateway]

ONE, TWO = OutgoingSms(1, "998901112233", "one"), OutgoingSms(2, "998904445566", "two")
SECRET = "the-password"


def answered(body: bytes, status: int = 200, **headers: str) -> Callable[[Any], None]:
    def answer(handler: Any) -> None:
        handler.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


# What reaches the gateway


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("say \"no\" \\ and 'yes'", id="quotes"),
        pytest.param("R&D=a+b%20c;d#e?", id="what forms are made of"),
        pytest.param("Оʻzbekcha ва кирилл", id="letters"),
        pytest.param("👩‍👧 code 4821\r\nline", id="emoji and lines"),
        pytest.param("+1 + +2", id="plus"),
    ],
)
def test_a_text_arrives_unharmed(gateway: HttpGateway, sandbox: Any, text: str) -> None:
    gateway.submit([OutgoingSms(1, "998901112233", text)], nickname="SHOP", begin=nothing)

    assert [(sms["phone"], sms["text"], sms["nickname"]) for sms in sandbox.taken()] == [("998901112233", text, "SHOP")]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1))
def test_any_text_arrives_unharmed(gateway: HttpGateway, sandbox: Any, text: str) -> None:
    gateway.submit([OutgoingSms(1, "998901112233", text)], nickname=None, begin=nothing)

    assert sandbox.taken()[-1]["text"] == text


def test_half_a_letter_is_refused_and_takes_nothing_with_it(gateway: HttpGateway, sandbox: Any) -> None:
    with pytest.raises(BatchRefused):
        gateway.submit([ONE, OutgoingSms(2, "998904445566", "\ud83d")], nickname=None, begin=nothing)

    assert sandbox.taken() == []


def test_the_form_is_the_documented_one(open_gateway: OpenGateway, serve: Any, accepting: Any) -> None:
    server = serve(accepting)
    gateway = open_gateway(url=server.url + "/")

    gateway.submit([ONE], nickname="SHOP", begin=nothing)

    credentials = {"login": "sandbox", "password": "sandbox"}
    assert server.paths == ["/smsgateway/"]
    assert server.forms == [credentials | {"nickname": "SHOP", "data": '[{"phone":"998901112233","text":"one"}]'}]


def test_a_nickname_that_is_not_there_is_left_out(open_gateway: OpenGateway, serve: Any, accepting: Any) -> None:
    server = serve(accepting)

    open_gateway(url=server.url).submit([ONE], nickname=None, begin=nothing)

    assert "nickname" not in server.forms[0]


def test_a_question_asks_for_exactly_one_request_id(open_gateway: OpenGateway, serve: Any) -> None:
    server = serve(answered(b'[{"status": "delivered"}]'))

    open_gateway(url=server.url).reports("3853471")

    assert server.paths == ["/smsgateway/status/"]
    assert json.loads(server.forms[0]["data"]) == [{"request_id": "3853471"}]


# Faults, counted at the gateway's own journal


@pytest.mark.parametrize(
    ("fault", "outcome", "taken"),
    [
        pytest.param(Fault("refuse-connections"), GatewayUnavailable, 0, id="connection refused"),
        pytest.param(Fault("cut-before"), SubmissionUnconfirmed, 0, id="cut before it was read"),
        pytest.param(Fault("cut-after"), SubmissionUnconfirmed, 2, id="taken, cut without an answer"),
        pytest.param(Fault("bad-gateway-before"), SubmissionUnconfirmed, 0, id="502, not taken"),
        pytest.param(Fault("bad-gateway-after"), SubmissionUnconfirmed, 2, id="502, taken"),
        pytest.param(Fault("half-json"), SubmissionUnconfirmed, 2, id="half a JSON"),
        pytest.param(Fault("half-answer"), SubmissionUnconfirmed, 2, id="half an answer, then cut"),
        pytest.param(Fault("forbidden"), AccountRefused, 0, id="403"),
        *(
            pytest.param(Fault("error", error_no=number), refusal, 0, id=f"error {number}")
            for refusal, numbers in (
                (AccountRefused, (100, 101, 102, 103)),
                (BatchRefused, (200, 201, 777)),
                (NicknameRefused, (202, 203)),
            )
            for number in numbers
        ),
        pytest.param(Fault("guilty", marker="two"), BatchRefused, 0, id="a guilty text"),
    ],
)
def test_each_fault_has_one_outcome(
    gateway: HttpGateway, sandbox: Any, fault: Fault, outcome: type[GatewayError], taken: int
) -> None:
    sandbox.control.set_faults(fault)

    with pytest.raises(GatewayError) as raised:
        gateway.submit([ONE, TWO], nickname=None, begin=nothing)

    assert type(raised.value) is outcome
    assert len(sandbox.taken()) == taken


def test_a_time_out_is_not_a_failure(open_gateway: OpenGateway, sandbox: Any) -> None:
    sandbox.control.set_faults(Fault("hang"))

    with pytest.raises(SubmissionUnconfirmed):
        open_gateway(read_timeout_seconds=0.2).submit([ONE, TWO], nickname=None, begin=nothing)

    assert len(sandbox.taken()) == 2


def drop(handler: Any) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(drop, id="dropped"),
        pytest.param(answered(b"", 503, **{"Retry-After": "0"}), id="503, asked to try again"),
        pytest.param(answered(b"", 429, **{"Retry-After": "0"}), id="429, asked to try again"),
    ],
)
def test_nothing_is_ever_posted_twice_by_itself(open_gateway: OpenGateway, serve: Any, answer: Any) -> None:
    server = serve(answer)

    begun: list[str] = []

    with pytest.raises(GatewayError):
        open_gateway(url=server.url).submit([ONE], nickname=None, begin=lambda: begun.append("begun"))

    assert len(server.forms) == len(begun) == 1


@pytest.mark.parametrize("kind", ["cut-before", "cut-after", "bad-gateway-after", "half-json", "half-answer"])
def test_a_question_that_breaks_says_nothing_about_the_message(gateway: HttpGateway, sandbox: Any, kind: Any) -> None:
    (accepted,) = gateway.submit([ONE], nickname=None, begin=nothing).accepted
    sandbox.control.set_faults(Fault(kind, on=["status"]))

    with pytest.raises(ReportsUnavailable):
        gateway.reports(accepted.request_id)

    sandbox.control.clear_faults()
    assert [report.gateway_status for report in gateway.reports(accepted.request_id)] == ["delivered"]


def test_a_question_over_no_connection_says_nothing_either(gateway: HttpGateway, sandbox: Any) -> None:
    sandbox.control.set_faults(Fault("refuse-connections"))

    with pytest.raises(GatewayUnavailable):
        gateway.reports("12345678")


def test_an_unknown_request_id_is_told_as_such(gateway: HttpGateway) -> None:
    with pytest.raises(RequestIdUnknown):
        gateway.reports("1")


@pytest.mark.parametrize("status", [301, 302], ids=["moved, nothing taken", "found, nobody knows"])
def test_a_redirect_is_not_followed(open_gateway: OpenGateway, serve: Any, status: int) -> None:
    server = serve(answered(b"", status, Location="http://[broken/"))

    with pytest.raises(GatewayUnavailable if status == 301 else SubmissionUnconfirmed):
        open_gateway(url=server.url).submit([ONE], nickname=None, begin=nothing)

    assert len(server.forms) == 1


def test_a_broken_body_does_not_blur_what_the_status_proves(open_gateway: OpenGateway, serve: Any) -> None:
    def forbid(handler: Any) -> None:
        answered(b"short", 403, **{"Content-Length": "1000"})(handler)
        handler.close_connection = True

    with pytest.raises(AccountRefused):
        open_gateway(url=serve(forbid).url).submit([ONE], nickname=None, begin=nothing)


def test_an_endless_answer_is_given_up(open_gateway: OpenGateway, serve: Any) -> None:
    server = serve(answered(b" " * (9 * 2**20)))

    with pytest.raises(SubmissionUnconfirmed):
        open_gateway(url=server.url).submit([ONE], nickname=None, begin=nothing)


# Secrets


def test_no_reason_holds_a_secret(open_gateway: OpenGateway, sandbox: Any) -> None:
    sandbox.control.set_faults(Fault("cut-after"))
    url = sandbox.running.url.replace("://", f"://user:{SECRET}@")
    gateway = open_gateway(url=url, password=SECRET)

    with pytest.raises(SubmissionUnconfirmed) as raised:
        gateway.submit([OutgoingSms(1, ONE.phone, "code 4821")], nickname=None, begin=nothing)

    told = raised.value.reason + str(raised.value.answer)
    assert not any(secret in told for secret in (SECRET, ONE.phone, "4821"))


@pytest.mark.parametrize(
    ("url", "warnings"),
    [
        pytest.param("http://203.0.113.7/smsgateway", ["gateway_in_clear"], id="in clear"),
        pytest.param("https://203.0.113.7/smsgateway", [], id="encrypted"),
        pytest.param("http://127.0.0.1/smsgateway", [], id="on this machine"),
    ],
)
def test_http_over_a_network_warns(open_gateway: OpenGateway, url: str, warnings: list[str]) -> None:
    with capture_logs() as logs:
        open_gateway(url=url)

    assert [line["event"] for line in logs] == warnings


def test_the_settings_make_a_gateway(sandbox: Any) -> None:
    described = Settings(
        gateway_url=sandbox.running.url, gateway_login="sandbox", gateway_password=SecretStr("sandbox")
    )
    gateway = http_gateway(described)

    acceptance = gateway.submit([ONE], nickname=None, begin=nothing)

    gateway.close()
    assert [sms.reference for sms in acceptance.accepted] == [1]
