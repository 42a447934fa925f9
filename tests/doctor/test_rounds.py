"""The rounds: none stops the others, each ends in time, nothing secret is said, and it goes without settings."""

from pathlib import Path
from threading import Event
from typing import Any

import pytest

from worker.doctor.check import Check, Found, Ground, Outcome, ok
from worker.doctor.rounds import CHECKS, chosen, findings, the_ground

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
SECRETS = ("pass-of-gateway", "pass-of-redis", "pass-of-database", "pass-of-callbacks", "pass-of-web")


def a_check(name: str, look: Any, **changes: Any) -> Check:
    return Check(name, "Is it?", "It matters.", "mend it", look, needs_settings=False, **changes)


def breaks(_: Ground) -> Found:
    raise RuntimeError("a secret stands here")


@pytest.mark.usefixtures("well")
def test_a_check_that_breaks_says_so_without_its_words_and_the_next_goes_on() -> None:
    checks = [a_check("one.broken", breaks), a_check("one.after", lambda _: ok("fine"))]

    broken, after = findings(the_ground(), checks)

    assert (broken.outcome, broken.found) == ("warning", "this check itself broke (RuntimeError)")
    assert (after.outcome, after.found) == ("ok", "fine")


@pytest.mark.usefixtures("well")
def test_a_check_that_hangs_is_left_behind(request: pytest.FixtureRequest) -> None:
    forever = Event()
    request.addfinalizer(forever.set)
    checks = [
        a_check("one.hanging", lambda _: ok(str(forever.wait(60)))),
        a_check("one.behind", lambda _: ok("fine"), after=("one.hanging",)),
        a_check("one.other", lambda _: ok("fine")),
    ]

    hanging, behind, other = findings(the_ground(), checks, limit_seconds=0.05)

    assert (hanging.outcome, hanging.found, hanging.remedy) == ("fault", "no answer within 0.05 s", "mend it")
    assert (behind.outcome, behind.found) == ("skipped", "see one.hanging")
    assert other.outcome == "ok"


def test_without_settings_it_says_which_are_missing_and_looks_at_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    well: None,  # noqa: ARG001
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMS_GATEWAY_LOGIN")

    first, *others = findings(the_ground())

    assert (first.name, first.outcome) == ("settings.complete", "fault")
    assert "SMS_GATEWAY_LOGIN is not set" in first.found
    assert {one.outcome for one in others} == {"skipped"}


def test_a_setting_that_nobody_knows_is_named(look: Any) -> None:
    found = look("settings.complete", SMS_GATEWAY_LOGN="x")

    assert (found.outcome, "SMS_GATEWAY_LOGN" in found.found) == ("fault", True)
    assert "Did you mean SMS_GATEWAY_LOGIN?" in found.found


@pytest.mark.parametrize(
    ("setting", "outcome", "said"),
    [
        pytest.param({}, "note", "a sandbox, which sends no SMS", id="a sandbox"),
        pytest.param({"SMS_STAGING_RECIPIENTS": "998901112233"}, "warning", "to other numbers", id="staging"),
        pytest.param({"SMS_ALLOWED_RECIPIENTS": "998901112233"}, "warning", "only some numbers", id="allowed"),
        pytest.param({"SMS_GATEWAY_URL": "http://192.0.2.1/smsgateway"}, "warning", "in clear", id="http"),
        pytest.param({"SMS_REDIS_URL": "redis://192.0.2.1/0"}, "warning", "has no password", id="an open Redis"),
        pytest.param({"SMS_UNCONFIRMED_OTP": "resend"}, "note", "may post an SMS twice", id="resend"),
        pytest.param({"SMS_UNCONFIRMED_BULK": "drop"}, "note", "gives up SMS", id="drop"),
        pytest.param({"SMS_GATEWAY_READ_TIMEOUT_SECONDS": "3"}, "warning", "in doubt", id="impatient"),
        pytest.param({"SMS_CALLBACK_PRIVATE_ADDRESSES": "true"}, "note", "private address", id="callbacks"),
        pytest.param({"SMS_RETENTION_DAYS": "2"}, "note", "2 days after their end", id="retention"),
    ],
)
def test_a_dangerous_setting_is_named(look: Any, setting: dict[str, str], outcome: str, said: str) -> None:
    found = look("settings.risky", **setting)

    assert found.outcome == outcome
    assert said in found.found


def test_settings_that_harm_nobody_are_well(look: Any) -> None:
    found = look("settings.risky", SMS_GATEWAY_URL="https://192.0.2.1/smsgateway")

    assert (found.outcome, found.remedy) == ("ok", None)


def test_no_secret_is_ever_said(well: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    gateway, redis, database, callbacks, web = SECRETS
    monkeypatch.setenv("SMS_GATEWAY_PASSWORD", gateway)
    monkeypatch.setenv("SMS_REDIS_URL", f"redis://:{redis}@127.0.0.1:1/0")
    monkeypatch.setenv("SMS_DATABASE_URL", f"postgresql+psycopg://sms:{database}@127.0.0.1:1/sms")
    monkeypatch.setenv("SMS_CALLBACK_SECRET", callbacks)
    monkeypatch.setenv("SMS_WEB_PASSWORD", web)

    said = " ".join(str(one) for one in findings(the_ground()))

    assert "does not answer" in said
    assert not [secret for secret in SECRETS if secret in said]


def test_they_are_chosen_by_name_or_neighbourhood() -> None:
    assert [check.name for check in chosen(["gateway.dns", "settings"])] == [
        "settings.complete",
        "settings.risky",
        "gateway.dns",
    ]
    assert chosen([]) == list(CHECKS)
    with pytest.raises(LookupError):
        chosen(["gateway.dsn"])


def test_each_waits_only_for_those_before_it() -> None:
    names = [check.name for check in CHECKS]

    assert len(set(names)) == len(names)
    assert all(before in names[:place] for place, check in enumerate(CHECKS) for before in check.after)


def test_the_page_says_of_each_check_what_the_code_says() -> None:
    page = PAGE.read_text(encoding="utf-8")

    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{check.name}` | {check.asks} | {check.why} | {check.remedy} |" for check in CHECKS]
    assert all(f"**{outcome}**" in page for outcome in Outcome)


def test_a_remedy_is_there_for_each_that_can_fail() -> None:
    assert all(check.remedy and check.why and check.asks.endswith("?") for check in CHECKS)
