"""The producers of a lane share it: whoever has ten messages does not wait behind another's hundred thousand."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, a_phone, a_submission, all_of, many_stored, post_all, stored
from sqlalchemy import Engine, event

from models import Message
from models.lifecycle import Lane, MessageState
from worker.gateway.memory import MemoryGateway
from worker.rota import Rota
from worker.store import claims, drafts
from worker.store.accounts import account_id_of
from worker.store.claims import Claimant, Claimed

A_SECOND = timedelta(seconds=1)
A_MINUTE = timedelta(minutes=1)


def next_batch(sessions: Sessions, rota: Rota, *, limit: int = 50, now: Any = NOON) -> list[Message]:
    """The messages of the next batch, the first one first; the batch is committed."""
    with sessions.begin() as session:
        account_id = account_id_of(session, "login")
        claimant = Claimant(account_id, "worker", now, begins_by=now + A_SECOND, lease_until=now + A_MINUTE)
        claimed = claims.claim(session, claimant, limit=limit, rota=rota)
        assert claimed is None or isinstance(claimed, Claimed)
    known = {sms.id: sms for sms in all_of(sessions, Message)}
    return [known[one.reference] for one in claimed.messages] if claimed else []


def shares(batch: list[Message]) -> dict[str, int]:
    return Counter(sms.producer for sms in batch)


def phones(first: int) -> list[str]:
    """Endless enough for a test, and nobody else's."""
    return [a_phone(first + number) for number in range(1_000)]


def queued(sessions: Sessions, producer: str, count: int, *, first: int, **changes: Any) -> list[int]:
    return [stored(sessions, producer=producer, phone=phone, **changes) for phone in phones(first)[:count]]


def test_few_messages_do_not_wait_behind_anothers_many(sessions: Sessions) -> None:
    many_stored(sessions, 500, producer="campaign", send_at=NOON - A_MINUTE)
    queued(sessions, "shop", 10, first=1_000)

    first = next_batch(sessions, Rota())

    assert shares(first) == {"campaign": 40, "shop": 10}


def test_equal_producers_get_equal_shares(sessions: Sessions) -> None:
    for number, producer in enumerate(("bank", "campaign", "shop")):
        queued(sessions, producer, 40, first=1_000 * number)
    rota, total = Rota(), Counter[str]()

    for _ in range(6):
        total.update(shares(next_batch(sessions, rota, limit=9)))

    assert total == {"bank": 18, "campaign": 18, "shop": 18}


def test_a_producers_own_messages_keep_their_order(sessions: Sessions) -> None:
    late, early = (
        stored(sessions, producer="shop", phone=a_phone(number), send_at=NOON - number * A_SECOND) for number in (1, 2)
    )
    queued(sessions, "bank", 5, first=1_000)

    batches = [next_batch(sessions, rota, limit=2) for rota in [Rota()] * 2]

    assert [sms.id for batch in batches for sms in batch if sms.producer == "shop"] == [early, late]


def test_with_a_nickname_for_each_producer_everyone_heads_a_batch_in_turn(sessions: Sessions) -> None:
    names = ["bank", "campaign", "shop", "taxi"]
    for number, producer in enumerate(names):
        queued(sessions, producer, 6, first=1_000 * number, nickname=producer.upper())
    rota = Rota()

    batches = [next_batch(sessions, rota, limit=3) for _ in range(8)]

    assert [shares(batch) for batch in batches] == [{name: 3} for name in names * 2]


def test_the_head_decides_with_which_nickname_and_others_with_it_go_along(sessions: Sessions) -> None:
    queued(sessions, "bank", 1, first=0, nickname="BANK")
    mixed = [
        stored(sessions, producer="shop", phone=a_phone(1_000 + number), nickname=nickname)
        for number, nickname in enumerate(("SHOP", "BANK", "BANK"))
    ]

    batch = next_batch(sessions, Rota())

    assert [sms.id for sms in batch if sms.producer == "shop"] == mixed[1:]
    assert {sms.nickname for sms in batch} == {"BANK"}


def test_no_phone_stands_twice_in_a_batch_of_several_producers(sessions: Sessions) -> None:
    bank, shop = (stored(sessions, producer=producer, phone=a_phone(7)) for producer in ("bank", "shop"))
    rota = Rota()

    batches = [[sms.id for sms in next_batch(sessions, rota)] for _ in range(3)]

    assert batches == [[bank], [shop], []]


