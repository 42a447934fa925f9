"""Which schema a database has, which one this code needs, and the way from one to the other."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, NullPool, create_engine, exc, inspect, text
from sqlalchemy.engine import make_url

from worker.errors import SettingsError

LOCK = 0x534D53  # "SMS": two upgrades at the same time wait for each other
# A migration that cannot have its lock gives up, instead of queueing everybody behind it, and is tried again; but not
# before PostgreSQL's deadlock_timeout (1 s): only then does it make an autovacuum give way.
LOCK_TIMEOUT = "2s"
LOCK_NOT_TO_BE_HAD = frozenset({"55P03", "40P01"})  # PostgreSQL's lock_not_available and deadlock_detected
PAUSES_SECONDS = (1, 2, 4, 8, 15, 30)


def config(database_url: str | None = None) -> Config:
    """Alembic's configuration, without a file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    made.attributes["database_url"] = database_url
    return made


def migration_engine(database_url: str) -> Engine:
    """An engine of one connection that is gone afterwards, and the advisory lock with it."""
    return create_engine(database_url, poolclass=NullPool)


def upgrade(database_url: str, revision: str = "head", *, wait: Callable[[float], None] = time.sleep) -> None:
    """Bring the database forward to *revision*; an SQLite file that is new is its owner's alone, phones stand in it.

    One that was broken off goes on. *wait* sleeps so many seconds before another try for a table that is in use; raises
    SQLAlchemy's `OperationalError` once the tries are used up, and `SettingsError` if the file cannot be made.
    """
    if file := sqlite_file(database_url):
        _make(file)
    _until_locks_are_had(lambda: command.upgrade(config(database_url), revision), wait)


def _make(file: Path) -> None:
    try:
        file.touch(mode=0o600)
    except OSError as error:
        raise SettingsError(
            f"The database {file.absolute()} cannot be made: {error.strerror}. "
            "Make its folder, or give SMS_DATABASE_URL a file that you may write."
        ) from None


def downgrade(database_url: str, revision: str, *, wait: Callable[[float], None] = time.sleep) -> None:
    """Take the database back to *revision*; otherwise as `upgrade`."""
    _until_locks_are_had(lambda: command.downgrade(config(database_url), revision), wait)


def _until_locks_are_had(migrate: Callable[[], None], wait: Callable[[float], None]) -> None:
    for pause in PAUSES_SECONDS:
        try:
            return migrate()
        except exc.OperationalError as error:
            if getattr(error.orig, "sqlstate", None) not in LOCK_NOT_TO_BE_HAD:
                raise
        sys.stderr.write(f"A table is in use: the migration is tried again in {pause} s.\n")
        wait(pause)
    return migrate()


def needed() -> str:
    """The revision this code was written for."""
    head = ScriptDirectory.from_config(config()).get_current_head()
    if head is None:
        raise RuntimeError("the migrations are missing from this installation")
    return head


def is_known(revision: str) -> bool:
    """Whether *revision* is one of this release's."""
    return any(script.revision == revision for script in ScriptDirectory.from_config(config()).walk_revisions())


def works_with(engine: Engine) -> str | None:
    """The oldest revision whose code works on the database as it is; each migration that breaks older code says so."""
    with engine.connect() as connection:
        if "schema_works_with" not in inspect(connection).get_view_names():
            return None  # before revision 0002
        oldest: str = connection.execute(text("SELECT oldest FROM schema_works_with")).scalar_one()
    return oldest


def sqlite_file(database_url: str) -> Path | None:
    """The file of an SQLite database; None for another one."""
    url = make_url(database_url)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def present(engine: Engine) -> str | None:
    """The revision the database has; None if it was never migrated. A missing SQLite file is not made by looking."""
    file = sqlite_file(engine.url.render_as_string(hide_password=False))
    if file and not file.exists():
        return None
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
