"""The contract has a version: what a newer or an older producer orders is kept, and another major one is refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from builders import NOON, Sessions, a_send, all_of, an_envelope
from shop import PHONE, TELL, TEXT, Shop
from taking import TASK_ID, take, the_only_sms, the_refusal

from models import Callback, Message
from worker.orders import uid_of_key

LAST_RELEASE = Path(__file__).parents[1] / "releases/getsms_worker-0.4.0-py3-none-any.whl"

OURS: list[Any] = [None, "1.1", "1.0", "1", "1.9", "1.1.3", "1.10", 1, 1.0, 1.1, 1.9]
NOT_OURS: list[Any] = ["2.0", "2", "0.9", "10.1", 2, 2.0, 0, -1, "x", "", " 1.1", "1.", "1.x", "v1.1", "١.1", "1.1\n"]
UNREADABLE: list[Any] = [True, False, [], [1], ["1.1"], {}, {"1": 1}, float("nan"), float("inf"), 10**400]


@pytest.mark.parametrize("version", OURS, ids=repr)
def test_a_version_of_ours_is_taken(sessions: Sessions, version: Any) -> None:
    taken = take(sessions, a_send(headers={"sms_contract": version}))

    assert (taken.stored, taken.refused) == (1, 0)
    assert the_only_sms(sessions).tags == {}


@pytest.mark.parametrize("version", [*NOT_OURS, *UNREADABLE], ids=lambda one: repr(one)[:12])
def test_another_version_is_refused_kept_and_told(sessions: Sessions, version: Any) -> None:
    raw = a_send(headers={"sms_contract": version}, callback=TELL, key="order-1", producer="shop", task_id=TASK_ID)

    taken = take(sessions, raw)

    refused, (told,) = the_refusal(sessions), all_of(sessions, Callback)
    assert (taken.stored, taken.refused) == (0, 1)
    assert (refused.reason, refused.uid, refused.key, refused.producer) == (
        "contract_unsupported",
        uid_of_key("shop", "order-1"),
        "order-1",
        "shop",
    )
    assert refused.body.encode() == raw
    assert (told.target, told.event["reason"], told.event["phone"]) == (TELL, "contract_unsupported", PHONE)


DECISIONS: list[Any] = [
    pytest.param(("sms.cancel", "my-id"), id="cancel"),
    pytest.param(("sms.resolve", ["my-id"], "drop"), id="resolve"),
    pytest.param(("sms.block", [PHONE]), id="block"),
    pytest.param(("sms.send_many", [{"phone": "998907777777", "text": TEXT}]), id="send_many"),
]


@pytest.mark.parametrize("order", DECISIONS)
def test_no_task_of_another_version_is_carried_out(sessions: Sessions, order: tuple[Any, ...]) -> None:
    take(sessions, a_send(task_id="my-id"))

    take(sessions, an_envelope(*order, headers={"sms_contract": "2.0"}))

    assert (the_only_sms(sessions).state, the_refusal(sessions).reason) == ("queued", "contract_unsupported")


def test_the_fields_of_a_newer_minor_version_are_kept_in_the_tags(shop: Shop, sessions: Sessions) -> None:
    headers = {"headers": {"sms_contract": "1.9"}}
    shop.order("sms.send", PHONE, TEXT, options=headers, urgency="high", tags={"city": "Nukus"})

    shop.take()

    assert the_only_sms(sessions).tags == {"city": "Nukus", "urgency": "high"}


def test_a_producer_that_says_no_version_is_taken(shop: Shop, sessions: Sessions) -> None:
    shop.send()

    shop.take()

    assert [sms.text for sms in all_of(sessions, Message)] == [TEXT]


FOLLOWED: list[Any] = [
    pytest.param({"callbacks": [{"task": "shop.after"}]}, "link", id="link"),
    pytest.param({"errbacks": [{"task": "shop.after"}]}, "link_error", id="link_error"),
    pytest.param({"chain": [{"task": "shop.after"}]}, "chain", id="chain"),
    pytest.param({"chord": {"task": "shop.after"}}, "chord", id="chord"),
]


@pytest.mark.parametrize(("embed", "word"), FOLLOWED)
def test_an_order_that_something_is_to_follow_is_refused_kept_and_told(
    sessions: Sessions, embed: dict[str, Any], word: str
) -> None:
    take(sessions, a_send(embed=embed, callback=TELL, task_id=TASK_ID))

    refused, (told,) = the_refusal(sessions), all_of(sessions, Callback)
    assert (refused.reason, refused.uid) == ("canvas_unsupported", TASK_ID)
    assert refused.explanation.startswith(f"{word} cannot be kept")
    assert (told.target, told.event["reason"], told.event["uid"]) == (TELL, "canvas_unsupported", TASK_ID)


ASK_THE_LAST_RELEASE = """
import json, sys
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo
import worker
from models.lifecycle import Lane
from worker.envelope import unpack
from worker.order_fields import Terms
from worker.orders import New, read

terms = Terms(Lane.BULK, datetime.fromisoformat(sys.argv[1]), ZoneInfo("Asia/Tashkent"), None, 10, True)
found = [order for raw in sys.stdin.buffer.read().splitlines() for order in read(unpack(raw), terms)]
rows = [one.row | {"callback": None} if isinstance(one, New) else type(one).__name__ for one in found]
print(json.dumps({"file": worker.__file__, "rows": rows}, default=str))
"""


def test_the_last_releases_worker_takes_what_a_producer_of_this_contract_orders(tmp_path: Path) -> None:
    with ZipFile(LAST_RELEASE) as wheel:
        wheel.extractall(tmp_path)
    new: dict[str, Any] = {"headers": {"sms_contract": "1.1"}, "spread_seconds": 600}
    orders = [
        a_send(task_id=TASK_ID, **new),
        an_envelope("sms.send_many", [{"phone": PHONE}], text=TEXT, **new),
        an_envelope("sms.cancel", "my-id", headers={"sms_contract": "1.1"}),
        an_envelope("sms.block", [PHONE], headers={"sms_contract": "1.1"}),
    ]

    asked = subprocess.run(
        [sys.executable, "-c", ASK_THE_LAST_RELEASE, NOON.isoformat()],
        input=b"\n".join(orders),
        env={"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )

    answer = json.loads(asked.stdout)
    first, second, *others = answer["rows"]
    assert answer["file"].startswith(str(tmp_path)), "it was our own code that answered"
    assert (first["uid"], first["phone"], first["tags"]) == (TASK_ID, PHONE, {})
    assert (second["phone"], second["tags"]) == (PHONE, {})
    assert others == ["Cancel", "Block"]
