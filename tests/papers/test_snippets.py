"""What a reader copies from the papers works, in a process that knows nothing of ours but the broker's address."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis

from models.lifecycle import Lane
from worker import orders
from worker.envelope import unpack
from worker.order_fields import Terms
from worker.orders import Cancel, New, Order, Resolve
from worker.sandbox.config import SandboxConfig
from worker.sandbox.faults import Fault
from worker.sandbox.running import running_sandbox
from worker.webhook import signature

README, PRODUCERS, GATEWAY = "README.md", "docs/producers.md", "docs/gateway.md"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
Blocks = Callable[[str, str], list[str]]
Block = Callable[[str, str], str]


@pytest.fixture
def lane(redis_url: str) -> Iterator[Callable[[Lane], list[Order]]]:
    """Gives the orders that lie on a lane's list, oldest first, as intake reads them."""
    with redis.Redis.from_url(redis_url) as server:

        def read(lane: Lane) -> list[Order]:
            terms = Terms(lane, NOON, ZoneInfo("Asia/Tashkent"), None, 10, signs_callbacks=True)
            raws: Any = server.lrange(f"sms.{lane}", 0, -1)
            return [order for raw in reversed(raws) for order in orders.read(unpack(raw), terms)]

        yield read


@pytest.fixture
def run(named: Block, redis_url: str, tmp_path: Path) -> Callable[[str], None]:
    """Runs a block in a folder that holds the README's sms.py, and nothing else."""
    (tmp_path / "sms.py").write_text(named(README, "sms.py"), encoding="utf-8")
    env = {"PATH": os.environ["PATH"], "BROKER_URL": redis_url}

    def run(block: str) -> None:
        subprocess.run([sys.executable, "-c", block], cwd=tmp_path, env=env, check=True)

    return run


def using(fenced: Blocks, words: str) -> str:
    (block,) = [block for block in fenced(README, "python") if words in block and not block.startswith("# ")]
    return block


def test_one_sms_lies_on_its_lane_as_intake_reads_it(
    fenced: Blocks, run: Callable[[str], None], lane: Callable[[Lane], list[Order]]
) -> None:
    run(using(fenced, "sms.send("))

    (order,) = lane(Lane.OTP)
    assert isinstance(order, New)
    wanted: dict[str, Any] = {
        "phone": "998901234567",
        "text": "Your code is 4821",
        "producer": "shop",
        "key": "login-77",
        "tags": {},
    }
    wanted |= {"uid": orders.uid_of_key("shop", "login-77"), "expires_at": datetime(2031, 1, 1, 4, 5, tzinfo=UTC)}
    assert {name: order.row[name] for name in wanted} == wanted


def test_number_and_text_stand_nowhere_in_clear(fenced: Blocks, run: Callable[[str], None], redis_url: str) -> None:
    run(using(fenced, "sms.send("))
    run(using(fenced, "sms.send_many"))

    with redis.Redis.from_url(redis_url) as server:
        found: Any = server.lrange("sms.otp", 0, -1) + server.lrange("sms.bulk", 0, -1)
    assert len(found) == 2
    for secret in (b"998901234567", b"123-45-67", b"4821", b"Aziz", b"login-77"):
        assert not any(secret in raw for raw in found), secret


def test_many_sms_are_one_celery_message(
    fenced: Blocks, run: Callable[[str], None], lane: Callable[[Lane], list[Order]]
) -> None:
    run(using(fenced, "sms.send_many"))

    found = [order.row for order in lane(Lane.BULK) if isinstance(order, New)]
    assert [(row["producer"], row["key"], row["phone"]) for row in found] == [
        ("shop", "order-1001", "998901234567"),
        ("shop", "order-1002", "998911234567"),
    ]


def test_a_cancel_and_a_decision_are_read(
    fenced: Blocks, run: Callable[[str], None], lane: Callable[[Lane], list[Order]]
) -> None:
    run(using(fenced, "sms.cancel"))

    (cancel,), (resolve,) = lane(Lane.BULK), lane(Lane.OTP)
    assert isinstance(cancel, Cancel)
    assert cancel.uid == orders.uid_of_key("shop", "order-1002")
    assert isinstance(resolve, Resolve)
    assert resolve.decision == "resend"


@pytest.mark.check
def test_the_lines_for_frameworks_are_python_and_call_what_sms_py_has(named: Block) -> None:
    for file in ("views.py", "main.py"):
        compile(named(README, file), file, "exec")
        assert " sms.send(" in named(README, file)
    assert "\ndef send(" in named(README, "sms.py")


@pytest.mark.check
def test_the_signature_check_knows_our_signature_and_no_other(named: Block) -> None:
    is_ours = defined(named(README, "signature.py"))["is_ours"]
    now, body = int(time.time()), b'{"state":"delivered"}'
    header = signature("key", body, now)

    assert is_ours("key", header, body)
    assert not is_ours("another key", header, body)
    assert not is_ours("key", header, body + b" ")
    assert not is_ours("key", signature("key", body, now - 3600), body)
    assert not any(
        is_ours("key", broken, body) for broken in ("", "t=", "t=1,v1", header.replace("v1", "v0"), "t=é,v1=é")
    )


@pytest.mark.check
def test_a_uid_is_computed_without_our_code(named: Block) -> None:
    uid = defined(named(PRODUCERS, "uid.py"))
    task_id = "4f7c1b1e-58f6-4f0f-8a87-0d6f4c1d5a10"

    assert uid["NAMESPACE"] == orders.NAMESPACE
    assert uid["uid_of_key"]("shop", "order-1001") == orders.uid_of_key("shop", "order-1001")
    assert uid["uid_of_part"](task_id, 7) == orders.uid_of_part(task_id, 7)


def test_a_fault_is_switched_on(named: Block) -> None:
    set_faults = defined(named(GATEWAY, "fault.py"))["set_faults"]

    with running_sandbox(SandboxConfig(port=0, control_port=0)) as sandbox:
        set_faults(sandbox.control_url, {"kind": "cut-after", "count": 1})

        assert sandbox.control.faults() == [Fault("cut-after", on=["send"], count=1)]


def defined(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(block, "<paper>", "exec"), names)  # noqa: S102 - our own papers
    return names
