"""Orders that come as ordinary Celery tasks, where the broker is not Redis; and what no task here can read."""

import base64
import json
import traceback
from typing import Any

import structlog
from celery.exceptions import Ignore, Reject
from celery.worker.consumer import Consumer
from celery.worker.request import Request

from models.lifecycle import Lane
from worker.celery import LANES, app, settings
from worker.envelope import CANVAS, CONTRACT_HEADER, TRACE_HEADER, Envelope, follower
from worker.errors import OrderRefused
from worker.orders import TASKS, Refusal, refusal
from worker.tasks import house, ring_submission

log = structlog.get_logger()

REQUEUE_SECONDS = 5.0


class OrderRequest(Request):
    """An order is stored whatever its times say: it waits in the table, and expires there, where people see it."""

    eta = None

    def maybe_expire(self) -> bool:
        """Celery would drop it."""
        return False


def _order(task: Any, *args: Any, **kwargs: Any) -> None:
    """Store an order by the same room that the lanes' lists lead to; until it is stored, it goes back to its queue.

    Not by ``retry``: that gives up after three times, and acknowledges an order that nobody has.
    """
    request = task.request
    raw = json.dumps({"task": task.name, "id": request.id, "args": args, "kwargs": kwargs}).encode()
    embed = {name: request.get(name) for name in CANVAS}
    times = request.eta, request.expires
    said = request.get(CONTRACT_HEADER), request.get(TRACE_HEADER)
    order = Envelope(task.name, request.id, list(args), kwargs, *times, raw, embed, *said)
    try:
        _take(order, str(request.delivery_info["routing_key"]))
    except Exception as error:  # noqa: BLE001 - whatever it is, the order must not be acknowledged
        _pause(error)
        raise Reject(requeue=True) from None
    if follower(embed):
        # Or else Celery itself would begin what was to follow an SMS that is refused.
        raise Ignore


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


def _pause(error: Exception) -> None:
    """Say what is wrong, in no words of the error, and give it time."""
    frames = traceback.format_tb(error.__traceback__)[-1:]
    log.warning("order_waits", error=type(error).__name__, frames=frames, hint="it goes back to its queue")
    house().stopping.wait(REQUEUE_SECONDS)


for _name in TASKS:
    # Acknowledged only when it is stored; stored twice is stored once.
    app.task(
        _order,
        name=_name,
        bind=True,
        acks_late=True,
        acks_on_failure_or_timeout=False,
        reject_on_worker_lost=True,
        typing=False,
        Request="worker.order_tasks:OrderRequest",
    )


class KeepingConsumer(Consumer):
    """Celery's consumer drops what it cannot read; this one keeps it first, or else gives it back to its queue."""

    def add_task_queue(self, queue: str, *options: Any, **more: Any) -> None:
        """Of `celery control add_consumer`: a lane consumed as ordinary tasks as well could lose orders to a kill."""
        if settings.broker_is_redis and queue in LANES:
            log.error("lane_not_consumed", queue=queue, hint="every worker takes orders off the lanes by itself")
            return
        super().add_task_queue(queue, *options, **more)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """The body is broken, of another kind, or compressed."""
        if _kept(message, "not_readable", "The body cannot be decoded: JSON of protocol 2, not compressed, is read."):
            super().on_decode_error(message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """No message of Celery's."""
        if _kept(message, "not_readable", "No Celery message that this worker reads: JSON of protocol 2 is."):
            super().on_unknown_message(body, message)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A task whose arguments are none."""
        if _kept(message, "not_readable", "The body is not [args, kwargs, embed] of Celery's protocol 2."):
            super().on_invalid_task(body, message, exc)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A task that is not ours."""
        explanation = f"There is no such task here. Orders go to the lanes' queues: {', '.join(LANES)}."
        if _kept(message, "task_unknown", explanation):
            super().on_unknown_task(body, message, exc)


def _kept(message: Any, reason: str, explanation: str) -> bool:
    headers = message.headers if isinstance(message.headers, dict) else {}
    task, uid = (str(headers[name]) if headers.get(name) else None for name in ("task", "id"))
    queue = str((message.delivery_info or {}).get("routing_key", ""))
    try:
        house().intake.refuse(queue, Refusal(reason, explanation, _body(message), task=task, uid=uid))
    except Exception as error:  # noqa: BLE001 - whatever it is, the message must not be acknowledged
        _pause(error)
        message.requeue()
        return False
    return True


def _body(message: Any) -> bytes:
    body = message.body
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    return bytes(body) if isinstance(body, bytes | memoryview) else base64.b64encode(repr(body).encode())
