"""What bench/ puts on a queue is what Celery's producers put there."""

import json
from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import pools
from redis import Redis

from bench.contenders.orders import TEXT, NotAsCelery, Sms, Template, fill, messages, template_of

QUEUE = "sms.normal"
SMS = Sms("998901112233", "Kodingiz: 100%")


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as redis:
        yield redis


@pytest.fixture
def producer(redis_url: str) -> Iterator[Celery]:
    with Celery(broker=redis_url) as producer:
        yield producer
    pools.reset()


def test_a_filled_template_is_what_celery_publishes_byte_for_byte(producer: Celery, redis: Redis) -> None:
    template = template_of(producer, redis, "sms.send", QUEUE)
    task_id = producer.send_task("sms.send", args=list(SMS), queue=QUEUE).id
    published: bytes = redis.rpop(QUEUE)  # type: ignore[assignment]
    tag = json.loads(published)["properties"]["delivery_tag"]

    assert template.filled(list(SMS), task_id=task_id, tag=tag) == published


def test_what_celery_would_write_otherwise_is_refused(producer: Celery, redis: Redis) -> None:
    producer.send_task("sms.send", args=["998901112233", "Yo'lda"], queue=QUEUE)  # its argsrepr escapes the apostrophe

    with pytest.raises(NotAsCelery):
        Template(redis.rpop(QUEUE))  # type: ignore[arg-type]


def test_the_first_message_is_taken_first(producer: Celery, redis: Redis) -> None:
    fill(redis, "waiting", template_of(producer, redis, "sms.send", QUEUE), 2_500)

    first: bytes = redis.rpop("waiting")  # type: ignore[assignment]
    assert redis.llen("waiting") == 2_499
    assert json.loads(first)["headers"]["argsrepr"] == f"['{messages(1)[0].phone}', '{TEXT}']"
