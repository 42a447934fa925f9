"""Writers of one process stand in line for SQLite, in the order in which they came, and none holds it up for ever."""

import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from servers import wait_for

from worker.store.line import Line, Writer

TOO_LONG = 0.05


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def writers(tmp_path: Path, line: Line) -> Iterator[list[Writer]]:
    """Two connections of one process."""
    made = [a_writer(tmp_path / "sms.db", line) for _ in range(2)]
    made[0].execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    yield made
    for one in made:
        one.close()


def a_writer(file: Path, line: Line) -> Writer:
    connect = partial(sqlite3.connect, timeout=0, isolation_level=None, check_same_thread=False)
    made = connect(file, factory=partial(Writer, line))
    assert isinstance(made, Writer)
    return made


def begin(writer: Writer) -> None:
    writer.stand_in_line()
    writer.execute("BEGIN IMMEDIATE")


def waits(line: Line, writers: int) -> bool:
    return len(line._waiting) == writers


def test_whoever_came_first_is_let_in_first(line: Line) -> None:
    came: list[int] = []

    def write(number: int) -> None:
        assert line.enter()
        came.append(number)
        line.leave()

    line.enter()
    with ThreadPoolExecutor(5) as pool:
        for number in range(5):
            pool.submit(write, number)
            wait_for(partial(waits, line, number + 1))
        line.leave()

    assert came == list(range(5))


def test_two_writers_never_meet_at_the_database(writers: list[Writer]) -> None:
    """It is told not to wait at all, so that a meeting would be an error."""

    def write(writer: Writer) -> None:
        for _ in range(200):
            begin(writer)
            writer.execute("INSERT INTO messages (text) VALUES ('Salom')")
            writer.commit()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write, writer) for writer in writers]:
            done.result(60)

    assert writers[0].execute("SELECT count(*) FROM messages").fetchone() == (400,)


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
def test_the_end_of_a_transaction_lets_the_next_one_in(writers: list[Writer], line: Line, end: str) -> None:
    begin(writers[0])

    getattr(writers[0], end)()

    assert line.enter(longest_seconds=TOO_LONG)


def test_a_transaction_that_could_not_begin_leaves_with_its_rollback(
    writers: list[Writer], line: Line, tmp_path: Path
) -> None:
    other_process = a_writer(tmp_path / "sms.db", Line())
    begin(other_process)

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        begin(writers[0])
    writers[0].rollback()
    other_process.close()

    assert line.enter(longest_seconds=TOO_LONG)


def test_a_commit_that_failed_stays_in_until_it_is_rolled_back(writers: list[Writer], line: Line) -> None:
    writers[0].execute("PRAGMA foreign_keys = ON")
    parent = "REFERENCES messages (id) DEFERRABLE INITIALLY DEFERRED"
    writers[0].execute(f"CREATE TABLE reports (id INTEGER PRIMARY KEY, sms_id INTEGER {parent})")
    begin(writers[0])
    writers[0].execute("INSERT INTO reports (sms_id) VALUES (1)")

    with pytest.raises(sqlite3.IntegrityError):
        writers[0].commit()
    still_in = not line.enter(longest_seconds=TOO_LONG)
    writers[0].rollback()

    assert still_in
    assert line.enter(longest_seconds=TOO_LONG)


def test_reading_stands_in_no_line(writers: list[Writer], line: Line) -> None:
    begin(writers[0])

    writers[1].execute("BEGIN DEFERRED")
    found = writers[1].execute("SELECT count(*) FROM messages").fetchone()
    writers[1].commit()

    assert found == (0,)
    assert not line.enter(longest_seconds=TOO_LONG)


def test_a_signal_while_it_waits_holds_up_nobody_behind_it(line: Line) -> None:
    me = threading.get_ident()
    line.enter()

    def strike() -> None:
        wait_for(partial(waits, line, 1))
        signal.pthread_kill(me, signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(strike)
        with pytest.raises(KeyboardInterrupt):
            line.enter()
    line.leave()

    assert line.enter(longest_seconds=TOO_LONG)


def test_whoever_waits_too_long_gives_its_place_up(line: Line) -> None:
    line.enter()

    gave_up = not line.enter(longest_seconds=TOO_LONG)
    line.leave()

    assert gave_up
    assert line.enter(longest_seconds=TOO_LONG), "the turn went to somebody who had left"
