"""N3: celery-batches. Fifty messages are one INSERT, one post on a kept connection, and one UPDATE of many rows."""

import json
import os
import threading
from datetime import UTC, datetime
from typing import Any

import requests
from celery import Celery
from celery_batches import Batches, SimpleRequest
from sqlalchemy import insert, update

from bench.contenders.table import Session, Sms

GATEWAY_URL = os.environ["GATEWAY_URL"] + "/"
LOGIN, PASSWORD = os.environ["GATEWAY_LOGIN"], os.environ["GATEWAY_PASSWORD"]

app = Celery("shop", broker=os.environ["BROKER_URL"])
app.conf.task_ignore_result = True
app.conf.worker_prefetch_multiplier = 100  # with fewer than flush_every for each process, batches stay small
kept = threading.local()


def http() -> requests.Session:
    if not hasattr(kept, "http"):
        kept.http = requests.Session()
    return kept.http  # type: ignore[no-any-return]


@app.task(name="send_sms", base=Batches, flush_every=50, flush_interval=0.2)
def send_sms(orders: list[SimpleRequest]) -> None:
    asked = [{"phone": order.args[0], "text": order.args[1]} for order in orders]
    with Session.begin() as session:
        ids = session.scalars(insert(Sms).returning(Sms.id, sort_by_parameter_order=True), asked).all()
    form = {"login": LOGIN, "password": PASSWORD, "data": json.dumps(asked)}
    response = http().post(GATEWAY_URL, data=form, timeout=30)
    response.raise_for_status()
    now = datetime.now(UTC)
    with Session.begin() as session:
        answers = zip(ids, response.json(), strict=True)
        session.execute(update(Sms), [outcome(sms_id, answer, now) for sms_id, answer in answers])


def outcome(sms_id: int, answer: dict[str, Any], now: datetime) -> dict[str, Any]:
    if "error" in answer:
        return {"id": sms_id, "state": "failed"}
    ids = {"request_id": str(answer["request_id"]), "message_id": str(answer["message_id"])}
    return {"id": sms_id, "state": "accepted", "accepted_at": now} | ids
