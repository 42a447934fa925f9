"""What counts as a trace in an order's headers; an order is taken whatever stands there."""

import base64
import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from models.lifecycle import Lane
from worker.intake import Intake
from worker.order_fields import Terms

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def taken(sessions: sessionmaker[Session], traceparent: Any) -> str | None:
    """What is stored of an order with this header."""
    body = base64.b64encode(json.dumps([["998901234567", "Kod"], {}, {}]).encode()).decode()
    order = {
        "body": body,
        "content-type": "application/json",
        "headers": {"task": "sms.send", "id": "my-id", "traceparent": traceparent},
        "properties": {"body_encoding": "base64"},
    }
    terms = Terms(Lane.OTP, NOON, ZoneInfo("Asia/Tashkent"), None, 10, signs_callbacks=True)
    intake = Intake(sessions, lambda _: terms, lambda: NOON)

    assert intake.store(intake.read([json.dumps(order).encode()], Lane.OTP)).stored == 1

    with sessions() as session:
        found: str | None = session.execute(text("SELECT traceparent FROM messages")).scalar_one()
        return found


@pytest.mark.parametrize("flags", ["00", "01", "03"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_trace_is_kept_as_it_came(sessions: sessionmaker[Session], flags: str) -> None:
    traceparent = f"00-{TRACE}-{SPAN}-{flags}"

    assert taken(sessions, traceparent) == traceparent


@pytest.mark.parametrize(
    "traceparent",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param(f"00-{'0' * 32}-{SPAN}-01", id="a trace of zeros"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", id="a span of zeros"),
        pytest.param(f"00-{TRACE.upper()}-{SPAN}-01", id="capital letters"),
        pytest.param(f"ff-{TRACE}-{SPAN}-01", id="a version that is forbidden"),
        pytest.param(f"00-{TRACE}-{SPAN}-01-more", id="more than version 00 has"),
        pytest.param(f"00-{TRACE}-{SPAN}-01\n", id="a line break behind it"),
        pytest.param(f"00-{TRACE}-{SPAN}", id="no flags"),
        pytest.param("0" * 100_000, id="very long"),
        pytest.param(7, id="a number"),
        pytest.param([f"00-{TRACE}-{SPAN}-01"], id="a list"),
        pytest.param({"trace": TRACE}, id="an object"),
        pytest.param("00-\ud800\0", id="what no database holds"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_whatever_else_stands_there_is_ignored_and_the_order_is_taken(
    sessions: sessionmaker[Session], traceparent: Any
) -> None:
    assert taken(sessions, traceparent) is None
