"""Beat's metronome: intervals only, so nothing to remember and no file to write."""

from typing import Any

import structlog
from celery.beat import Scheduler
from redis import Redis
from redis.exceptions import RedisError

from worker.celery import app, settings
from worker.wiring import make_redis

log = structlog.get_logger()

MOST_UNHEARD = 20


class Metronome(Scheduler):
    """Does not ring where many bells wait unheard: with no worker there, they would fill Redis for ever."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._redis: Redis | None = make_redis(settings.redis_url) if settings.broker_is_redis else None
        self._said = False
        super().__init__(*args, **kwargs)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Ring one bell, or leave it be."""
        try:
            unheard = self._unheard(entry.task)
        except RedisError as error:
            self._say_once(type(error).__name__)
            return
        self._said = False
        if unheard < MOST_UNHEARD:
            super().apply_entry(entry, producer=producer)

    def _unheard(self, task: str) -> int:
        queue = app.conf.task_routes.get(task, {}).get("queue", app.conf.task_default_queue)
        return int(self._redis.llen(settings.redis_key_prefix + queue)) if self._redis else 0

    def _say_once(self, error: str) -> None:
        if not self._said:
            log.warning("broker_away", error=error, hint="no bell rings until it is back")
        self._said = True
