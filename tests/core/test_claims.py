"""Which messages go into the next batch, and that no two workers ever claim the same one."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from builders import NOON, Sessions, a_phone, many_stored, states_of, stored, the_batch, the_sms
from explained import plans_of, rows_read
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from models import Message
from models.lifecycle import BatchState, Lane, MessageState, Room
from worker.store import claims
from worker.store.accounts import account_id_of
from worker.store.claims import Claimant, Claimed, Way
from worker.store.drafts import AHEAD

A_SECOND = timedelta(seconds=1)
A_MINUTE = timedelta(minutes=1)


def claim(session: Session, *, limit: int = 50, worker: str = "worker@test") -> Claimed | None:
    claimant = Claimant(
        account_id_of(session, "login"), worker, NOON, begins_by=NOON + A_SECOND, lease_until=NOON + A_MINUTE
    )
    claimed = claims.claim(session, claimant, limit=limit)
    assert claimed is None or isinstance(claimed, Claimed)
    return claimed


def claimed_ids(sessions: Sessions, *, limit: int = 50) -> list[int]:
    """The ids in the next batch, which is committed."""
    with sessions.begin() as session:
        claimed = claim(session, limit=limit)
    return [one.reference for one in claimed.messages] if claimed else []


def test_nothing_is_claimed_where_nothing_is_queued(sessions: Sessions) -> None:
    stored(sessions, state=MessageState.SUBMITTED)

    assert claimed_ids(sessions) == []


def test_a_claim_marks_messages_and_batch_before_anything_is_posted(sessions: Sessions) -> None:
    sms = stored(sessions, nickname="SHOP", text="Hello", phone="998901234567")

    with sessions.begin() as session:
        claimed = claim(session)

    assert claimed
    assert (claimed.nickname, claimed.lane) == ("SHOP", Lane.NORMAL)
    assert [(sms, "998901234567", "Hello")] == [(one.reference, one.phone, one.text) for one in claimed.messages]
    message, batch = the_sms(sessions, sms), the_batch(sessions, claimed.batch_id)
    assert (message.state, message.batch_id, message.attempts, message.posted_at) == ("posting", batch.id, 1, NOON)
    assert (batch.state, batch.size, batch.worker) == (BatchState.POSTING, 1, "worker@test")
    assert (batch.begins_by, batch.lease_until) == (NOON + A_SECOND, NOON + A_MINUTE)


def test_an_earlier_lane_never_waits_for_a_later_one(sessions: Sessions) -> None:
    bulk, normal, otp = (stored(sessions, lane=lane) for lane in ("bulk", "normal", "otp"))

    assert [[otp], [normal], [bulk], []] == [claimed_ids(sessions) for _ in range(4)]


def test_the_oldest_go_first(sessions: Sessions) -> None:
    late = stored(sessions, send_at=NOON - A_SECOND)
    early = stored(sessions, send_at=NOON - 2 * A_SECOND)

    assert [early, late] == claimed_ids(sessions)


def test_a_message_is_not_posted_before_its_time(sessions: Sessions) -> None:
    stored(sessions, send_at=NOON + A_SECOND)
    due = stored(sessions, send_at=NOON)

    assert [due] == claimed_ids(sessions)
    assert states_of(sessions) == ["queued", "posting"]


def test_what_expired_is_never_posted(sessions: Sessions) -> None:
    late = stored(sessions, expires_at=NOON)
    alive = stored(sessions, expires_at=NOON + A_SECOND)

    assert [alive] == claimed_ids(sessions)
    assert (the_sms(sessions, late).state, the_sms(sessions, late).attempts) == ("expired", 0)


def test_expired_messages_do_not_hide_those_behind_them(sessions: Sessions) -> None:
    many_stored(sessions, 12, expires_at=NOON - A_SECOND, send_at=NOON - A_SECOND)
    alive = stored(sessions)

    assert [alive] == claimed_ids(sessions, limit=5)
    assert Counter(states_of(sessions)) == {"expired": 12, "posting": 1}


def test_a_batch_has_one_nickname(sessions: Sessions) -> None:
    nicknames = ["SHOP", None, "BANK", "SHOP", None]
    first, second, third, fourth, fifth = (stored(sessions, nickname=name) for name in nicknames)

    assert [[first, fourth], [second, fifth], [third]] == [claimed_ids(sessions) for _ in range(3)]


def test_no_phone_stands_twice_in_a_batch_and_the_second_goes_with_the_next(sessions: Sessions) -> None:
    first, second = (stored(sessions, phone=a_phone(7)) for _ in range(2))
    other = stored(sessions, phone=a_phone(8))

    assert [[first, other], [second], []] == [claimed_ids(sessions) for _ in range(3)]


def test_a_batch_is_no_larger_than_its_limit(sessions: Sessions) -> None:
    many_stored(sessions, 7)

    assert [len(claimed_ids(sessions, limit=3)) for _ in range(3)] == [3, 3, 1]


def test_a_batch_is_filled_from_behind_messages_that_cannot_go_with_it(sessions: Sessions) -> None:
    ids = [stored(sessions, nickname=name) for name in ("SHOP", "BANK", "BANK", "BANK", "SHOP", "SHOP")]

    assert [ids[0], ids[4], ids[5]] == claimed_ids(sessions, limit=3)


def test_each_half_of_a_refused_batch_goes_by_itself(sessions: Sessions) -> None:
    left, right, whole = (stored(sessions, split=split) for split in (14, 15, None))
    also_right = stored(sessions, split=15)

    assert [[left], [right, also_right], [whole]] == [claimed_ids(sessions) for _ in range(3)]


@pytest.mark.parametrize("threads", [2, 8])
def test_claims_at_the_same_time_never_share_a_message(sessions: Sessions, threads: int) -> None:
    queued = 0
    for _ in range(20):
        queued += len(many_stored(sessions, 24))
        with ThreadPoolExecutor(threads) as pool:
            claimed = [one for ids in pool.map(lambda _: all_claimed(sessions), range(threads)) for one in ids]

        assert len(claimed) == len(set(claimed)) == 24
    with sessions() as session:
        posted = session.scalars(select(Message.attempts)).all()
    assert [1] * queued == list(posted)


def all_claimed(sessions: Sessions) -> list[int]:
    """Claim until there is nothing left."""
    found: list[int] = []
    while ids := claimed_ids(sessions, limit=5):
        found += ids
    return found


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_claim_does_not_wait_for_a_row_that_another_holds(sessions: Sessions) -> None:
    held, free = stored(sessions), stored(sessions)

    with sessions() as other, sessions.begin() as session:
        other.execute(select(Message.id).where(Message.id == held).with_for_update())
        session.execute(text("SET LOCAL lock_timeout = '1ms'"))
        claimed = claim(session)

    assert claimed
    assert [free] == [one.reference for one in claimed.messages]


def test_a_claim_costs_nothing_for_the_messages_of_the_past(sessions: Sessions, engine: Engine) -> None:
    many_stored(sessions, 3_000, state=MessageState.EXPIRED)
    many_stored(sessions, 3)
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))

    plans = plans_of(engine, lambda: claimed_ids(sessions), of=("SELECT messages.id", "WITH RECURSIVE"))

    assert plans
    for plan in plans:
        assert "ix_messages_fair" in plan
        assert not reads_whole(plan, "messages")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("past", [0, 20_000], ids=["of an empty table", "of a table where nothing is queued"])
def test_a_claim_reads_few_of_many_queued_messages_with_old_statistics(
    sessions: Sessions, engine: Engine, past: int
) -> None:
    many_stored(sessions, past, state=MessageState.EXPIRED)
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    stored(sessions, producer="another", nickname="SHOP")
    many_stored(sessions, 5_000, producer="campaign")

    claimed_ids(sessions)
    rows = rows_read(engine, lambda: claimed_ids(sessions), of=("SELECT", "WITH RECURSIVE"))

    assert rows
    assert max(rows) <= 2 * AHEAD


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("counted", ["before", "after"])
def test_whether_anything_is_due_costs_a_look_at_the_oldest_however_much_was_claimed_before(
    sessions: Sessions, engine: Engine, counted: str
) -> None:
    with sessions.begin() as session:
        account_id = account_id_of(session, "login")
    past, waiting = (MessageState.EXPIRED, 3_000), (MessageState.QUEUED, 5_000)
    for moment, (state, count) in zip(("before", "after"), (past, waiting), strict=True):
        many_stored(sessions, count, state=state)
        if moment == counted:
            with engine.begin() as connection:
                connection.execute(text("ANALYZE"))

    def look() -> None:
        with sessions() as session:
            assert claims.best_due(session, now=NOON, lanes=[Lane.NORMAL])
            assert claims.way_for(session, account_id, Lane.BULK, now=NOON) is Way.BEHIND

    assert rows_read(engine, look, of=("SELECT",)) == [1, len(Room)]  # an account's circuits


def reads_whole(plan: str, table: str) -> bool:
    """Whether a table is read from one end to the other."""
    return any(words in plan for words in (f"SCAN {table}", f"Seq Scan on {table}"))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_plan_is_kept_from_a_time_when_the_table_was_small(sessions: Sessions, engine: Engine) -> None:
    for _ in range(20):
        stored(sessions)
        claimed_ids(sessions)

    with engine.connect() as connection:
        plans = "SELECT sum(generic_plans), sum(custom_plans) > 20 FROM pg_prepared_statements"
        assert connection.execute(text(plans)).one() == (0, True)
