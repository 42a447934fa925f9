"""The database or Redis fails in the middle of a command: one line that holds no value, and exit code 2."""

import sys
from collections.abc import Callable

import pytest
import redis
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, exc, text

from worker.cli.failures import words_for
from worker.cli.main import main

SECRET = "998901234567"  # as it might stand in a row
REFUSING = {
    "sqlite": [
        f"CREATE TRIGGER refuse BEFORE INSERT ON decisions BEGIN SELECT RAISE(ABORT, '{SECRET}'); END",
    ],
    "postgresql": [
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE '{SECRET}'; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON decisions FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
}
LOCKS = {  # to hold, to be had at once, and what comes of it
    "sqlite": ("DELETE FROM decisions", "DELETE FROM decisions", "busy"),
    "postgresql": ("LOCK TABLE decisions", "LOCK TABLE decisions NOWAIT", "lock not available"),
}
KINDS = {"sqlite": "constraint trigger", "postgresql": "raise exception"}

Line = Callable[..., str]


@pytest.fixture
def line_of(house: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Line:  # noqa: ARG001
    """The one line with which the command of these words fails."""

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["sms", *words])
        with pytest.raises(SystemExit) as left:
            main()
        written = capsys.readouterr()
        assert (left.value.code, written.out, written.err.count("\n")) == (2, "", 1)
        return written.err.strip()

    return run


@pytest.fixture
def refusing(engine: Engine) -> str:
    """The kind of a database that refuses every decision."""
    with engine.begin() as connection:
        for statement in REFUSING[engine.dialect.name]:
            connection.execute(text(statement))
    return engine.dialect.name


def test_a_database_that_refuses_is_one_line_without_a_value(refusing: str, line_of: Line) -> None:
    line = line_of("pause", "--reason", "the vendor moves", "--as", "nodira")

    assert line == f"sms: The database could not do it ({KINDS[refusing]}). It may be done in part: run it again."


def test_a_table_that_is_locked_is_said_in_words(engine: Engine) -> None:
    """As a command meets it when its own time-out is over."""
    lock, at_once, kind = LOCKS[engine.dialect.name]
    impatient = create_engine(engine.url, connect_args={"timeout": 0} if kind == "busy" else {})
    with engine.begin() as holder, impatient.connect() as other:
        holder.execute(text(lock))
        with pytest.raises(exc.OperationalError) as raised:
            other.execute(text(at_once))

    impatient.dispose()
    assert words_for(raised.value) == f"The database could not do it ({kind}). It may be done in part: run it again."


def of_redis() -> Exception:
    with redis.Redis(host="127.0.0.1", port=1) as nobody, pytest.raises(redis.RedisError) as raised:
        nobody.ping()
    return raised.value


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(of_redis(), "Redis could not do it (connection error).", id="Redis is away"),
        pytest.param(exc.TimeoutError(SECRET), "The database could not do it (timeout error).", id="no connection"),
        pytest.param(
            CommandError("No such revision"), "The migration could not be done: No such revision", id="Alembic"
        ),
    ],
)
def test_what_failed_is_said_in_words(error: Exception, words: str) -> None:
    said = words_for(error)

    assert said
    assert said.startswith(words)
    assert SECRET not in said


def test_a_mistake_of_ours_is_not_taken_for_one_of_theirs() -> None:
    assert words_for(ZeroDivisionError()) is None
