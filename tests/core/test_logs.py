"""What a worker writes while it works: enough to find a message by, and never what stands in it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import redis
from servers import WorkerProcess, wait_for
from system import System

from worker.sandbox.faults import Fault

PHONE, OTHER = "998909998877", "998909998878"
SECRETS = (
    "Maxfiy kod 739155",
    "739155",
    PHONE,
    OTHER,
    "NIKNEYM-7391",
    "kalit-7391",
    "yorliq-7391",
    "sir-7391",
)
TEXT = SECRETS[0]
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def lines_of(worker: WorkerProcess) -> list[dict[str, Any]]:
    """What it wrote so far; each line is one JSON object."""
    return [json.loads(line) for line in worker.log.read_text().splitlines() if line.startswith("{")]


def disturb(house: System) -> None:
    """Order in every way there is, most of them wrong, each with a secret wherever one fits."""
    told = {"task": "shop.told", "queue": "shop"}
    fields: dict[str, Any] = {"nickname": "NIKNEYM-7391", "key": "kalit-7391", "note": "yorliq-7391"}
    house.send(PHONE, TEXT, callback=told, **fields)
    house.send(OTHER, TEXT, callback={"url": "https://127.0.0.1:1/sir-7391"})
    house.send(f"{PHONE}999", TEXT)
    house.send(PHONE, TEXT * 300)
    send = house.producer.send_task
    send("sms.send", args=[PHONE, TEXT, "too many"], queue="sms.otp")
    send("sms.send_many", args=[[{"phone": PHONE, "text": TEXT}, PHONE]], queue="sms.bulk")
    send("sms.sent", args=[PHONE, TEXT], queue="sms.otp")
    send("no.such.task", args=[PHONE, TEXT], queue="sms.upkeep")
    send("sms.sweep", args=[PHONE, TEXT], queue="sms.upkeep")
    send("sms.sweep", args=[PHONE, TEXT], queue="sms.upkeep", serializer="pickle")
    send("sms.send", args=[PHONE, TEXT], queue="sms.otp", compression="zlib")


def push_broken(house: System) -> None:
    """What no Celery app ever wrote."""
    with redis.Redis.from_url(house.env["SMS_REDIS_URL"]) as server:
        server.lpush("sms.otp", f'{{"phone": "{PHONE}", "text": "{TEXT}"')
        body = base64.b64encode(f'{{"phone": "{PHONE}", "text": "{TEXT}"'.encode()).decode()
        given = {"exchange": "sms.upkeep", "routing_key": "sms.upkeep"}
        properties = {"delivery_info": given, "delivery_tag": "1", "body_encoding": "base64"}
        kind = {"content-type": "application/json", "content-encoding": "utf-8"}
        headers = {"task": "sms.sweep", "id": "1", "argsrepr": f"('{PHONE}', '{TEXT}')"}
        server.lpush("sms.upkeep", json.dumps({"body": body, "headers": headers, "properties": properties} | kind))


def secrets_in(folder: Path) -> set[str]:
    """Those that stand in any log of this system."""
    logs = "".join(file.read_text() for file in folder.glob("*.log"))
    return {secret for secret in SECRETS if secret in logs}


def test_nothing_of_an_order_is_logged_even_at_debug(house: System) -> None:
    house.env |= {"SMS_CALLBACK_SECRET": "sir-7391-" + "x" * 32}
    house.control.set_faults(Fault("cut-after", count=1), Fault("half-json", on=["status"], count=2))
    worker = house.worker("--loglevel", "DEBUG")
    house.beat()

    disturb(house)
    push_broken(house)
    wait_for(lambda: len(house.rows("SELECT id FROM refused_intakes")) >= 9)
    worker.wait_until_logged("circuit_opened")
    worker.wait_until_logged("callback_failed")
    house.send(OTHER, TEXT)
    worker.wait_until_logged('"delivered"')
    with redis.Redis.from_url(house.env["SMS_REDIS_URL"]) as server:
        server.client_kill_filter(_type="normal")
    worker.wait_until_logged("Connection to broker lost")
    house.stop()

    assert {"orders_taken", "message_moved", "batch_accepted"} <= {line["event"] for line in lines_of(worker)}
    assert secrets_in(house.folder) == set()


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")  # Kombu's
@pytest.mark.parametrize("pool", ["threads", "processes"])
def test_nor_where_orders_are_ordinary_tasks(house: System, tmp_path: Path, pool: str) -> None:
    house.env["SMS_BROKER_URL"] = house.producer.conf.broker_url = f"sqla+sqlite:///{tmp_path / 'broker.db'}"
    worker = house.worker("-P", pool, "-c", "2", "--loglevel", "DEBUG")
    house.beat()

    disturb(house)
    wait_for(lambda: len(house.rows("SELECT id FROM refused_intakes")) >= 8)
    worker.wait_until_logged('"delivered"')
    house.stop()

    assert "message_moved" in {line["event"] for line in lines_of(worker)}
    assert secrets_in(house.folder) == set()


def test_a_message_is_found_by_its_uid_at_debug_and_its_batch_at_any_level(house: System) -> None:
    worker = house.worker("--loglevel", "DEBUG")
    house.beat()

    uid = house.send(PHONE, TEXT, lane="normal")
    worker.wait_until_logged('"delivered"')

    lines = lines_of(worker)
    moves = [line for line in lines if line["event"] == "message_moved"]
    [message] = house.rows("SELECT batch_id, request_id FROM messages")
    assert {line["uid"] for line in moves} == {uid}
    assert [line["state"] for line in moves] == ["queued", "posting", "submitted", "delivered"]
    assert (moves[-1]["batch_id"], moves[-1]["request_id"]) == (message.batch_id, message.request_id)
    [accepted] = [line for line in lines if line["event"] == "batch_accepted"]
    assert (accepted["batch_id"], accepted["lane"]) == (message.batch_id, "normal")
    [taken] = [line for line in lines if line["event"] == "orders_taken"]
    assert taken["lane"] == "normal"


def test_what_is_bound_while_one_thing_is_worked_on_stands_on_no_line_of_another(house: System) -> None:
    house.control.set_faults(Fault("cut-before", on=["status"], count=1))
    worker = house.worker()
    house.beat()

    for lane in ("otp", "normal", "bulk"):
        house.send(PHONE, TEXT, lane=lane)
    house.wait_for_states(delivered=3)

    lines = lines_of(worker)
    lanes = {line["batch_id"]: line["lane"] for line in lines if line["event"] == "batch_accepted"}
    assert lanes == dict(house.rows("SELECT id, lane FROM batches"))
    [unanswered] = [line for line in lines if line["event"] == "poll_without_answer"]
    assert (unanswered["request_id"],) in house.rows("SELECT request_id FROM messages")
    assert "batch_id" not in unanswered
    assert "message_moved" not in {line["event"] for line in lines}
