"""The module that producers may copy says what the workers read, and refuses nothing that they would take."""

import ast
import json
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import sms_producer
from builders import NOON, TASHKENT, an_envelope, some_terms
from celery import Celery
from kombu import pools
from sms_producer import Lane, Producer, Sms, is_ours

from models.lifecycle import Lane as WorkersLane
from worker import orders
from worker.envelope import CONTRACT, CONTRACT_HEADER, unpack
from worker.order_fields import LONGEST_SPREAD, MANY_MESSAGES, WORD_CHARACTERS
from worker.orders import MANY_BYTES, Block, Cancel, New, Order, Refusal, Resolve, read
from worker.webhook import signature

PHONE = "998901234567"
TOO_LONG = "x" * (WORD_CHARACTERS + 1)


@dataclass
class Desk:
    """A producer, and what lies on the broker after it has ordered."""

    sms: Producer
    server: redis.Redis

    def raw(self, lane: Lane) -> list[bytes]:
        """What lies on a lane, oldest first."""
        found: Any = self.server.lrange(f"sms.{lane}", 0, -1)
        return list(reversed(found))

    def read(self, lane: Lane) -> list[Order]:
        """The same as a worker reads it."""
        return [order for raw in self.raw(lane) for order in read(unpack(raw), some_terms(WorkersLane(lane)))]


@pytest.fixture
def desk(redis_url: str) -> Iterator[Desk]:
    celery = Celery(broker=redis_url, set_as_current=False)
    with redis.Redis.from_url(redis_url) as server:
        yield Desk(Producer(celery, "shop"), server)
    pools.reset()


def test_every_field_of_an_sms_arrives_as_it_was_meant(desk: Desk) -> None:
    order = Sms(
        "+998 90 123-45-67",
        "Kodingiz: 4821 «ы»",
        key="login-77",
        nickname="SHOP",
        send_at=datetime(2026, 12, 1, 9, tzinfo=TASHKENT),
        expires_at=datetime(2026, 12, 1, 5, tzinfo=UTC),
        callback={"task": "shop.told", "queue": "shop"},
        tags={"order": 7},
    )

    uid = desk.sms.send(order, lane="otp")

    (new,) = desk.read("otp")
    assert isinstance(new, New)
    wanted = {
        "uid": uid,
        "producer": "shop",
        "key": "login-77",
        "lane": "otp",
        "phone": PHONE,
        "text": "Kodingiz: 4821 «ы»",
        "nickname": "SHOP",
        "send_at": datetime(2026, 12, 1, 4, tzinfo=UTC),
        "expires_at": datetime(2026, 12, 1, 5, tzinfo=UTC),
        "callback": {"task": "shop.told", "queue": "shop"},
        "tags": {"order": 7},
    }
    assert {name: new.row[name] for name in wanted} == wanted


def test_an_sms_without_a_key_has_the_uid_that_the_worker_gives_it(desk: Desk) -> None:
    uid = desk.sms.send(Sms(PHONE, "Paid"), lane="normal")

    (new,) = desk.read("normal")
    assert isinstance(new, New)
    assert uid == new.row["uid"]


@pytest.mark.parametrize("spread", [timedelta(hours=2), 7200, 7200.0], ids=["a span", "whole seconds", "seconds"])
def test_a_spread_is_a_span_or_seconds(desk: Desk, spread: timedelta | float) -> None:
    desk.sms.send(Sms(PHONE, "Sale", key="sale", send_at=NOON, spread=spread), lane="bulk")

    (new,) = desk.read("bulk")
    assert isinstance(new, New)
    share = orders.share_of(new.row["uid"])
    assert new.row["send_at"] == NOON + timedelta(hours=2) * share


def test_many_have_the_uids_that_the_worker_gives_them_in_their_order(desk: Desk) -> None:
    """With and without keys, over several Celery messages."""
    messages = [Sms(PHONE, f"Sale {n}", key=None if n % 3 else f"sale-{n}") for n in range(2 * MANY_MESSAGES + 5)]

    uids = desk.sms.send_many(messages, lane="bulk")

    stored = [(order.row["uid"], order.row["text"]) for order in desk.read("bulk") if isinstance(order, New)]
    assert len(desk.raw("bulk")) == 3
    assert stored == [(uid, message.text) for uid, message in zip(uids, messages, strict=True)]


def test_many_are_cut_where_the_worker_would_find_them_too_large(desk: Desk) -> None:
    messages = [Sms(PHONE, "ы" * 200, key=f"sale-{n}", tags={"of": "ы" * 5_000}) for n in range(120)]

    desk.sms.send_many(messages, lane="bulk")

    kept = [message for raw in desk.raw("bulk") for message in unpack(raw).kwargs["messages"]]
    sizes = [bytes_of(unpack(raw).kwargs["messages"]) for raw in desk.raw("bulk")]
    assert [message["key"] for message in kept] == [message.key for message in messages]
    assert all(isinstance(order, New) for order in desk.read("bulk"))
    assert all(size <= MANY_BYTES for size in sizes)
    assert all(size + bytes_of(kept[:1]) > MANY_BYTES for size in sizes[:-1])  # not one more would have gone in


