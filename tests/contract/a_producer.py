"""Publishes every kind of order with the Celery of the interpreter that runs it, and prints what lay on Redis then.

Run by make_envelopes.py with ``python a_producer.py redis://HOST:PORT/DB``; it needs Celery and nothing of ours.
"""

import json
import os
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from importlib.metadata import version
from typing import Any

socket.gethostname = lambda: "producer"  # Celery writes it into the header origin: no machine's name is kept here
os.getpid = lambda: 1

import celery  # noqa: E402
import redis  # noqa: E402
from celery.app.trace import build_tracer  # noqa: E402

PHONE, TEXT = "998901234567", "Ваш код 4821"
AT, UNTIL = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2030, 1, 2, 4, 5, 6, tzinfo=UTC)
TASHKENT = timezone(timedelta(hours=5))
LANE = "sms.otp"

url = sys.argv[1]
app = celery.Celery("shop", broker=url, backend=url)  # with results, as many applications have them
app.conf.task_default_queue = LANE


@app.task(name="shop.after")
def after(*_: Any) -> None:
    """Whatever a producer wants to be done next."""


@app.task(name="shop.replaced", bind=True)
def replaced(task: Any) -> Any:
    return task.replace(sms())


def sms(*args: Any, **kwargs: Any) -> Any:
    """The signature of one order, immutable."""
    return app.signature("sms.send", args=args or (PHONE, TEXT), kwargs=kwargs, queue=LANE, immutable=True)


def send(task: str = "sms.send", *args: Any, **options: Any) -> None:
    options.setdefault("kwargs", {} if args else {"key": "order-1"})
    app.send_task(task, args=args or (PHONE, TEXT), queue=LANE, **options)


def by_name() -> None:
    app.send_task("sms.send", kwargs={"phone": PHONE, "text": TEXT, "tags": {"city": "Нукус"}}, queue=LANE)


def many() -> None:
    messages = [{"phone": PHONE}, {"phone": 998901234568, "text": "Another", "key": "k"}]
    app.send_task("sms.send_many", args=[messages], kwargs={"text": TEXT, "nickname": "SHOP"}, queue=LANE)


def follow(**embedded: Any) -> None:
    """A worker of the producer runs its task, and then what follows it."""
    task = app.tasks[embedded.pop("task", "shop.after")]
    request = {"id": "parent", "root_id": "parent", "delivery_info": {}, "reply_to": "", "correlation_id": "parent"}
    build_tracer(task.name, task, app=app)("parent", [], {}, request | embedded)


def under(**settings: Any) -> None:
    """An ordinary order of an application with other settings."""
    other = celery.Celery("other", broker=url, set_as_current=False)
    other.conf.update(settings)
    other.send_task("sms.send", args=[PHONE, TEXT], kwargs={"key": "order-1"}, queue=LANE)


def linked() -> None:
    signature = sms()
    signature.link(after.si())
    signature.apply_async()


def stamped() -> None:
    signature = sms()
    signature.stamp(campaign="spring")
    signature.apply_async()


CASES: dict[str, Callable[[], Any]] = {
    "send_task": send,
    "by name": by_name,
    "task_id": lambda: send(task_id="my-id"),
    "argsrepr": lambda: send(argsrepr="<hidden>", kwargsrepr="<hidden>"),
    "eta": lambda: send(eta=AT, expires=UNTIL),
    "eta of another zone": lambda: send(eta=AT.astimezone(TASHKENT)),
    "countdown": lambda: send(countdown=60, expires=3600),
    "priority": lambda: send(priority=6),
    "retries": lambda: send(retries=3),
    "time limit": lambda: send(time_limit=30, soft_time_limit=20),
    "shadow": lambda: send(shadow="one sms"),
    "ignore_result": lambda: send(ignore_result=True),
    "reply_to": lambda: send(reply_to="my-replies"),
    "own header": lambda: send(headers={"x-request": "17"}),
    "contract 1.1": lambda: send(headers={"sms_contract": "1.1"}, kwargs={"key": "order-1", "spread_seconds": 600}),
    "contract 1.9": lambda: send(headers={"sms_contract": "1.9"}, kwargs={"key": "order-1", "colour": "red"}),
    "stamped": stamped,
    "signature": lambda: sms().apply_async(),
    "signature with options": lambda: sms().apply_async(task_id="my-id", eta=AT, expires=UNTIL),
    "replacement of a task": lambda: follow(task="shop.replaced"),
    "group": lambda: celery.group([sms(), sms("998901234568", "Another")]).apply_async(),
    "last of a chain": lambda: follow(chain=[sms()]),
    "link of a task": lambda: follow(callbacks=[sms()]),
    "send_many": many,
    "cancel": lambda: send("sms.cancel", "some-uid"),
    "resolve": lambda: send("sms.resolve", ["one", "two"], "drop"),
    "block": lambda: send("sms.block", [PHONE], kwargs={"lanes": ["bulk"], "reason": "asked for it"}),
    "unblock": lambda: send("sms.unblock", [PHONE]),
    "contract 2.0": lambda: send(headers={"sms_contract": "2.0"}),
    "with link": lambda: sms().apply_async(link=after.si()),
    "with link_error": lambda: sms().apply_async(link_error=after.si()),
    "with a link of its signature": linked,
    "first of a chain": lambda: celery.chain(sms(), after.si()).apply_async(),
    "middle of a chain": lambda: follow(chain=[after.si(), sms()]),
    "header of a chord": lambda: celery.chord([sms(), sms("998901234568", "Another")], after.si()).apply_async(),
    "group before another task": lambda: celery.chain(celery.group([sms(), sms()]), after.si()).apply_async(),
    "gzip": lambda: send(compression="gzip"),
    "bzip2": lambda: send(compression="bzip2"),
    "task_compression": lambda: under(task_compression="gzip"),
    "pickle": lambda: send(serializer="pickle"),
    "yaml": lambda: send(serializer="yaml"),
    "msgpack": lambda: send(serializer="msgpack"),
    "protocol 1": lambda: under(task_protocol=1),
}


def lying(server: Any) -> list[dict[str, str]]:
    """Every order that lies on the lane, oldest first, with the key of its list; they are gone then."""
    found = [
        {"key": key.decode(), "raw": raw.decode("ascii")}
        for key in sorted(server.keys(f"{LANE}*"))
        for raw in reversed(server.lrange(key, 0, -1))
    ]
    server.flushdb()
    return found


def main() -> None:
    found = {}
    with redis.Redis.from_url(url) as server:
        for name, publish in CASES.items():
            publish()
            found[name] = lying(server)
    versions = {name: version(name) for name in ("celery", "kombu", "redis")}
    json.dump(versions | {"orders": found}, sys.stdout)


if __name__ == "__main__":
    main()
