import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from models import Account, Batch, Message, RefusedIntake
from models.lifecycle import Lane, MessageState
from worker.demo.tally import Tally, complaints_about, tally_of

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
A, B = ("998900001111", "Salom"), ("998900002222", "Kod 1234")


def message(key: str, phone: str, text: str, state: str = "delivered") -> dict[str, Any]:
    final = state == "delivered"
    return {
        "uid": key,
        "producer": "demo",
        "key": key,
        "lane": "otp",
        "phone": phone,
        "text": text,
        "state": state,
        "request_id": "1",
        "message_id": "2",
        "batch_id": 1,
        "parts": 1,
        "encoding": "gsm",
        "attempts": 1,
        "resends": 0,
        "polls": 1,
        "tags": {},
        "created_at": NOON,
        "send_at": NOON,
        "posted_at": NOON,
        "submitted_at": NOON,
        "delivered_at": NOON if final else None,
        "finalized_at": NOON if final else None,
        "next_poll_at": None if final else NOON,
    }


REFUSED = {
    "digest": "d",
    "queue": "sms.otp",
    "key": "c",
    "reason": "phone_missing",
    "explanation": "phone: give a number.",
    "body": "[]",
    "body_encoding": "utf-8",
    "created_at": NOON,
}
BATCH = {
    "id": 1,
    "account_id": 1,
    "lane": "otp",
    "state": "accepted",
    "size": 2,
    "accepted": 2,
    "refused": 0,
    "worker": "w",
    "created_at": NOON,
    "finished_at": NOON,
}


def store(engine: Engine, *messages: dict[str, Any]) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Account), {"id": 1, "login": "sandbox", "state": "active", "probes": 0})
        connection.execute(insert(Batch), BATCH)
        connection.execute(insert(RefusedIntake), REFUSED)
        for one in messages:
            connection.execute(insert(Message), one)


def journal_of(folder: Path, *taken: tuple[str, str]) -> Path:
    journal = folder / "sandbox.jsonl"
    journal.write_text("".join(json.dumps({"phone": phone, "text": text}) + "\n" for phone, text in taken))
    return journal


def test_a_good_run_has_nothing_to_complain_about(engine: Engine, tmp_path: Path) -> None:
    store(engine, message("a", *A), message("b", *B))

    complaints = complaints_about(engine, keys=["a", "b", "c"], journal=journal_of(tmp_path, A, B))

    assert complaints == []
    assert tally_of(engine, ordered=3) == Tally(3, 1, {(Lane.OTP, MessageState.DELIVERED): 2})
    assert tally_of(engine, ordered=3).is_complete


@pytest.mark.parametrize(
    ("keys", "taken", "complaint"),
    [
        pytest.param("abc", [A, B, B], "1 messages were posted more often", id="posted twice"),
        pytest.param("abc", [A], "1 messages are marked as posted and never reached", id="never arrived"),
        pytest.param("abcd", [A, B], "1 orders are neither stored nor refused", id="lost"),
        pytest.param("ac", [A, B], "1 orders are stored twice", id="stored twice"),
    ],
)
def test_each_broken_promise_is_named(
    engine: Engine, tmp_path: Path, keys: str, taken: list[tuple[str, str]], complaint: str
) -> None:
    store(engine, message("a", *A), message("b", *B))

    complaints = complaints_about(engine, keys=list(keys), journal=journal_of(tmp_path, *taken))

    assert len(complaints) == 1
    assert complaints[0].startswith(complaint)


def test_a_message_that_is_still_on_its_way_is_named(engine: Engine, tmp_path: Path) -> None:
    store(engine, message("a", *A), message("b", *B, state="submitted"))

    complaints = complaints_about(engine, keys=["a", "b", "c"], journal=journal_of(tmp_path, A, B))

    assert complaints == ["1 messages are not final"]


@pytest.mark.parametrize(
    ("refused", "states", "complete"),
    [
        pytest.param(0, {(Lane.OTP, MessageState.DELIVERED): 2}, False, id="one is on its way in"),
        pytest.param(1, {(Lane.OTP, MessageState.SUBMITTED): 2}, False, id="two are on their way to a phone"),
        pytest.param(1, {(Lane.OTP, MessageState.FAILED): 1, (Lane.BULK, MessageState.DELIVERED): 1}, True, id="over"),
    ],
)
def test_it_is_over_when_every_order_has_its_end(
    refused: int, states: dict[tuple[Lane, MessageState], int], complete: bool
) -> None:
    assert Tally(3, refused, states).is_complete == complete
