"""docs/database.md says what the models and the questions say. Run as a script, this file writes it anew."""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Engine, Integer, SmallInteger, Table, create_engine, inspect, text
from sqlalchemy.dialects import postgresql

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/support"))

from example_rows import example_rows, store  # noqa: E402
from questions import QUESTIONS, Question, in_words_of  # noqa: E402

from migrations.schema import upgrade  # noqa: E402
from models import Base  # noqa: E402
from models.views import VIEWS  # noqa: E402
from worker.clock import utc_now  # noqa: E402

PAGE = ROOT / "docs/database.md"
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
TABLES = [
    *(Base.metadata.tables[name] for name in ("messages", "batches", "reports", "callbacks", "refused_intakes")),
    *(Base.metadata.tables[name] for name in ("accounts", "circuits", "decisions", "blocks", "tallies", "workers")),
]
SHORT = {"TIMESTAMP WITH TIME ZONE": "timestamptz", "DOUBLE PRECISION": "double"}
UNITS = {"timestamptz": "UTC", "date": "a day"}
UNITS_OF = {
    **dict.fromkeys(("parts", "billed_parts", "billed_more"), "SMS parts"),
    **dict.fromkeys(("size", "accepted", "refused", "messages", "waiting", "later", "batch_size"), "messages"),
    **dict.fromkeys(("answer_ms", "batch_answer_ms"), "milliseconds"),
    **dict.fromkeys(("oldest_seconds", "seconds_to_deliver_p50", "seconds_to_deliver_p95"), "seconds"),
    **dict.fromkeys(("attempts", "resends", "probes", "failures", "polls"), "times"),
    **dict.fromkeys(("error_no", "report_error_no"), "the vendor's number"),
    **dict.fromkeys(("http_status", "batch_http_status"), "HTTP status"),
}
BY_THE_CLOCK = {"v_queue": {"lane": "otp", "waiting": 12, "later": 0, "oldest_at": NOON, "oldest_seconds": 4.25}}

HEAD = """# The database

Written by `make docs` from `models/`, and each query below is run by a test on both databases.

Read it with any SQL client: `sqlite3 sms.db`, or `psql`, where `\\d+ messages` tells the meaning of each column too.
Do not write to it: orders go by Celery, decisions by `sms`. For people who only look, PostgreSQL has roles that cannot
do more: [deploy/postgres/read_only.sql](../deploy/postgres/read_only.sql).

All instants are UTC. PostgreSQL shows them in the session's time zone (`SET TIME ZONE 'UTC'`); SQLite keeps them as
text, `2026-11-30 12:00:00.000000`, which sorts and compares as it should. JSON is `jsonb`, and text in SQLite.

`messages.batch_id` and `reports.sms_id` refer to batches and messages as foreign keys do. On PostgreSQL triggers of the
same names guard them, which cost a fraction of it: a program that draws tables does not know of these two by itself.
Rows of `batches` and `messages` are deleted in READ COMMITTED transactions only, and `TRUNCATE … CASCADE` does not take
what refers to them along.

Keep no transaction open for long, neither a report of an hour nor a `psql` that was left after `BEGIN`: PostgreSQL
clears no row away that it may still see, so while it lasts each claim costs more, by some 0.5 ms of CPU for each 1,000
messages claimed since it began (`bench/old_snapshot.py`). Read in pieces, or on a standby, and let
`idle_in_transaction_session_timeout` end what is forgotten. `sms doctor` names whatever has been open for 10 minutes.

"Yesterday" and "today" in the questions are days of UTC where the session's time zone is UTC.

Look-ups by `uid`, `phone`, `key`, `request_id`, `id`, `batch_id` and a range of `created_at` read an index, in tables
and in `v_sent` alike. For the newest messages of a day write `ORDER BY created_at DESC`: with `ORDER BY id`
PostgreSQL may walk all that came since.
"""


@pytest.fixture
def lived(engine: Engine) -> Engine:
    """A database with the rows of the examples, of now."""
    with engine.begin() as connection:
        store(connection, example_rows(utc_now()))
    return engine


def kind_of(column: Column[Any]) -> str:
    compiled = column.type.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
    return SHORT.get(compiled, compiled.lower())


def unit_of(column: Column[Any]) -> str:
    return UNITS_OF.get(column.name) or UNITS.get(kind_of(column), "–")


def examples() -> dict[str, dict[str, Any]]:
    """Of each column of each table and view a value, as an SQLite with the example's rows gives it."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/example.db"
        upgrade(url)
        engine = create_engine(url)
        with engine.begin() as connection:
            store(connection, example_rows(NOON))
            found = {
                table.name: [dict(row._mapping) for row in connection.execute(table.select())]
                for table in (*TABLES, *VIEWS.sorted_tables)
            }
        engine.dispose()
    return {name: first_of(rows) for name, rows in found.items()} | BY_THE_CLOCK


def first_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each column a value that is not null, of the fullest row that has one."""
    filled = [{name: value for name, value in row.items() if value not in (None, {})} for row in rows]
    return {name: value for row in sorted(filled, key=len) for name, value in row.items()}


def shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"`{value:%Y-%m-%d %H:%M:%S}`"
    if isinstance(value, date | int | float | str):
        return f"`{value}`"
    return f"`{json.dumps(value)}`"


def table_of(table: Table, values: dict[str, Any]) -> Iterator[str]:
    yield f"\n### {table.name}\n\n{table.comment}\n"
    yield "| column | type | unit | meaning | example |\n|---|---|---|---|---|"
    for column in table.columns:
        null = "" if not column.nullable or table.metadata is VIEWS else " or null"
        said = f"{kind_of(column)}{null} | {unit_of(column)} | {column.doc}"
        yield f"| `{column.name}` | {said} | {shown(values.get(column.name))} |"


def question_of(number: int, question: Question) -> Iterator[str]:
    yield f"\n### {number}. {question.asked}\n"
    if question.note:
        yield f"{question.note}\n"
    words = {name: in_words_of(question.sql, name) for name in ("postgresql", "sqlite")}
    if words["postgresql"] == words["sqlite"]:
        yield f"```sql\n{words['sqlite']};\n```"
        return
    for name, database in (("postgresql", "PostgreSQL"), ("sqlite", "SQLite")):
        yield f"```sql\n-- {database}\n{words[name]};\n```"


def page() -> str:
    values = examples()
    lines = [HEAD, "## Views for people\n\nTheir columns stay as they are across releases."]
    for view in VIEWS.tables.values():
        lines += table_of(view, values[view.name])
    lines += ["\n## Twenty questions"]
    for number, question in enumerate(QUESTIONS, 1):
        lines += question_of(number, question)
    lines += ["\n## Tables"]
    for table in TABLES:
        lines += table_of(table, values[table.name])
    lines += [
        "\n`alembic_version` and `schema_works_with` say which release the schema is of, and which ones work on it."
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.check
def test_the_page_says_what_the_models_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


@pytest.mark.check
def test_every_table_and_view_is_on_the_page() -> None:
    assert {table.name for table in TABLES} == set(Base.metadata.tables)


COLUMNS = [column for table in (*TABLES, *VIEWS.sorted_tables) for column in table.columns]


@pytest.mark.check
@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: f"{column.table.name}.{column.name}")
def test_every_column_says_in_a_line_what_it_means_and_in_which_unit(column: Column[Any]) -> None:
    is_number = isinstance(column.type, Integer | SmallInteger) and not column.name.endswith(("id", "split"))

    assert column.doc
    assert "\n" not in column.doc
    assert "|" not in column.doc
    assert not is_number or unit_of(column) != "–"


@pytest.mark.check
def test_every_column_has_an_example() -> None:
    values = examples()

    without = {f"{column.table.name}.{column.name}" for column in COLUMNS if not shown_of(column, values)}

    assert without == set()


def shown_of(column: Column[Any], values: dict[str, dict[str, Any]]) -> str:
    return shown(values[column.table.name].get(column.name)) or ("{}" if column.name == "figures" else "")


@pytest.mark.check
def test_there_are_twenty_questions() -> None:
    assert len({question.asked for question in QUESTIONS}) == 20


@pytest.mark.parametrize("question", QUESTIONS, ids=[question.asked for question in QUESTIONS])
def test_a_question_is_answered_rightly(lived: Engine, question: Question) -> None:
    with lived.connect() as connection:
        rows = connection.execute(text(in_words_of(question.sql, lived.dialect.name).replace(":", "\\:"))).all()

    assert [tuple(row)[: len(answer)] for row, answer in zip(rows, question.answer, strict=True)] == question.answer


@pytest.mark.parametrize("question", QUESTIONS, ids=[question.asked for question in QUESTIONS])
def test_a_question_to_an_empty_house_has_no_wrong_answer(engine: Engine, question: Question) -> None:
    with engine.connect() as connection:
        rows = connection.execute(text(in_words_of(question.sql, engine.dialect.name).replace(":", "\\:"))).all()

    assert len(rows) == (3 if "v_queue" in question.sql else 0)


@pytest.mark.check
def test_the_readme_asks_the_same_questions(fenced: Callable[[str, str], list[str]]) -> None:
    (block,) = fenced("README.md", "sql")
    asked = [statement.partition("\n")[2] for statement in block.strip().split("\n\n")]

    both = {in_words_of(question.sql, name) + ";" for question in QUESTIONS for name in ("postgresql", "sqlite")}

    assert len(asked) == 5
    assert set(asked) <= both


@pytest.mark.parametrize("view", VIEWS.sorted_tables, ids=lambda view: view.name)
def test_a_view_has_the_columns_that_the_page_shows(engine: Engine, view: Table) -> None:
    columns = inspect(engine).get_columns(view.name)

    assert [column["name"] for column in columns] == [column.name for column in view.columns]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_keeps_the_meaning_of_every_view(engine: Engine) -> None:
    looking = inspect(engine)

    for view in VIEWS.sorted_tables:
        assert looking.get_table_comment(view.name)["text"] == view.comment
        assert {column["name"]: column["comment"] for column in looking.get_columns(view.name)} == {
            column.name: column.doc for column in view.columns
        }


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
