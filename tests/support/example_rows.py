"""A small house with a row or more of everything: for the page of the database, and the questions put to it."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert

from models import Base
from models.lifecycle import MessageState

Rows = Mapping[str, Sequence[dict[str, Any]]]
CODE = "0195a3f0-6c1e-4d0f-9b1f-0d6a3f6a7c11"
LOST = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
PHONE, WEAK_PHONE = "998901234567", "998907654321"
NO_ANSWER = "the answer broke off"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WORKER = "worker@sms-1:4711:5c0e91d7"


def example_rows(now: datetime) -> Rows:
    """Rows by table, in an order in which they can be stored; *now* is a moment of today."""
    yesterday = now.replace(hour=12, minute=0, second=0, microsecond=0) - DAY
    return {
        **_accounts(now),
        "batches": _batches(now, yesterday),
        "messages": [*_of_shop(now), *_of_bank(now, yesterday)],
        "reports": _reports(now, yesterday),
        "callbacks": _callbacks(now),
        **_said_by_people(now),
        **_around(now),
    }


def store(connection: Connection, rows: Rows) -> None:
    """Put them into an empty database."""
    for name, some in rows.items():
        for row in some:  # one by one: they do not name the same columns
            connection.execute(insert(Base.metadata.tables[name]), row)


def _accounts(now: datetime) -> Rows:
    paused = {"state": "paused", "reason": "limit is over", "error_no": 103, "http_status": 200, "probes": 2}
    paused |= {"paused_at": now - HOUR, "probe_at": now + MINUTE, "held_at": now - 50 * MINUTE, "held_by": "anna"}
    opened = {"state": "open", "failures": 3, "reason": "HTTP 502", "http_status": 502, "probes": 1}
    opened |= {"opened_at": now - 5 * MINUTE, "probe_at": now + MINUTE}
    return {
        "accounts": [{"id": 1, "login": "shop-uz", "state": "active", "probes": 0}, {"id": 2, "login": "old"} | paused],
        "circuits": [
            {"account_id": 1, "room": "posting", "state": "closed", "failures": 0, "probes": 0},
            {"account_id": 1, "room": "polling"} | opened,
        ],
    }


def _batches(now: datetime, yesterday: datetime) -> list[dict[str, Any]]:
    all_of = {"account_id": 1, "worker": WORKER, "nickname": "SHOP"}
    accepted = all_of | {"state": "accepted", "refused": 0, "http_status": 200}
    ten, twenty = now - 10 * MINUTE, now - 20 * MINUTE
    return [
        all_of
        | {"id": 1, "lane": "bulk", "state": "refused", "size": 1, "reason": "the gateway refused it", "error_no": 300}
        | {"http_status": 200, "created_at": yesterday - DAY, "finished_at": yesterday - DAY, "answer_ms": 90},
        accepted
        | {"id": 2, "lane": "bulk", "size": 2, "accepted": 2, "created_at": yesterday}
        | {"finished_at": yesterday + timedelta(seconds=1), "answer_ms": 400},
        all_of
        | {"id": 3, "lane": "normal", "state": "unconfirmed", "size": 1, "reason": NO_ANSWER}
        | {"created_at": twenty, "finished_at": twenty + timedelta(seconds=30), "answer_ms": 30_000},
        accepted
        | {"id": 4, "lane": "otp", "size": 2, "accepted": 2, "created_at": ten, "finished_at": ten, "answer_ms": 180},
        all_of
        | {"id": 5, "lane": "normal", "state": "posting", "size": 1, "created_at": now}
        | {"begins_by": now + MINUTE, "lease_until": now + 2 * MINUTE},
    ]


def _a_message(sms_id: int, state: MessageState, at: datetime, **changes: Any) -> dict[str, Any]:
    row = {"id": sms_id, "state": state, "created_at": at, "send_at": at, "uid": f"uid-{sms_id}", "producer": "shop"}
    row |= {"lane": "normal", "phone": f"99893000000{sms_id}", "operator": "Ucell", "text": "Your order is on its way"}
    row |= {"nickname": "SHOP", "parts": 1, "encoding": "gsm", "attempts": 1, "resends": 0, "tags": {}, "polls": 0}
    return row | changes


def _taken(request_id: str, message_id: str, batch_id: int, at: datetime) -> dict[str, Any]:
    taken = {"request_id": request_id, "message_id": message_id, "batch_id": batch_id, "polls": 2}
    return taken | {"posted_at": at, "submitted_at": at}


def _of_shop(now: datetime) -> list[dict[str, Any]]:
    ten, twenty = now - 10 * MINUTE, now - 20 * MINUTE
    arrived = ten + timedelta(seconds=7)
    code: dict[str, Any] = {"uid": CODE, "key": "login-77", "lane": "otp", "phone": PHONE, "operator": "Beeline"}
    code |= {"text": "Your code is 4821", "tags": {"order": 77}, "callback": {"task": "shop.told", "queue": "shop"}}
    code |= {"gateway_status": "delivered", "billed_parts": 1, "delivered_at": arrived, "finalized_at": arrived}
    code |= {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    asked: dict[str, Any] = {
        "lane": "otp",
        "next_poll_at": now + MINUTE,
        "resends": 1,
        "resolved_by": "anna",
        "attempts": 2,
    }
    late: dict[str, Any] = {"lane": "bulk", "send_at": now + DAY, "expires_at": now + 2 * DAY, "attempts": 0}
    late |= {"ordered_phone": "998935550001", "ordered_text": "Ваш заказ в пути"}
    doubt: dict[str, Any] = {"uid": LOST, "batch_id": 3, "posted_at": twenty, "reason": NO_ANSWER}
    state = MessageState
    return [
        _a_message(4, state.UNCONFIRMED, twenty, **doubt),
        _a_message(5, state.DELIVERED, ten, **code, **_taken("5153086", "71000005", 4, ten)),
        _a_message(6, state.SUBMITTED, ten, **asked, **_taken("5153086", "71000006", 4, ten)),
        _a_message(7, state.POSTING, now, batch_id=5, posted_at=now),
        _a_message(8, state.QUEUED, now - 5 * MINUTE, lane="otp", attempts=1, split=17),
        _a_message(9, state.QUEUED, now, **late),
    ]


def _of_bank(now: datetime, yesterday: datetime) -> list[dict[str, Any]]:
    del now
    bank = {"producer": "bank", "lane": "bulk"}
    arrived, lost = yesterday + timedelta(seconds=30), yesterday + timedelta(seconds=50)
    failed = {"finalized_at": lost, "gateway_status": "undelivered", "reason": "report", "billed_parts": 1}
    refused = {"finalized_at": yesterday - DAY, "error_no": 300, "reason": "refused", "posted_at": yesterday - DAY}
    delivered = {"delivered_at": arrived, "finalized_at": arrived, "gateway_status": "delivered", "billed_parts": 2}
    state = MessageState
    return [
        _a_message(1, state.FAILED, yesterday - DAY, **bank, phone=WEAK_PHONE, batch_id=1, **refused),
        _a_message(2, state.DELIVERED, yesterday, **bank, **delivered, **_taken("5152000", "71000002", 2, yesterday)),
        _a_message(
            3,
            state.FAILED,
            yesterday,
            **bank,
            phone=WEAK_PHONE,
            **failed,
            **_taken("5152000", "71000003", 2, yesterday),
        ),
    ]


def _reports(now: datetime, yesterday: datetime) -> list[dict[str, Any]]:
    ten = now - 10 * MINUTE
    arrived = ten + timedelta(seconds=7)
    code = {"sms_id": 5, "request_id": "5153086", "message_id": "71000005"}
    weak = {"sms_id": 3, "request_id": "5152000", "message_id": "71000003"}
    last = {"gateway_status": "delivered", "state": "delivered", "sent_at": ten, "delivered_at": arrived}
    lost = {"gateway_status": "undelivered", "state": "failed", "error_no": 11, "received_at": yesterday + MINUTE}
    return [
        weak | lost | {"id": 1, "answer": {"status": "undelivered"}},
        code | {"id": 2, "received_at": ten, "answer": {"message-id": 71000005}},
        code | {"id": 3, "received_at": ten + timedelta(seconds=5), "gateway_status": "sent", "answer": {}},
        code | last | {"id": 4, "received_at": arrived, "billed_parts": 1, "answer": {"status": "delivered"}},
    ]


def _callbacks(now: datetime) -> list[dict[str, Any]]:
    told: dict[str, Any] = {
        "sms_id": 5,
        "target": {"task": "shop.told", "queue": "shop"},
        "event": {"state": "delivered"},
    }
    ten = now - 10 * MINUTE
    failed = {"state": "failed", "reason": "HTTP 404", "attempts": 14, "finished_at": ten}
    again = {"retried_at": now - 8 * MINUTE, "retried_by": "anna"}
    return [
        told | {"id": 1, "event_id": "0b1c", "state": "told", "attempts": 1, "created_at": ten, "finished_at": ten},
        told | failed | {"id": 2, "event_id": "0b1d", "created_at": now - DAY},
        told
        | again
        | {"id": 3, "event_id": "0b1e", "state": "owed", "attempts": 15, "created_at": now - DAY}
        | {"next_try_at": now + MINUTE},
    ]


def _said_by_people(now: datetime) -> Rows:
    block = {"lane": "bulk", "reason": "asked by letter", "who": "anna", "at": now - 3 * DAY}
    return {
        "decisions": [
            {"id": 1, "at": now - 2 * HOUR, "who": "anna", "what": "pause", "reason": "a campaign went wrong"},
            {
                "id": 2,
                "at": now - HOUR,
                "who": "anna",
                "what": "resend",
                "uid": "uid-6",
                "reason": "the vendor said so",
            },
        ],
        "blocks": [
            block | {"id": 1, "phone": WEAK_PHONE},
            block | {"id": 2, "phone": PHONE, "lifted_at": now - DAY, "lifted_by": "aziz"},
        ],
    }


def _around(now: datetime) -> Rows:
    refused: dict[str, Any] = {
        "digest": "5d41402a",
        "queue": "sms.otp",
        "task": "sms.send",
        "uid": "uid-refused",
        "producer": "shop",
    }
    refused |= {"key": "login-78", "reason": "phone_invalid", "explanation": "The phone 12345 is not a number."}
    worker = {"release": "0.4.0", "started_at": now - DAY, "figures": {}}
    return {
        "refused_intakes": [
            refused
            | {"id": 1, "body": '[["12345", "…"], {}]', "body_encoding": "utf-8", "created_at": now - 90 * MINUTE}
        ],
        "tallies": [{"day": now.date(), "producer": "shop", "lane": "otp", "messages": 3}],
        "workers": [
            worker | {"name": WORKER, "seen_at": now, "bell_at": now},
            worker | {"name": "worker@sms-1:4012:a81b3f06", "seen_at": now - HOUR, "left_at": now - HOUR},
        ],
    }
