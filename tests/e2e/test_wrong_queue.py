"""What comes to a queue where it does not belong is kept for a person to look at, and holds up nobody."""

import base64
import json
from typing import Any

import pytest
import redis
from builders import an_envelope
from servers import wait_for
from sqlalchemy import text
from system import System

from worker.orders import uid_of_key

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

UPKEEP = "sms.upkeep"


def the_refused(house: System) -> Any:
    """The one order that was kept, as soon as it is there."""
    (row,) = wait_for(lambda: house.rows("SELECT queue, reason, task, uid, body, body_encoding FROM refused_intakes"))
    return row


def goes_on(house: System) -> bool:
    """Whether the next order goes out as if nothing had been."""
    house.send("998901234567")
    house.wait_for_states(delivered=1)
    return house.posted() == {"998901234567": 1}


@pytest.mark.parametrize("queue", ["sms.submission", "sms.polling", "sms.callbacks", UPKEEP])
def test_an_order_to_a_bells_queue_is_kept_with_its_body(house: System, queue: str) -> None:
    house.beat()
    house.worker()

    order = {"args": ["998907654321", "Salom"], "kwargs": {"key": "k-1"}}
    sent = house.producer.send_task("sms.send", **order, queue=queue)

    refused, uid = the_refused(house), uid_of_key("default", "k-1")
    assert (refused.queue, refused.reason, refused.task, refused.uid) == (queue, "not_a_lane", "sms.send", uid)
    assert json.loads(refused.body) == {
        "task": "sms.send",
        "id": sent.id,
        **order,
    }
    assert goes_on(house)


BROKEN = b'[["998907654321", "Salom"], {'


@pytest.mark.parametrize("task", ["sms.send", "sms.ring"], ids=["of an order", "of a bell"])
def test_a_body_that_cannot_be_decoded_is_kept(house: System, task: str) -> None:
    message = json.loads(an_envelope(task, queue=UPKEEP))
    message["body"] = base64.b64encode(BROKEN).decode()
    house.beat()
    worker = house.worker()

    with redis.Redis.from_url(house.env["SMS_REDIS_URL"]) as server:
        server.lpush(UPKEEP, json.dumps(message))

    refused = the_refused(house)
    assert (refused.queue, refused.reason, refused.task) == (UPKEEP, "not_readable", task)
    assert (refused.body, refused.body_encoding) == (BROKEN.decode(), "utf-8")
    assert b"998907654321" not in worker.log.read_bytes(), "a phone stands in no log"
    assert goes_on(house)


def test_a_running_worker_cannot_be_told_to_consume_a_lane_the_lossy_way(house: System) -> None:
    house.beat()
    worker = house.worker()

    house.producer.control.add_consumer("sms.otp", reply=True, timeout=5)
    worker.wait_until_logged("lane_not_consumed")

    asked = house.producer.control.inspect(timeout=5).active_queues() or {}
    assert "sms.otp" not in {queue["name"] for queues in asked.values() for queue in queues}
    assert goes_on(house)


def test_an_event_for_celery_s_own_keys_from_before_it_was_refused_ends_no_worker(house: System) -> None:
    house.beat()
    worker = house.worker()
    house.send("998901234567", callback={"task": "shop.sms_changed", "queue": "shop"})
    wait_for(lambda: house.rows("SELECT count(*) FROM callbacks WHERE state = 'told'") == [(2,)])

    with house.engine.begin() as connection:
        owed = "UPDATE callbacks SET target = :to, state = 'owed', next_try_at = created_at, finished_at = NULL"
        connection.execute(text(owed), {"to": json.dumps({"task": "x", "queue": "unacked_index"})})

    wait_for(lambda: house.rows("SELECT count(*) FROM callbacks WHERE state = 'failed'") == [(2,)])
    assert house.rows("SELECT DISTINCT reason FROM callbacks") == [("a queue of our own",)]
    house.send("998911234567")
    house.wait_for_states(delivered=2)
    assert b"Unrecoverable" not in worker.log.read_bytes()
