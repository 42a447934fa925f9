"""How far posting has come, kept outside the database: so that one which went back in time is noticed.

A database that was restored from a backup has forgotten what was posted since, and would post it again.
"""

from typing import cast

from redis import Redis

# A database without a batch has nothing to post twice: whoever begins anew begins at nothing.
BEYOND = """
local highest, last = tonumber(redis.call('GET', KEYS[1]) or 0), tonumber(ARGV[1])
if last > 0 and last < highest then return highest end
redis.call('SET', KEYS[1], last)
return 0
"""


class Watermark:
    """The highest number of a batch that was ever seen."""

    def __init__(self, redis: Redis, *, prefix: str = "") -> None:
        self._redis = redis
        self._key = f"{prefix}sms:batches:highest"
        self._beyond = redis.register_script(BEYOND)

    def beyond(self, last_batch: int) -> int:
        """Note the database's last batch; return a higher one that was seen before, else 0. Raises `RedisError`."""
        return cast("int", self._beyond(keys=[self._key], args=[last_batch]))

    def begin_anew(self, last_batch: int) -> None:
        """A person has taken care of what was forgotten. Raises `RedisError`."""
        self._redis.set(self._key, last_batch)
