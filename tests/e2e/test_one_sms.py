"""One SMS through the whole house, and two thousand."""

import subprocess
import sys
from pathlib import Path

from servers import wait_for
from system import System, phones

PRODUCER = """
import sys
from celery import Celery
sms = Celery(broker=sys.argv[1])
for phone in sys.stdin.read().split():
    print(sms.send_task("sms.send", args=[phone, "Kodingiz: 4821"], queue="sms.normal").id)
"""


def test_one_sms_walks_through_the_whole_house(house: System) -> None:
    """Ordered by a stock Celery app, stored under the id it saw, posted, reported, and its producer told."""
    house.worker()
    house.beat()

    uid = house.send("+998 90 971-13-22", "Kod: 4821 & «salom» +1", callback={"task": "shop.told", "queue": "shop"})
    wait_for(lambda: house.rows("SELECT id FROM messages WHERE uid = :uid", uid=uid), seconds=5)
    house.wait_for_states(delivered=1)

    [message] = house.rows("SELECT * FROM messages")
    [taken] = house.control.journal()
    assert (taken["phone"], taken["text"]) == ("998909711322", "Kod: 4821 & «salom» +1")
    assert (message.uid, message.request_id, message.message_id, message.attempts) == (
        uid,
        str(taken["request_id"]),
        str(taken["message_id"]),
        1,
    )
    assert message.created_at <= message.posted_at <= message.submitted_at <= message.finalized_at
    assert house.rows("SELECT state, size, accepted FROM batches") == [("accepted", 1, 1)]
    assert house.rows("SELECT gateway_status FROM reports ORDER BY id")[-1] == ("delivered",)
    wait_for(lambda: house.rows("SELECT count(*) FROM callbacks WHERE state = 'told'")[0][0] == 2)
    with house.producer.connection_for_read() as connection, connection.SimpleQueue("shop") as queue:
        told = [queue.get(timeout=5).payload[0][0] for _ in range(2)]
    assert [(event["uid"], event["state"]) for event in told] == [(uid, "submitted"), (uid, "delivered")]


def test_two_thousand_messages_are_posted_exactly_once_each(house: System, tmp_path: Path) -> None:
    """A producer in a process of its own, one Celery message for each SMS; counted at the gateway."""
    house.worker()
    house.beat()
    wanted = phones(2_000)

    command = [sys.executable, "-c", PRODUCER, house.env["SMS_REDIS_URL"]]
    sent = subprocess.run(
        command, input="\n".join(wanted), capture_output=True, text=True, check=True, cwd=tmp_path, timeout=120
    )
    house.wait_for_states(delivered=2_000, seconds=120)

    uids = {uid for (uid,) in house.rows("SELECT uid FROM messages")}
    assert uids == set(sent.stdout.split())
    assert house.posted() == dict.fromkeys(wanted, 1)
