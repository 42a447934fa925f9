"""The way to the gateway, broken at each of its steps for real."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from worker.doctor.rounds import chosen, findings, the_ground
from worker.sandbox.faults import Fault
from worker.sandbox.running import RunningSandbox

SELF_SIGNED = Path(__file__).parents[1] / "gateway" / "self_signed.pem"
ALL = ("proxy", "dns", "tcp", "access", "login")


@pytest.mark.parametrize("thing", ALL)
def test_where_all_is_well_each_step_says_so_and_no_sms_is_sent(look: Any, sandbox: RunningSandbox, thing: str) -> None:
    found = look(f"gateway.{thing}")

    assert (found.outcome, found.remedy) == ("ok", None)
    assert sandbox.control.journal() == []


def test_a_name_without_an_address_is_said_and_the_steps_behind_it_are_not_tried(look: Any) -> None:
    url = {"SMS_GATEWAY_URL": "http://no-such-host.invalid/smsgateway"}

    found, behind = look("gateway.dns", **url), look("gateway.login", **url)

    assert (found.outcome, found.found) == ("fault", "no-such-host.invalid has no address")
    assert (behind.outcome, behind.found) == ("skipped", "see gateway.access")


def test_a_refused_connection_may_mean_an_address_that_is_not_registered(look: Any, sandbox: RunningSandbox) -> None:
    with sandbox.control.having(Fault("refuse-connections")):
        found = look("gateway.tcp")

    assert (found.outcome, found.found.rpartition(": ")[2]) == ("fault", "refused")
    assert "registered with the vendor" in found.remedy


def test_http_403_is_told_from_a_wrong_login(look: Any, sandbox: RunningSandbox) -> None:
    with sandbox.control.having(Fault("forbidden", on=("status",))):
        access, login = look("gateway.access"), look("gateway.login")

    assert (access.outcome, access.found) == ("fault", "HTTP 403: the gateway does not let this address in")
    assert "registered" in access.remedy
    assert login.outcome == "skipped"


@pytest.mark.usefixtures("well")
def test_a_gateway_that_hangs_is_told_from_an_address_that_is_not_registered(sandbox: RunningSandbox) -> None:
    with sandbox.control.having(Fault("hang", on=("status",))):
        (cut_off,) = findings(the_ground(), chosen(["gateway.access"]), limit_seconds=0.5)
        (silent,) = findings(the_ground(), chosen(["gateway.access"]))

    assert (cut_off.outcome, cut_off.found) == ("fault", "no answer within 0.5 s")
    assert "look again with a longer --limit" in str(cut_off.remedy)
    assert (silent.outcome, silent.found) == ("fault", "a status question got no answer: ReadTimeout")
    assert not [one for one in (cut_off, silent) if "registered" in str(one.remedy)]
    assert not [one for one in (cut_off, silent) if "no answer came in time" not in str(one.remedy)]


def test_a_wrong_password_is_error_101_and_is_not_shown(look: Any) -> None:
    found = look("gateway.login", SMS_GATEWAY_PASSWORD="mistyped-password")

    assert (found.outcome, found.found) == ("fault", "error 101: incorrect login or password")
    assert "mistyped" not in str(found)


@pytest.mark.parametrize("error_no", [102, 103])
def test_an_account_in_trouble_is_named_by_its_error(look: Any, sandbox: RunningSandbox, error_no: int) -> None:
    with sandbox.control.having(Fault("error", on=("status",), error_no=error_no)):
        found = look("gateway.login")

    assert found.outcome == "fault"
    assert found.found.startswith(f"error {error_no}: ")


def test_something_else_than_the_gateway_is_known_by_its_answer(look: Any, serve: Any) -> None:
    page = look("gateway.login", SMS_GATEWAY_URL=serve(b"<html>It works!</html>"))
    missing = look("gateway.access", SMS_GATEWAY_URL=serve(b"", status=404))
    broken = look("gateway.access", SMS_GATEWAY_URL=serve(b"", status=503))

    assert (page.outcome, page.found) == ("fault", "what answers is not the gateway")
    assert (missing.outcome, missing.found) == ("fault", "HTTP 404 to a status question")
    assert "SMS_GATEWAY_URL" in page.remedy
    assert "SMS_GATEWAY_URL" in missing.remedy
    assert "ask the vendor" in broken.remedy


@pytest.mark.parametrize(
    ("off", "outcome", "said"),
    [
        pytest.param(timedelta(seconds=1), "ok", "", id="a second"),
        pytest.param(timedelta(seconds=20), "warning", "s behind the gateway's", id="it is ahead"),
        pytest.param(timedelta(minutes=-5), "fault", "s before the gateway's", id="it lags"),
    ],
)
def test_the_clock_is_compared_with_the_gateway_s(
    look: Any, serve: Any, off: timedelta, outcome: str, said: str
) -> None:
    url = serve(date=datetime.now(UTC) + off)

    found = look("gateway.clock", SMS_GATEWAY_URL=url)

    assert found.outcome == outcome
    assert said in found.found


def test_a_gateway_without_a_clock_is_no_fault(look: Any, serve: Any) -> None:
    assert look("gateway.clock", SMS_GATEWAY_URL=serve()).outcome == "skipped"


def test_a_certificate_that_nobody_vouches_for_is_a_fault(look: Any, serve: Any) -> None:
    url = serve(tls=True)

    certificate, access = look("gateway.tls", SMS_GATEWAY_URL=url), look("gateway.access", SMS_GATEWAY_URL=url)

    assert certificate.outcome == "fault"
    assert "is not trusted: self-signed certificate" in certificate.found.replace("self signed", "self-signed")
    assert (access.outcome, access.found) == ("skipped", "see gateway.tls")


def test_a_trusted_certificate_says_how_long_it_lasts(look: Any, serve: Any) -> None:
    found = look("gateway.tls", SMS_GATEWAY_URL=serve(tls=True), REQUESTS_CA_BUNDLE=str(SELF_SIGNED))

    assert found.outcome == "ok"
    assert "trusted for 127.0.0.1, for" in found.found


def test_a_certificate_that_ends_soon_is_a_warning(look: Any, serve: Any) -> None:
    decoded = ssl._ssl._test_decode_cert(str(SELF_SIGNED))  # type: ignore[attr-defined]
    ends_at = datetime.fromtimestamp(ssl.cert_time_to_seconds(decoded["notAfter"]), UTC)
    trusted = {"SMS_GATEWAY_URL": serve(tls=True), "REQUESTS_CA_BUNDLE": str(SELF_SIGNED)}

    found = look("gateway.tls", now=lambda: ends_at - timedelta(days=10, hours=1), **trusted)

    assert (found.outcome, found.found) == ("warning", "trusted for 127.0.0.1, for 10 more days")


def test_a_certificate_of_another_host_is_a_fault(look: Any, serve: Any) -> None:
    url = serve(tls=True).replace("127.0.0.1", "127.1")

    found = look("gateway.tls", SMS_GATEWAY_URL=url, REQUESTS_CA_BUNDLE=str(SELF_SIGNED))

    assert found.outcome == "fault"
    assert "not trusted" in found.found


def test_a_proxy_is_named_without_its_password_for_the_vendor_sees_its_address(look: Any) -> None:
    proxy = {"HTTP_PROXY": "http://user:hidden@127.0.0.1:1", "SMS_GATEWAY_URL": "http://192.0.2.1/smsgateway"}

    found, behind = look("gateway.proxy", **proxy), look("gateway.tcp", **proxy)

    assert (found.outcome, "hidden" in found.found, "127.0.0.1:1" in found.found) == ("note", False, True)
    assert behind.found == "127.0.0.1:1 takes no connection: refused"


def test_a_socks_proxy_cannot_be_used(look: Any) -> None:
    found = look("gateway.proxy", ALL_PROXY="socks5://127.0.0.1:1", SMS_GATEWAY_URL="http://192.0.2.1/smsgateway")

    assert found.outcome == "fault"
    assert "SOCKS" in found.found
