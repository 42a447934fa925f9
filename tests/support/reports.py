"""What the gateway says about messages, and asking it once."""

from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, a_polling, stored

from models.lifecycle import MessageState
from worker.errors import AccountRefused, ReportsUnavailable, RequestIdUnknown
from worker.gateway import Report as Said
from worker.gateway.memory import MemoryGateway

DELIVERED_AT = NOON - timedelta(seconds=12)


def a_report(status: str = "delivered", **changes: Any) -> Said:
    """What the gateway says about one message."""
    words: dict[str, MessageState | None] = {"delivered": MessageState.DELIVERED, "undelivered": MessageState.FAILED}
    said: dict[str, Any] = {
        "message_id": "11",
        "recipient": "998901234567",
        "gateway_status": status,
        "state": words.get(status),
        "billed_parts": 2,
        "sent_at": None,
        "delivered_at": DELIVERED_AT if status == "delivered" else None,
        "answer": {"status": status},
    }
    return Said(**said | changes)


def submitted(sessions: Sessions, **changes: Any) -> int:
    named = {"state": MessageState.SUBMITTED, "request_id": "5001", "message_id": "11", "phone": "998901234567"}
    return stored(sessions, **named | changes)


def asks(sessions: Sessions, *answers: Any, clock: Clock | None = None) -> MemoryGateway:
    """Ask once for what is due; the gateway answers so."""
    gateway = MemoryGateway(reports_answers=answers)
    a_polling(sessions, gateway, clock or Clock()).ask_next()
    return gateway


SILENT: list[Any] = [
    pytest.param(RequestIdUnknown("request_id is wrong", error_no=400), id="400 too early"),
    pytest.param(ReportsUnavailable("HTTP 502", http_status=502), id="broken"),
    pytest.param(AccountRefused("account blocked", error_no=102), id="account refused"),
    pytest.param(ValueError("a text"), id="our mistake"),
    pytest.param([], id="no row at all"),
]
