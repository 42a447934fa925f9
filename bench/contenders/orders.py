"""Orders as Celery's producers publish them, but fast: a hundred thousand by `send_task` would take a minute."""

import base64
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, cast

from celery import Celery
from redis import Redis

AT_ONCE = 1_000
TEXT = "Hurmatli mijoz, buyurtmangiz tayyor. Kuryer soat 18:00 gacha yetib boradi."


class Sms(NamedTuple):
    phone: str
    text: str


class NotAsCelery(Exception):
    """What we write is not what Celery writes: the bench would measure something else."""


def messages(count: int, *, first: int = 0) -> list[Sms]:
    """So many SMS, each to a phone of its own."""
    return [Sms(f"99890{number:07}", TEXT) for number in range(first, first + count)]


class Template:
    """A message that Celery really published, to be filled with other ids and arguments, byte for byte as it does."""

    def __init__(self, real: bytes) -> None:
        """Raises `NotAsCelery` when the same arguments and ids do not give *real* again."""
        message = json.loads(real)
        task_id, tag = message["properties"]["correlation_id"], message["properties"]["delivery_tag"]
        args, *rest = json.loads(base64.b64decode(message["body"]))
        self._rest = json.dumps(rest)[1:-1]
        holes = {
            json.dumps(message["body"]): '"%(body)s"',
            json.dumps(task_id): '"%(task_id)s"',
            json.dumps(tag): '"%(tag)s"',
            json.dumps(message["headers"]["argsrepr"]): "%(argsrepr)s",
        }
        pattern = "|".join(re.escape(part) for part in [*holes, "%"])
        self._form = re.sub(pattern, lambda found: holes.get(found[0], "%%"), real.decode())
        if self.filled(args, task_id=task_id, tag=tag) != real:
            raise NotAsCelery

    def filled(self, args: Sequence[Any], *, task_id: str, tag: str) -> bytes:
        body = base64.b64encode(f"[{json.dumps(args)}, {self._rest}]".encode()).decode()
        argsrepr = json.dumps(repr(list(args)))
        return (self._form % {"body": body, "task_id": task_id, "tag": tag, "argsrepr": argsrepr}).encode()

    def of(self, args: Sequence[Any]) -> bytes:
        """With new ids."""
        return self.filled(args, task_id=str(uuid.uuid4()), tag=str(uuid.uuid4()))


def template_of(producer: Celery, redis: Redis, task: str, queue: str) -> Template:
    """Publish one message with *producer*, and take it off the queue, which must be empty."""
    producer.send_task(task, args=list(messages(1)[0]), queue=queue)
    return Template(cast("bytes", redis.rpop(queue)))


def fill(redis: Redis, name: str, template: Template, count: int) -> None:
    """Make the list *name* as *count* calls of `send_task` would, the oldest at its right end."""
    every = iter(messages(count))
    while some := list(islice(every, AT_ONCE)):
        redis.lpush(name, *(template.of(sms) for sms in some))


def fill_with_many(producer: Celery, queue: str, count: int, *, chunk: int) -> None:
    """Fill *queue* by real calls of `send_task` with *chunk* SMS each."""
    for some in chunks(messages(count), chunk):
        producer.send_task("sms.send_many", args=[[sms._asdict() for sms in some]], queue=queue)


def chunks(every: Sequence[Sms], size: int) -> Iterator[Sequence[Sms]]:
    """So many at a time."""
    return (every[start : start + size] for start in range(0, len(every), size))
