"""deploy/postgres/read_only.sql makes roles that see what they may and change nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from example_rows import CODE, example_rows, store
from sqlalchemy import Connection, Engine, create_engine, exc, select, text
from sqlalchemy import column as column_named
from sqlalchemy import table as table_named
from sqlalchemy.engine import make_url

from models import Base
from models.views import VIEWS
from worker.clock import utc_now

SCRIPT = Path(__file__).parents[2] / "deploy/postgres/read_only.sql"
READER, VIEWER = "sms_reader", "sms_viewer"
HIDDEN = {
    *("messages.phone", "messages.ordered_phone", "messages.text", "messages.ordered_text", "messages.tags"),
    *("messages.callback", "v_sent.phone", "v_sent.text", "blocks.phone", "reports.answer", "callbacks.target"),
    *("callbacks.event", "refused_intakes.body", "refused_intakes.explanation"),
}
TABLES = [*Base.metadata.sorted_tables, *VIEWS.sorted_tables]
As = Callable[[str], Connection]
pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def run_script(engine: Engine) -> None:
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute(SCRIPT.read_bytes())


@contextmanager
def roles_gone_at_last(engine: Engine) -> Iterator[None]:
    """They belong to the server, not to this test's database."""
    yield
    with engine.begin() as connection:
        connection.execute(text(f"DROP OWNED BY {READER}, {VIEWER}"))
        connection.execute(text(f"DROP ROLE {READER}, {VIEWER}"))


@pytest.fixture
def looking(engine: Engine, database_url: str) -> Iterator[As]:
    """Connects as a role, to a database with a row of everything in which the script was run twice."""
    with engine.begin() as connection:
        store(connection, example_rows(utc_now()))
    engines: list[Engine] = []

    def connect(role: str) -> Connection:
        with engine.begin() as connection:
            connection.execute(text(f"ALTER ROLE {role} PASSWORD 'look'"))
        engines.append(create_engine(make_url(database_url).set(username=role, password="look")))
        return engines[-1].connect()

    run_script(engine)
    with roles_gone_at_last(engine):
        run_script(engine)
        yield connect
        for one in engines:
            one.dispose()


def test_a_reader_sees_everything(looking: As) -> None:
    with looking(READER) as reader:
        rows = {table.name: len(reader.execute(table.select()).all()) for table in TABLES}

    assert {name for name, count in rows.items() if not count} == set()


def test_a_reader_sees_what_a_later_release_makes(looking: As, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE later (id int)"))

    with looking(READER) as reader:
        assert reader.execute(text("SELECT * FROM later")).all() == []


@pytest.mark.parametrize("role", [READER, VIEWER])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE messages SET reason = 'x'",
        "DELETE FROM reports",
        "INSERT INTO decisions (at, who, what) VALUES (now(), 'x', 'drop')",
        "TRUNCATE callbacks",
        "DROP VIEW v_sent",
    ],
    ids=lambda statement: statement.split()[0],
)
def test_nobody_changes_anything_even_with_the_second_net_cut(looking: As, role: str, statement: str) -> None:
    with looking(role) as connection:
        connection.execute(text("SET TRANSACTION READ WRITE"))

        with pytest.raises(exc.ProgrammingError, match=r"permission denied|must be owner"):
            connection.execute(text(statement))


@pytest.mark.parametrize("role", [READER, VIEWER])
def test_a_question_that_takes_too_long_is_ended(looking: As, role: str) -> None:
    with looking(role) as connection:
        shown = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("statement_timeout", "default_transaction_read_only", "timezone")
        ]

    assert shown == ["30s", "on", "UTC"]


def test_a_viewer_sees_every_column_but_who_and_what(looking: As) -> None:
    columns = {(table.name, column.name) for table in TABLES for column in table.columns}

    with looking(VIEWER) as viewer:
        visible = {f"{table}.{column}" for table, column in columns if is_visible(viewer, table, column)}

    assert {f"{table}.{column}" for table, column in columns} - visible == HIDDEN


def is_visible(connection: Connection, table: str, column: str) -> bool:
    try:
        connection.execute(select(column_named(column)).select_from(table_named(table))).all()
    except exc.ProgrammingError:
        connection.rollback()
        return False
    return True


def test_a_viewer_follows_a_message_without_seeing_whose_it_is(looking: As) -> None:
    asked = text("SELECT state, batch_state, report_gateway_status FROM v_sent WHERE uid = :uid")

    with looking(VIEWER) as viewer:
        assert viewer.execute(asked, {"uid": CODE}).one() == ("delivered", "accepted", "delivered")


def test_a_viewer_finds_no_message_by_its_phone(looking: As) -> None:
    with looking(VIEWER) as viewer, pytest.raises(exc.ProgrammingError, match="permission denied"):
        viewer.execute(text("SELECT uid FROM messages WHERE phone = '998901234567'"))