@pytest.mark.parametrize("too_many", [0, 1], ids=["the largest that is taken", "one byte more"])
def test_one_sms_is_too_large_exactly_where_the_worker_says_so(desk: Desk, too_many: int) -> None:
    bare = bytes_of([Sms(PHONE, "Sale", tags={"of": ""}).fields()])
    large = Sms(PHONE, "Sale", tags={"of": "x" * (MANY_BYTES - bare + too_many)})

    if too_many:
        with pytest.raises(ValueError, match="512 KiB"):
            desk.sms.send_many([Sms(PHONE, "Sale"), large], lane="bulk")
        assert desk.raw("bulk") == []
    else:
        desk.sms.send_many([large], lane="bulk")
        assert [type(order) for order in desk.read("bulk")] == [New]


def test_no_message_is_no_order(desk: Desk) -> None:
    assert desk.sms.send_many([], lane="bulk") == []

    assert desk.raw("bulk") == []


def test_a_cancel_names_what_was_ordered(desk: Desk) -> None:
    uid = desk.sms.send(Sms(PHONE, "Paid", key="paid-1"), lane="normal")

    desk.sms.cancel(key="paid-1", lane="normal")
    desk.sms.cancel(uid=uid, lane="normal")

    _, *cancels = desk.read("normal")
    assert [cancel.uid for cancel in cancels if isinstance(cancel, Cancel)] == [uid, uid]


def test_what_is_unconfirmed_is_decided(desk: Desk) -> None:
    desk.sms.resolve(["one", "two"], "resend")

    (resolve,) = desk.read("otp")
    assert isinstance(resolve, Resolve)
    assert (resolve.uids, resolve.decision) == (["one", "two"], "resend")


def test_numbers_are_blocked_and_freed(desk: Desk) -> None:
    desk.sms.block(["90 123 45 67", 998911234567], lanes=["bulk"], reason="asked us to")
    desk.sms.unblock([PHONE])

    block, unblock = desk.read("otp")
    assert isinstance(block, Block)
    assert isinstance(unblock, Block)
    assert (block.phones, block.lanes, block.reason, block.lifts) == (
        [PHONE, "998911234567"],
        ["bulk"],
        "asked us to",
        False,
    )
    assert (unblock.phones, len(unblock.lanes), unblock.lifts) == ([PHONE], 3, True)


def test_as_many_numbers_are_blocked_as_there_are(desk: Desk) -> None:
    desk.sms.block([998900000000 + n for n in range(MANY_MESSAGES + 1)])

    assert [len(block.phones) for block in desk.read("otp") if isinstance(block, Block)] == [MANY_MESSAGES, 1]


def test_number_and_text_stand_in_the_body_alone(desk: Desk) -> None:
    desk.sms.send(Sms(PHONE, "Code 4821", key="k"), lane="otp")
    desk.sms.send_many([Sms(PHONE, "Code 4821", key="k")], lane="otp")
    desk.sms.block([PHONE])

    for raw in desk.raw("otp"):
        headers = json.dumps(json.loads(raw)["headers"])
        assert PHONE not in headers
        assert "4821" not in headers
    assert "4821" not in repr(Sms(PHONE, "Code 4821", key="k"))


def test_every_order_names_the_contract(desk: Desk) -> None:
    desk.sms.send(Sms(PHONE, "Paid"), lane="otp")
    desk.sms.send_many([Sms(PHONE, "Paid")], lane="otp")
    desk.sms.cancel(uid="one", lane="otp")
    desk.sms.resolve(["one"], "drop")
    desk.sms.block([PHONE])
    desk.sms.unblock([PHONE])

    headers = [json.loads(raw)["headers"] for raw in desk.raw("otp")]
    assert [header["task"] for header in headers] == list(orders.TASKS)
    assert {header[CONTRACT_HEADER] for header in headers} == {CONTRACT}


