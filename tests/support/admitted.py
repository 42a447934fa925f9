"""Orders that a rule of the house may keep out, and what became of them."""

from datetime import timedelta
from typing import Any

from builders import NOON, Sessions, a_send, all_of
from sqlalchemy import insert, select

from models import Block, RefusedIntake, Tally
from models.lifecycle import Lane
from worker.intake import Taken
from worker.order_fields import Caps

PHONE = "998901234567"
TWO_AN_HOUR = Caps(hourly_per_phone=2)
TWO_A_DAY = Caps(daily_per_producer=2)
NO_REPEATS = Caps(duplicate_window=timedelta(minutes=10))


def sends(count: int, phone: str = PHONE, **changes: Any) -> list[bytes]:
    """Orders to one phone, each of another text."""
    return [a_send(phone, f"Text {number}", **changes) for number in range(count)]


def outcome(taken: Taken) -> tuple[int, int]:
    return taken.stored, taken.refused


def reasons(sessions: Sessions) -> list[str]:
    return [refused.reason for refused in all_of(sessions, RefusedIntake)]


def block(sessions: Sessions, phone: str = PHONE, lane: Lane = Lane.NORMAL, **changes: Any) -> None:
    with sessions.begin() as session:
        row = {"phone": phone, "lane": lane, "who": "tester", "at": NOON}
        session.execute(insert(Block), [row | changes])


def tallied(sessions: Sessions) -> dict[tuple[str, str, str], int]:
    with sessions() as session:
        found = session.scalars(select(Tally))
        return {(one.day.isoformat(), one.producer, one.lane): one.messages for one in found}
