"""Ringing from a thread of its own, so that no room ever waits for the broker, least of all between claim and post."""

from collections.abc import Callable, Mapping
from threading import Condition, Thread

import structlog
from redis import Redis
from redis.exceptions import RedisError

log = structlog.get_logger()

UNHEARD_SECONDS = 1.0  # after that a bell is taken for lost


class OneBell:
    """At most one bell is under way until somebody hears it, however many workers have reason to ring."""

    def __init__(self, redis: Redis | None, *, prefix: str = "") -> None:
        self._redis = redis
        self._key = f"{prefix}sms:bell:submission"

    def may_ring(self) -> bool:
        """Whether no bell is under way; the caller is then to ring. Raises `RedisError`."""
        return self._redis is None or bool(self._redis.set(self._key, "1", nx=True, px=int(UNHEARD_SECONDS * 1000)))

    def heard(self) -> None:
        """The bell was heard: whoever stores something from now on rings anew. While Redis is away, it is forgotten."""
        try:
            if self._redis:
                self._redis.delete(self._key)
        except RedisError as error:
            log.info("bell_not_cleared", error=type(error).__name__)


class Ringer:
    """Rings the bells it is asked for, several askings as one; a bell that cannot be rung is left to the next sweep."""

    def __init__(self, bells: Mapping[str, Callable[[], None]]) -> None:
        self._bells = bells
        self._asked: set[str] = set()
        self._condition = Condition()
        self._thread: Thread | None = None

    def ring(self, name: str) -> None:
        """Ask for a bell; returns at once, and never raises."""
        with self._condition:
            self._asked.add(name)
            self._condition.notify()
            if self._thread is None:
                self._start()

    def _start(self) -> None:
        thread = Thread(target=self._run, name="ringer", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads are to be had; the next asking tries again
            log.warning("bell_not_rung", error="no thread", hint="the next sweep rings it")
        else:
            self._thread = thread

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._asked)
                name = self._asked.pop()
            try:
                self._bells[name]()
            except Exception as error:  # noqa: BLE001 - whatever it is, the sweep rings again
                log.warning("bell_not_rung", bell=name, error=type(error).__name__, hint="the next sweep rings it")
