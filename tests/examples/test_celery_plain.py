"""The plainest shop orders by a user that may only push, and is told by a task of its own."""

from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from programs import EXAMPLES, Programs
from servers import wait_for
from sms_producer import uid_of_key
from system import System

TOLD = "celery -A celery_plain.shop worker -Q shop --without-gossip --without-mingle --without-heartbeat"


def test_an_sms_is_ordered_and_its_shop_is_told(
    house: System, programs: Programs, broker_url: str, connected_as: Callable[[Path, str], str]
) -> None:
    house.worker()
    house.beat()
    told = connected_as(EXAMPLES / "celery_plain" / "README.md", "shop_told")
    programs.start("told", TOLD, BROKER_URL=told)

    uid = programs.run("python -m celery_plain.shop", "998901234567", "1001", BROKER_URL=broker_url)
    again = programs.run("python -m celery_plain.shop", "998901234567", "1001", BROKER_URL=broker_url)

    house.wait_for_states(delivered=1)
    assert uid == again == uid_of_key("shop", "ready-1001")
    assert [(sms["phone"], sms["text"]) for sms in house.control.journal()] == [
        ("998901234567", "Your order 1001 is ready.")
    ]
    wait_for(lambda: "SMS ready-1001 is delivered" in programs.log("told"))
    assert "998901234567" not in programs.log("told")
    assert "Permission" not in programs.log("told")
    wait_for(lambda: house.rows("SELECT count(*) FROM callbacks WHERE state = 'told'")[0][0] == 2)


def test_an_order_without_words_is_answered_with_how_to_give_them(programs: Programs) -> None:
    with pytest.raises(AssertionError, match=r"^Usage: python -m celery_plain\.shop PHONE ORDER\n"):
        programs.run("python -m celery_plain.shop", BROKER_URL="redis://127.0.0.1:1/0")


@pytest.mark.parametrize("key", ["sms:bell:submission", "sms:intake:owners", "unacked_index", "celery"])
def test_a_producer_may_not_write_among_what_workers_live_on(broker_url: str, key: str) -> None:
    with redis.Redis.from_url(broker_url) as server, pytest.raises(redis.exceptions.NoPermissionError):
        server.lpush(key, "x")
