"""Messages that are stored in the very batches they are posted in: what fits, what is new, and how it then stands."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from builders import NOON, Sessions, a_phone, all_of, an_sms, states_of, the_batch

from models import Batch, Message
from models.lifecycle import Lane, MessageState
from worker.store import at_once, claims
from worker.store.accounts import account_id_of
from worker.store.claims import Claimant, Claimed
from worker.store.moves import MOVED

BEGINS_BY, LEASE_UNTIL = NOON + timedelta(seconds=20), NOON + timedelta(seconds=55)
NOBODY_WARM = 0


def a_row(number: int = 0, **changes: Any) -> dict[str, Any]:
    """As an order makes it: what it does not say stands in it, too."""
    unsaid = dict.fromkeys(
        ("key", "nickname", "ordered_phone", "ordered_text", "callback", "expires_at", "traceparent")
    )
    return an_sms(phone=a_phone(number)) | unsaid | changes


def packed(*rows: dict[str, Any], limit: int = 2, most: int = 10) -> list[list[str]]:
    """The texts of each batch."""
    return [[row["text"] for row in batch] for batch in at_once.packed(rows, limit=limit, most=most)]


def insert(
    sessions: Sessions, *batches: list[dict[str, Any]], others: tuple[dict[str, Any], ...] = (), begun: int = 0
) -> list[Claimed]:
    with sessions.begin() as session:
        claimant = Claimant(account_id_of(session, "login"), "worker@test", NOON, BEGINS_BY, LEASE_UNTIL)
        rows = [*(row for batch in batches for row in batch), *others]
        return at_once.insert_claimed(session, claimant, Lane.OTP, rows, batches, begun=begun)[1]


def test_batches_are_filled_in_the_order_of_what_came() -> None:
    assert packed(*(a_row(n, text=str(n)) for n in range(5))) == [["0", "1"], ["2", "3"], ["4"]]


def test_no_phone_stands_twice_in_a_batch() -> None:
    rows = [a_row(1, text="a"), a_row(1, text="b"), a_row(2, text="c"), a_row(1, text="d")]

    assert packed(*rows, limit=3) == [["a", "c"], ["b"], ["d"]]


def test_each_nickname_has_batches_of_its_own() -> None:
    rows = [a_row(n, text=str(n), nickname=name) for n, name in enumerate(["SHOP", None, "SHOP", None])]

    assert packed(*rows) == [["0", "2"], ["1", "3"]]


def test_what_fits_into_no_batch_is_left_out() -> None:
    rows = [a_row(1, text="a"), a_row(1, text="b"), a_row(2, text="c"), a_row(3, text="d", nickname="SHOP")]

    assert packed(*rows, most=1) == [["a", "c"]]


def test_no_place_takes_nothing() -> None:
    assert packed(a_row(), most=0) == []


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_is_packed_by_the_rules(seed: int) -> None:
    dice = random.Random(seed)
    rows = [
        a_row(dice.randrange(20), text=str(n), nickname=dice.choice([None, "SHOP", "BANK"]))
        for n in range(dice.randrange(1, 80))
    ]
    limit, most = dice.randrange(1, 8), dice.choice([1, 3, 1000])

    batches = at_once.packed(rows, limit=limit, most=most)

    assert len(batches) <= most
    assert all(1 <= len(batch) <= limit for batch in batches)
    assert all(len({row["phone"] for row in batch}) == len(batch) for batch in batches)
    assert all(len({row["nickname"] for row in batch}) == 1 for batch in batches)
    assert all([int(row["text"]) for row in batch] == sorted(int(row["text"]) for row in batch) for batch in batches)
    texts = [row["text"] for batch in batches for row in batch]
    assert len(texts) == len(set(texts))
    assert most < 1000 or len(texts) == len(rows)


def test_a_message_is_stored_as_posting_in_its_batch(sessions: Sessions) -> None:
    (claimed,) = insert(sessions, [a_row(1), a_row(2)], begun=NOBODY_WARM)

    batch = the_batch(sessions, claimed.batch_id)
    assert (batch.state, batch.size, batch.lane, batch.worker) == ("posting", 2, "otp", "worker@test")
    assert (batch.created_at, batch.begins_by, batch.lease_until) == (NOON, BEGINS_BY, LEASE_UNTIL)
    for message in all_of(sessions, Message):
        assert (message.state, message.batch_id, message.attempts) == ("posting", claimed.batch_id, 1)
        assert message.posted_at == NOON
    assert [sms.phone for sms in claimed.messages] == [a_phone(1), a_phone(2)]
    assert [sms.reference for sms in claimed.messages] == [message.id for message in all_of(sessions, Message)]
    assert claimed.begins_by is None


def test_as_many_batches_have_begun_as_there_are_warm_connections(sessions: Sessions) -> None:
    claimed = insert(sessions, [a_row(1)], [a_row(2)], [a_row(3)], begun=2)

    assert [one.begins_by for one in claimed] == [BEGINS_BY, BEGINS_BY, None]
    assert [batch.begins_by for batch in all_of(sessions, Batch)] == [None, None, BEGINS_BY]


@pytest.mark.parametrize("begun", [0, 1], ids=["to begin", "begun"])
def test_no_batch_outlives_the_first_of_its_messages(sessions: Sessions, begun: int) -> None:
    ends = NOON + timedelta(seconds=3)

    (claimed,) = insert(sessions, [a_row(1), a_row(2, expires_at=ends)], begun=begun)

    stands: datetime | None = the_batch(sessions, claimed.batch_id).begins_by
    assert (claimed.begins_by, stands) == ((ends, None) if begun else (None, ends))


def test_each_of_many_batches_holds_its_own_messages(sessions: Sessions) -> None:
    lots = [[a_row(number, nickname=str(size)) for number in range(size)] for size in range(1, 40)]

    claimed = insert(sessions, *lots, begun=20)

    held = {batch.id: (batch.size, batch.nickname) for batch in all_of(sessions, Batch)}
    assert [held[one.batch_id] for one in claimed] == [(size, str(size)) for size in range(1, 40)]
    assert [len(one.messages) for one in claimed] == list(range(1, 40))
    assert {(one.batch_id, one.nickname) for one in all_of(sessions, Message)} == {
        (one.batch_id, one.nickname) for one in claimed
    }


def test_what_stands_in_no_batch_is_queued(sessions: Sessions) -> None:
    insert(sessions, [a_row(1)], others=(a_row(2), a_row(1)))

    messages = all_of(sessions, Message)
    assert [message.state for message in messages] == ["posting", "queued", "queued"]
    assert [(one.batch_id, one.attempts, one.posted_at) for one in messages[1:]] == [(None, 0, None)] * 2


def test_a_repeated_order_is_not_in_its_batch_again(sessions: Sessions) -> None:
    known = a_row(1, uid="known")
    insert(sessions, [known])

    (claimed,) = insert(sessions, [a_row(2), known, a_row(3)])

    assert [sms.phone for sms in claimed.messages] == [a_phone(2), a_phone(3)]
    assert the_batch(sessions, claimed.batch_id).size == len(claimed.known) == 2
    assert states_of(sessions) == ["posting"] * 3


def test_a_batch_of_nothing_but_repeated_orders_is_none(sessions: Sessions) -> None:
    known = [a_row(1), a_row(2)]
    insert(sessions, known)

    claimed = insert(sessions, known, [a_row(3)], begun=2)

    assert [[sms.phone for sms in one.messages] for one in claimed] == [[a_phone(3)]]
    assert [batch.size for batch in all_of(sessions, Batch)] == [2, 1]


def test_whoever_watches_sees_both_moves_of_what_was_claimed(sessions: Sessions) -> None:
    batch, waiting = [a_row(1, uid="claimed")], a_row(2, uid="waiting")
    with sessions() as session:
        claimant = Claimant(account_id_of(session, "login"), "worker@test", NOON, BEGINS_BY, LEASE_UNTIL)
        at_once.insert_claimed(session, claimant, Lane.OTP, [*batch, waiting], [batch], begun=0)
        seen = session.info[MOVED]

    assert [(one.message.uid, one.state) for one in seen] == [
        ("claimed", MessageState.QUEUED),
        ("waiting", MessageState.QUEUED),
        ("claimed", MessageState.POSTING),
    ]
    assert [one.message.batch_id is None for one in seen] == [True, True, False]


def test_what_has_not_begun_begins_as_any_other_batch_does_and_what_has_never_again(sessions: Sessions) -> None:
    warm, cold = insert(sessions, [a_row(1)], [a_row(2)], begun=1)

    with sessions.begin() as session:
        begins = [claims.begin(session, one, now=NOON, lease_until=LEASE_UNTIL) for one in (warm, cold)]

    assert begins == [False, True]
