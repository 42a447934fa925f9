"""Beat's metronome: intervals only, so nothing to remember and no file to write."""

from typing import Any

from celery.beat import Scheduler
from redis import Redis
from redis.exceptions import RedisError

from worker.celery import app, settings
from worker.wiring import make_redis

MOST_UNHEARD = 20


class Metronome(Scheduler):
    """Does not ring where many bells wait unheard: with no worker there, they would fill Redis for ever."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._redis: Redis | None = make_redis(settings.redis_url) if settings.broker_is_redis else None
        super().__init__(*args, **kwargs)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Ring one bell, or leave it be."""
        if self._unheard(entry.task) < MOST_UNHEARD:
            super().apply_entry(entry, producer=producer)

    def _unheard(self, task: str) -> int:
        queue = app.conf.task_routes.get(task, {}).get("queue", app.conf.task_default_queue)
        try:
            return int(self._redis.llen(settings.redis_key_prefix + queue)) if self._redis else 0
        except RedisError:
            return 0  # Celery says what is wrong with the broker, and tries again
