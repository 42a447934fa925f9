"""What a worker checks before it starts, and what it does beside running tasks."""

from contextlib import suppress
from typing import Any

import structlog
from celery import bootsteps, signals
from redis.exceptions import RedisError
from sqlalchemy import exc
from sqlalchemy.engine import make_url

from worker import people, tasks
from worker.celery import LANES, app, settings
from worker.errors import SchemaMismatch
from worker.lanes import LaneLists
from worker.names import WorkerName
from worker.store.engine import make_engine
from worker.store.schema import check_schema
from worker.takers import Takers
from worker.wiring import House, make_redis

log = structlog.get_logger()

NAME_TIMEOUT_SECONDS = 2
GREEN_POOLS = ("gevent", "eventlet")


class IntakeStep(bootsteps.StartStopStep):
    """Takes orders in from the moment the pool is up until the worker is told to stop.

    Why no ordinary task: Kombu pops an order and notes it as unacknowledged in a second round trip, and a kill between
    the two loses it; and one transaction for each message is twenty times slower.
    """

    requires = ("celery.worker.components:Pool",)
    label = "Intake"

    def __init__(self, worker: Any, **options: Any) -> None:
        self._takers: Takers | None = None
        self._name: WorkerName | None = None
        super().__init__(worker, **options)

    def start(self, worker: Any) -> None:
        """Start the threads, where the broker is Redis."""
        rooms = tasks.house()
        self._tell_of_pause(rooms)
        if rooms.lists:
            self._warn_of_redis(rooms.lists)
            self._name = a_name(worker.hostname)
            self._takers = Takers(
                rooms.lists,
                rooms.intake,
                ring=tasks.ring_submission,
                stopping=rooms.stopping,
                beat=self._name.keep,
            )
            self._takers.start()

    def _tell_of_pause(self, rooms: House) -> None:
        if account := people.standing_of(rooms.sessions, settings.gateway_login):
            why = {"reason": account.reason, "probe_at": str(account.probe_at), "held_by": account.held_by}
            log.warning("account_is_paused", **why, hint="sms resume: at once")

    def _warn_of_redis(self, lists: LaneLists) -> None:
        try:
            risks = lists.risks()
        except RedisError:
            return  # the takers say that it is away
        if risks:
            log.warning("redis_may_lose_orders", **risks, hint="appendonly yes, appendfsync always, noeviction")

    def stop(self, worker: Any) -> None:  # noqa: ARG002
        """Stop them; what they hold is put back."""
        if self._takers:
            self._takers.stop()
            self._takers = None
        if self._name:
            with suppress(RedisError):
                self._name.leave()
            self._name = None

    terminate = stop


app.steps["worker"].add(IntakeStep)


@signals.celeryd_init.connect(weak=False)
def _check(sender: str, options: dict[str, Any], **_: Any) -> None:
    """Refuse to start, in one line, where starting would break a promise."""
    tasks.name_this_worker(sender)
    complaint = _of_queues(options.get("queues")) or _of_pool(options) or _of_database() or _of_name(sender)
    if complaint:
        raise SystemExit(complaint)


@signals.worker_shutting_down.connect(weak=False)
def _leave(**_: Any) -> None:
    tasks.leave()


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


def _of_pool(options: dict[str, Any]) -> str | None:
    pool = options.get("pool")
    name = pool if isinstance(pool, str) else getattr(pool, "__module__", "")
    if options.get("autoscale") and not name.endswith("prefork"):
        return "--autoscale needs -P prefork: the threads of the default pool are only as many as have work."
    if name.endswith(GREEN_POOLS):
        return (
            "-P gevent and -P eventlet never restore unacknowledged messages: use -P threads (the default) or prefork."
        )
    return None


def a_name(node: str) -> WorkerName:
    """The hold on a worker's name; it must not keep a start waiting for a Redis that is away."""
    redis = make_redis(settings.redis_url, timeout_seconds=NAME_TIMEOUT_SECONDS)
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


def _of_database() -> str | None:
    engine = make_engine(settings.database_url, connections=1)
    try:
        check_schema(engine)
    except SchemaMismatch as mismatch:
        return str(mismatch)
    except exc.OperationalError as error:
        cause = str(error.orig).strip().splitlines()[0]
        url = make_url(settings.database_url).render_as_string(hide_password=True)
        return f"SMS_DATABASE_URL: the database at {url} does not answer ({cause}). Start it, or correct the address."
    finally:
        engine.dispose()
    return None
