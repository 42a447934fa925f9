"""Orders byte for byte as Celery 5.3 to 5.7 put them on Redis: which are taken, as what, and which are refused."""

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import NOON, Sessions, all_of, an_intake, some_terms
from jsonschema import Draft202012Validator
from taking import the_only_sms, the_refusal

from models import Message, RefusedIntake
from models.lifecycle import Lane
from worker.envelope import unpack
from worker.orders import TASKS, Block, Cancel, Resolve, read, uid_of_key

HERE = Path(__file__).parent
PHONE, TEXT = "998901234567", "Ваш код 4821"
AT, UNTIL = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2030, 1, 2, 4, 5, 6, tzinfo=UTC)
BY_KEY = {"key": "order-1", "uid": uid_of_key("default", "order-1")}

WRITTEN: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))["orders"]
    for file in sorted((HERE / "envelopes").glob("celery-*.json"))
}

#: What is stored of each; without a key the uid is the task id. What is not named is as in every other.
ACCEPTED: dict[str, list[dict[str, Any]]] = {
    "send_task": [BY_KEY],
    "by name": [{"tags": {"city": "Нукус"}}],
    "task_id": [BY_KEY],
    "argsrepr": [BY_KEY],
    "eta": [{"send_at": AT, "expires_at": UNTIL, **BY_KEY}],
    "eta of another zone": [{"send_at": AT, **BY_KEY}],
    "priority": [BY_KEY],
    "retries": [BY_KEY],
    "time limit": [BY_KEY],
    "shadow": [BY_KEY],
    "ignore_result": [BY_KEY],
    "reply_to": [BY_KEY],
    "own header": [BY_KEY],
    "contract 1.9": [{"tags": {"colour": "red"}, **BY_KEY}],
    "stamped": [{}],
    "signature": [{}],
    "signature with options": [{"uid": "my-id", "send_at": AT, "expires_at": UNTIL}],
    "replacement of a task": [{"uid": "parent"}],
    "group": [{}, {"phone": "998901234568", "text": "Another", "encoding": "gsm"}],
    "last of a chain": [{}],
    "link of a task": [{}],
}
OF_SEND_MANY = [(PHONE, TEXT, "SHOP"), ("998901234568", "Another", "SHOP")]
DECISIONS = ("cancel", "resolve", "block", "unblock")
IN_THEIR_OWN_TEST = ("countdown", "contract 1.1", "send_many")
REFUSED = {
    "contract 2.0": "contract_unsupported",
    "with link": "canvas_unsupported",
    "with link_error": "canvas_unsupported",
    "with a link of its signature": "canvas_unsupported",
    "first of a chain": "canvas_unsupported",
    "middle of a chain": "canvas_unsupported",
    "header of a chord": "canvas_unsupported",
    "group before another task": "canvas_unsupported",
    "gzip": "compressed",
    "bzip2": "compressed",
    "task_compression": "compressed",
    "pickle": "content_type_forbidden",
    "yaml": "content_type_forbidden",
    "msgpack": "content_type_forbidden",
    "protocol 1": "not_protocol_2",
}
UNREADABLE = {"compressed", "content_type_forbidden", "not_protocol_2"}
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
EVERY_VERSION = pytest.mark.parametrize("celery", WRITTEN)


def raws(celery: str, case: str) -> list[bytes]:
    return [one["raw"].encode("ascii") for one in WRITTEN[celery][case]]


def task_id(raw: bytes) -> str:
    return str(json.loads(raw)["headers"]["id"])


def test_every_version_of_celery_that_producers_have_is_here() -> None:
    assert list(WRITTEN) == [f"celery-5.{minor}" for minor in range(3, 8)]


@EVERY_VERSION
def test_every_written_order_has_its_expectation(celery: str) -> None:
    assert {*ACCEPTED, *DECISIONS, *IN_THEIR_OWN_TEST, *REFUSED} == set(WRITTEN[celery])


@ONE_DATABASE
@EVERY_VERSION
@pytest.mark.parametrize("case", ACCEPTED)
def test_an_order_is_stored_as_celery_wrote_it(sessions: Sessions, celery: str, case: str) -> None:
    taken = an_intake(sessions).take_raw(raws(celery, case), Lane.OTP)

    usual = {
        "lane": "otp",
        "phone": PHONE,
        "text": TEXT,
        "encoding": "ucs2",
        "parts": 1,
        "state": "queued",
        "key": None,
    }
    usual |= {"producer": "default", "tags": {}, "send_at": NOON, "expires_at": None, "callback": None}
    expected = [
        usual | {"uid": task_id(raw)} | fields for raw, fields in zip(raws(celery, case), ACCEPTED[case], strict=True)
    ]
    found = [{name: getattr(sms, name) for name in expected[0]} for sms in all_of(sessions, Message)]
    assert (taken.stored, taken.refused) == (len(expected), 0)
    assert expected == found


