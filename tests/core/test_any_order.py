"""Whatever stands on a lane's list, intake never raises, and every order leaves at least one row."""

import json
from typing import Any

import pytest
from builders import Sessions, all_of, an_envelope, an_intake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from sqlalchemy import delete

from models import Callback, Message, RefusedIntake
from models.lifecycle import Lane

WORDS = some.text(max_size=8) | some.sampled_from(["\0", "\ud800", "998901234567", "a" * 300, ""])
JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | WORDS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
PHONES = some.sampled_from(["998901234567", "+998 90 123 45 67", 998901234567, "12"]) | JSON
FIELDS = some.fixed_dictionaries(
    {},
    optional={
        "phone": PHONES,
        "text": some.just("Your code is 4821") | JSON,
        "nickname": some.just("SHOP") | JSON,
        "key": some.just("k") | JSON,
        "producer": some.just("shop") | JSON,
        "send_at": some.just("2026-12-01T09:00:00") | JSON,
        "expires_at": some.datetimes().map(str) | JSON,
        "callback": some.sampled_from([{"task": "a.b"}, {"url": "https://a.example/"}]) | JSON,
        "tags": JSON,
        "messages": some.lists(some.fixed_dictionaries({"phone": PHONES}, optional={"text": JSON}) | JSON, max_size=3),
        "uid": WORDS | JSON,
        "uids": some.lists(WORDS, max_size=3) | JSON,
        "decision": some.sampled_from(["resend", "drop"]) | JSON,
        "anything": JSON,
    },
)
TASKS = some.sampled_from(["sms.send", "sms.send_many", "sms.cancel", "sms.resolve"]) | WORDS
HEADERS = some.fixed_dictionaries({}, optional={"eta": JSON, "expires": JSON, "id": JSON, "compression": JSON})
ENVELOPES = some.builds(
    lambda task, args, fields, headers, embed: an_envelope(task, *args, headers=headers, embed=embed, **fields),
    TASKS,
    some.lists(JSON, max_size=3),
    FIELDS,
    HEADERS,
    some.dictionaries(some.sampled_from(["chain", "chord", "callbacks"]), JSON, max_size=1),
)
RAWS = ENVELOPES | JSON.map(lambda value: json.dumps(value).encode()) | some.binary(max_size=60)
OFTEN = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@OFTEN
@given(raw=RAWS)
def test_every_order_whatever_it_is_leaves_a_row(sessions: Sessions, raw: bytes) -> None:
    forget(sessions)
    intake = an_intake(sessions)

    taken = intake.take_raw([raw], Lane.NORMAL)
    if taken.unmatched:
        intake.give_up_cancels(taken.unmatched, Lane.NORMAL)

    assert rows(sessions) >= (0 if is_a_decision(raw) else 1)
    assert rows(sessions) >= taken.stored + taken.refused


@OFTEN
@given(raws=some.lists(RAWS, max_size=4))
def test_orders_taken_twice_are_stored_once(sessions: Sessions, raws: list[bytes]) -> None:
    forget(sessions)
    an_intake(sessions).take_raw(raws, Lane.NORMAL)
    before = rows(sessions)

    again = an_intake(sessions).take_raw(raws, Lane.NORMAL)

    assert (0, 0, before) == (again.stored, again.refused, rows(sessions))


def rows(sessions: Sessions) -> int:
    return len(all_of(sessions, Message)) + len(all_of(sessions, RefusedIntake))


def is_a_decision(raw: bytes) -> bool:
    """Whether it is a proper ``sms.resolve``, which stores nothing."""
    return b'"task": "sms.resolve"' in raw


def forget(sessions: Sessions) -> None:
    with sessions.begin() as session:
        for table in (Callback, Message, RefusedIntake):
            session.execute(delete(table))


@pytest.mark.parametrize("raw", [b"", b"null", b"{}", b"[]", b'"\\ud800"', b"\xff\xfe", b"1e999"], ids=repr)
def test_the_shortest_nonsense_is_kept(sessions: Sessions, raw: bytes) -> None:
    taken = an_intake(sessions).take_raw([raw], Lane.NORMAL)

    found: list[Any] = all_of(sessions, RefusedIntake)
    assert (taken.refused, len(found)) == (1, 1)
