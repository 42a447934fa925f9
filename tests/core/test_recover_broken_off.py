"""A recovery may be broken off anywhere: nothing is posted until another has come to its end, however much there is."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

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
    states_of,
    stored,
)
from sqlalchemy import event

from models import Account, Batch, Decision, Message
from models.lifecycle import BatchState, Lane, MessageState
from worker.errors import DatabaseRestored
from worker.gateway.memory import MemoryGateway
from worker.people import Person
from worker.store.recovery import LARGEST_BATCH

S = MessageState
BACKUP = NOON - timedelta(minutes=30)
OLD = NOON - timedelta(hours=1)
COMMITS = 6  #: the begin, two looks at what was in doubt, two at what waited, the end


def a_person(sessions: Sessions, who: str = "ann") -> Person:
    return Person(sessions, "login", who, Clock())


def from_backup(sessions: Sessions, state: S) -> None:
    """A message, in a batch of then if its state asks for one."""
    batch_id = None
    if state is not S.QUEUED:
        ended = {"state": BatchState.UNCONFIRMED, "reason": "read timed out"} if state is S.UNCONFIRMED else {}
        with sessions.begin() as session:
            batch_id = a_batch(session, created_at=OLD, **ended)
    reason = "read timed out" if state is S.UNCONFIRMED else None
    stored(sessions, state=state, batch_id=batch_id, uid=str(state), created_at=OLD, send_at=OLD, reason=reason)


class BrokenOff(Exception):
    """The person's computer was switched off."""


@contextmanager
def breaking_off(sessions: Sessions, at: int) -> Iterator[None]:
    """The commit of this number fails, and with it all that comes after."""
    commits: list[object] = []

    def switch_off(session: object) -> None:
        commits.append(session)
        if len(commits) >= at:
            raise BrokenOff

    event.listen(sessions, "before_commit", switch_off)
    with pytest.raises(BrokenOff):
        yield
    event.remove(sessions, "before_commit", switch_off)
    assert len(commits) == at


def held_by(sessions: Sessions) -> str | None:
    (account,) = all_of(sessions, Account)
    return str(account.held_by) if account.held_by else None


@pytest.mark.parametrize("at", range(2, COMMITS + 1))
def test_a_recovery_that_was_broken_off_lets_nothing_be_posted_and_the_next_completes_it(
    sessions: Sessions, at: int
) -> None:
    for state in (S.POSTING, S.UNCONFIRMED, S.QUEUED):
        from_backup(sessions, state)
    clock = Clock()
    gateway = MemoryGateway(now=clock)
    room, keeper = a_submission(sessions, gateway, clock), an_upkeep(sessions, clock, policy=lambda _: "resend")

    with breaking_off(sessions, at):
        a_person(sessions).recover(BACKUP)
    posted = [room.post_next()]
    with pytest.raises(DatabaseRestored, match="sms recover --since"):
        a_person(sessions).resume()
    keeper.sweep()
    posted.append(room.post_next())
    between = held_by(sessions)
    a_person(sessions, "bea").recover(BACKUP)
    keeper.sweep()
    posted.append(room.post_next())

    assert (posted, gateway.posted) == ([False] * 3, [])
    assert (between, held_by(sessions)) == ("restored database", None)
    assert states_of(sessions) == ["unconfirmed"] * 3
    assert {message.reason for message in all_of(sessions, Message)} == {"database_restored"}
    audit = [one.uid for one in all_of(sessions, Decision) if one.what == "recover"]
    assert set(audit) == {"posting", "unconfirmed", "queued"}


def test_a_recovery_that_did_not_even_begin_has_changed_nothing(sessions: Sessions) -> None:
    from_backup(sessions, S.QUEUED)
    from_backup(sessions, S.POSTING)

    with breaking_off(sessions, 1):
        a_person(sessions).recover(BACKUP)

    assert (states_of(sessions), held_by(sessions) if all_of(sessions, Account) else None) == (
        ["queued", "posting"],
        None,
    )
    assert all_of(sessions, Decision) == []


@pytest.mark.parametrize("policy", ["resend", "drop"])
def test_no_policy_decides_about_what_was_in_doubt_at_the_backup(sessions: Sessions, policy: str) -> None:
    """A person, or the policy, may have resent it since; the backup cannot know."""
    from_backup(sessions, S.UNCONFIRMED)
    newer = stored(sessions, state=S.UNCONFIRMED, uid="newer", reason="HTTP 502", created_at=NOON)
    clock = Clock()
    gateway = MemoryGateway(now=clock)

    doubtful = a_person(sessions).recover(BACKUP)
    for _ in range(3):
        clock.advance(hours=1)
        an_upkeep(sessions, clock, policy=lambda _: policy).sweep()
        post_all(a_submission(sessions, gateway, clock))

    old, new = all_of(sessions, Message)
    audit = [(one.who, one.what, one.uid, one.reason) for one in all_of(sessions, Decision) if one.what == "recover"]
    assert (doubtful, audit) == (1, [("ann", "recover", "unconfirmed", "database_restored")])
    assert (old.state, old.reason, old.resends) == ("unconfirmed", "database_restored", 0)
    assert new.state == ("submitted" if policy == "resend" else "failed"), "its lane's policy knows of it"
    assert [one.reference for post in gateway.posted for one in post.messages] == (
        [newer] if policy == "resend" else []
    )


THOUSANDS = {
    (Lane.OTP, None): 1_150,
    (Lane.NORMAL, "SHOP"): 730,
    (Lane.NORMAL, "BANK"): 420,
    (Lane.NORMAL, None): 1,
    (Lane.BULK, "SHOP"): 205,
}


def test_thousands_that_waited_end_in_batches_of_one_lane_and_nickname_as_the_gateway_would_take_them(
    sessions: Sessions,
) -> None:
    for (lane, nickname), count in THOUSANDS.items():
        many_stored(sessions, count, lane=lane, nickname=nickname, created_at=OLD, send_at=OLD)

    doubtful = a_person(sessions).recover(BACKUP)

    batches = {batch.id: batch for batch in all_of(sessions, Batch)}
    members: defaultdict[int, Counter[tuple[str, str | None]]] = defaultdict(Counter)
    for message in all_of(sessions, Message):
        members[message.batch_id][message.lane, message.nickname] += 1
    assert doubtful == sum(THOUSANDS.values()) == len(all_of(sessions, Message))
    assert set(states_of(sessions)) == {"unconfirmed"}
    assert members == {one: {(batch.lane, batch.nickname): batch.size} for one, batch in batches.items()}
    assert max(batch.size for batch in batches.values()) == LARGEST_BATCH
    assert sum(members.values(), Counter()) == THOUSANDS
    assert Counter(one.what for one in all_of(sessions, Decision)) == {"recover": doubtful, "pause": 1, "resume": 1}
