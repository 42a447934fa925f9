"""Lists are a page at a time, newest first, and each page is at once."""

from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Sessions, a_phone, all_of, many_stored, stored
from sqlalchemy import event

from models import Message
from models.lifecycle import Lane, MessageState
from worker.store import listing
from worker.store.engine import reading
from worker.store.listing import Page, Wanted, estimate, page

PHONE = "998901234567"
FILTERS = {
    "uid": ({"uid": "u"}, Wanted(uid="u")),
    "request": (
        {"request_id": "7", "state": MessageState.DELIVERED},
        Wanted(request_id="7"),
    ),
    "key of a producer": ({"key": "k", "producer": "bank"}, Wanted(key="k", producer="bank")),
    "key of any producer": ({"key": "k", "producer": "bank"}, Wanted(key="k")),
    "beginning of a key": ({"key": "autumn:1"}, Wanted(key_prefix="autumn:")),
    "phone": ({"phone": PHONE}, Wanted(phone=PHONE)),
    "phone that was ordered": ({"ordered_phone": PHONE}, Wanted(phone=PHONE)),
    "nickname": ({"nickname": "SHOP"}, Wanted(nickname="SHOP")),
    "producer": ({"producer": "bank"}, Wanted(producer="bank")),
    "lane": ({"lane": Lane.OTP}, Wanted(lane=Lane.OTP)),
    "since": ({"created_at": NOON + timedelta(hours=1)}, Wanted(since=NOON + timedelta(minutes=30))),
    "until": ({"created_at": NOON - timedelta(hours=1)}, Wanted(until=NOON - timedelta(minutes=30))),
    **{f"state {state}": ({"state": state}, Wanted(states=[state])) for state in MessageState if state != "queued"},
    "two states": (
        {"state": MessageState.FAILED},
        Wanted(states=[MessageState.FAILED, MessageState.UNCONFIRMED, MessageState.POSTING]),
    ),
    "state and lane": (
        {"state": MessageState.UNCONFIRMED, "lane": Lane.BULK},
        Wanted(states=[MessageState.UNCONFIRMED], lane=Lane.BULK),
    ),
}


def found(sessions: Sessions, wanted: Wanted, **changes: Any) -> Page:
    with reading(sessions) as session:
        return page(session, wanted, **{"limit": 10} | changes)


def ids(some: Page) -> list[int]:
    return [one.id for one in some]


@pytest.mark.parametrize(("meant", "wanted"), FILTERS.values(), ids=list(FILTERS))
def test_only_what_meets_the_filter_is_listed(sessions: Sessions, meant: dict[str, Any], wanted: Wanted) -> None:
    # Ids follow the clock: whatever is ordered later stands behind.
    is_early = meant.get("created_at", NOON) < NOON
    before = [] if is_early else many_stored(sessions, 3)
    this = stored(sessions, **meant)
    others = before or many_stored(sessions, 3)

    some = found(sessions, wanted)

    assert this in ids(some)
    assert not set(others) & set(ids(some))
    assert some.next_before_id is None


def test_pages_follow_each_other_from_the_newest_on(sessions: Sessions) -> None:
    every = many_stored(sessions, 5)

    first = found(sessions, Wanted(), limit=2)
    second = found(sessions, Wanted(), limit=2, before_id=first.next_before_id)
    third = found(sessions, Wanted(), limit=2, before_id=second.next_before_id)

    assert [*ids(first), *ids(second), *ids(third)] == every[::-1]
    assert third.next_before_id is None


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(phone=PHONE)], ids=["walked", "by an index"])
def test_and_back_again(sessions: Sessions, wanted: Wanted) -> None:
    every = many_stored(sessions, 6, phone=PHONE)

    back = found(sessions, wanted, limit=2, after_id=every[1])

    assert ids(back) == [every[3], every[2]]


