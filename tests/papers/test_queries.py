"""The README's SQL runs on both databases, and finds what it says."""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from models.lifecycle import Lane
from worker.envelope import Envelope
from worker.intake import Intake
from worker.order_fields import Terms
from worker.store.accounts import account_id_of

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_each_query_finds_what_is_there(
    fenced: Callable[[str, str], list[str]], engine: Engine, sessions: sessionmaker[Session]
) -> None:
    intake = Intake(
        sessions, lambda lane: Terms(lane, NOON, ZoneInfo("UTC"), None, 10, signs_callbacks=True), lambda: NOON
    )
    fields = {"producer": "shop", "key": "order-1001"}
    intake.take(Envelope("sms.send", "1", ["998901234567", "Paid"], fields), Lane.NORMAL)
    intake.take(Envelope("sms.send", "2", ["nobody", "Paid"], {}), Lane.NORMAL)
    intake.take(Envelope("sms.block", "3", [["998907654321"]], {"lanes": ["bulk"]}), Lane.NORMAL)
    with sessions.begin() as session:
        account_id_of(session, "we")

    (block,) = fenced("README.md", "sql")
    statements = [statement for statement in block.split(";") if statement.strip()]
    with engine.connect() as connection:
        found = [len(connection.execute(text(statement)).all()) for statement in statements]

    queued, by_phone, by_key, attention, unconfirmed, accounts, circuits, decided, refused, *others = found
    daily, blocked, untold = others
    assert (queued, by_phone, by_key, attention, accounts, circuits, refused) == (1, 1, 1, 1, 1, 2, 1)
    assert (daily, blocked) == (1, 1)
    assert (unconfirmed, decided, untold) == (0, 0, 0)
