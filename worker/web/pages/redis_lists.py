"""Orders that nobody has taken off Redis yet."""

from redis import Redis
from redis.exceptions import RedisError

from models.lifecycle import Lane
from worker.lanes import PRIORITIES, PRIORITY_SEPARATOR
from worker.settings import Settings
from worker.wiring import make_redis

TIMEOUT_SECONDS = 0.4  # it is tried twice, and a page waits for it


class RedisLists:
    """The lists that producers push to. Makes no connection before it is asked."""

    def __init__(self, settings: Settings) -> None:
        is_redis = settings.broker_is_redis
        self._redis: Redis | None = (
            make_redis(settings.redis_url, timeout_seconds=TIMEOUT_SECONDS) if is_redis else None
        )
        self._prefix = settings.redis_key_prefix

    def orders(self) -> dict[str, int] | None:
        """How many lie there, by lane; None where Redis is not there, or does not answer within a second."""
        if self._redis is None:
            return None
        keys = [(lane, key) for lane in Lane for key in self._keys(lane)]
        try:
            asked = self._redis.pipeline(transaction=False)
            for _, key in keys:
                asked.llen(key)
            lengths = asked.execute()
        except RedisError:
            return None
        found: dict[str, int] = dict.fromkeys(Lane, 0)
        for (lane, _), length in zip(keys, lengths, strict=True):
            found[lane] += int(length)
        return found

    def _keys(self, lane: Lane) -> list[str]:
        queue = f"{self._prefix}sms.{lane}"
        return [f"{queue}{PRIORITY_SEPARATOR}{step}" if step else queue for step in PRIORITIES]