def test_a_page_ends_where_it_would_take_long_and_says_where_to_go_on(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = stored(sessions, nickname="RARE")
    many_stored(sessions, 30)
    monkeypatch.setattr(listing, "SLICE", 4)
    monkeypatch.setattr(listing, "SLICES", 2)

    first = found(sessions, Wanted(nickname="RARE"))
    pages = [first]
    while pages[-1].next_before_id:
        pages.append(found(sessions, Wanted(nickname="RARE"), before_id=pages[-1].next_before_id))

    assert ids(first) == []
    assert [one for some in pages for one in ids(some)] == [rare]
    assert len(pages) == 4


def test_a_queue_of_millions_is_walked_and_a_short_one_is_not(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = many_stored(sessions, 3)
    many_stored(sessions, 30, state=MessageState.DELIVERED, batch_id=None)
    monkeypatch.setattr(listing, "SLICE", 4)
    monkeypatch.setattr(listing, "SLICES", 1)
    of_state = Wanted(states=[MessageState.QUEUED])

    short = found(sessions, of_state)
    monkeypatch.setattr(listing, "FEW", 2)
    long = found(sessions, of_state)

    assert ids(short) == waiting[::-1]
    assert (ids(long), long.next_before_id) == ([], waiting[-1] + 27)


def test_what_comes_later_does_not_move_the_pages(sessions: Sessions) -> None:
    every = many_stored(sessions, 4)
    first = found(sessions, Wanted(), limit=2)
    many_stored(sessions, 3, phone=a_phone(99))

    second = found(sessions, Wanted(), limit=2, before_id=first.next_before_id)

    assert ids(second) == [every[1], every[0]]


def test_few_are_counted_and_many_are_guessed(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    many_stored(sessions, 40)
    with reading(sessions) as session:
        exact = estimate(session, Wanted())
        monkeypatch.setattr(listing, "FEW", 5)
        guessed = estimate(session, Wanted(lane=Lane.NORMAL))
        none = estimate(session, Wanted(phone=PHONE))

    assert (exact.count, exact.exact) == (40, True)
    assert (guessed.count, guessed.exact) == (40, False)
    assert (none.count, none.exact) == (0, True)


def test_nothing_is_listed_where_there_is_nothing(sessions: Sessions) -> None:
    assert found(sessions, Wanted()) == []
    with reading(sessions) as session:
        assert estimate(session, Wanted()).exact


def test_no_statement_looks_at_more_ids_than_a_slice(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    many_stored(sessions, 20)
    monkeypatch.setattr(listing, "SLICE", 5)
    said: list[Any] = []
    engine = sessions.kw["bind"]

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        said.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    found(sessions, Wanted(nickname="RARE"))
    event.remove(engine, "before_cursor_execute", note)

    walks = [statement for statement, _ in said if "BETWEEN" in statement]
    assert len(walks) == 4
    assert len(all_of(sessions, Message)) == 20


def test_what_an_index_leads_to_is_looked_at_in_slices_where_more_is_asked(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {"state": MessageState.FAILED}
    rare = stored(sessions, producer="bank", **failed)
    many_stored(sessions, 10, **failed)
    monkeypatch.setattr(listing, "LED", 4)
    wanted = Wanted(states=[MessageState.FAILED, MessageState.EXPIRED], producer="bank")

    pages = [found(sessions, wanted)]
    while pages[-1].next_before_id:
        pages.append(found(sessions, wanted, before_id=pages[-1].next_before_id))

    assert [ids(some) for some in pages] == [[], [], [rare]]


def test_what_waits_is_counted_by_its_index_however_much_it_is(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_stored(sessions, 30)
    monkeypatch.setattr(listing, "FEW", 2)
    monkeypatch.setattr(listing, "SAMPLES", 1)
    monkeypatch.setattr(listing, "SAMPLE", 1)
    with reading(sessions) as session:
        of_queue = estimate(session, Wanted(states=[MessageState.QUEUED]))
        monkeypatch.setattr(listing, "AS_MANY", 20)
        of_millions = estimate(session, Wanted(states=[MessageState.QUEUED]))

    assert (of_queue.count, of_queue.exact) == (30, True)
    assert (of_millions.count, of_millions.exact) == (20, False)


@pytest.mark.parametrize("by", [pytest.param({}, id="the time alone"), pytest.param({"phone": PHONE}, id="a phone")])
def test_what_a_wrong_clock_dated_is_found_by_its_time(sessions: Sessions, by: dict[str, Any]) -> None:
    many_stored(sessions, 2, created_at=NOON, phone=PHONE)
    slow = stored(sessions, created_at=NOON - timedelta(hours=3), phone=PHONE)
    many_stored(sessions, 2, created_at=NOON + timedelta(hours=1), phone=PHONE)
    fast = stored(sessions, created_at=NOON + timedelta(hours=9), phone=PHONE)
    many_stored(sessions, 2, created_at=NOON + timedelta(hours=2), phone=PHONE)

    early = found(sessions, Wanted(until=NOON - timedelta(hours=1), **by))
    late = found(sessions, Wanted(since=NOON + timedelta(hours=5), **by))
    with reading(sessions) as session:
        counted = estimate(session, Wanted(since=NOON - timedelta(hours=4), until=NOON, **by))

    assert ids(early) == [slow]
    assert ids(late) == [fast]
    assert (counted.count, counted.exact) == (1, True)


def test_of_very_many_of_a_time_the_ids_about_it_are_walked(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_stored(sessions, 5, created_at=NOON - timedelta(hours=1))
    meant = many_stored(sessions, 5, created_at=NOON)
    many_stored(sessions, 5, created_at=NOON + timedelta(hours=1))
    monkeypatch.setattr(listing, "FEW", 2)
    wanted = Wanted(since=NOON, until=NOON + timedelta(minutes=1))

    first = found(sessions, wanted, limit=3)
    second = found(sessions, wanted, limit=3, before_id=first.next_before_id)

    assert [*ids(first), *ids(second)] == meant[::-1]
    assert second.next_before_id is None
