"""Orders that come as ordinary Celery tasks, where the broker is not Redis; and what no task here can read."""

import base64
import json
from typing import Any

from celery import signals

from models.lifecycle import Lane
from worker.celery import app
from worker.envelope import Envelope
from worker.intake import NOT_THE_ORDERS_FAULT
from worker.orders import Refusal
from worker.tasks import calmly, house, ring_submission

RETRY_SECONDS = 5


def _order(task: Any, *args: Any, **kwargs: Any) -> None:
    """Store an order by the same room that the lanes' lists lead to; repeat it until it is stored."""
    request = task.request
    lane = Lane(str(request.delivery_info["routing_key"]).removeprefix("sms."))
    raw = json.dumps({"task": task.name, "id": request.id, "args": args, "kwargs": kwargs}).encode()
    order = Envelope(task.name, request.id, list(args), kwargs, request.eta, request.expires, raw)
    try:
        taken = house().intake.take(order, lane)
        if taken.unmatched:
            house().intake.give_up_cancels(taken.unmatched, lane)
    except NOT_THE_ORDERS_FAULT as error:
        raise task.retry(countdown=RETRY_SECONDS, max_retries=None) from error
    if taken.stored or taken.moved:
        ring_submission()


for _name in ("sms.send", "sms.send_many", "sms.cancel", "sms.resolve"):
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


def _keep(message: Any, refusal: Refusal) -> None:
    queue = str((message.delivery_info or {}).get("routing_key", "")) if message is not None else ""
    calmly(lambda: house().intake.refuse(queue, refusal))


def _body(message: Any) -> bytes:
    body = getattr(message, "body", b"")
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    return bytes(body) if isinstance(body, bytes | memoryview) else base64.b64encode(repr(body).encode())