WRONG = [
    pytest.param({"phone": " "}, id="no phone"),
    pytest.param({"text": " \n"}, id="no words"),
    pytest.param({"text": "a\0b"}, id="NUL"),
    pytest.param({"text": "a\ud800b"}, id="half a surrogate pair"),
    pytest.param({"key": ""}, id="an empty key"),
    pytest.param({"key": TOO_LONG}, id="a long key"),
    pytest.param({"key": "a\0b"}, id="NUL in a key"),
    pytest.param({"nickname": TOO_LONG}, id="a long nickname"),
    pytest.param({"spread": 0}, id="no spread"),
    pytest.param({"spread": LONGEST_SPREAD + timedelta(seconds=1)}, id="a long spread"),
    pytest.param({"spread": float("nan")}, id="no number"),
    pytest.param({"callback": {}}, id="nobody to tell"),
    pytest.param({"callback": {"url": "shop.example/sms"}}, id="no address"),
    pytest.param({"callback": {"task": "told", "url": "https://shop.example"}}, id="task and address"),
    pytest.param({"callback": {"task": TOO_LONG}}, id="a long task"),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_refused_here_the_worker_would_refuse(wrong: dict[str, Any]) -> None:
    fields = {"phone": PHONE, "text": "Paid", **wrong}
    as_sent = {{"spread": "spread_seconds"}.get(name, name): plain(value) for name, value in fields.items()}

    with pytest.raises(ValueError, match=f"^{next(iter(wrong))}: "):
        Sms(**fields)

    (order,) = read(unpack(an_envelope(**as_sent)), some_terms())
    assert isinstance(order, Refusal)


@pytest.mark.parametrize(
    "right",
    [
        pytest.param({"phone": 998901234567}, id="a number"),
        pytest.param({"key": "x" * WORD_CHARACTERS}, id="the longest key"),
        pytest.param({"spread": LONGEST_SPREAD}, id="the longest spread"),
        pytest.param({"spread": 0.001}, id="a moment"),
        pytest.param({"callback": {"task": "told"}}, id="a task without a queue"),
        pytest.param({"callback": {"url": "https://shop.example"}}, id="an address"),
        pytest.param({"send_at": NOON, "expires_at": NOON - timedelta(days=1)}, id="expired already"),
        pytest.param({"tags": {}}, id="no tags"),
    ],
)
def test_what_the_worker_takes_is_taken_here(desk: Desk, right: dict[str, Any]) -> None:
    desk.sms.send(Sms(**{"phone": PHONE, "text": "Paid", **right}), lane="normal")

    assert [type(order) for order in desk.read("normal")] == [New]


@pytest.mark.parametrize("name", ["send_at", "expires_at"])
def test_a_time_without_a_zone_is_refused_here(name: str) -> None:
    """The workers would read it in their own zone, which is seldom what a server's clock meant."""
    naive: Any = {name: datetime(2026, 12, 1, 9)}  # noqa: DTZ001 - that is the point

    with pytest.raises(ValueError, match=f"{name}: give an aware datetime"):
        Sms(PHONE, "Paid", **naive)


@pytest.mark.parametrize("nobody", [[], PHONE], ids=["an empty list", "a number instead of a list"])
def test_a_block_is_about_a_list_of_numbers(desk: Desk, nobody: Any) -> None:
    with pytest.raises(ValueError, match="phones: "):
        desk.sms.block(nobody)


def test_a_cancel_of_nothing_is_refused_here(desk: Desk) -> None:
    with pytest.raises(ValueError, match="by uid or by key"):
        desk.sms.cancel(lane="normal")


def test_uids_are_the_workers_own() -> None:
    task_id = str(uuid.uuid4())

    assert sms_producer.NAMESPACE == orders.NAMESPACE
    assert sms_producer.uid_of_key("shop", "ы-1") == orders.uid_of_key("shop", "ы-1")
    assert sms_producer.uid_of_part(task_id, 12) == orders.uid_of_part(task_id, 12)


def test_the_workers_signature_is_believed_and_no_other() -> None:
    body, at = b'{"state": "delivered"}', 1_790_000_000
    header = signature("secret", body, at)

    assert is_ours("secret", header, body, now=lambda: at + 300)
    assert not is_ours("secret", header, body, now=lambda: at + 301)
    assert not is_ours("another", header, body, now=lambda: at)
    assert not is_ours("secret", header, body + b" ", now=lambda: at)
    assert not is_ours("secret", "", body, now=lambda: at)


@pytest.mark.parametrize(
    "t", [pytest.param("9" * digits, id=f"{digits} digits") for digits in (400, 5_000)] + ["soon", "²", ""]
)
def test_a_forged_time_is_no_error_but_a_no(t: str) -> None:
    assert not is_ours("secret", f"t={t},v1={'0' * 64}", b"{}")


def test_it_is_one_file_for_python_3_9_that_needs_nothing_else() -> None:
    source = Path(sms_producer.__file__).read_text(encoding="utf-8")

    tree = ast.parse(source, feature_version=(3, 9))  # raises for what is newer

    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names


def bytes_of(messages: list[Any]) -> int:
    """As the contract counts them."""
    return len(json.dumps(messages, ensure_ascii=False, separators=(",", ":")).encode())


def plain(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value
