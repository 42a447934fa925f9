"""Where the broker is not Redis, Celery itself brings the orders: the same are refused, and nothing follows them."""

import json
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from servers import wait_for
from system import System

from worker.orders import uid_of_key

# Kombu's, of the broker chosen here: one that needs no server.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]

REFUSED = "SELECT uid, reason FROM refused_intakes"
FOLLOWS = "998907777777"  #: what Celery would send next, if it began what follows an order


def a_shop(folder: Path) -> Celery:
    """A producer with results, or else Celery knows no chords."""
    return Celery(broker=f"sqla+sqlite:///{folder / 'broker.db'}", backend="cache+memory://")


def an_sms(shop: Celery, phone: str, **fields: Any) -> Any:
    return shop.signature("sms.send", args=[phone, "Salom"], kwargs=fields, queue="sms.otp", immutable=True)


def uids_of(published: Any) -> list[str]:
    return [str(one.id) for one in published]


def test_an_order_that_something_is_to_follow_is_refused_and_nothing_follows_it(house: System, tmp_path: Path) -> None:
    shop = a_shop(tmp_path)
    follows = an_sms(shop, FOLLOWS)
    house.env["SMS_BROKER_URL"] = shop.conf.broker_url
    house.worker("-c", "4")

    an_sms(shop, "998901111111", callback={"task": "shop.told"}, key="order-1").apply_async(link=follows)
    refused = [
        uid_of_key("default", "order-1"),
        an_sms(shop, "998901111112").apply_async(link_error=follows).id,
        chain(an_sms(shop, "998901111113"), follows).apply_async().parent.id,
        *uids_of(chord([an_sms(shop, f"99890222222{n}") for n in range(2)], follows).apply_async().parent),
        shop.send_task("sms.send", args=[FOLLOWS, "2"], queue="sms.otp", headers={"sms_contract": "2.0"}).id,
    ]
    wait_for(lambda: len(house.rows(REFUSED)) == len(refused))
    # Later on the same queue, so that whatever was to follow would have been there first.
    taken = uids_of(group(an_sms(shop, f"99890333333{n}") for n in range(2)).apply_async())
    taken.append(an_sms(shop, "998904444444").apply_async(headers={"sms_contract": "1.1"}).id)
    wait_for(lambda: len(house.rows("SELECT 1 FROM messages")) >= len(taken))

    reasons = dict.fromkeys(refused, "canvas_unsupported") | {refused[-1]: "contract_unsupported"}
    assert {uid: reason for uid, reason in house.rows(REFUSED)} == reasons  # noqa: C416
    assert {uid for (uid,) in house.rows("SELECT uid FROM messages")} == set(taken)
    (told,) = house.rows("SELECT event FROM callbacks")
    event = json.loads(told.event)
    assert (event["state"], event["reason"], event["key"]) == ("refused", "canvas_unsupported", "order-1")
    shop.close()


@pytest.mark.parametrize("queue", ["sms.upkeep", "sms.submission"])
def test_nothing_follows_what_came_by_no_lane_either(house: System, queue: str) -> None:
    house.worker("-c", "4")
    shop = house.producer
    order = shop.signature("sms.send", args=["998901111111", "Salom"], queue=queue, immutable=True)

    order.apply_async(link=shop.signature("sms.send", args=[FOLLOWS, "Salom"], queue="sms.submission", immutable=True))

    (refused,) = wait_for(lambda: house.rows("SELECT reason FROM refused_intakes"))
    house.send("998904444444")
    house.wait_for_states(submitted=1)
    assert refused.reason == "not_a_lane"
    assert house.rows("SELECT count(*) FROM refused_intakes") == [(1,)]
