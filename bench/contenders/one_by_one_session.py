"""N2: as N1, but each thread of each process keeps its `requests.Session`, and so its connection."""

import json
import os
import threading
from datetime import UTC, datetime

import requests
from celery import Celery

from bench.contenders.table import Session, Sms

GATEWAY_URL = os.environ["GATEWAY_URL"] + "/"
LOGIN, PASSWORD = os.environ["GATEWAY_LOGIN"], os.environ["GATEWAY_PASSWORD"]

app = Celery("shop", broker=os.environ["BROKER_URL"])
app.conf.task_ignore_result = True
kept = threading.local()


def http() -> requests.Session:
    if not hasattr(kept, "http"):
        kept.http = requests.Session()
    return kept.http  # type: ignore[no-any-return]


@app.task(name="send_sms")
def send_sms(phone: str, text: str) -> None:
    with Session() as session:
        sms = Sms(phone=phone, text=text)
        session.add(sms)
        session.commit()
        form = {"login": LOGIN, "password": PASSWORD, "data": json.dumps([{"phone": phone, "text": text}])}
        response = http().post(GATEWAY_URL, data=form, timeout=30)
        response.raise_for_status()
        (answer,) = response.json()
        if "error" in answer:
            sms.state = "failed"
        else:
            sms.state, sms.accepted_at = "accepted", datetime.now(UTC)
            sms.request_id, sms.message_id = str(answer["request_id"]), str(answer["message_id"])
        session.commit()
