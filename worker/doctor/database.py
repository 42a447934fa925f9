"""The database: whether it is there, has this release's schema, and keeps what it committed."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, exc, text
from sqlalchemy.engine import make_url

from migrations import schema
from worker.doctor import transactions
from worker.doctor.check import Check, Found, Ground, fault, graded, note, ok, skipped, warning
from worker.errors import SchemaMismatch
from worker.store.schema import check_schema
from worker.urls import without_secrets

WAIT_SECONDS = 5
OLDEST_POSTGRES, OLDEST_SQLITE = 130_000, (3, 35)  # SQLite: UPDATE … RETURNING
FULL_WARNS, FULL_FAULTS = 0.8, 0.95
CLOCK_WARNS_SECONDS, CLOCK_FAULTS_SECONDS = 5.0, 60.0
LARGEST_TO_READ_BYTES = 2 * 2**30
LITTLE_BYTES, TOO_LITTLE_BYTES = 2**30, 100 * 2**20


@contextmanager
def _connected(ground: Ground) -> Iterator[Connection]:
    """As any client has it, without what our engine sets for its own connections."""
    url = make_url(ground.settings.database_url)
    if url.get_backend_name() == "postgresql" and "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": str(WAIT_SECONDS)})
    engine = schema.migration_engine(url.render_as_string(hide_password=False))
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _file(ground: Ground) -> Path | None:
    return schema.sqlite_file(ground.settings.database_url)


def _answers(ground: Ground) -> Found:
    named = without_secrets(ground.settings.database_url)
    if (file := _file(ground)) and not file.exists():
        return fault(f"there is no file {file.absolute()}", "sms db upgrade makes it")
    try:
        with _connected(ground) as connection:
            return _version(connection, named)
    except exc.SQLAlchemyError as error:
        kind = type(error.orig).__name__ if isinstance(error, exc.DBAPIError) else type(error).__name__
        return fault(f"{named} does not answer: {kind}")


def _version(connection: Connection, named: str) -> Found:
    if connection.dialect.name == "sqlite":
        connection.execute(text("SELECT count(*) FROM sqlite_master"))
        version, is_old = sqlite3.sqlite_version, sqlite3.sqlite_version_info < OLDEST_SQLITE
    else:
        version = str(connection.execute(text("SHOW server_version")).scalar_one())
        is_old = int(connection.execute(text("SHOW server_version_num")).scalar_one()) < OLDEST_POSTGRES
    words = f"{named} answers, version {version}"
    return fault(words, "install PostgreSQL 13 or newer, or SQLite 3.35 or newer") if is_old else ok(words)


def _schema(ground: Ground) -> Found:
    with _connected(ground) as connection:
        try:
            check_schema(connection.engine)
        except SchemaMismatch as mismatch:
            return fault(str(mismatch))
        return ok(f"at {schema.present(connection.engine)}, which this release works on")


def _on(dialect: str, look: Callable[[Ground, Connection], Found]) -> Callable[[Ground], Found]:
    def looked(ground: Ground) -> Found:
        with _connected(ground) as connection:
            if connection.dialect.name != dialect:
                return skipped(f"this is {connection.dialect.name}")
            return look(ground, connection)

    return looked


def _setting(connection: Connection, name: str) -> str:
    return str(connection.execute(text(f"SHOW {name}")).scalar_one())


def _zone(_: Ground, connection: Connection) -> Found:
    zone = _setting(connection, "timezone")
    if zone in {"UTC", "Etc/UTC", "GMT"}:
        return ok("times are shown in UTC")
    return note(f"clients see times in {zone}; what is stored is right, and this project reads it in UTC")


def _clock(ground: Ground, connection: Connection) -> Found:
    began_at = ground.now()
    theirs: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    off = abs((began_at - theirs).total_seconds())
    words = f"this clock and the database's are {off:.1f} s apart"
    return graded(off, warns_at=CLOCK_WARNS_SECONDS, faults_at=CLOCK_FAULTS_SECONDS, words=words)


def _connections(_: Ground, connection: Connection) -> Found:
    # What kind of process it is, PostgreSQL shows of other roles' sessions only to some; these two it shows to all.
    clients = text("SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL")
    used = int(connection.execute(clients).scalar_one())
    most = int(_setting(connection, "max_connections")) - int(_setting(connection, "superuser_reserved_connections"))
    words = f"{used} of {most} connections are in use"
    return graded(used / most, warns_at=FULL_WARNS, faults_at=FULL_FAULTS, words=words)


def _keeps(ground: Ground) -> Found:
    with _connected(ground) as connection:
        if connection.dialect.name == "sqlite":
            mode = str(connection.execute(text("PRAGMA journal_mode")).scalar_one())
            return (
                ok("journal_mode is wal, and each of our connections commits with synchronous = FULL")
                if (mode == "wal")
                else note(f"journal_mode is {mode}; the first worker makes it wal")
            )
        found = {name: _setting(connection, name) for name in ("fsync", "full_page_writes", "synchronous_commit")}
    said = ", ".join(f"{name} is {value}" for name, value in found.items())
    if found["fsync"] == "off" or found["synchronous_commit"] == "off":
        return fault(said)
    return warning(said) if found["full_page_writes"] == "off" else ok(said)


def _whole(ground: Ground) -> Found:
    file = _file(ground)
    if file is None:
        return skipped("this is postgresql: see its own pg_amcheck")
    if not file.exists():
        return skipped("see database.answers")
    if file.stat().st_size > LARGEST_TO_READ_BYTES:
        return skipped("the file is large: run PRAGMA quick_check by hand, at a quiet hour")
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        return fault(f"the file cannot be read: {type(error).__name__}")
    return ok("the file is whole") if found == "ok" else fault("the file is damaged")


def _disk(ground: Ground) -> Found:
    file = _file(ground)
    if file is None:
        return skipped("it is on the database's own machine: look there")
    free: Any = shutil.disk_usage(file.absolute().parent).free
    words = f"{free / 2**30:,.1f} GiB are free beside the database"
    return graded(-free, warns_at=-LITTLE_BYTES, faults_at=-TOO_LITTLE_BYTES, words=words)


ANSWERS = ("database.answers",)
CHECKS = (
    Check(
        "database.answers",
        "Does the database answer, and is it new enough?",
        "It is the truth: without it nothing is taken off Redis and nothing is posted; nothing is lost either.",
        "start it, or correct SMS_DATABASE_URL",
        _answers,
    ),
    Check(
        "database.schema",
        "Has it this release's tables?",
        "A worker does not start on others.",
        "sms db upgrade",
        _schema,
        after=ANSWERS,
    ),
    Check(
        "database.timezone",
        "In which zone do SQL clients see times?",
        "All instants are stored in UTC; a client of another zone shows them otherwise.",
        "ALTER DATABASE … SET timezone = 'UTC', if that confuses",
        _on("postgresql", _zone),
        after=ANSWERS,
    ),
    Check(
        "database.clock",
        "Does its clock agree with ours?",
        "What people ask it with now() is by its clock, what workers do is by theirs.",
        "have both clocks set by NTP",
        _on("postgresql", _clock),
        after=ANSWERS,
    ),
    Check(
        "database.connections",
        "Are connections left?",
        "A worker process takes up to SMS_GATEWAY_CONNECTIONS + 10, sms web 10, sms metrics and commands 2, beat none.",
        "raise max_connections, put PgBouncer (session pooling) before it, or run fewer worker processes",
        _on("postgresql", _connections),
        after=ANSWERS,
    ),
    Check(
        "database.transactions",
        "Has a transaction been open for 10 minutes?",
        "No row that it may still see is cleared away: each claim costs more the longer it lasts.",
        transactions.REMEDY,
        _on("postgresql", transactions.look),
        after=ANSWERS,
    ),
    Check(
        "database.commits",
        "Is what is committed on disk?",
        "An order is taken off Redis once it is committed, and a post begins after that: neither may be forgotten.",
        "fsync = on, synchronous_commit = on, full_page_writes = on in postgresql.conf, and for the role",
        _keeps,
        after=ANSWERS,
    ),
    Check(
        "database.integrity",
        "Is the SQLite file whole?",
        "A damaged file loses messages without a word.",
        "stop the workers, keep the file, restore the last backup, then sms recover --since TIME",
        _whole,
    ),
    Check(
        "database.disk",
        "Has the SQLite file room to grow?",
        "On a full disk nothing is stored any more; orders wait on Redis.",
        "make room, or set SMS_RETENTION_DAYS",
        _disk,
        after=ANSWERS,
    ),
)
