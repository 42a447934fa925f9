"""What a worker checks before it starts, and what it does beside running tasks."""

import gc
from contextlib import ExitStack, suppress
from typing import Any

import structlog
from celery import bootsteps, signals
from redis.exceptions import RedisError

from worker import people, tasks
from worker.celery import app, settings
from worker.checks import a_name, complaint_about
from worker.express import Express
from worker.lanes import LaneLists
from worker.names import WorkerName
from worker.takers import Takers
from worker.wiring import House

log = structlog.get_logger()

GARBAGE_THRESHOLDS = (50_000, 20, 50)  # objects more than before, then rounds; of memory that is some megabytes


class IntakeStep(bootsteps.StartStopStep):
    """Takes orders in from the moment the pool is up until the worker is told to stop.

    Why no ordinary task: Kombu pops an order and notes it as unacknowledged in a second round trip, and a kill between
    the two loses it; and one transaction for each message is twenty times slower.
    """

    requires = ("celery.worker.components:Pool",)
    label = "Intake"

    def __init__(self, worker: Any, **options: Any) -> None:
        self._takers: Takers | None = None
        self._express: Express | None = None
        self._name: WorkerName | None = None
        super().__init__(worker, **options)

    def start(self, worker: Any) -> None:
        """Start the threads, where the broker is Redis."""
        rooms = tasks.house()
        _collect_less_often()
        self._tell_of_pause(rooms)
        if not rooms.lists:
            return
        self._warn_of_redis(rooms.lists)
        self._name = a_name(worker.hostname)
        if not rooms.submission.turn:  # else each post waits for its turn among all workers
            self._express = Express(rooms.submission, rooms.posting, ring=tasks.ring_submission)
        self._takers = Takers(
            rooms.lists,
            rooms.intake,
            ring=tasks.ring_submission,
            stopping=rooms.stopping,
            beat=self._name.keep,
            express=self._express,
        )
        self._takers.start()

    def _tell_of_pause(self, rooms: House) -> None:
        if account := people.standing_of(rooms.sessions, settings.gateway_login):
            probe_at, hint = str(account.probe_at), "SELECT * FROM v_attention says what to do"
            log.warning(
                "account_is_paused", reason=account.reason, probe_at=probe_at, held_by=account.held_by, hint=hint
            )

    def _warn_of_redis(self, lists: LaneLists) -> None:
        try:
            risks = lists.risks()
        except RedisError:
            return  # the takers say that it is away
        if risks:
            log.warning("redis_may_lose_orders", **risks, hint="appendonly yes, appendfsync always, noeviction")

    def stop(self, worker: Any) -> None:  # noqa: ARG002
        """Stop them, and wait for what is being posted; what they hold is put back. Whatever one raises, all end."""
        takers, express, name = self._takers, self._express, self._name
        self._takers = self._express = self._name = None
        with ExitStack() as ending:  # the last first
            if name:
                ending.callback(_give_up, name)
            if express:
                ending.callback(express.close)
            if takers:
                ending.callback(takers.stop)

    terminate = stop


def _give_up(name: WorkerName) -> None:
    with suppress(RedisError):
        name.leave()


app.steps["worker"].add(IntakeStep)


@signals.worker_process_init.connect(weak=False)
def _collect_less_often(**_: Any) -> None:
    """Keep Python from looking for cycles all the time: with its defaults that is a quarter of what a message costs.

    A lot of orders makes some ten thousand objects, in no cycles, that all go with the lot; and what stands by now
    stays as long as the process.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


@signals.celeryd_init.connect(weak=False)
def _check(sender: str, options: dict[str, Any], **_: Any) -> None:
    """Refuse to start, in one line, where starting would break a promise."""
    tasks.name_this_worker(sender)
    if complaint := complaint_about(sender, options):
        raise SystemExit(complaint)


@signals.worker_shutting_down.connect(weak=False)
def _leave(**_: Any) -> None:
    tasks.leave()


@signals.worker_shutdown.connect(weak=False)
@signals.worker_process_shutdown.connect(weak=False)
def _say_goodbye(**_: Any) -> None:
    """The pool is empty now; a child of a prefork pool says it for itself."""
    tasks.say_goodbye()
