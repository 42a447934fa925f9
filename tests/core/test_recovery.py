"""The database came from a backup: what may have been posted since is in doubt, and no worker posts it by itself."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from builders import (
    NOON,
    Clock,
    Sessions,
    a_batch,
    a_submission,
    all_of,
    an_upkeep,
    many_stored,
    post_all,
    stored,
    the_batch,
    the_sms,
)
from sqlalchemy import Row, select
from taking import TELL

from models import Batch, Callback, Decision, Message
from models.base import Base
from models.lifecycle import BatchState, MessageState, Verdict
from worker.gateway.memory import MemoryGateway
from worker.people import NewerMessages, Person
from worker.store.unconfirmed import Chosen

S = MessageState
BACKUP = NOON - timedelta(minutes=30)
OLD = NOON - timedelta(hours=1)
NEW = NOON - timedelta(minutes=10)
HALF_A_MINUTE = timedelta(seconds=30)


def a_person(sessions: Sessions) -> Person:
    return Person(sessions, "login", "ann", Clock())


def recovered(sessions: Sessions, **how: Any) -> int:
    return a_person(sessions).recover(BACKUP, **how)


def from_backup(sessions: Sessions, **changes: Any) -> int:
    return stored(sessions, **{"created_at": OLD, "send_at": OLD} | changes)


def under_way(sessions: Sessions, *, begun: bool, created_at: Any = OLD) -> int:
    """A message in a batch that was being posted at the backup."""
    begins_by = None if begun else OLD + HALF_A_MINUTE
    with sessions.begin() as session:
        batch_id = a_batch(session, begins_by=begins_by, lease_until=OLD + 2 * HALF_A_MINUTE, created_at=created_at)
    return from_backup(sessions, state=S.POSTING, batch_id=batch_id, created_at=created_at)


def everything(sessions: Sessions) -> dict[str, Sequence[Row[Any]]]:
    with sessions() as session:
        return {table.name: session.execute(select(table)).all() for table in Base.metadata.sorted_tables}


def states(sessions: Sessions, *ids: int) -> list[str]:
    return [the_sms(sessions, sms).state for sms in ids]


def test_what_waited_or_was_under_way_at_the_backup_is_in_doubt_and_has_its_row_in_the_audit(
    sessions: Sessions,
) -> None:
    ids = [
        from_backup(sessions, uid="waited", callback=TELL),
        under_way(sessions, begun=True),
        under_way(sessions, begun=False),
    ]

    doubtful = recovered(sessions)

    messages = [the_sms(sessions, sms) for sms in ids]
    assert doubtful == 3
    assert {(message.state, message.reason) for message in messages} == {("unconfirmed", "database_restored")}
    assert [owed.event["state"] for owed in all_of(sessions, Callback)] == ["unconfirmed"]
    audit = [(one.who, one.what, one.reason, one.at) for one in all_of(sessions, Decision)]
    assert audit == [
        ("restored database", "pause", "sms recover", NOON),
        *[("ann", "recover", "database_restored", NOON)] * 3,
        ("ann", "resume", "restored database", NOON),
    ]
    assert [one.uid for one in all_of(sessions, Decision) if one.what != "recover"] == [None, None]
    assert {one.uid for one in all_of(sessions, Decision) if one.uid} == {message.uid for message in messages}


def test_no_worker_posts_any_of_it_until_a_person_has_decided(sessions: Sessions) -> None:
    sms = from_backup(sessions)
    under_way(sessions, begun=False)
    recovered(sessions)
    clock = Clock()
    gateway = MemoryGateway(now=clock)
    room = a_submission(sessions, gateway, clock)

    an_upkeep(sessions, clock).sweep()
    clock.advance(hours=5)
    an_upkeep(sessions, clock).sweep()
    by_itself = post_all(room)
    a_person(sessions).decide(Verdict.RESEND, Chosen(uids=[the_sms(sessions, sms).uid]))
    post_all(room)

    assert by_itself == 0
    assert [[one.reference for one in post.messages] for post in gateway.posted] == [[sms]]


def test_what_is_scheduled_for_later_was_not_posted_and_stays_queued(sessions: Sessions) -> None:
    due = from_backup(sessions, send_at=NOON)
    later = from_backup(sessions, send_at=NOON + timedelta(seconds=1))

    recovered(sessions)

    assert states(sessions, due, later) == ["unconfirmed", "queued"]


def test_what_has_expired_since_may_have_been_posted_before(sessions: Sessions) -> None:
    sms = from_backup(sessions, expires_at=NEW)

    recovered(sessions)

    assert states(sessions, sms) == ["unconfirmed"]


def test_what_was_neither_waiting_nor_under_way_nor_in_doubt_stays_as_it_was(sessions: Sessions) -> None:
    others = set(S) - {S.QUEUED, S.POSTING, S.UNCONFIRMED}
    for state in others:
        from_backup(sessions, state=state, uid=str(state))
    before = everything(sessions)

    doubtful = recovered(sessions)

    assert doubtful == 0
    after = everything(sessions)
    assert (after["messages"], after["batches"]) == (before["messages"], before["batches"])
    assert [one.what for one in all_of(sessions, Decision)] == ["pause", "resume"]


def test_a_message_of_the_very_moment_of_the_backup_is_in_it(sessions: Sessions) -> None:
    sms = from_backup(sessions, created_at=BACKUP)

    recovered(sessions)

    assert states(sessions, sms) == ["unconfirmed"]


@pytest.mark.parametrize("state", [S.QUEUED, S.POSTING], ids=str)
def test_messages_newer_than_the_backup_refuse_it_and_nothing_changes(sessions: Sessions, state: S) -> None:
    """Either the moment is wrong, and they wait for nothing; or workers have run on the restored database."""
    from_backup(sessions)
    under_way(sessions, begun=True)
    for minutes in (2, 1):
        stored(sessions, state=state, created_at=NOON - timedelta(minutes=minutes))
    before = everything(sessions)

    with pytest.raises(
        NewerMessages, match=r"2 messages .* stored after 2026-11-30T11:30:00.* 11:59:00.*--leave-newer"
    ):
        recovered(sessions)

    assert everything(sessions) == before


@pytest.mark.parametrize("state", sorted(set(S) - {S.QUEUED, S.POSTING}), ids=str)
def test_newer_messages_that_nobody_will_post_do_not_refuse_it(sessions: Sessions, state: S) -> None:
    sms = from_backup(sessions)
    stored(sessions, state=state, created_at=NEW)

    recovered(sessions)

    assert states(sessions, sms) == ["unconfirmed"]


def test_newer_messages_can_be_left_as_they_are(sessions: Sessions) -> None:
    old = [from_backup(sessions), under_way(sessions, begun=True)]
    new = [
        stored(sessions, created_at=NEW, send_at=NEW),
        under_way(sessions, begun=False, created_at=NEW),
        under_way(sessions, begun=True, created_at=NEW),
    ]
    before = [the_batch(sessions, the_sms(sessions, sms).batch_id or 0) for sms in new[1:]]

    doubtful = recovered(sessions, leave_newer=True)

    assert doubtful == 2
    assert states(sessions, *old, *new) == ["unconfirmed", "unconfirmed", "queued", "posting", "posting"]
    assert [the_batch(sessions, one.id).lease_until for one in before] == [one.lease_until for one in before]


def test_a_message_of_the_backup_in_a_newer_batch_is_in_doubt(sessions: Sessions) -> None:
    """A worker ran since the restore, and died before its first byte; but there may have been an earlier post."""
    with sessions.begin() as session:
        batch_id = a_batch(session, size=2, begins_by=NOON + HALF_A_MINUTE, created_at=NEW)
    old = from_backup(sessions, state=S.POSTING, batch_id=batch_id)
    stored(sessions, state=S.POSTING, batch_id=batch_id, created_at=NEW)

    recovered(sessions, leave_newer=True)

    assert states(sessions, old) == ["unconfirmed"]


def test_a_second_time_changes_nothing_more(sessions: Sessions) -> None:
    with sessions.begin() as session:
        batch_id = a_batch(session, size=3)
    many_stored(sessions, 3, created_at=OLD, state=S.POSTING, batch_id=batch_id)
    many_stored(sessions, 120, created_at=OLD, send_at=OLD)
    from_backup(sessions, send_at=NOON + timedelta(days=1))
    first = recovered(sessions)
    before = everything(sessions)

    second = recovered(sessions)

    after = everything(sessions)
    audit = [after.pop("decisions"), before.pop("decisions")]
    assert (first, second) == (123, 0)
    assert after == before
    assert [row.what for row in audit[0][len(audit[1]) :]] == ["pause", "resume"]


def test_what_is_in_doubt_stands_in_batches_of_one_lane_and_nickname_as_the_gateway_would_take_them(
    sessions: Sessions,
) -> None:
    kinds = [(lane, nickname) for lane in ("otp", "normal", "bulk") for nickname in (None, "SHOP", "BANK")]
    for number, (lane, nickname) in enumerate(kinds):
        count = 250 if number == 4 else 3
        many_stored(sessions, count, created_at=OLD, send_at=OLD, lane=lane, nickname=nickname)
    many_stored(sessions, 2, created_at=OLD, send_at=OLD, phone="998901234567")  # the same phone twice

    doubtful = recovered(sessions)

    batches = {batch.id: batch for batch in all_of(sessions, Batch)}
    members: defaultdict[int, set[tuple[str, str | None]]] = defaultdict(set)
    sizes: Counter[int] = Counter()
    for message in all_of(sessions, Message):
        members[message.batch_id].add((message.lane, message.nickname))
        sizes[message.batch_id] += 1
    assert doubtful == 276
    assert all(found == {(batches[one].lane, batches[one].nickname)} for one, found in members.items())
    assert {one: batch.size for one, batch in batches.items()} == sizes
    assert max(sizes.values()) == 100
    assert len(batches) == 9 + 2
    ends = {(batch.state, batch.reason, batch.worker, batch.finished_at) for batch in batches.values()}
    assert ends == {(BatchState.UNCONFIRMED, "database_restored", "ann", NOON)}


def test_a_database_where_nothing_waits_has_nothing_to_recover(sessions: Sessions) -> None:
    assert recovered(sessions) == 0
    assert all_of(sessions, Batch) == []
