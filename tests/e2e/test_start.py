"""What stops a start, each in one clear line; and what does not stop a worker at all."""

import subprocess
import sys

import pytest
import redis
from sqlalchemy import text
from system import System, phones

from migrations.schema import downgrade


def refusal_of(house: System, *options: str, **env: str) -> str:
    """The one line with which a worker refuses to start."""
    command = [sys.executable, "-m", "celery", "-A", "worker", "worker", *options]
    ended = subprocess.run(
        command, env=house.env | env, cwd=house.folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode != 0, ended.stdout
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "env", "words"),
    [
        pytest.param([], {"SMS_GATEWAY_LOGIN": ""}, "SMS_GATEWAY_LOGIN is not set", id="a missing setting"),
        pytest.param([], {"SMS_GATEWAY_PASSWORT": "x"}, "Did you mean SMS_GATEWAY_PASSWORD?", id="an unknown one"),
        pytest.param([], {"SMS_GATEWAY_URL": "getsms.uz"}, "SMS_GATEWAY_URL: must be http", id="a wrong URL"),
        pytest.param(
            ["-Q", "sms.otp,sms.submission"], {}, "Leave the lanes out of -Q", id="a lane consumed twice over"
        ),
        pytest.param(["-P", "solo", "-Q", "sms.opt"], {}, "there is no such queue", id="a misspelt queue"),
        pytest.param(
            [],
            {"ALL_PROXY": "socks5://127.0.0.1:1", "SMS_GATEWAY_URL": "http://10.0.0.1/smsgateway"},
            "SOCKS proxy",
            id="a SOCKS proxy",
        ),
        pytest.param([], {"CELERY_BROKER_URL": "redis://127.0.0.1:1/7"}, "names another broker", id="two brokers"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_wrong_start_is_refused_in_one_line(
    house: System, options: list[str], env: dict[str, str], words: str
) -> None:
    line = refusal_of(house, *options, **env)

    assert words in line


def test_a_schema_that_is_behind_stops_the_start_and_says_what_to_run(house: System) -> None:
    downgrade(house.env["SMS_DATABASE_URL"], "base")

    line = refusal_of(house)

    assert "sms db upgrade" in line


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql+psycopg://sms:secret-word@127.0.0.1:1/sms", id="password before the host"),
        pytest.param("postgresql+psycopg://127.0.0.1:1/sms?user=sms&password=secret-word", id="password in the query"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_that_is_away_stops_the_start_without_its_password(house: System, url: str) -> None:
    line = refusal_of(house, SMS_DATABASE_URL=url)

    assert "the database at postgresql+psycopg://127.0.0.1:1/sms does not answer" in line
    assert "secret-word" not in line


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_file_that_is_no_database_stops_the_start(house: System) -> None:
    (house.folder / "notes.txt").write_text("no database at all, " * 100)

    line = refusal_of(house, SMS_DATABASE_URL="sqlite:///notes.txt")

    assert "the database at sqlite:///notes.txt does not answer (file is not a database)" in line


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_database_that_does_not_let_us_look_stops_the_start(house: System) -> None:
    with house.engine.begin() as connection:
        connection.execute(text("ALTER TABLE alembic_version RENAME COLUMN version_num TO something_else"))

    line = refusal_of(house)

    assert line.startswith("SMS_DATABASE_URL: the database at postgresql+psycopg://")
    assert "column alembic_version.version_num does not exist" in line


def test_a_wrong_login_loses_nothing_and_says_what_to_do(house: System) -> None:
    """Everything stays queued, one line names the setting; with the right login all of it goes out."""
    wrong = house.worker(SMS_GATEWAY_PASSWORD="wrong")
    house.beat()

    for phone in phones(60):
        house.send(phone)
    wrong.wait_until_logged("check SMS_GATEWAY_LOGIN and SMS_GATEWAY_PASSWORD")
    house.wait_for_states(queued=60)
    wrong.stop()

    assert house.rows("SELECT state, error_no FROM accounts") == [("paused", 101)]
    with house.engine.begin() as connection:  # the pause between probes is over
        connection.execute(text("UPDATE accounts SET probe_at = paused_at"))
    house.worker(name="right")
    house.wait_for_states(delivered=60)
    assert set(house.posted().values()) == {1}
    assert house.rows("SELECT state, error_no FROM accounts") == [("active", None)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_wrong_path_at_the_gateway_loses_nothing(house: System) -> None:
    wrong = house.worker(SMS_GATEWAY_URL=house.sandbox.url + "/elsewhere")
    house.beat()

    house.send("998901234567")
    wrong.wait_until_logged("circuit_opened")

    house.wait_for_states(queued=1)
    assert house.posted() == {}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_second_worker_of_the_same_name_is_refused(house: System) -> None:
    house.worker(name="twin")

    line = refusal_of(house, "-n", "twin@test")

    assert line.startswith("-n twin@test: a worker of that name is running already.")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_worker_that_was_killed_can_be_started_again_under_its_name_at_once(house: System) -> None:
    killed = house.worker(name="phoenix")
    killed.kill()
    with redis.Redis.from_url(house.env["SMS_REDIS_URL"]) as server:
        held = server.get("sms:worker:phoenix@test")

    again = house.worker(name="phoenix")

    assert held, "the name was free already: this shows nothing"
    assert again.is_alive()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_broker_that_is_away_is_waited_for(house: System) -> None:
    worker = house.worker(SMS_REDIS_URL="redis://127.0.0.1:1/0", wait=False)

    worker.wait_until_logged("Cannot connect to redis://")
    worker.wait_until_logged("intake_pauses")

    assert worker.is_alive()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_prefork_children_have_connections_of_their_own(house: System) -> None:
    worker = house.worker("-P", "processes", "-c", "2")  # for "prefork" Celery takes the app's own pool, threads
    house.beat()

    for phone in phones(300):
        house.send(phone)
    house.wait_for_states(delivered=300)

    assert "(prefork)" in worker.log.read_text()
    assert house.posted() == dict.fromkeys(phones(300), 1)
