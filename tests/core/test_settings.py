"""A wrong or missing setting stops the start with one line that names it and says what is allowed."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from models.lifecycle import Lane
from worker.errors import SettingsError
from worker.settings import Settings, load_database_url, load_settings

NEEDED = {
    "SMS_GATEWAY_URL": "https://gateway.example/smsgateway",
    "SMS_GATEWAY_LOGIN": "shop",
    "SMS_GATEWAY_PASSWORD": "a secret",
}


@pytest.fixture(autouse=True)
def only_what_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith("SMS_"):
            monkeypatch.delenv(name)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def complaint() -> str:
    """The line that a start ends with."""
    with pytest.raises(SettingsError) as wrong:
        load_settings()
    return str(wrong.value)


def test_three_settings_are_enough() -> None:
    settings = load_settings()

    assert settings.gateway_password.get_secret_value() == "a secret"
    assert (
        settings.batch_max_messages,
        settings.gateway_connect_timeout_seconds,
        settings.gateway_read_timeout_seconds,
        settings.gateway_requests_per_second,
    ) == (50, 5, 30, 0)
    assert {"hold"} == {settings.unconfirmed_policy(lane) for lane in Lane}


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)

    said = complaint()

    assert said.startswith(f"{name} is not set. ")
    assert "\n" not in said


BAD: dict[str, list[str]] = {
    "SMS_DATABASE_URL": [
        "mysql://a",
        "sms.db",
        "postgresql://a/b",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql+psycopg://a:b@c:abc/d",
    ],
    "SMS_REDIS_URL": [
        "amqp://a",
        "127.0.0.1:6379",
        "rediss://a",
        "rediss://a?ssl_cert_reqs=none",
        "redis://a:99999/0",
        "redis://a:abc/0",
    ],
    "SMS_BROKER_URL": ["amqps://a", "redis://a/0"],
    "SMS_GATEWAY_URL": [
        "ftp://a",
        "gateway",
        "https://",
        "https://a/?b=c",
        "",
        "http://a:99999/smsgateway",
        "http://a:abc/smsgateway",
    ],
    "SMS_GATEWAY_LOGIN": [""],
    "SMS_GATEWAY_PASSWORD": [""],
    "SMS_GATEWAY_TIMEZONE": ["Tashkent", "../../etc/passwd", "/etc/localtime"],
    "SMS_GATEWAY_CONNECT_TIMEOUT_SECONDS": ["0", "-1", "soon", "inf", "nan", "1e13"],
    "SMS_GATEWAY_READ_TIMEOUT_SECONDS": ["0", "601", "inf", "nan"],
    "SMS_GATEWAY_REQUESTS_PER_SECOND": ["-1", "many", "inf", "nan", "1e-320", "1e9", "0.0009"],
    "SMS_GATEWAY_CONNECTIONS": ["0", "257", "1.5"],
    "SMS_BATCH_MAX_MESSAGES": ["0", "101", "all"],
    "SMS_MAX_PARTS": ["0", "256"],
    "SMS_MAX_PARTS_OTP": ["0", "256", "two", "1.5"],
    "SMS_MAX_PARTS_NORMAL": ["0"],
    "SMS_MAX_PARTS_BULK": ["256"],
    "SMS_FOLD_TEXT": ["maybe", "2"],
    "SMS_TRANSLITERATE_TEXT": ["latin"],
    "SMS_PRICE_PER_PART": ["-1", "inf", "nan", "95,5", "95 UZS"],
    "SMS_PRICE_PER_PART_OF_NICKNAME": [
        "SHOP",
        "SHOP=",
        "=5",
        "SHOP=-1",
        "SHOP=nan",
        "SHOP=inf",
        "SHOP=95,5",
        "SHOP=1,SHOP=2",
    ],
    "SMS_EXPIRES_AFTER_SECONDS_OTP": ["-1", "inf", "nan", "2592001", "5m"],
    "SMS_EXPIRES_AFTER_SECONDS_NORMAL": ["-1"],
    "SMS_EXPIRES_AFTER_SECONDS_BULK": ["1e13"],
    "SMS_QUIET_HOURS_NORMAL": ["21-9", "21:00", "21:00-25:00", "9pm-9am", "21:00Z-09:00Z", "off"],
    "SMS_QUIET_HOURS_BULK": ["21:00-21:00", "21:00-09:00-10:00", "-"],
    "SMS_QUIET_HOURS_TIMEZONE": ["Tashkent", "+05:00"],
    "SMS_COUNTRIES": ["uz", "UZB", "UZ;KZ", ",", "001", "XX"],
    "SMS_ALLOWED_RECIPIENTS": ["998 90 123 45 67", "123", "me", "+", "998901234567;998911234567", "9989012345", ","],
    "SMS_STAGING_RECIPIENTS": ["12345678901234567", "\u0669\u0669\u0668", " , "],
    "SMS_HOURLY_CAP_PER_PHONE_OTP": ["-1", "1.5", "many", "10000000000"],
    "SMS_HOURLY_CAP_PER_PHONE_NORMAL": ["-1"],
    "SMS_HOURLY_CAP_PER_PHONE_BULK": ["-1"],
    "SMS_DAILY_CAP_PER_PRODUCER": ["-1", "10000000000"],
    "SMS_DUPLICATE_WINDOW_SECONDS": ["-1", "inf", "nan", "2592001"],
    "SMS_POLL_LADDER_SECONDS": ["5,,10", "0", "5,soon", "-1", "inf", "5,1e13"],
    "SMS_POLL_GIVE_UP_AFTER_HOURS": ["0", "-1", "inf", "1e13"],
    "SMS_POLL_REQUESTS_PER_SECOND": ["-1", "1e-320", "1e9"],
    "SMS_POLL_CONNECTIONS": ["0"],
    "SMS_UNCONFIRMED_OTP": ["repeat"],
    "SMS_UNCONFIRMED_NORMAL": ["HOLD"],
    "SMS_UNCONFIRMED_BULK": ["1"],
    "SMS_RETENTION_DAYS": ["-1", "a month", "99999999999"],
    "SMS_LOG_FORMAT": ["xml"],
}
EACH_BAD = [(name, value) for name, values in BAD.items() for value in values]


@pytest.mark.parametrize(("name", "value"), EACH_BAD, ids=[f"{name}={value}" for name, value in EACH_BAD])
def test_a_bad_value_is_answered_with_one_line_that_names_the_setting(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    said = complaint()

    assert said.startswith(name)
    assert "\n" not in said
    assert len(said) > len(name) + 10


ALLOWED = {
    "SMS_FOLD_TEXT=maybe": "must be true or false",
    "SMS_PRICE_PER_PART=95,5": "must be a number such as 95",
    "SMS_PRICE_PER_PART=nan": "must be a number such as 95",
    "SMS_PRICE_PER_PART=-1": "must be at least 0",
    "SMS_GATEWAY_CONNECT_TIMEOUT_SECONDS=0": "must be more than 0",
    "SMS_EXPIRES_AFTER_SECONDS_OTP=2592001": "must be at most 2592000",
    "SMS_GATEWAY_OTP_SHARE=1": "must be at most 0.9",
    "SMS_BATCH_MAX_MESSAGES=all": "must be a whole number",
    "SMS_BATCH_MAX_MESSAGES=1.5": "must be a whole number",
    "SMS_BATCH_MAX_MESSAGES=0": "must be at least 1",
    "SMS_BATCH_MAX_MESSAGES=101": "must be at most 100",
    "SMS_HOURLY_CAP_PER_PHONE_OTP=10000000000": "must be at most 1000000000",
    "SMS_UNCONFIRMED_OTP=repeat": "must be one of hold, resend, drop",
    "SMS_LOG_FORMAT=xml": "must be one of json, console",
}


@pytest.mark.parametrize(("given", "said"), ALLOWED.items(), ids=ALLOWED)
def test_a_complaint_says_what_is_allowed(given: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, _, value = given.partition("=")
    monkeypatch.setenv(name, value)

    assert complaint() == f"{name}: {said}"


@pytest.mark.parametrize(("name", "value"), EACH_BAD, ids=[f"{name}={value}" for name, value in EACH_BAD])
def test_no_complaint_is_in_the_words_of_a_library(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    assert re.search(r": must |: is only |: encrypts |^SMS_\w+ (must|is not set)", complaint())


@pytest.mark.parametrize("name", ["SMS_ALLOWED_RECIPIENTS", "SMS_STAGING_RECIPIENTS"])
@pytest.mark.parametrize("value", ["901234567", "998901234567,77012345678"], ids=["no code", "another country"])
def test_recipients_that_nothing_can_be_posted_to_are_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    assert complaint() == f"{name}: must be mobile numbers of UZ (SMS_COUNTRIES), with the country's code"


@pytest.mark.parametrize("name", ["SMS_DATABASE_URL", "SMS_REDIS_URL", "SMS_BROKER_URL"])
def test_a_complaint_does_not_quote_a_password(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "amqps://user:hunter2@host/0")

    assert "hunter2" not in complaint()


def test_a_setting_does_not_print_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_CALLBACK_SECRET", "hunter2")

    assert "hunter2" not in repr(load_settings())
    assert "a secret" not in repr(load_settings())


UNKNOWN = {
    "SMS_GATEWAY_PASWORD": "Did you mean SMS_GATEWAY_PASSWORD?",
    "SMS_BATCH_MAX_MESAGES": "Did you mean SMS_BATCH_MAX_MESSAGES?",
    "sms_gatway_url": "Did you mean SMS_GATEWAY_URL?",
    "SMS_ZZZ": "there is no such setting. All of them",
    "SMS_BOGUS": "there is no such setting. All of them",
    "SMS_QUIET_HOURS_OTP": "OTP is posted at any hour.",
    "SMS_EXPIRES_AFTER_SECONDS": "Did you mean SMS_EXPIRES_AFTER_SECONDS_OTP?",
    "SMS_PRICE": "Did you mean SMS_PRICE_PER_PART?",
}


@pytest.mark.parametrize(("name", "words"), UNKNOWN.items(), ids=UNKNOWN)
def test_an_unknown_setting_is_refused_with_a_suggestion(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")

    said = complaint()

    assert said.startswith(f"{name}: there is no such setting.")
    assert words in said


def test_an_unknown_setting_in_the_env_file_is_refused_as_well() -> None:
    Path(".env").write_text("SMS_BATCH_SIZE=5\n")

    assert complaint().startswith("SMS_BATCH_SIZE: there is no such setting.")


def test_a_broken_line_of_the_env_file_is_named_and_nothing_warns_before_it(caplog: pytest.LogCaptureFixture) -> None:
    Path(".env").write_text("SMS_LOG_FORMAT=json\nhunter2 is 'broken\n")

    assert complaint() == ".env: line 2 cannot be read. Write NAME=value, and close each quote."
    assert caplog.records == []


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("SMS_DATABASE_URLpostgresql://u:hunter2@h/db", id="an address"),
        pytest.param("SMS_DATABASE_URLpostgresql://u:hunter2@h/db?a=b", id="an address with a sign of its own"),
        pytest.param("SMS_DATABSE_URLpostgresql://u:hunter2@h/db?a=b", id="an address behind a misspelt name"),
        pytest.param("SMS_GATEWAY_PASSWORDhunter2==", id="a password that ends in signs"),
        pytest.param("SMS_WEB_PASSWORD_hunter2=", id="a password that begins like a name"),
    ],
)
def test_a_value_behind_a_missing_sign_is_not_said(line: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"{line}\n")

    assert "hunter2" not in complaint().lower()


def test_a_line_without_a_sign_is_named_though_its_setting_has_a_default(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SMS_LOG_FORMAT=json\nSMS_GATEWAY_CONNECTIONS\n")

    assert complaint().startswith(".env: line 2 cannot be read.")


def test_a_folder_in_the_place_of_the_env_file_is_named() -> None:
    Path(".env").mkdir()

    assert complaint().startswith(".env is a folder.")


def test_a_secret_can_stand_in_a_file_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "SMS_GATEWAY_PASSWORD").write_text("from a file\n")
    (secrets / "sms_callback_secret").write_text("in small letters")
    monkeypatch.delenv("SMS_GATEWAY_PASSWORD")
    monkeypatch.setenv("SMS_SECRETS_DIR", str(secrets))

    settings = load_settings()

    assert settings.gateway_password.get_secret_value() == "from a file"
    assert settings.callback_secret
    assert settings.callback_secret.get_secret_value() == "in small letters"


def test_the_environment_wins_over_the_env_file_and_that_over_secret_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("SMS_GATEWAY_LOGIN", "SMS_GATEWAY_NICKNAME", "SMS_LOG_FORMAT"):
        (secrets / name).write_text("json" if name == "SMS_LOG_FORMAT" else "file")
    Path(".env").write_text("SMS_GATEWAY_LOGIN=env-file\nSMS_GATEWAY_NICKNAME=env-file\n")
    monkeypatch.setenv("SMS_SECRETS_DIR", str(secrets))

    settings = load_settings()

    assert (settings.gateway_login, settings.gateway_nickname, settings.log_format) == ("shop", "env-file", "json")


def test_a_folder_of_secrets_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_SECRETS_DIR", "/nowhere")

    assert complaint().startswith("SMS_SECRETS_DIR: there is no folder '/nowhere'.")


GOOD: list[Any] = [
    pytest.param("SMS_REDIS_URL", "rediss://:p@a:6380/0?ssl_cert_reqs=required", id="verified TLS to Redis"),
    pytest.param("SMS_BROKER_URL", "amqp://a", id="another broker"),
    pytest.param("SMS_DATABASE_URL", "postgresql+psycopg://a:b@c/d", id="PostgreSQL"),
    pytest.param("SMS_BATCH_MAX_MESSAGES", "100", id="the most in a batch"),
    pytest.param("SMS_GATEWAY_REQUESTS_PER_SECOND", "0.001", id="a turn in a quarter of an hour"),
    pytest.param("SMS_POLL_REQUESTS_PER_SECOND", "100000.0", id="the highest rate"),
    pytest.param("SMS_POLL_GIVE_UP_AFTER_HOURS", "8784.0", id="a year of polling"),
    pytest.param("SMS_RETENTION_DAYS", "36500", id="a hundred years"),
    pytest.param("SMS_REDIS_URL", "redis://a:65535/0", id="the last port"),
    pytest.param("SMS_MAX_PARTS_OTP", "1", id="codes of one part"),
    pytest.param("SMS_FOLD_TEXT", "True", id="folded texts"),
    pytest.param("SMS_TRANSLITERATE_TEXT", "False", id="untouched letters"),
    pytest.param("SMS_PRICE_PER_PART", "95.5", id="a price"),
    pytest.param("SMS_PRICE_CURRENCY", "so'm", id="a currency"),
    pytest.param("SMS_EXPIRES_AFTER_SECONDS_OTP", "0.5", id="a short life"),
    pytest.param("SMS_EXPIRES_AFTER_SECONDS_BULK", "2592000.0", id="the longest life"),
    pytest.param("SMS_QUIET_HOURS_BULK", "21:00-09:00", id="a quiet night"),
    pytest.param("SMS_QUIET_HOURS_NORMAL", "12:30-13:15", id="a quiet noon"),
    pytest.param("SMS_HOURLY_CAP_PER_PHONE_OTP", "5", id="a cap of codes"),
    pytest.param("SMS_DAILY_CAP_PER_PRODUCER", "1000000000", id="the highest cap"),
    pytest.param("SMS_DUPLICATE_WINDOW_SECONDS", "600.0", id="ten minutes without repeats"),
    pytest.param("SMS_GATEWAY_URL", "http://185.8.212.184/smsgateway/", id="in clear, as documented"),
]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_a_good_value_is_taken(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    read = getattr(load_settings(), name.removeprefix("SMS_").lower())

    assert str(read) == value.rstrip("/")


LISTS: dict[str, tuple[str, Any]] = {
    "SMS_COUNTRIES": (" KZ, UZ ", ("KZ", "UZ")),
    "SMS_ALLOWED_RECIPIENTS": ("+998901234567, 998911234567,", ("998901234567", "998911234567")),
    "SMS_STAGING_RECIPIENTS": ("998901234567", ("998901234567",)),
    "SMS_PRICE_PER_PART_OF_NICKNAME": (
        " SHOP = 95 , BANK=120.5, A=B=0",
        {"SHOP": 95, "BANK": 120.5, "A=B": 0},
    ),
}


@pytest.mark.parametrize(("name", "value", "expected"), [(name, *both) for name, both in LISTS.items()], ids=LISTS)
def test_a_list_is_written_with_commas(name: str, value: str, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    assert getattr(load_settings(), name.removeprefix("SMS_").lower()) == expected


def test_nothing_new_is_on_unless_it_is_set() -> None:
    settings = load_settings()

    assert not any((settings.fold_text, settings.transliterate_text, settings.price_per_part))
    assert not any((settings.allowed_recipients, settings.staging_recipients, settings.price_per_part_of_nickname))
    assert not any((settings.daily_cap_per_producer, settings.duplicate_window_seconds))
    for lane in Lane:
        of_lane = [settings.of_lane(name, lane) for name in ("max_parts", "quiet_hours")]
        assert of_lane == [None, None]
        assert settings.of_lane("hourly_cap_per_phone", lane) == settings.of_lane("expires_after_seconds", lane) == 0
    assert (settings.countries, settings.price_currency) == (("UZ",), "UZS")


def test_an_empty_setting_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMS_GATEWAY_NICKNAME", "SMS_CALLBACK_SECRET", "SMS_UNCONFIRMED_OTP"):
        monkeypatch.setenv(name, "")

    settings = load_settings()

    assert (settings.gateway_nickname, settings.callback_secret, settings.unconfirmed_otp) == (None, None, "hold")


def test_recipients_may_be_of_each_country_that_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_COUNTRIES", "UZ,KZ")
    monkeypatch.setenv("SMS_STAGING_RECIPIENTS", "998901234567,77012345678")

    assert load_settings().staging_recipients == ("998901234567", "77012345678")


def test_a_ladder_is_a_list_of_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_POLL_LADDER_SECONDS", "1, 2.5,60")

    assert load_settings().poll_ladder_seconds == (1, 2.5, 60)


def test_a_migration_needs_no_more_than_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NEEDED:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SMS_DATABASE_URL", "sqlite:///other.db")

    assert load_database_url() == "sqlite:///other.db"


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.max_parts = 1  # type: ignore[misc]


@pytest.mark.check
def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, known in Settings.model_fields.items() if not known.description] == []
