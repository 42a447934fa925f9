"""Hundreds of rows in one statement stand in the table as if they had been written one by one."""

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, permutations
from typing import Any, cast

import pytest
from builders import NOON, Sessions, a_phone, all_of, an_sms, many_stored, stored
from sqlalchemy import Table, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from models import Batch, Message, Report
from models.lifecycle import BatchState, Lane, MessageState
from worker.store import lots
from worker.store.accounts import account_id_of
from worker.store.lots import EachRow

MESSAGES, REPORTS, BATCHES = (cast("Table", table.__table__) for table in (Message, Report, Batch))
ODD = "O‘zbek 😀 'quoted' \"double\" \\ back %s ?1 :name {brace} \t\n\x7f\u2028 \ud7ff"
VALUES: Sequence[dict[str, Any]] = [
    {"text": ODD, "producer": ODD[:40], "tags": {"a'b": [1, 2.5, None, True, {"ö": ODD}]}},
    {"text": "", "tags": {}, "callback": {"url": "https://shop.uz/?a=1&b=%20"}, "nickname": "SHOP"},
    {"send_at": datetime(2026, 11, 30, 17, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5)))},
    {"send_at": datetime(1999, 1, 1, tzinfo=UTC), "expires_at": datetime(9999, 12, 31, 23, 59, tzinfo=UTC)},
    {"key": "null", "ordered_phone": "+998 90", "ordered_text": "null"},
    {"tags": {"big": 2**60, "small": 1e-300, "nested": [[[[]]]]}},
]


def a_row(**changes: Any) -> dict[str, Any]:
    unsaid = dict.fromkeys(("key", "nickname", "ordered_phone", "ordered_text", "callback", "expires_at"))
    return an_sms(uid=str(uuid.uuid4())) | unsaid | changes


def without_ids(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in MESSAGES.c.keys() if name not in {"id", "uid"}}  # noqa: SIM118


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([a_row(**one) for one in VALUES], id="each another"),
        pytest.param([a_row(phone=a_phone(1), **VALUES[0]) for _ in range(3)], id="all the same"),
        pytest.param([a_row(**VALUES[1])], id="one alone"),
        pytest.param([a_row(phone=a_phone(number)) for number in range(700)], id="hundreds"),
    ],
)
def test_rows_stand_as_sqlalchemy_would_have_inserted_them(sessions: Sessions, rows: list[dict[str, Any]]) -> None:
    with sessions.begin() as session:
        session.execute(insert(Message), [row | {"uid": f"plain {row['uid']}"} for row in rows])
        lots.insert_new(session, MESSAGES, rows, unique="uid")

    by_uid = {message.uid: without_ids(message) for message in all_of(sessions, Message)}
    assert [by_uid[row["uid"]] for row in rows] == [by_uid[f"plain {row['uid']}"] for row in rows]


def test_what_is_equal_in_python_alone_is_not_taken_for_the_same(sessions: Sessions) -> None:
    tags: list[dict[str, Any]] = [{"vip": 1}, {"vip": True}, {"vip": 1.0}, {"vip": 1}]

    with sessions.begin() as session:
        lots.insert_new(session, MESSAGES, [a_row(tags=one) for one in tags], unique="uid")

    assert [repr(message.tags) for message in all_of(sessions, Message)] == [repr(one) for one in tags]


def test_of_all_mixtures_of_columns_only_so_many_statements_are_kept() -> None:
    most = lots._into_postgresql.cache_info().maxsize or 0

    for names in islice(permutations(MESSAGES.c.keys(), 3), 500):
        lots._into_postgresql(MESSAGES, names, (), "uid")

    assert 0 < lots._into_postgresql.cache_info().currsize == most < 500


@pytest.mark.parametrize("callbacks", [[None, None], [None, {"task": "shop"}]], ids=["none has one", "one has"])
def test_what_is_not_said_is_null_and_not_the_word_null(
    sessions: Sessions, callbacks: list[dict[str, str] | None]
) -> None:
    with sessions.begin() as session:
        lots.insert_new(session, MESSAGES, [a_row(callback=one) for one in callbacks], unique="uid")

    with sessions() as session:
        stands = session.execute(text("SELECT callback IS NULL FROM messages ORDER BY id")).scalars().all()
    assert [bool(is_null) for is_null in stands] == [one is None for one in callbacks]


