"""The migrations make the tables of the models, go both ways, and wait for each other."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from compared import unlike_the_models
from databases import an_empty_database
from sqlalchemy import Engine, inspect, text
from typer.testing import CliRunner

from migrations import schema
from models import Base
from worker.cli.db import db
from worker.errors import SchemaMismatch
from worker.store.engine import make_engine
from worker.store.schema import check_schema


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that was never migrated."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: str = request.getfixturevalue("postgres_server")
    with an_empty_database(server, "sms_test_empty") as url:
        yield url


@pytest.fixture
def empty(empty_url: str) -> Iterator[Engine]:
    with closing_engine(empty_url) as engine:
        yield engine


@pytest.mark.check
def test_the_migrations_make_what_the_models_say(engine: Engine) -> None:
    with engine.connect() as connection:
        assert unlike_the_models(connection) == []


EMPTY_GUARD = """
    CREATE OR REPLACE FUNCTION fk_reports_sms_id_gone() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RETURN NULL; END $$
"""
KEY = "ALTER TABLE messages ADD CONSTRAINT fk_messages_batch_id FOREIGN KEY (batch_id) REFERENCES batches"
OTHERWISE = [
    pytest.param("ALTER TABLE messages DISABLE TRIGGER fk_messages_batch_id_inserted", id="a trigger is off"),
    pytest.param("DROP TRIGGER fk_reports_sms_id_deleted ON messages", id="a trigger is missing"),
    pytest.param(EMPTY_GUARD, id="triggers guard nothing"),
    pytest.param(KEY, id="a key beside its triggers"),
    pytest.param("ALTER TABLE batches DROP CONSTRAINT fk_batches_account_id", id="another key is missing"),
    pytest.param("ALTER INDEX ix_messages_batch_id RESET (deduplicate_items)", id="an index has other options"),
]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("change", OTHERWISE)
def test_what_postgresql_has_otherwise_is_seen(engine: Engine, change: str) -> None:
    with engine.connect() as connection:
        connection.execute(text(change))

        assert unlike_the_models(connection) != []


def test_the_way_back_leaves_nothing_and_can_be_gone_again(empty: Engine, empty_url: str) -> None:
    schema.upgrade(empty_url)
    schema.downgrade(empty_url, "base")
    left = set(inspect(empty).get_table_names())
    schema.upgrade(empty_url)

    assert left == {"alembic_version"}
    assert set(Base.metadata.tables) < set(inspect(empty).get_table_names())


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(database_url: str, engine: Engine) -> None:
    schema.upgrade(database_url)

    assert schema.present(engine) == schema.needed()


def test_two_upgrades_at_the_same_time_both_succeed(empty: Engine, empty_url: str) -> None:
    both = [upgrading(empty_url, stdout=subprocess.PIPE) for _ in range(2)]
    with occupied(empty):  # neither is through before the other begins
        for one in both:
            assert one.stdout
            assert one.stdout.readline() == b"beginning\n"
            one.stdout.close()

    assert [one.wait(60) for one in both] == [0, 0]
    check_schema(empty)


@contextmanager
def occupied(engine: Engine) -> Iterator[None]:
    """Nobody else may write an SQLite file meanwhile; for PostgreSQL the upgrades' own lock is enough."""
    with engine.begin():
        yield


def test_an_upgrade_waits_until_another_is_done(postgres_server: str) -> None:
    lock = {"lock": schema.LOCK}
    with an_empty_database(postgres_server, "sms_test_waits") as url, closing_engine(url) as engine:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
            other.execute(text("SELECT pg_advisory_lock(:lock)"), lock)
            upgrade = upgrading(url, stderr=subprocess.PIPE)
            assert upgrade.stderr
            said = upgrade.stderr.readline()
            before = schema.present(engine)
            other.execute(text("SELECT pg_advisory_unlock(:lock)"), lock)

        assert upgrade.wait(60) == 0
        upgrade.stderr.close()
        assert said == b"Another upgrade of this database is under way: waiting for it.\n"
        assert (before, schema.present(engine)) == (None, schema.needed())


def upgrading(url: str, **options: Any) -> subprocess.Popen[bytes]:
    """An upgrade in a process of its own: Alembic knows only one at a time in each."""
    script = f"from migrations import schema; print('beginning', flush=True); schema.upgrade({url!r})"
    return subprocess.Popen([sys.executable, "-c", script], **options)


@contextmanager
def closing_engine(url: str) -> Iterator[Engine]:
    engine = make_engine(url)
    yield engine
    engine.dispose()


def test_a_worker_does_not_start_on_a_database_without_tables(empty: Engine) -> None:
    with pytest.raises(SchemaMismatch, match=r"no tables yet\. Run: sms db upgrade"):
        check_schema(empty)


def set_schema(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def works_with(engine: Engine, oldest: str) -> None:
    """As a newer release's migration would say it."""
    with engine.begin() as connection:
        connection.execute(text("DROP VIEW schema_works_with"))
        connection.execute(text(f"CREATE VIEW schema_works_with AS SELECT '{oldest}' AS oldest"))


def test_a_worker_starts_on_a_newer_schema_that_works_with_it(engine: Engine) -> None:
    set_schema(engine, "9999")
    works_with(engine, schema.needed())

    check_schema(engine)


def test_a_worker_does_not_start_on_a_schema_that_has_left_it_behind(engine: Engine) -> None:
    set_schema(engine, "9999")
    works_with(engine, "9998")

    with pytest.raises(SchemaMismatch, match="has schema 9999, which this release does not know: install a newer one"):
        check_schema(engine)


def test_a_worker_does_not_start_on_a_schema_that_is_behind(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    behind = schema.needed()
    monkeypatch.setattr(schema, "needed", lambda: "9999")  # as if a release had come since

    with pytest.raises(SchemaMismatch, match=f"has schema {behind}, this worker needs 9999. Run: sms db upgrade"):
        check_schema(engine)


def test_an_older_release_does_not_touch_the_database_of_a_newer_one(engine: Engine, database_url: str) -> None:
    set_schema(engine, "9999")
    works_with(engine, "9998")

    with pytest.raises(SchemaMismatch, match="install a newer one"):
        CliRunner().invoke(db, ["upgrade", "--url", database_url], catch_exceptions=False)

    assert schema.present(engine) == "9999"


def test_an_older_release_leaves_a_newer_schema_that_works_with_it_alone(engine: Engine, database_url: str) -> None:
    set_schema(engine, "9999")

    said = CliRunner().invoke(db, ["upgrade", "--url", database_url], catch_exceptions=False).output

    assert "is at 9999, newer than this release, and fit for it: nothing to do." in said
    assert schema.present(engine) == "9999"


def test_a_worker_starts_on_its_own_schema(engine: Engine) -> None:
    check_schema(engine)
