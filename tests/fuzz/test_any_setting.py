"""Whatever stands in the environment, a start has settings, or ends with a line that names one and tells no secret."""

import os
from pathlib import Path

import pytest
from anything import ODD
from hypothesis import example, given
from hypothesis import strategies as some

from worker.errors import SettingsError
from worker.settings import PREFIX, SECRETS_DIR, Settings, load_settings

SECRET = "hunter2"
NEEDED = {
    "SMS_GATEWAY_URL": "https://gateway.example/smsgateway",
    "SMS_GATEWAY_LOGIN": "shop",
    "SMS_GATEWAY_PASSWORD": "another secret",
}
NAMES = [PREFIX + name.upper() for name in Settings.model_fields]
URLS = ["SMS_DATABASE_URL", "SMS_REDIS_URL", "SMS_BROKER_URL", "SMS_GATEWAY_URL"]


def fits(value: str) -> bool:
    """Whether an environment can hold it."""
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return False
    return "\0" not in value


SCHEMES = ["postgresql+psycopg://", "sqlite:///", "redis://", "rediss://", "amqp://", "amqps://", "http://", "https://"]
MARKS = [
    ":",
    "@",
    "/",
    "//",
    "?",
    "#",
    "[",
    "]",
    "%",
    "%zz",
    "\u2100",
    "\n",
    " ",
    "=",
    ",",
    "5432",
    "host.example",
    "user",
]
PIECES = some.lists(some.sampled_from([*MARKS, SECRET, "?ssl_cert_reqs=required"]), max_size=7).map("".join)
ADDRESSES = some.builds(str.__add__, some.sampled_from(["", *SCHEMES]), PIECES)
LOGGED_IN = some.builds(
    "{}user:{}{}{}".format, some.sampled_from(SCHEMES), some.just(SECRET), some.sampled_from(MARKS), PIECES
)
NUMBERS = some.integers().map(str) | some.floats().map(str) | some.lists(some.floats(), max_size=4).map(str)
WORDS = (some.sampled_from([*ODD, "hold", "UTC", "../x", "~", "a" * 5_000]) | some.text(some.characters())).filter(fits)
LISTED = some.lists(
    some.sampled_from(
        ["UZ", "998901234567", "+", "SHOP", "=", "95.5", "nan", "21:00", "09:00", "24:00", "-", " ", ","]
    ),
    max_size=8,
).map("".join)
VALUES = WORDS | NUMBERS | ADDRESSES | LOGGED_IN | LISTED


@pytest.fixture(autouse=True)
def _only_what_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def complaint(environment: dict[str, str]) -> str:
    """The line that a start with *environment* ends with; empty if it succeeds."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (NEEDED | environment).items():
            patch.setenv(name, value)
        try:
            load_settings()
        except SettingsError as error:
            return str(error)
    return ""


@given(name=some.sampled_from(NAMES), value=VALUES)
def test_a_setting_is_taken_or_named_in_one_line(name: str, value: str) -> None:
    said = complaint({name: value})

    assert not said or said.startswith(name)
    assert len(said.splitlines()) <= 1
    assert len(said) < 300


LISTS = ["SMS_ALLOWED_RECIPIENTS", "SMS_STAGING_RECIPIENTS"]


@given(name=some.sampled_from(LISTS), value=VALUES)
def test_whoever_sets_recipients_has_some_or_no_start(name: str, value: str) -> None:
    """An empty list would let everybody be sent to."""
    with pytest.MonkeyPatch.context() as patch:
        for other, needed in (NEEDED | {name: value}).items():
            patch.setenv(other, needed)
        try:
            settings = load_settings()
        except SettingsError:
            return

    assert bool(getattr(settings, name.removeprefix(PREFIX).lower())) == bool(value)


@given(name=some.sampled_from(URLS), value=LOGGED_IN | ADDRESSES)
@example(name="SMS_BROKER_URL", value=f"amqp://user:{SECRET}\u2100")
@example(name="SMS_DATABASE_URL", value=f"postgresql+psycopg://user:{SECRET}")
def test_no_complaint_quotes_a_password(name: str, value: str) -> None:
    assert SECRET not in complaint({name: value})


@given(name=some.sampled_from(["SMS_GATEWAY_PASSWORD", "SMS_CALLBACK_SECRET", "SMS_WEB_PASSWORD"]), value=VALUES)
def test_no_setting_shows_a_secret(name: str, value: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for other, needed in (NEEDED | {name: value + SECRET}).items():
            patch.setenv(other, needed)

        shown = repr(load_settings())

    assert SECRET not in shown


@given(folder=WORDS)
@example("a" * 5_000)
@example("one\rtwo")
def test_a_folder_of_secrets_is_one_or_named_in_one_line(folder: str) -> None:
    said = complaint({SECRETS_DIR: folder})

    assert not said or said.startswith(SECRETS_DIR)
    assert len(said.splitlines()) <= 1


LINES = some.builds(
    b"%s%s%s".__mod__,
    some.tuples(
        some.sampled_from([*NAMES, "OTHER", "SMS_WRONG", "export SMS_LOG_FORMAT", "#"]).map(str.encode)
        | some.binary(max_size=5),
        some.sampled_from([b"=", b"", b" = ", b"='", b'="', b"=${HOME}", b"=\xff"]),
        some.binary(max_size=8) | VALUES.map(os.fsencode),
    ),
)


@given(lines=some.lists(LINES, max_size=4))
def test_an_env_file_is_read_or_answered_in_one_line(lines: list[bytes]) -> None:
    Path(".env").write_bytes(b"\n".join(lines))

    said = complaint({})

    assert len(said.splitlines()) <= 1
    assert SECRET not in said


@given(content=some.binary(max_size=40) | VALUES.map(os.fsencode), name=some.sampled_from(NAMES))
def test_a_secret_file_is_read_or_answered_in_one_line(tmp_path: Path, content: bytes, name: str) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    (folder / name).write_bytes(content)

    said = complaint({SECRETS_DIR: str(folder)})

    assert len(said.splitlines()) <= 1
    assert SECRET not in said
