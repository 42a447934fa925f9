"""The plainest shop: it orders an SMS, and a Celery task of its own is told what becomes of it.

``python -m celery_plain.shop PHONE ORDER`` orders; ``celery -A celery_plain.shop worker -Q shop`` is told.
"""

import logging
import os
import sys
from typing import Any

from celery import Celery
from sms_producer import Producer, Sms

log = logging.getLogger(__name__)

app = Celery("shop", broker=os.environ["BROKER_URL"])
app.conf.update(
    task_ignore_result=True,
    worker_enable_remote_control=False,  # its Redis user may not subscribe
    broker_transport_options={
        "socket_connect_timeout": 5,
        "socket_timeout": 30,
        "unacked_key": "shop.unacked",  # of its own: the SMS workers live on the same Redis database
        "unacked_index_key": "shop.unacked_index",
        "unacked_mutex_key": "shop.unacked_mutex",
    },
)
sms = Producer(app, "shop")


@app.task(name="shop.sms_changed")
def sms_changed(event: dict[str, Any]) -> None:
    """One event of one SMS. It may come twice, with the same event_id, and events may change places."""
    log.warning("SMS %s is %s (event %s)", event["key"], event["state"], event["event_id"])


def order_is_ready(phone: str, order: str) -> str:
    """Tell the customer; return the SMS's uid. However often this runs, the key makes it one SMS."""
    text = f"Your order {order} is ready."
    ready = Sms(phone, text, key=f"ready-{order}", callback={"task": "shop.sms_changed", "queue": "shop"})
    return sms.send(ready, lane="normal")


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004
        sys.exit("Usage: python -m celery_plain.shop PHONE ORDER")
    sys.stdout.write(order_is_ready(*sys.argv[1:]) + "\n")