def test_only_what_is_new_is_told_of_and_nothing_that_stood_is_changed(sessions: Sessions) -> None:
    sms_id = stored(sessions, uid="known", text="first")
    rows = [a_row(uid="a"), a_row(uid="known", text="second"), a_row(uid="b")]

    with sessions.begin() as session:
        new = lots.insert_new(session, MESSAGES, rows, unique="uid")

    by_uid = {message.uid: message for message in all_of(sessions, Message)}
    assert new == {uid: by_uid[uid].id for uid in ("a", "b")}
    assert (by_uid["known"].id, by_uid["known"].text) == (sms_id, "first")


def test_all_rows_are_inserted_where_nothing_is_unique(sessions: Sessions) -> None:
    sms_id = stored(sessions, state=MessageState.SUBMITTED)
    answer = {"status": ODD, "list": [1, None]}
    rows = [{"sms_id": sms_id, "received_at": NOON, "answer": answer, "request_id": str(n)} for n in range(3)]

    with sessions.begin() as session:
        lots.insert_all(session, REPORTS, rows)

    assert [(one.sms_id, one.received_at, one.answer, one.request_id) for one in all_of(sessions, Report)] == [
        (sms_id, NOON, answer, str(n)) for n in range(3)
    ]


def a_batch_row(account_id: int, place: int) -> dict[str, Any]:
    row = {"account_id": account_id, "lane": Lane.OTP, "state": BatchState.POSTING, "size": 1}
    return row | {"worker": str(place), "created_at": NOON, "lease_until": NOON}


def test_numbers_come_in_the_order_of_their_rows(sessions: Sessions) -> None:
    stored(sessions, state=MessageState.POSTING)
    with sessions.begin() as session:
        rows = [a_batch_row(account_id_of(session, "login"), place) for place in range(300)]

        numbers = [
            *lots.insert_numbered(session, BATCHES, rows[:-1]),
            *lots.insert_numbered(session, BATCHES, rows[-1:]),
        ]

    workers = {batch.id: batch.worker for batch in all_of(sessions, Batch)}
    assert [workers[number] for number in numbers] == [str(place) for place in range(300)]


def test_each_row_gets_its_own_values_and_only_where_all_is_met(sessions: Sessions) -> None:
    first, second, third = many_stored(sessions, 3)
    stored(sessions, lane=Lane.BULK)
    update = EachRow(
        MESSAGES, keys=("id", "lane"), sets=("text", "send_at"), fixed="attempts = 7", where="state = 'queued'"
    )
    later = NOON + timedelta(hours=1)
    rows = [(first, Lane.NORMAL, ODD, later), (second, Lane.OTP, "wrong lane", later), (99, Lane.OTP, "", later)]

    with sessions.begin() as session:
        met = update.run(session, rows)

    found = {one.id: (one.text, one.send_at, one.attempts) for one in all_of(sessions, Message)}
    assert met == 1
    assert found[first] == (ODD, later, 7)
    assert {found[second], found[third]} == {("Your order is on its way", NOON, 0)}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(["a", "c", "a"], ["a", "c"], id="some, one of them twice"),
        pytest.param([ODD, "no such"], [ODD], id="odd signs"),
        pytest.param(["a", *map(str, range(5_000))], ["a"], id="more than a statement takes values"),
    ],
)
def test_of_any_number_of_values_those_that_stand_are_found(
    sessions: Sessions, asked: list[str], found: list[str]
) -> None:
    for uid in ("a", "b", "c", ODD):
        stored(sessions, uid=uid)

    with sessions() as session:
        among = session.scalars(select(Message.uid).where(lots.among(session, Message.uid, asked))).all()
        found_among = lots.found_among(session, MESSAGES.c.uid, asked)

    assert sorted(among) == sorted(found_among) == sorted(found)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda session, row: lots.insert_new(session, MESSAGES, [row], unique="uid"), id="new"),
        pytest.param(lambda session, row: lots.insert_all(session, MESSAGES, [row]), id="all"),
    ],
)
def test_what_the_database_refuses_is_refused_here_too(sessions: Sessions, write: Callable[..., object]) -> None:
    """The checks of the table hold, and the whole lot is rolled back with its transaction."""
    with sessions() as session:
        write(session, a_row())

        with pytest.raises(IntegrityError):
            write(session, a_row(state="no such state"))

    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Message)) == 0
