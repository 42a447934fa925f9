"""Threads that carry orders from the lanes' lists into the table, with no pool slot used."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread

import structlog
from redis.exceptions import RedisError
from structlog.contextvars import bound_contextvars

from models.lifecycle import Lane
from worker import instruments
from worker.backoff import backoff
from worker.express import Express
from worker.intake import Intake, Read, Taken
from worker.lanes import HEARTBEAT_SECONDS, LaneLists
from worker.store.engine import DATABASE_TROUBLE

log = structlog.get_logger()

ORDERS_AT_ONCE = 500
BYTES_AT_ONCE = 1024 * 1024  # an order may be 512 KiB; memory stays small however many wait
IDLE_SECONDS = 0.25  # how late an order with a Celery priority of its own may be noticed
REQUEUE_SECONDS = 0.05
PAUSE = (timedelta(seconds=0.2), timedelta(seconds=5))
STOP_SECONDS = 15.0
TROUBLES = {"redis": "broker", "database": "database"}  #: the metric's words


class Takers:
    """One thread for each lane, and one that shows they are alive and looks for takers that are not."""

    def __init__(
        self,
        lists: LaneLists,
        intake: Intake,
        *,
        ring: Callable[[], None],
        stopping: Event,
        beat: Callable[[], None] = lambda: None,
        express: Express | None = None,
    ) -> None:
        """*ring* is called for what was queued, *beat* with every heartbeat; without *express* all is queued."""
        self._lists = lists
        self._intake = intake
        self._express = express
        self._ring = ring
        self._stopping = stopping
        self._beat_too = beat
        self._emptied = dict.fromkeys(Lane, False)
        steps: list[tuple[str, Callable[[], None]]] = [("heartbeat", self._beat)]
        steps += [(f"lane {lane}", lambda lane=lane: self._take(lane)) for lane in Lane]  # type: ignore[misc]
        self._threads = [Thread(target=self._repeat, args=step, name=step[0], daemon=True) for step in steps]

    def start(self) -> None:
        """Begin; each thread goes on through any trouble until it is told to stop."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop, and put back what is not stored yet."""
        self._stopping.set()
        give_up_at = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, give_up_at - time.monotonic()))
        try:
            self._lists.leave()
        except RedisError:
            log.warning(
                "intake_left", hint="Redis is away; orders in flight, if any, are put back within seconds of its return"
            )

    def _repeat(self, name: str, step: Callable[[], None]) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                step()
            except (RedisError, OSError, *DATABASE_TROUBLE) as error:
                failures += 1
                self._pause(name, failures, "redis" if isinstance(error, RedisError) else "database", error)
            except Exception as error:  # noqa: BLE001
                failures += 1
                self._pause(name, failures, "a mistake of ours", error)
            else:
                if failures:
                    log.info("intake_goes_on", thread=name)
                failures = 0

    def _pause(self, name: str, failures: int, because: str, error: Exception) -> None:
        instruments.count_trouble(TROUBLES.get(because, "mistake"))
        if failures == 1:
            # Nothing is lost: what was taken stays in flight, and Redis keeps the rest.
            log.warning("intake_pauses", thread=name, because=because, error=type(error).__name__)
        self._stopping.wait(backoff(failures, base=PAUSE[0], ceiling=PAUSE[1]).total_seconds())

    def _beat(self) -> None:
        self._lists.beat()
        if adopted := self._lists.adopt():
            instruments.count_put_back(adopted)
            log.warning("orders_put_back", orders=adopted, because="their taker is gone")
        self._beat_too()  # last: no trouble with it keeps orders from being put back
        self._stopping.wait(HEARTBEAT_SECONDS)

    def _take(self, lane: Lane) -> None:
        with bound_contextvars(lane=str(lane)):
            self._take_some(lane)

    def _take_some(self, lane: Lane) -> None:
        if not self._is_some(lane):
            return
        raws = self._lists.take(lane, most=ORDERS_AT_ONCE, most_bytes=BYTES_AT_ONCE)
        self._emptied[lane] = len(raws) < ORDERS_AT_ONCE
        if not raws:
            return
        taken = self._store(self._intake.read(raws, lane))
        requeue = self._again(taken, lane)
        if taken.waiting or taken.moved:
            self._ring()  # at once; if letting go of them fails, the repeat stores nothing new and would not ring
        self._lists.done(lane, requeue=requeue)
        log.info(
            "orders_taken",
            orders=len(raws),
            stored=taken.stored,
            refused=taken.refused,
            moved=taken.moved,
        )
        if requeue:
            self._stopping.wait(REQUEUE_SECONDS)

    def _store(self, read: Read) -> Taken:
        """Store what was read: at once if it is queued, or as much at a time as there are places to post from."""
        if not (self._express and read.only_new):
            return self._intake.store(read)
        taken, orders = Taken(), read.orders
        while orders:
            with self._express.places(read.terms.lane, len(orders)) as places:
                some, orders = places.fill(orders)
                stored = self._intake.store(replace(read, orders=some), offer=places)
                places.post(stored)
            if stored.waiting:
                self._ring()
            taken = taken.add(stored)
        return taken

    def _is_some(self, lane: Lane) -> bool:
        """Wait for an order where the list was emptied and, where many come, for a full batch; whether there may be."""
        if not self._emptied[lane]:
            return True
        if not self._lists.wait(lane, seconds=IDLE_SECONDS):
            return self._lists.any(lane)
        if self._express:
            self._stopping.wait(self._express.linger(lane).total_seconds())
        return True

    def _again(self, taken: Taken, lane: Lane) -> list[bytes]:
        """Cancels of messages that another taker may be storing at this moment."""
        if taken.unmatched and self._lists.others_hold(lane):
            return [one.envelope.raw for one in taken.unmatched]
        if taken.unmatched:
            self._intake.give_up_cancels(taken.unmatched, lane)
        return []
