"""A producer as it is: a Celery app that knows nothing of us publishes to a real Redis, and intake takes it off."""

from typing import Any

import redis
from builders import NOON, Clock, Sessions, an_intake
from celery import Celery
from kombu import pools

from models.lifecycle import Lane
from worker.intake import Taken

PHONE, TEXT = "998901234567", "Your code is 4821"
TELL = {"task": "shop.sms_changed", "queue": "shop"}


class Shop:
    """It orders, and lets the house take the orders when the test wants it; the house's clock stands at noon."""

    def __init__(self, redis_url: str, sessions: Sessions) -> None:
        self.celery = Celery(broker=redis_url)
        self.clock = Clock(NOON)
        self._sessions = sessions
        self._redis = redis.Redis.from_url(redis_url)

    def send(self, phone: Any = PHONE, text: Any = TEXT, *, lane: str = "normal", **fields: Any) -> str:
        """Order one SMS; the id that Celery gave to the order."""
        return self.order("sms.send", phone, text, lane=lane, **fields)

    def order(
        self, task: str, *args: Any, lane: str = "normal", options: dict[str, Any] | None = None, **fields: Any
    ) -> str:
        """Order anything; *options* are those of Celery's ``send_task``."""
        sent = self.celery.send_task(task, args=args, kwargs=fields, queue=f"sms.{lane}", **(options or {}))
        return str(sent.id)

    def lying(self, lane: str = "normal") -> list[bytes]:
        """The orders on a lane's list, oldest first."""
        raws: list[Any] = self._redis.lrange(f"sms.{lane}", 0, -1)
        return raws[::-1]

    def redeliver(self, *raws: bytes, lane: str = "normal") -> None:
        """Put them on the list once more."""
        self._redis.lpush(f"sms.{lane}", *raws)

    def take(self, lane: str = "normal", **terms: Any) -> Taken:
        """Let the house take all that lies on a lane."""
        raws = self.lying(lane)
        intake = an_intake(self._sessions, self.clock, **terms)
        taken = intake.take_raw(raws, Lane(lane))
        intake.give_up_cancels(taken.unmatched, Lane(lane))
        self._redis.delete(f"sms.{lane}")
        return taken

    def close(self) -> None:
        self._redis.close()
        self.celery.close()
        pools.reset()  # Kombu's pools are shared by all apps of a process that have the same broker
