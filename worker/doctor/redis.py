"""The broker: whether it is there, keeps what it acknowledged, has room, and is ours alone."""

import re
import time
from collections.abc import Callable
from statistics import median
from typing import Any, cast
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from models.lifecycle import Lane
from worker.doctor.check import Check, Found, Ground, fault, graded, note, ok, skipped, warning
from worker.settings import LOOPBACK
from worker.urls import without_secrets
from worker.wiring import make_redis

WAIT_SECONDS = 3.0
OLDEST_VERSION = (6, 2)  # LMOVE, which takes orders off the lanes
PINGS = 11
SLOW_MS, TOO_SLOW_MS = 10.0, 200.0
FULL_WARNS, FULL_FAULTS = 0.75, 0.9
MOST_KEYS = 50_000
EXAMPLES = 5
OURS = re.compile(
    r"sms\..*|sms:.*|_kombu\..*|unacked|unacked_index|unacked_mutex|.*\.reply\.celery\.pidbox|celeryev.*|celery"
)


def redis_of(ground: Ground) -> Redis:
    """A client that does not wait long."""
    return make_redis(ground.settings.redis_url, timeout_seconds=WAIT_SECONDS)


def keys_of(ground: Ground) -> list[str]:
    """The names of what lies there, up to `MOST_KEYS`."""

    def scan() -> list[str]:
        found: list[str] = []
        for key in redis_of(ground).scan_iter(count=1_000):
            found.append(key.decode(errors="replace"))
            if len(found) >= MOST_KEYS:
                break
        return sorted(found)

    return ground.once("redis' keys", scan)


def _with_redis(look: Callable[[Ground, Redis], Found]) -> Callable[[Ground], Found]:
    def looked(ground: Ground) -> Found:
        if not ground.settings.broker_is_redis:
            return skipped("SMS_BROKER_URL names another broker")
        try:
            return look(ground, redis_of(ground))
        except ResponseError as error:
            return skipped(f"this Redis does not tell ({str(error).split(maxsplit=1)[0]})")
        except RedisError as error:
            return fault(f"{without_secrets(ground.settings.redis_url)} does not answer: {type(error).__name__}")

    return looked


def _info(redis: Redis, section: str) -> dict[str, Any]:
    return dict(redis.info(section))


def _answers(ground: Ground, redis: Redis) -> Found:
    try:
        redis.ping()
        found = _info(redis, "server")
    except ResponseError as error:
        return fault(f"it refuses us: {str(error).split(maxsplit=1)[0]}", "correct user, password and database number")
    version = str(found.get("valkey_version") or found.get("redis_version") or "0")
    words = f"{without_secrets(ground.settings.redis_url)} answers, version {version}"
    spoken = tuple(int(part) for part in re.findall(r"\d+", str(found.get("redis_version", "0")))[:2])
    return ok(words) if spoken >= OLDEST_VERSION else fault(words, "install Redis 6.2 or newer, or Valkey")


def _latency(_: Ground, redis: Redis) -> Found:
    trips = []
    for _trip in range(PINGS):
        began = time.perf_counter()
        redis.ping()
        trips.append((time.perf_counter() - began) * 1000)
    middle = median(trips)
    return graded(middle, warns_at=SLOW_MS, faults_at=TOO_SLOW_MS, words=f"a round trip takes {middle:.1f} ms")


def _keeps(_: Ground, redis: Redis) -> Found:
    if not _info(redis, "persistence").get("aof_enabled"):
        return fault("AOF is off: orders that lie on Redis are gone with its process")
    if redis.config_get("appendfsync").get("appendfsync") != "always":
        return warning("appendfsync is not always: a power cut loses the orders of about a second")
    return ok("AOF is on, and every order is on disk before it is acknowledged")


def _throws_away(_: Ground, redis: Redis) -> Found:
    policy = str(_info(redis, "memory").get("maxmemory_policy") or "unknown")
    words = f"maxmemory-policy is {policy}"
    return ok(words) if policy == "noeviction" else fault(f"{words}: with memory short it throws orders away")


def _memory(_: Ground, redis: Redis) -> Found:
    memory = _info(redis, "memory")
    used, most = int(memory["used_memory"]), int(memory.get("maxmemory") or 0)
    if not most:
        total = int(memory.get("total_system_memory") or 0)
        words = f"{_mib(used)} in use, without a limit of its own"
        return graded(used / total if total else 0, warns_at=FULL_WARNS, faults_at=FULL_FAULTS, words=words)
    return graded(used / most, warns_at=FULL_WARNS, faults_at=FULL_FAULTS, words=f"{_mib(used)} of {_mib(most)} in use")


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"


