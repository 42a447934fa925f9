"""The person at the command line, who stands in the audit of what was decided."""

import getpass
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from worker.cli.db import looking_at
from worker.clock import utc_now
from worker.people import Person
from worker.settings import Settings, load_settings
from worker.store.engine import make_engine, make_sessions
from worker.store.schema import check_schema
from worker.watermark import Watermark
from worker.wiring import make_redis

REDIS_TIMEOUT_SECONDS = 5

Who = Annotated[str | None, typer.Option("--as", help="Who decides, for the audit (USER@HOST if not given).")]


@contextmanager
def a_person(who: str | None = None) -> Iterator[Person]:
    """The person, at the database of the settings. Raises `SettingsError` and `SchemaMismatch`, one line each."""
    settings = load_settings()
    with looking_at(settings.database_url) as engine:
        check_schema(engine)
    engine = make_engine(settings.database_url, connections=2)
    try:
        yield Person(
            make_sessions(engine), settings.gateway_login, who or _user(), utc_now, watermark=_watermark(settings)
        )
    finally:
        engine.dispose()


def _watermark(settings: Settings) -> Watermark | None:
    if not settings.broker_is_redis:
        return None
    redis = make_redis(settings.redis_url, timeout_seconds=REDIS_TIMEOUT_SECONDS)
    return Watermark(redis, prefix=settings.redis_key_prefix)


def _user() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        name = "unknown"
    return f"{name}@{socket.gethostname()}"
