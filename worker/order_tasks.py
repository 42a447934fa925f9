"""Orders that come as ordinary Celery tasks, where the broker is not Redis; and what no task here can read."""

import base64
import json
from typing import Any

from celery import signals
from celery.worker.consumer import Consumer

from models.lifecycle import Lane
from worker.celery import LANES, app
from worker.envelope import Envelope
from worker.errors import OrderRefused
from worker.orders import TASKS, Refusal, refusal
from worker.store.engine import DATABASE_TROUBLE
from worker.tasks import calmly, house, ring_submission

RETRY_SECONDS = 5
PAST = "1970-01-01T00:00:00+00:00"


def _order(task: Any, *args: Any, **kwargs: Any) -> None:
    """Store an order by the same room that the lanes' lists lead to; repeat it until it is stored."""
    request = task.request
    raw = json.dumps({"task": task.name, "id": request.id, "args": args, "kwargs": kwargs}).encode()
    order = Envelope(task.name, request.id, list(args), kwargs, request.eta, request.expires, raw)
    try:
        _take(order, str(request.delivery_info["routing_key"]))
    except DATABASE_TROUBLE as error:
        raise task.retry(countdown=RETRY_SECONDS, max_retries=None) from error


def _take(order: Envelope, queue: str) -> None:
    intake = house().intake
    lane = queue.removeprefix("sms.")
    if lane not in set(Lane):
        refused = OrderRefused("not_a_lane", f"{queue} is no lane: orders go to {', '.join(LANES)}.")
        intake.refuse(queue, refusal(order, refused, fields=order.kwargs))
        return
    taken = intake.take(order, Lane(lane))
    if taken.unmatched:
        intake.give_up_cancels(taken.unmatched, Lane(lane))
    if taken.stored or taken.moved:
        ring_submission()


for _name in TASKS:
    # Acknowledged only when it is stored; stored twice is stored once.
    app.task(_order, name=_name, bind=True, acks_late=True, reject_on_worker_lost=True, typing=False)


@signals.task_unknown.connect(weak=False)
def _keep_unknown(message: Any = None, name: str | None = None, id: str | None = None, **_: Any) -> None:  # noqa: A002
    explanation = "There is no such task here. Orders go to the lanes' queues: sms.otp, sms.normal, sms.bulk."
    _keep(message, Refusal("task_unknown", explanation, _body(message), task=name, uid=id))


@signals.task_rejected.connect(weak=False)
def _keep_rejected(message: Any = None, **_: Any) -> None:
    explanation = "No Celery message that this worker reads: JSON of protocol 2 is."
    _keep(message, Refusal("not_readable", explanation, _body(message)))


@signals.task_revoked.connect(weak=False)
def _keep_expired(request: Any = None, expired: bool = False, **_: Any) -> None:
    """Celery drops an ordinary task whose time has run out; an order is stored all the same, and expires by us."""
    if expired and request is not None and request.name in TASKS:
        order = Envelope(request.name, request.id, list(request.args), dict(request.kwargs), None, PAST)
        calmly(lambda: _take(order, str(request.delivery_info["routing_key"])))


class KeepingConsumer(Consumer):
    """Celery's consumer drops what it cannot decode; this one keeps it."""

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Keep the message, and go on."""
        explanation = "The body cannot be decoded: JSON of protocol 2, neither compressed nor encrypted, is read."
        _keep(message, Refusal("not_readable", explanation, _body(message)))
        super().on_decode_error(message, exc)


def _keep(message: Any, refusal: Refusal) -> None:
    queue = str((message.delivery_info or {}).get("routing_key", "")) if message is not None else ""
    calmly(lambda: house().intake.refuse(queue, refusal))


def _body(message: Any) -> bytes:
    body = getattr(message, "body", b"")
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    return bytes(body) if isinstance(body, bytes | memoryview) else base64.b64encode(repr(body).encode())
