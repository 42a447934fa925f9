"""Which schema a database has, which one this code needs, and the way from one to the other."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, NullPool, create_engine, inspect, text
from sqlalchemy.engine import make_url

LOCK = 0x534D53  # "SMS": two upgrades at the same time wait for each other


def config(database_url: str | None = None) -> Config:
    """Alembic's configuration, without a file."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    made.attributes["database_url"] = database_url
    return made


def migration_engine(database_url: str) -> Engine:
    """An engine of one connection that is gone afterwards, and the advisory lock with it."""
    return create_engine(database_url, poolclass=NullPool)


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the database forward to *revision*; an SQLite file that is new is its owner's alone, phones stand in it."""
    if file := sqlite_file(database_url):
        file.touch(mode=0o600)
    command.upgrade(config(database_url), revision)


def downgrade(database_url: str, revision: str) -> None:
    """Take the database back to *revision*."""
    command.downgrade(config(database_url), revision)


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
        return connection.execute(text("SELECT oldest FROM schema_works_with")).scalar_one()


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
