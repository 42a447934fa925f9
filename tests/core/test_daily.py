"""The view v_daily: what each day came to, the same on every database."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

import pytest
from builders import NOON, Sessions, an_sms, stored
from sqlalchemy import Engine, insert, text

from models import Message
from models.lifecycle import MessageState

MICROSECOND = timedelta(microseconds=1)
MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC)


class Day(NamedTuple):
    day: str
    producer: str
    nickname: str | None
    state: str
    messages: int
    parts: int
    billed_parts: int | None
    billed_more: int | None
    seconds_to_deliver_p50: float | None
    seconds_to_deliver_p95: float | None


def days(engine: Engine) -> list[Day]:
    columns = ", ".join(Day._fields)
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT {columns} FROM v_daily")).all()  # noqa: S608
    found = [Day(str(day), *values) for day, *values in rows]
    return sorted(found, key=lambda one: (one.day, one.producer, one.nickname or "", one.state))


def the_day(engine: Engine) -> Day:
    (found,) = days(engine)
    return found


def test_a_day_is_told_by_producer_nickname_and_state(engine: Engine, sessions: Sessions) -> None:
    for producer, nickname, state in [
        ("shop", "SHOP", MessageState.DELIVERED),
        ("shop", "SHOP", MessageState.DELIVERED),
        ("shop", None, MessageState.DELIVERED),
        ("shop", "SHOP", MessageState.QUEUED),
        ("bank", "SHOP", MessageState.DELIVERED),
    ]:
        stored(sessions, producer=producer, nickname=nickname, state=state)

    assert [one[:5] for one in days(engine)] == [
        ("2026-11-30", "bank", "SHOP", "delivered", 1),
        ("2026-11-30", "shop", None, "delivered", 1),
        ("2026-11-30", "shop", "SHOP", "delivered", 2),
        ("2026-11-30", "shop", "SHOP", "queued", 1),
    ]


@pytest.mark.parametrize(
    ("at", "day"),
    [(MIDNIGHT - MICROSECOND, "2026-11-30"), (MIDNIGHT, "2026-12-01")],
    ids=["its last instant", "the first of the next"],
)
def test_days_are_those_of_utc(engine: Engine, sessions: Sessions, at: datetime, day: str) -> None:
    stored(sessions, created_at=at, send_at=at)

    assert the_day(engine).day == day


BILLED: dict[str, tuple[list[tuple[int, int | None]], tuple[int, int | None, int | None]]] = {
    "none of them": ([(1, None), (2, None)], (3, None, None)),
    "some of them": ([(1, 3), (2, None), (2, 2)], (5, 5, 2)),
    "less than we counted": ([(2, 1)], (2, 1, -1)),
    "nothing": ([(2, 0)], (2, 0, -2)),
}


@pytest.mark.parametrize(("counts", "expected"), BILLED.values(), ids=BILLED)
def test_what_is_billed_is_compared_where_it_is_known(
    engine: Engine,
    sessions: Sessions,
    counts: list[tuple[int, int | None]],
    expected: tuple[int, int | None, int | None],
) -> None:
    for parts, billed_parts in counts:
        stored(sessions, state=MessageState.DELIVERED, parts=parts, billed_parts=billed_parts)

    day = the_day(engine)

    assert (day.parts, day.billed_parts, day.billed_more) == expected


DISCRETE: dict[str, tuple[list[float], tuple[float, float]]] = {
    "of one": ([7], (7, 7)),
    "of two: the lower": ([3, 5], (3, 5)),
    "of three": ([9, 1, 5], (5, 9)),
    "of twenty": (list(range(1, 21)), (10, 19)),
    "of twenty-one": (list(range(1, 22)), (11, 20)),
    "of equal ones": ([4, 4, 4, 9], (4, 9)),
    "of parts of seconds": ([1.001, 1.002, 2.5], (1.002, 2.5)),
    "of clocks that differ": ([-2, 1], (-2, 1)),
}


@pytest.mark.parametrize(("seconds", "expected"), DISCRETE.values(), ids=DISCRETE)
def test_how_long_it_took_is_a_time_that_one_of_them_took(
    engine: Engine, sessions: Sessions, seconds: list[float], expected: tuple[float, float]
) -> None:
    deliver(sessions, [timedelta(seconds=one) for one in seconds])

    assert the_day(engine)[-2:] == expected


def test_it_took_as_long_as_from_when_it_might_go(engine: Engine, sessions: Sessions) -> None:
    stored(
        sessions,
        state=MessageState.DELIVERED,
        created_at=NOON,
        send_at=NOON + timedelta(hours=5),
        delivered_at=NOON + timedelta(hours=5, seconds=6),
    )

    assert the_day(engine)[-2:] == (6, 6)


def test_parts_of_a_millisecond_count_for_nothing(engine: Engine, sessions: Sessions) -> None:
    send_at = NOON + timedelta(microseconds=500)
    stored(sessions, state=MessageState.DELIVERED, send_at=send_at, delivered_at=NOON + timedelta(seconds=5))

    assert the_day(engine)[-2:] == (5, 5)


def test_what_was_not_delivered_took_no_time(engine: Engine, sessions: Sessions) -> None:
    stored(sessions, state=MessageState.SUBMITTED)

    assert the_day(engine)[-2:] == (None, None)


def deliver(sessions: Sessions, took: list[timedelta], **changes: Any) -> None:
    rows = [an_sms(state=MessageState.DELIVERED, batch_id=None, delivered_at=NOON + one, **changes) for one in took]
    with sessions.begin() as session:
        session.execute(insert(Message), rows)


def test_ten_thousand_messages_come_to_the_same_on_every_database(engine: Engine, sessions: Sessions) -> None:
    """Compared with sums in Python, so that both databases are compared with each other."""
    dice = Random(20261130)
    rows = [a_random_sms(dice) for _ in range(10_000)]
    with sessions.begin() as session:
        session.execute(insert(Message), rows)

    assert days(engine) == summed(rows)


def a_random_sms(dice: Random) -> dict[str, Any]:
    send_at = NOON + timedelta(seconds=dice.uniform(-90_000, 90_000))
    row = an_sms(
        created_at=send_at,
        send_at=send_at,
        producer=dice.choice(["shop", "bank"]),
        nickname=dice.choice(["SHOP", None]),
        parts=dice.randint(1, 5),
        billed_parts=dice.choice([None, 1, 2, 9]),
        state=dice.choice([MessageState.DELIVERED, MessageState.QUEUED]),
    )
    if row["state"] == MessageState.DELIVERED:
        row["delivered_at"] = (send_at + timedelta(seconds=dice.uniform(1, 900))).replace(microsecond=0)
    return row | {"request_id": row.get("request_id"), "batch_id": None} | dict.fromkeys(TAKEN_ONLY - set(row))


TAKEN_ONLY = {"posted_at", "submitted_at", "delivered_at", "finalized_at", "message_id"}


def summed(rows: list[dict[str, Any]]) -> list[Day]:
    groups: dict[tuple[date, str, str | None, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["created_at"].date(), row["producer"], row["nickname"], str(row["state"])].append(row)
    found = [
        Day(
            str(day),
            producer,
            nickname,
            state,
            len(group),
            sum(row["parts"] for row in group),
            sum(row["billed_parts"] or 0 for row in group),
            sum(row["billed_parts"] - row["parts"] for row in group if row["billed_parts"] is not None),
            low_share(group, 0.5),
            low_share(group, 0.95),
        )
        for (day, producer, nickname, state), group in groups.items()
    ]
    return sorted(found, key=lambda one: (one.day, one.producer, one.nickname or "", one.state))


def low_share(group: list[dict[str, Any]], share: float) -> float | None:
    """The least time within which that *share* of them were delivered."""
    took = sorted(
        (milliseconds(row["delivered_at"]) - milliseconds(row["send_at"])) / 1000
        for row in group
        if row["delivered_at"]
    )
    return next((one for place, one in enumerate(took, 1) if place / len(took) >= share), None)


def milliseconds(at: datetime) -> int:
    return (at - NOON.replace(year=2000)) // timedelta(milliseconds=1)
