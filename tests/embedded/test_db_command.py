from pathlib import Path

import pytest
from typer.testing import CliRunner

from worker.cli.db import db
from worker.errors import SchemaMismatch, SettingsError
from worker.urls import without_secrets


def test_an_empty_database_is_brought_to_this_release_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sms.db"

    first = CliRunner().invoke(db, ["upgrade", "--url", url])
    second = CliRunner().invoke(db, ["upgrade", "--url", url])

    assert first.output.startswith(f"The database {url} was empty and is now at")
    assert "nothing to do" in second.output


def test_a_new_file_is_its_owners_alone_because_phones_stand_in_it(tmp_path: Path) -> None:
    CliRunner().invoke(db, ["upgrade", "--url", f"sqlite:///{tmp_path}/sms.db"])

    assert (tmp_path / "sms.db").stat().st_mode & 0o777 == 0o600


def test_a_look_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch):
        CliRunner().invoke(db, ["check", "--url", f"sqlite:///{tmp_path}/sms.db"], catch_exceptions=False)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["foo", "mysql://h/sms", "sqlite://"])
def test_an_address_that_is_none_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(SettingsError, match="SMS_DATABASE_URL: must be sqlite:///FILE or"):
        CliRunner().invoke(db, ["upgrade", "--url", url], catch_exceptions=False)


def test_a_file_that_is_no_database_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database at all, " * 100)

    with pytest.raises(SettingsError, match=r"notes\.txt does not answer: file is not a database"):
        CliRunner().invoke(db, ["upgrade", "--url", f"sqlite:///{tmp_path}/notes.txt"], catch_exceptions=False)


def test_a_migrated_database_passes_the_check(database_url: str) -> None:
    checked = CliRunner().invoke(db, ["check", "--url", database_url])

    assert checked.exit_code == 0
    assert checked.output.endswith("this release works on it.\n")


def test_an_empty_database_fails_the_check_with_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match="sms db upgrade"):
        CliRunner().invoke(db, ["check", "--url", f"sqlite:///{tmp_path}/sms.db"], catch_exceptions=False)


def test_the_database_of_whoever_set_none_is_named_with_what_up_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SMS_DATABASE_URL", raising=False)

    with pytest.raises(SchemaMismatch) as raised:
        CliRunner().invoke(db, ["check"], catch_exceptions=False)

    assert str(raised.value).startswith(f"The database sqlite:///{tmp_path}/sms.db has no tables yet. Run: sms db ")
    assert "`sms up` has a database of its own, in .sms/up" in str(raised.value)


def test_a_database_of_ones_own_without_tables_is_named_alone(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match=f"The database sqlite:///{tmp_path}/a.db has no tables yet") as raised:
        CliRunner().invoke(db, ["check", "--url", f"sqlite:///{tmp_path}/a.db"], catch_exceptions=False)

    assert ".sms/up" not in str(raised.value)


def test_a_file_whose_folder_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"/no/sms\.db cannot be made: No such file or directory\. Make its folder"):
        CliRunner().invoke(db, ["upgrade", "--url", f"sqlite:///{tmp_path}/no/sms.db"], catch_exceptions=False)


@pytest.mark.parametrize("command", ["check", "upgrade"])
def test_a_database_that_does_not_answer_is_named_without_its_password(command: str) -> None:
    url = "postgresql+psycopg://sms:secret@127.0.0.1:1/sms"

    with pytest.raises(SettingsError, match=r"postgresql\+psycopg://127\.0\.0\.1:1/sms does not answer: ") as raised:
        CliRunner().invoke(db, [command, "--url", url], catch_exceptions=False)

    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        pytest.param("redis://:secret@10.0.0.1:6379/3", "redis://10.0.0.1:6379/3", id="in the user part"),
        pytest.param("redis://10.0.0.1/3?password=secret", "redis://10.0.0.1/3", id="in the query"),
        pytest.param("postgresql+psycopg://a:b@db/sms", "postgresql+psycopg://db/sms", id="of the database"),
        pytest.param("sqlite:////var/sms.db", "sqlite:////var/sms.db", id="none there"),
    ],
)
def test_no_password_is_ever_shown(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
