"""Who pays is told by SMS once it is committed, and the shop knows what became of it, however often it is told."""

import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from programs import Programs
from servers import wait_for
from system import System

from worker.embedded import processes
from worker.webhook import SIGNATURE, signature

PHONE = "998901234567"
SECRET = "of-workers-and-shop"
ROLLED_BACK = f"""
from django.db import transaction
from django_shop.models import Order
with transaction.atomic():
    Order.objects.create(phone="{PHONE}").pay()
    transaction.set_rollback(True)
"""


class Shop:
    """The project, in processes of its own."""

    def __init__(self, programs: Programs, folder: Path, broker_url: str) -> None:
        self.port = processes.free_port()
        self.url = f"http://127.0.0.1:{self.port}/sms"
        self._programs = programs
        self._file = folder / "shop.db"
        self.env = {
            "BROKER_URL": broker_url,
            "DJANGO_SETTINGS_MODULE": "django_shop.settings",
            "SHOP_DATABASE": str(self._file),
            "SMS_CALLBACK_URL": self.url,
            "SMS_CALLBACK_SECRET": SECRET,
        }
        self.manage("migrate --run-syncdb")

    def manage(self, command: str, *arguments: str) -> str:
        return self._programs.run(f"python -m django {command}", *arguments, **self.env)

    def serve(self) -> None:
        self._programs.serve("shop", self.port, "python -m django runserver --noreload", **self.env)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._file)) as db:
            return db.execute(query).fetchall()

    def told(self, event: Mapping[str, Any], secret: str = SECRET) -> int:
        """What the shop answers to an event signed like this."""
        body = json.dumps(event).encode()
        headers = {SIGNATURE: signature(secret, body, int(time.time()))}
        with httpx.Client(trust_env=False) as client:
            return client.post(self.url, content=body, headers=headers).status_code


@pytest.fixture
def shop(programs: Programs, tmp_path: Path, broker_url: str) -> Shop:
    return Shop(programs, tmp_path, broker_url)


def an_event(**changes: Any) -> dict[str, Any]:
    event = {"event_id": "1", "uid": "u", "key": "paid-none", "state": "submitted", "reason": None}
    return {**event, "at": "2026-11-30T12:00:00+00:00", **changes}


def test_who_pays_gets_one_sms_and_the_shop_sees_it_delivered(house: System, shop: Shop) -> None:
    house.worker(SMS_CALLBACK_SECRET=SECRET, SMS_CALLBACK_PRIVATE_ADDRESSES="true")
    house.beat()
    shop.serve()

    order = shop.manage("pay", PHONE)
    shop.manage("pay", "--order", order)  # a person does not know whether the first went well

    house.wait_for_states(delivered=1)
    wait_for(lambda: shop.rows("SELECT sms_state FROM django_shop_order") == [("delivered",)])
    wait_for(lambda: shop.rows("SELECT count(*) FROM django_shop_smsevent") == [(2,)])
    assert [(sms["phone"], sms["text"]) for sms in house.control.journal()] == [
        (PHONE, "Your order is paid. Thank you!")
    ]
    assert house.rows("SELECT producer, key FROM messages") == [("django-shop", f"paid-{order}")]


def test_what_is_told_again_or_late_changes_nothing(shop: Shop) -> None:
    shop.serve()
    with closing(sqlite3.connect(shop.env["SHOP_DATABASE"])) as db, db:
        db.execute("INSERT INTO django_shop_order VALUES ('7', ?, 1, '', NULL)", (PHONE,))
    delivered = an_event(event_id="2", key="paid-7", state="delivered", at="2026-11-30T12:00:04.120000+00:00")

    answers = [shop.told(delivered), shop.told(delivered), shop.told(an_event(key="paid-7"))]

    assert answers == [204, 204, 204]
    assert shop.rows("SELECT sms_state FROM django_shop_order") == [("delivered",)]
    assert shop.rows("SELECT event_id FROM django_shop_smsevent ORDER BY event_id") == [("1",), ("2",)]


@pytest.mark.parametrize("key", [None, "paid-unknown"], ids=["no key", "no such order"])
def test_an_event_of_no_order_is_kept_and_not_told_for_a_day(shop: Shop, key: str | None) -> None:
    shop.serve()

    assert shop.told(an_event(key=key, uid=None, state="refused", reason="phone_invalid")) == 204

    assert shop.rows("SELECT state, reason FROM django_shop_smsevent") == [("refused", "phone_invalid")]


def test_only_what_the_workers_signed_is_believed(shop: Shop) -> None:
    shop.serve()

    assert shop.told(an_event(), secret="another") == 403

    assert shop.rows("SELECT * FROM django_shop_smsevent") == []


def test_a_payment_that_is_rolled_back_sends_nothing(shop: Shop, programs: Programs, redis_url: str) -> None:
    programs.run("python -m django", "shell", "-c", ROLLED_BACK, **shop.env)

    with redis.Redis.from_url(redis_url) as server:
        assert server.llen("sms.normal") == 0
    assert shop.rows("SELECT * FROM django_shop_order") == []
