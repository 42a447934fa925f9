"""What would break a promise if a worker started all the same: each in one line that says what to do."""

from collections.abc import Mapping
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import exc

from worker.celery import LANES, app, settings
from worker.errors import SchemaMismatch, SettingsError
from worker.gateway.http import environment_of
from worker.names import WorkerName
from worker.restored import gap_of
from worker.store.engine import make_engine, make_sessions
from worker.store.schema import check_schema
from worker.urls import without_secrets
from worker.watermark import Watermark
from worker.wiring import make_redis

START_TIMEOUT_SECONDS = 2
GREEN_POOLS = ("gevent", "eventlet")


def complaint_about(node: str, options: Mapping[str, Any]) -> str | None:
    """What is wrong with a start of the worker *node* with these options of its command line, if anything is."""
    return (
        _of_queues(options.get("queues"))
        or _of_pool(options)
        or _of_gateway()
        or _of_database()
        or _of_restore()
        or _of_name(node)  # last: it takes the name
    )


def _of_queues(queues: list[str] | str | None) -> str | None:
    wanted = queues.split(",") if isinstance(queues, str) else queues or []
    known = [queue.name for queue in app.conf.task_queues]
    lanes = [lane for lane in LANES if lane in wanted and lane not in known]
    if lanes:
        return (
            f"-Q {','.join(lanes)}: every worker takes orders off the lanes' queues by itself, in a way that a kill "
            "cannot lose; consumed as ordinary tasks as well they could be. Leave the lanes out of -Q."
        )
    strange = [name for name in wanted if name not in known]
    return f"-Q {','.join(strange)}: there is no such queue; there are {', '.join(known)}." if strange else None


def _of_pool(options: Mapping[str, Any]) -> str | None:
    pool = options.get("pool")
    name = pool if isinstance(pool, str) else getattr(pool, "__module__", "")
    if options.get("autoscale") and not name.endswith("prefork"):
        return "--autoscale needs -P processes: the threads of the default pool are only as many as have work."
    if name.endswith(GREEN_POOLS):
        return "-P gevent and -P eventlet never restore unacknowledged messages: use -P threads (default) or processes."
    return None


def a_name(node: str) -> WorkerName:
    """The hold on a worker's name; it must not keep a start waiting for a Redis that is away."""
    redis = make_redis(settings.redis_url, timeout_seconds=START_TIMEOUT_SECONDS)
    return WorkerName(redis, node, prefix=settings.redis_key_prefix)


def _of_name(node: str) -> str | None:
    if not settings.broker_is_redis:
        return None
    try:
        free = a_name(node).claim()
    except RedisError:
        return None  # the worker waits for its broker anyway
    taken = f"-n {node}: a worker of that name is running already. Give each one a name of its own, such as -n sms2@%h."
    return None if free else taken


def _of_restore() -> str | None:
    """A database that went back in time would post again what it has forgotten."""
    if not settings.broker_is_redis:
        return None
    engine = make_engine(settings.database_url, connections=1)
    redis = make_redis(settings.redis_url, timeout_seconds=START_TIMEOUT_SECONDS)
    try:
        gap = gap_of(make_sessions(engine), Watermark(redis, prefix=settings.redis_key_prefix))
    except RedisError:
        return None  # upkeep looks again once it is there
    except exc.SQLAlchemyError as error:
        return f"SMS_DATABASE_URL: the database does not answer ({type(error).__name__}). Start the worker again."
    finally:
        engine.dispose()
    if gap is None:
        return None
    return f"{gap}, and would post again what was posted since. Run: sms recover --since TIME, the backup's moment."


def _of_gateway() -> str | None:
    try:
        environment_of(settings.gateway_url)
    except SettingsError as error:
        return str(error)
    return None


def _of_database() -> str | None:
    engine = make_engine(settings.database_url, connections=1)
    try:
        check_schema(engine)
    except SchemaMismatch as mismatch:
        return str(mismatch)
    except exc.DBAPIError as error:
        cause = str(error.orig).strip().partition("\n")[0]
        url = without_secrets(settings.database_url)
        return f"SMS_DATABASE_URL: the database at {url} does not answer ({cause}). Start it, or correct the address."
    finally:
        engine.dispose()
    return None
