"""The builder's envelopes are those of a real producer."""

import json
from typing import Any

import pytest
import redis
from builders import an_envelope
from celery import Celery
from kombu import pools

from worker import envelope as envelopes
from worker.lanes import PRIORITIES, PRIORITY_SEPARATOR

OPTIONS: list[Any] = [
    pytest.param({}, "sms.otp", id="plain"),
    pytest.param({"priority": 6}, f"sms.otp{PRIORITY_SEPARATOR}6", id="with a priority"),
    pytest.param({"headers": {"sms_contract": "1.1"}}, "sms.otp", id="with the contract's version"),
]
OF_EACH_MESSAGE = ("reply_to", "delivery_tag", "origin")


def order(redis_url: str, *, steps: list[int] | None = None, **options: Any) -> None:
    """A producer's send_task; *steps* are its ``priority_steps``."""
    with Celery(broker=redis_url) as producer:
        producer.conf.broker_transport_options = {"priority_steps": steps} if steps else {}
        args, kwargs = ["998901234567", "Ваш код 4821"], {"key": "order-1"}
        producer.send_task("sms.send", args=args, kwargs=kwargs, queue="sms.otp", task_id="my-id", **options)
        pools.reset()  # Kombu's pools are shared by all apps of a process that have the same broker


def pushed(redis_url: str, key: str, **options: Any) -> bytes:
    """What a producer's send_task puts on the list *key*."""
    order(redis_url, **options)
    with redis.Redis.from_url(redis_url) as connection:
        (raw,) = connection.lrange(key, 0, -1)
    return bytes(raw)


def comparable(raw: bytes) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(raw)
    for name in OF_EACH_MESSAGE:
        message["headers"].pop(name, None)
        message["properties"].pop(name, None)
    return message


@pytest.mark.parametrize(("options", "key"), OPTIONS)
def test_an_envelope_is_what_celery_puts_on_redis(redis_url: str, options: dict[str, Any], key: str) -> None:
    real = pushed(redis_url, key, **options)

    made = an_envelope(
        "sms.send", "998901234567", "Ваш код 4821", key="order-1", task_id="my-id", queue="sms.otp", **options
    )

    assert comparable(real) == comparable(made)


def test_eta_and_expires_are_read_from_where_celery_writes_them(redis_url: str) -> None:
    raw = pushed(redis_url, "sms.otp", eta=None, countdown=60, expires=120)

    read = envelopes.unpack(raw)

    assert read.eta
    assert read.eta.endswith("+00:00")
    assert isinstance(read.expires, str)


@pytest.mark.parametrize("priority", range(10))
def test_the_sublists_are_those_that_kombu_pushes_to(redis_url: str, priority: int) -> None:
    key = f"sms.otp{PRIORITY_SEPARATOR}{priority}" if priority else "sms.otp"

    assert priority in PRIORITIES
    assert pushed(redis_url, key, steps=list(range(10)), priority=priority)


@pytest.mark.parametrize("priority", range(10))
def test_a_producer_with_kombus_own_steps_pushes_to_some_of_them(redis_url: str, priority: int) -> None:
    with redis.Redis.from_url(redis_url) as connection:
        order(redis_url, priority=priority)
        (key,) = connection.keys("sms.otp*")

    assert key.decode() in {f"sms.otp{PRIORITY_SEPARATOR}{step}" if step else "sms.otp" for step in PRIORITIES}