@ONE_DATABASE
@EVERY_VERSION
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_kept_is_refused_with_its_reason_and_its_body(
    sessions: Sessions, celery: str, case: str
) -> None:
    orders = raws(celery, case)

    taken = an_intake(sessions).take_raw(orders, Lane.OTP)

    refused = all_of(sessions, RefusedIntake)
    assert (taken.stored, taken.refused) == (0, len(orders))
    assert {(REFUSED[case], "sms.otp", NOON)} == {(one.reason, one.queue, one.created_at) for one in refused}
    assert sorted(orders) == sorted(one.body.encode() for one in refused)
    if case != "protocol 1":
        # Those whose body was read, and holds a key, are known by that.
        named = {one.uid if one.key is None else BY_KEY["uid"] for one in refused}
        assert {(one.task, one.uid) for one in refused} == {("sms.send", uid) for uid in named}
        assert {one.uid for one in refused} <= {BY_KEY["uid"], *map(task_id, orders)}


@EVERY_VERSION
def test_all_orders_of_one_version_are_taken_in_one_go(sessions: Sessions, celery: str) -> None:
    every = [raw for case in WRITTEN[celery] for raw in raws(celery, case)]

    taken = an_intake(sessions).take_raw(every, Lane.OTP)

    single = {
        fields.get("uid", task_id(raw))
        for case, every_field in ACCEPTED.items()
        for raw, fields in zip(raws(celery, case), every_field, strict=True)
    }
    assert taken.refused == sum(len(raws(celery, case)) for case in REFUSED)
    assert taken.stored == len(single) + len(OF_SEND_MANY)
    assert {one.reason for one in all_of(sessions, RefusedIntake)} == set(REFUSED.values())


@ONE_DATABASE
@EVERY_VERSION
def test_a_countdown_is_an_instant_when_it_comes(sessions: Sessions, celery: str) -> None:
    an_intake(sessions).take_raw(raws(celery, "countdown"), Lane.OTP)

    sms = the_only_sms(sessions)
    assert sms.expires_at == sms.send_at + timedelta(seconds=3600 - 60)


@ONE_DATABASE
@EVERY_VERSION
def test_a_window_of_the_newest_contract_is_kept(sessions: Sessions, celery: str) -> None:
    an_intake(sessions).take_raw(raws(celery, "contract 1.1"), Lane.OTP)

    sms = the_only_sms(sessions)
    assert NOON < sms.send_at < NOON + timedelta(seconds=600)
    assert sms.tags == {}


@ONE_DATABASE
@EVERY_VERSION
def test_many_orders_in_one_have_uids_of_their_own(sessions: Sessions, celery: str) -> None:
    (raw,) = raws(celery, "send_many")

    an_intake(sessions).take_raw([raw], Lane.BULK)

    uids = [str(uuid.uuid5(uuid.UUID(task_id(raw)), "0")), uid_of_key("default", "k")]
    found = all_of(sessions, Message)
    assert [(sms.phone, sms.text, sms.nickname) for sms in found] == OF_SEND_MANY
    assert uids == [sms.uid for sms in found]


@EVERY_VERSION
def test_decisions_are_read_as_celery_wrote_them(celery: str) -> None:
    found = [order for case in DECISIONS for raw in raws(celery, case) for order in read(unpack(raw), some_terms())]

    cancel, resolve, block, unblock = found
    assert isinstance(cancel, Cancel)
    assert cancel.uid == "some-uid"
    assert isinstance(resolve, Resolve)
    assert (resolve.uids, resolve.decision) == (["one", "two"], "drop")
    assert isinstance(block, Block)
    assert (block.phones, block.lanes, block.reason, block.lifts) == ([PHONE], [Lane.BULK], "asked for it", False)
    assert isinstance(unblock, Block)
    assert (unblock.phones, unblock.lanes, unblock.lifts) == ([PHONE], list(Lane), True)


@EVERY_VERSION
def test_the_fields_of_every_written_order_are_as_its_schema_says(celery: str) -> None:
    cases = [case for case in WRITTEN[celery] if REFUSED.get(case) not in UNREADABLE]
    positional = {"sms.send": ("phone", "text"), "sms.send_many": ("messages",), "sms.cancel": ("uid",)}
    positional |= {"sms.resolve": ("uids", "decision"), "sms.block": ("phones",), "sms.unblock": ("phones",)}
    seen = set()

    for raw in (raw for case in cases for raw in raws(celery, case)):
        message = json.loads(raw)
        task = message["headers"]["task"]
        args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
        schema = json.loads((HERE.parents[1] / f"docs/schemas/{task}.json").read_text(encoding="utf-8"))
        Draft202012Validator(schema).validate(kwargs | dict(zip(positional[task], args, strict=False)))
        seen.add(task)

    assert seen == set(TASKS)


@pytest.mark.parametrize("case", ["with link", "contract 2.0"])
@ONE_DATABASE
def test_a_refusal_says_what_to_do_instead(sessions: Sessions, case: str) -> None:
    an_intake(sessions).take_raw(raws("celery-5.6", case), Lane.OTP)

    words = {"with link": "told by its callback", "contract 2.0": "orders of 1.x are taken"}
    assert words[case] in the_refusal(sessions).explanation
