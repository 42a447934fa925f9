"""Orders where nobody takes them: misspelt lanes, no lane at all, lists of the dead."""

from collections.abc import Iterator
from typing import Any

import pytest
from builders import a_send, an_envelope
from celery import Celery
from kombu import pools
from redis import Redis

from models.lifecycle import Lane
from worker.lanes import LaneLists


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture
def producer(redis_url: str) -> Iterator[Celery]:
    yield Celery(broker=redis_url)
    pools.reset()


def test_where_orders_lie_on_the_lanes_alone_all_is_well(look: Any, redis: Redis) -> None:
    for lane in Lane:
        redis.lpush(f"sms.{lane}", a_send())
        redis.lpush(f"sms.{lane}\x06\x163", a_send())
    redis.lpush("sms.upkeep", an_envelope("sms.ring"))

    assert look("queues.unknown").outcome == "ok"


def test_a_misspelt_lane_is_found_with_how_many_orders_lie_there(look: Any, producer: Celery) -> None:
    for _ in range(3):
        producer.send_task("sms.send", args=["998901234567", "Your code is 4821"], queue="sms.opt")

    found = look("queues.unknown")

    assert found.outcome == "fault"
    assert "3 on sms.opt (the lanes are sms.otp, sms.normal, sms.bulk)" in found.found
    assert "queue=" in found.remedy
    assert "4567" not in str(found)


def test_an_order_without_a_queue_is_found_where_celery_puts_it(look: Any, producer: Celery) -> None:
    producer.send_task("sms.send", args=["998901234567", "Your code is 4821"])

    found = look("queues.unknown")

    assert (found.outcome, "1 on celery" in found.found) == ("fault", True)


def test_another_program_s_queue_is_its_own(look: Any, producer: Celery) -> None:
    producer.send_task("shop.sms_changed", args=[{}], queue="shop")

    found = look("queues.unknown")

    assert (found.outcome, found.found.rpartition(": ")[2]) == ("note", "1 on shop")


def test_the_prefix_of_the_producers_is_ours(look: Any, redis: Redis) -> None:
    redis.lpush("ours:sms.opt", a_send())
    redis.lpush("sms.opt", a_send())

    found = look("queues.unknown", SMS_REDIS_KEY_PREFIX="ours:")

    assert (found.outcome, "1 on sms.opt" in found.found) == ("fault", True)


def test_orders_that_nobody_takes_are_a_fault_and_those_of_a_living_worker_are_not(look: Any, redis: Redis) -> None:
    empty = look("queues.orders")
    redis.lpush("sms.otp", a_send(), a_send())
    lying = look("queues.orders")
    LaneLists(redis, owner="sms@one:1:x").take(Lane.OTP, most=1, most_bytes=10_000)
    taken = look("queues.orders")

    assert (empty.outcome, lying.outcome, taken.outcome) == ("ok", "fault", "ok")
    assert lying.found == "2 on sms.otp, and no worker takes them"


def test_what_a_dead_worker_holds_waits_for_a_living_one(look: Any, redis: Redis) -> None:
    redis.lpush("sms.otp", a_send())
    LaneLists(redis, owner="dead@one:1:x").take(Lane.OTP, most=1, most_bytes=10_000)
    alive = look("queues.abandoned")
    redis.delete("sms:intake:alive:dead@one:1:x")
    alone = look("queues.abandoned")
    LaneLists(redis, owner="sms@one:1:x").take(Lane.BULK, most=1, most_bytes=10_000)
    followed = look("queues.abandoned")

    assert (alive.outcome, alone.outcome, followed.outcome) == ("ok", "fault", "note")
    assert alone.found == "a dead worker holds 1 orders, and none is alive to put them back"


def test_bells_that_nobody_hears_are_counted(look: Any, redis: Redis) -> None:
    redis.lpush("sms.polling", *[an_envelope("sms.poll_reports") for _ in range(101)])

    found = look("queues.bells")

    assert (found.outcome, found.found) == ("warning", "101 bells wait on sms.polling")
