"""What a database has otherwise than the models, with the one exception that is meant.

Where the models have one of `BY_TRIGGERS`, PostgreSQL has no foreign key, but triggers that guard the same.
"""

from collections.abc import Iterator
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from migrations.guards_0005 import GUARDS
from models import Base
from models.base import BY_TRIGGERS

FOREIGN_KEYS = "SELECT conname FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace"
TRIGGERS = """
SELECT tgname, tgrelid::regclass::text, prosrc FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
 WHERE NOT tgisinternal AND tgenabled = 'O' AND starts_with(tgname, 'fk_')
"""
OPTIONS = "SELECT relname, reloptions FROM pg_class WHERE relkind = 'i' AND reloptions IS NOT NULL"


def unlike_the_models(connection: Connection) -> list[Any]:
    """Nothing, if the migrations did what the models say."""
    options: dict[str, Any] = {"compare_type": True, "compare_server_default": True}
    if connection.dialect.name != "postgresql":
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))
    context = MigrationContext.configure(connection, opts=options | {"include_object": _is_no_exception})
    return [*compare_metadata(context, Base.metadata), *_unguarded(connection), *_unlike_options(connection)]


def _is_no_exception(_object: Any, name: str | None, kind: str, *_: Any) -> bool:
    return kind != "foreign_key_constraint" or name not in BY_TRIGGERS


def _unguarded(connection: Connection) -> Iterator[tuple[str, Any]]:
    """Each exception is guarded by triggers that are switched on, and not by a key as well."""
    keys = set(connection.execute(text(FOREIGN_KEYS)).scalars())
    yield from (("both key and triggers", name) for name in keys & BY_TRIGGERS)
    there = {(name, table): body for name, table, body in connection.execute(text(TRIGGERS))}
    wanted = {(name, table) for guard in GUARDS for name, (table, _) in guard.triggers.items()}
    bodies = [body for guard in GUARDS for body in guard.functions.values()]
    yield from (("trigger", one) for one in wanted ^ set(there))
    yield from (("body", one) for one, body in there.items() if not any(body in made for made in bodies))
    yield from (("guard", name) for name in BY_TRIGGERS ^ {guard.key for guard in GUARDS})


def _unlike_options(connection: Connection) -> Iterator[tuple[str, Any]]:
    there = {name: sorted(options) for name, options in connection.execute(text(OPTIONS))}
    indexes = [index for table in Base.metadata.tables.values() for index in table.indexes]
    said = {index.name: index.dialect_options["postgresql"]["with"] for index in indexes}
    wanted = {
        name: sorted(f"{key}={value}" for key, value in options.items()) for name, options in said.items() if options
    }
    yield from (("index options", name) for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