def _saves(_: Ground, redis: Redis) -> Found:
    found = _info(redis, "persistence")
    if found.get("loading"):
        return fault("it still loads its data", "wait until it has")
    if found.get("aof_last_write_status", "ok") != "ok":
        return fault("its last write to disk failed")
    broken = [name for name in ("aof_last_bgrewrite_status", "rdb_last_bgsave_status") if found.get(name, "ok") != "ok"]
    return warning(f"{', '.join(broken)} is not ok") if broken else ok("its last writes to disk went well")


def _foreign(ground: Ground, _: Redis) -> Found:
    prefix, keys = ground.settings.redis_key_prefix, keys_of(ground)
    bare = [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]
    strange = [key for key in bare if not OURS.fullmatch(key)]
    others = len(keys) - len(bare)
    many = "at least " if len(keys) >= MOST_KEYS else ""
    if others:
        return note(f"{many}{others:,} keys without our prefix: this database is shared")
    if strange:
        shown = ", ".join(re.sub(r"\d{4,}", "…", key)[:40] for key in strange[:EXAMPLES])  # one may name a phone
        return warning(f"{many}{len(strange):,} keys are neither ours nor Celery's: {shown}")
    return ok(f"nobody else keeps keys here ({many}{len(keys):,} of ours)")


def _acl(ground: Ground, redis: Redis) -> Found:
    users = [user for user in cast("list[str]", redis.acl_users()) if _is_on(redis, user)]
    lane = f"{ground.settings.redis_key_prefix}sms.{Lane.OTP}"
    may_order = [user for user in users if _may(redis, user, "LPUSH", lane, "order")]
    may_read = [user for user in may_order if _may(redis, user, "LRANGE", lane, "0", "-1")]
    ours = str(redis.acl_whoami())
    producers = [user for user in may_order if user != ours]
    if not producers:
        near = urlsplit(ground.settings.redis_url).hostname in LOOPBACK
        words = "producers share our own user, and can read and delete every order"
        return note(words) if near else warning(words)
    loose = [user for user in producers if user in may_read]
    if loose:
        return warning(f"{', '.join(loose)} can read the orders of others")
    return ok(f"{', '.join(producers)} can order, and read nothing")


def _is_on(redis: Redis, user: str) -> bool:
    found = cast("dict[str, Any] | None", redis.acl_getuser(user))
    return bool(found and "on" in found["flags"])


def _may(redis: Redis, user: str, *command: str) -> bool:
    answer = redis.acl_dryrun(user, *command)
    return answer in {b"OK", "OK", True}


ANSWERS = ("redis.answers",)
CHECKS = (
    Check(
        "redis.answers",
        "Does Redis answer, and is it new enough?",
        "Orders come by it, and bells; while it is away producers cannot order, and nothing is lost.",
        "start it, or correct SMS_REDIS_URL",
        _with_redis(_answers),
    ),
    Check(
        "redis.latency",
        "How long does a round trip take?",
        "Each order and each bell takes a few of them.",
        "put it nearer, or look what else keeps it busy (SLOWLOG GET)",
        _with_redis(_latency),
        after=ANSWERS,
    ),
    Check(
        "redis.persistence",
        "Does it keep what it acknowledged?",
        "Until a worker has stored an order, Redis alone has it.",
        "appendonly yes and appendfsync always, in its configuration and by CONFIG SET",
        _with_redis(_keeps),
        after=ANSWERS,
    ),
    Check(
        "redis.eviction",
        "Does it throw anything away when memory is short?",
        "Any policy but noeviction throws away orders that it has acknowledged.",
        "maxmemory-policy noeviction, in its configuration and by CONFIG SET",
        _with_redis(_throws_away),
        after=ANSWERS,
    ),
    Check(
        "redis.memory",
        "Has it room?",
        "A full Redis takes no more orders; what lies there is still taken out.",
        "start workers, which empty it, or give it more memory (maxmemory)",
        _with_redis(_memory),
        after=ANSWERS,
    ),
    Check(
        "redis.saving",
        "Do its writes to disk succeed?",
        "After a failed one it refuses orders, or loses them with its process.",
        "look at its log and at its disk's free space",
        _with_redis(_saves),
        after=ANSWERS,
    ),
    Check(
        "redis.keys",
        "Does anybody else keep keys in this database?",
        "What flushes theirs deletes our orders, and a cache's memory is missing here.",
        "give it a database of its own: another number in SMS_REDIS_URL, and in the producers' broker URL",
        _with_redis(_foreign),
        after=ANSWERS,
    ),
    Check(
        "redis.acl",
        "Can producers read each other's orders?",
        "Orders hold phones and codes in clear.",
        "give producers a user of their own that may LPUSH and not read; docs/producers.md has the line",
        _with_redis(_acl),
        after=ANSWERS,
    ),
)