def test_who_has_nothing_due_is_passed_over(sessions: Sessions) -> None:
    for number in range(40):
        stored(sessions, producer=f"later {number:02}", send_at=NOON + A_SECOND)
    shop = stored(sessions, producer="shop")

    assert [sms.id for sms in next_batch(sessions, Rota())] == [shop]


def test_behind_any_number_of_producers_with_nothing_due_one_is_found_at_once_and_heads_in_its_turn(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "PASSED", 10)
    drafts._turn.cache_clear()
    for number in range(25):
        stored(sessions, producer=f"later {number:02}", send_at=NOON + A_SECOND)
    queued(sessions, "campaign", 20, first=1_000, send_at=NOON - A_SECOND)
    queued(sessions, "shop", 20, first=2_000, nickname="SHOP")
    rota = Rota()

    batches = [next_batch(sessions, rota, limit=2) for _ in range(8)]
    drafts._turn.cache_clear()

    assert all(batches), "nothing was found though it was due"
    assert {"SHOP", None} == {sms.nickname for batch in batches for sms in batch}


def test_of_more_producers_than_share_a_batch_all_come_to_their_turn(sessions: Sessions) -> None:
    names = [f"producer {number:02}" for number in range(3 * drafts.SHARERS)]
    for number, name in enumerate(names):
        queued(sessions, name, 3, first=1_000 * number, nickname=name)
    rota = Rota()

    heads = [next_batch(sessions, rota)[0].producer for _ in names]

    assert heads == names


def test_a_batch_is_full_where_many_producers_have_one_message_each(sessions: Sessions) -> None:
    for number in range(60):
        stored(sessions, producer=f"producer {number:02}", phone=a_phone(number))

    assert len(next_batch(sessions, Rota(), limit=50)) == 50


@pytest.mark.parametrize("producer", ["", " ", "a'b", "Ж", "\U0001f600", "%_", "x" * 5_000], ids=ascii)
def test_a_producers_name_may_be_anything(sessions: Sessions, producer: str) -> None:
    ours = queued(sessions, producer, 2, first=0)
    other = queued(sessions, "shop", 2, first=1_000)
    rota = Rota()

    batches = [next_batch(sessions, rota, limit=2) for _ in range(3)]

    assert sorted(sms.id for batch in batches for sms in batch) == sorted(ours + other)
    assert [len(batch) for batch in batches] == [2, 2, 0]


def test_a_claim_asks_no_more_often_however_many_producers_and_messages_there_are(
    sessions: Sessions, engine: Engine
) -> None:
    def statements() -> int:
        seen: list[str] = []
        note = lambda _c, _k, statement, *_: seen.append(statement)  # noqa: E731
        event.listen(engine, "before_cursor_execute", note)
        with sessions.begin() as session:
            claimant = Claimant(1, "worker", NOON, begins_by=NOON + A_SECOND, lease_until=NOON + A_MINUTE)
            claims.claim(session, claimant, limit=50)
        event.remove(engine, "before_cursor_execute", note)
        return len(seen)

    with sessions.begin() as session:
        account_id_of(session, "login")
    few = [stored(sessions, producer=f"producer {number}", phone=a_phone(number)) for number in range(20)]
    with_few = statements()
    for number in range(300):
        stored(sessions, producer=f"producer {number}", phone=a_phone(number))

    assert (len(few), with_few) == (20, statements())


def test_claims_at_the_same_time_share_out_every_producers_messages_once(sessions: Sessions) -> None:
    ids = [sms for number in range(5) for sms in queued(sessions, f"p{number}", 30, first=1_000 * number)]
    gateway, clock = MemoryGateway(), Clock()
    rooms = [a_submission(sessions, gateway, clock, worker=f"w{n}", batch_max_messages=7) for n in range(6)]

    with ThreadPoolExecutor(len(rooms)) as pool:
        list(pool.map(post_all, rooms))
    post_all(rooms[0])

    posted = [sms.reference for batch in gateway.posted for sms in batch.messages]
    assert sorted(posted) == sorted(ids)
    assert {sms.state for sms in all_of(sessions, Message)} == {MessageState.SUBMITTED}


def test_each_lane_has_turns_of_its_own() -> None:
    rota = Rota()

    rota.note_head(Lane.BULK, "campaign")

    assert (rota.head(Lane.BULK), rota.head(Lane.OTP)) == ("campaign", "")
