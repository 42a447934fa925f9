"""How far posting has come, kept outside the database: so that one which went back in time is noticed."""

from redis import Redis

NOTE = """
if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or 0) then redis.call('SET', KEYS[1], ARGV[1]) end
"""


class Watermark:
    """The highest number of a batch that was ever seen. Every method raises `RedisError`."""

    def __init__(self, redis: Redis, *, prefix: str = "") -> None:
        self._redis = redis
        self._key = f"{prefix}sms:batches:highest"
        self._note = redis.register_script(NOTE)

    def highest(self) -> int:
        """The highest that was noted; 0 if none was."""
        return int(self._redis.get(self._key) or 0)

    def note(self, batch_id: int) -> None:
        """A batch of this number was seen."""
        self._note(keys=[self._key], args=[batch_id])

    def begin_anew(self, last_batch: int) -> None:
        """A person has taken care of what was forgotten, or the database is a new one."""
        self._redis.set(self._key, last_batch)
