"""The views v_queue and v_sent, and that what people look up by reads an index in tables and views alike."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from builders import NOON, Sessions, a_batch, many_stored, stored
from sqlalchemy import Engine, insert, select, text, update

from models import Message, Report
from models.lifecycle import BatchState, MessageState
from models.views import v_queue, v_sent
from worker.clock import utc_now

HOUR = timedelta(hours=1)
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN "}


def queue(sessions: Sessions) -> dict[str, Any]:
    with sessions() as session:
        return {row.lane: row for row in session.execute(select(v_queue))}


def sent(sessions: Sessions) -> list[Any]:
    with sessions() as session:
        return list(session.execute(select(v_sent).order_by(v_sent.c.id)))


def test_every_lane_has_a_row_in_the_order_in_which_they_go(sessions: Sessions) -> None:
    found = queue(sessions)

    assert list(found) == ["otp", "normal", "bulk"]
    assert {row[1:] for row in found.values()} == {(0, 0, None, 0)}


def test_a_lane_s_queue_is_what_may_go_now_and_what_is_to_go_later(sessions: Sessions) -> None:
    now = utc_now()
    for lane, send_at in [("otp", now - HOUR), ("otp", now - 2 * HOUR), ("otp", now + HOUR), ("bulk", now + HOUR)]:
        stored(sessions, lane=lane, send_at=send_at)
    for state in set(MessageState) - {MessageState.QUEUED}:
        stored(sessions, lane="otp", state=state, send_at=now - 3 * HOUR)

    found = queue(sessions)

    assert {lane: (row.waiting, row.later) for lane, row in found.items()} == {
        "otp": (2, 1),
        "normal": (0, 0),
        "bulk": (0, 1),
    }
    assert found["otp"].oldest_at == now - 2 * HOUR
    assert 0 <= found["otp"].oldest_seconds - 7_200 < 600
    assert (found["bulk"].oldest_at, found["bulk"].oldest_seconds) == (None, 0)


def test_a_message_that_was_never_posted_is_in_v_sent_without_a_batch(sessions: Sessions) -> None:
    stored(sessions, uid="u")

    (row,) = sent(sessions)

    assert (row.uid, row.state, row.batch_id, row.batch_state, row.report_received_at) == ("u", "queued", *[None] * 3)


def test_a_message_stands_once_in_v_sent_with_its_last_batch_and_its_last_report(sessions: Sessions) -> None:
    with sessions.begin() as session:
        batch_id = a_batch(session, state=BatchState.ACCEPTED, accepted=1, refused=0, answer_ms=180)
    sms_id = stored(sessions, uid="u", state=MessageState.DELIVERED, batch_id=batch_id)
    stored(sessions, uid="other", state=MessageState.DELIVERED, batch_id=batch_id)
    for word, at in [(None, NOON), ("sent", NOON + HOUR), ("delivered", NOON + 2 * HOUR)]:
        report(sessions, sms_id, word, at)

    row, other = sent(sessions)

    assert (row.uid, row.batch_state, row.batch_answer_ms) == ("u", "accepted", 180)
    assert (row.report_gateway_status, row.report_received_at) == ("delivered", NOON + 2 * HOUR)
    assert (other.uid, other.report_gateway_status) == ("other", None)


def report(sessions: Sessions, sms_id: int, word: str | None, at: datetime) -> None:
    with sessions.begin() as session:
        row: dict[str, Any] = {"sms_id": sms_id, "gateway_status": word, "received_at": at, "answer": {}}
        session.execute(insert(Report), [row])


LOOK_UPS = {
    "phone": ("phone = '998900000007'", "ix_messages_phone"),
    "phone as ordered": ("ordered_phone = '998935550001'", "ix_messages_ordered"),
    "uid": ("uid = 'u'", "uq_messages_uid|sqlite_autoindex_messages_1"),
    "key": ("key = 'k'", "ix_messages_by_key"),
    "producer and key": ("producer = 'shop' AND key = 'k'", "ix_messages_by_key"),
    "request_id": ("request_id = '77'", "ix_messages_request_id"),
    "day": ("created_at >= '2026-12-05' AND created_at < '2026-12-06'", "ix_messages_created_at"),
    "what ended lately": ("finalized_at >= '2026-12-05'", "ix_messages_finalized_at"),
    "batch": ("batch_id = 7", "ix_messages_batch_id"),
}


@pytest.fixture
def grown(sessions: Sessions, engine: Engine) -> Engine:
    """A database in which a look-up that reads every row would be dear, and which knows how its rows are spread."""
    for day in range(10):
        at = NOON + timedelta(days=day)
        ids = many_stored(sessions, 300, state=MessageState.DELIVERED, created_at=at, finalized_at=at)
    with sessions.begin() as session:
        session.execute(update(Message).values(request_id=Message.id, key=Message.uid))
        session.execute(
            update(Message).where(Message.id == ids[0]).values(uid="u", key="k", ordered_phone="998935550001")
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    return engine


@pytest.mark.parametrize("source", ["messages", "v_sent"])
def test_a_look_up_reads_an_index(grown: Engine, source: str) -> None:
    for condition, indexes in LOOK_UPS.values():
        if source == "v_sent" and "ordered_phone" in condition:
            continue  # it shows where a message went

        plan = plan_of(grown, f"SELECT * FROM {source} WHERE {condition}")  # noqa: S608

        assert any(index in plan for index in indexes.split("|")), plan
        assert "Seq Scan on messages" not in plan
        assert "SCAN m" not in plan


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_day_of_v_daily_reads_no_other(grown: Engine) -> None:
    plan = plan_of(grown, "SELECT * FROM v_daily WHERE day = '2026-12-05'")

    assert "ix_messages_created_at" in plan
    assert "Seq Scan on messages" not in plan


def test_the_queue_is_counted_without_reading_what_is_done_with(grown: Engine) -> None:
    plan = plan_of(grown, "SELECT * FROM v_queue")

    assert "ix_messages_claim" in plan or "ix_messages_fair" in plan
    assert "Seq Scan on messages" not in plan


def plan_of(engine: Engine, statement: str) -> str:
    with engine.connect() as connection:
        rows = connection.execute(text(EXPLAIN[engine.dialect.name] + statement)).all()
    return "\n".join(str(row[-1]) for row in rows)
