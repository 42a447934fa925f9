"""Orders that nobody will take: on queues that nobody consumes, and with workers that died."""

import json
import re
from collections.abc import Iterator
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from models.lifecycle import Lane
from worker.doctor.check import Check, Found, Ground, fault, note, ok, skipped, warning
from worker.doctor.redis import keys_of, redis_of
from worker.lanes import PRIORITIES, PRIORITY_SEPARATOR, LaneLists

BELLS = ("sms.submission", "sms.polling", "sms.callbacks", "sms.upkeep")  # of worker.celery, which reads the settings
MOST_UNHEARD = 100
CELERYS_OWN = re.compile(r".*\.reply\.celery\.pidbox|.*celery\.pidbox|celeryev.*|unacked.*|_kombu\..*|sms:.*")
MOST_LISTS = 200


def _lanes() -> set[str]:
    steps = ["", *(f"{PRIORITY_SEPARATOR}{step}" for step in PRIORITIES if step)]
    return {f"sms.{lane}{step}" for lane in Lane for step in steps}


def _nobody_consumes(ground: Ground) -> Found:
    if not ground.settings.broker_is_redis:
        return skipped("SMS_BROKER_URL names another broker: look there for queues without a consumer")
    redis, prefix = redis_of(ground), ground.settings.redis_key_prefix
    known = _lanes() | {f"{bell}{step}" for bell in BELLS for step in ("", *_steps())}
    ours, others = dict[str, int](), dict[str, int]()
    for name, length, task in _lists(redis, prefix, keys_of(ground)):
        if name not in known:
            kind = ours if name.startswith("sms.") or (task or "").startswith("sms.") else others
            queue = name.partition(PRIORITY_SEPARATOR)[0]
            kind[queue] = kind.get(queue, 0) + length
    if ours:
        said = ", ".join(f"{length:,} on {queue}" for queue, length in sorted(ours.items()))
        lanes = ", ".join(f"sms.{lane}" for lane in Lane)
        return fault(f"orders lie where nobody takes them: {said} (the lanes are {lanes})")
    if others:
        said = ", ".join(f"{length:,} on {queue}" for queue, length in sorted(others.items())[:5])
        return note(f"only messages of other programs, which are to take them: {said}")
    return ok("orders lie on the lanes alone")


def _steps() -> list[str]:
    return [f"{PRIORITY_SEPARATOR}{step}" for step in PRIORITIES if step]


def _lists(redis: Redis, prefix: str, keys: list[str]) -> Iterator[tuple[str, int, str | None]]:
    """Name, length and the first message's task of each list that is a queue."""
    bare = [key.removeprefix(prefix) for key in keys if key.startswith(prefix)]
    for name in [name for name in bare if not CELERYS_OWN.fullmatch(name)][:MOST_LISTS]:
        try:
            length = redis.llen(prefix + name)
            yield name, length, _task_of(redis.lindex(prefix + name, -1))
        except ResponseError:
            continue  # no list


def _task_of(message: Any) -> str | None:
    try:
        task = json.loads(message)["headers"]["task"]
    except (ValueError, TypeError, KeyError):
        return None
    return task if isinstance(task, str) else None


def _abandoned(ground: Ground) -> Found:
    if not ground.settings.broker_is_redis:
        return skipped("SMS_BROKER_URL names another broker")
    lists = LaneLists(redis_of(ground), owner="sms doctor", prefix=ground.settings.redis_key_prefix)
    orders = lists.abandoned()
    if not orders:
        return ok("no dead worker holds orders")
    if lists.alive():
        return note(f"a dead worker holds {orders:,} orders, which a living one puts back within seconds")
    return fault(f"a dead worker holds {orders:,} orders, and none is alive to put them back")


def _waiting_on_redis(ground: Ground) -> Found:
    if not ground.settings.broker_is_redis:
        return skipped("SMS_BROKER_URL names another broker")
    lists = LaneLists(redis_of(ground), owner="sms doctor", prefix=ground.settings.redis_key_prefix)
    lying = {lane: lists.lying(lane) for lane in Lane}
    said = ", ".join(f"{sum(orders):,} on sms.{lane}" for lane, orders in lying.items() if sum(orders))
    if not said:
        return ok("every order has been stored")
    if lists.alive():
        return ok(f"{said}, and a worker takes them")
    return fault(f"{said}, and no worker takes them")


def _bells(ground: Ground) -> Found:
    if not ground.settings.broker_is_redis:
        return skipped("SMS_BROKER_URL names another broker")
    redis, prefix = redis_of(ground), ground.settings.redis_key_prefix
    try:
        unheard = {bell: redis.llen(prefix + bell) for bell in BELLS}
    except RedisError as error:
        return fault(f"Redis does not answer: {type(error).__name__}")
    many = {bell: length for bell, length in unheard.items() if length > MOST_UNHEARD}
    if many:
        return warning(", ".join(f"{length:,} bells wait on {bell}" for bell, length in many.items()))
    return ok("bells are heard, or none is rung")


ANSWERS = ("redis.answers",)
START = "start a worker: celery -A worker worker"
CHECKS = (
    Check(
        "queues.unknown",
        "Do orders lie on a queue that nobody consumes?",
        "A producer that misspells a lane, or names no queue, is told nothing: its orders lie there for ever.",
        "correct the producer's queue=; then move them: redis-cli LMOVE WRONG sms.LANE RIGHT LEFT, once for each",
        _nobody_consumes,
        after=ANSWERS,
    ),
    Check(
        "queues.orders",
        "Are orders taken off Redis?",
        "What lies there is in no database yet, and is not shown by any list of messages.",
        START,
        _waiting_on_redis,
        after=ANSWERS,
    ),
    Check(
        "queues.abandoned",
        "Do dead workers hold orders?",
        "A worker that is killed while it stores orders leaves them in a list of its own.",
        START,
        _abandoned,
        after=ANSWERS,
    ),
    Check(
        "queues.bells",
        "Are bells heard?",
        "Many bells that nobody hears mean that no worker consumes that queue (-Q).",
        f"{START}, without -Q or with all of {', '.join(BELLS)}",
        _bells,
        after=ANSWERS,
    ),
)
