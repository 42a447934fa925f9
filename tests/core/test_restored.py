"""A database that came from a backup is noticed, one that only went on is not; nothing is posted until a recovery."""

from collections.abc import Callable, Iterator
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
    post_all,
    states_of,
    stored,
    the_sms,
)
from moments import BEFORE, Meanwhile
from redis import Redis
from sqlalchemy import delete
from structlog.testing import capture_logs

from models import Account, Batch, Decision, Message
from models.lifecycle import BatchState, MessageState
from worker.errors import DatabaseRestored, NeverPosted
from worker.gateway.memory import MemoryGateway
from worker.people import Person
from worker.restored import Gap, gap_of
from worker.watermark import Watermark

OLD = NOON - timedelta(hours=1)
BACKUP = NOON - timedelta(minutes=30)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture
def mark(redis: Redis) -> Watermark:
    return Watermark(redis)


@pytest.fixture
def no_mark() -> Iterator[Watermark]:
    """Redis is away."""
    with Redis.from_url("redis://127.0.0.1:1/0") as nowhere:
        yield Watermark(nowhere)


def a_person(sessions: Sessions, mark: Watermark | None = None) -> Person:
    return Person(sessions, "login", "ann", Clock(), mark)


def batches(sessions: Sessions, count: int, **changes: Any) -> None:
    ended = {"state": BatchState.ACCEPTED, "accepted": 1, "refused": 0}
    with sessions.begin() as session:
        for _ in range(count):
            a_batch(session, **ended | changes)


def behind(sessions: Sessions, mark: Watermark, *, last: int = 1, highest: int = 5) -> None:
    """As after a restore: of *highest* batches the database knows *last*; a message waits in it."""
    batches(sessions, last)
    mark.note(highest)
    stored(sessions, created_at=OLD, send_at=OLD)


def the_account(sessions: Sessions) -> Account:
    (account,) = all_of(sessions, Account)
    assert isinstance(account, Account)
    return account


def test_the_mark_only_rises_until_somebody_begins_anew(mark: Watermark) -> None:
    seen = [mark.highest()]
    for batch_id in (2, 1, 2, 11, 9):
        mark.note(batch_id)
        seen.append(mark.highest())
    mark.begin_anew(3)

    assert (seen, mark.highest()) == ([0, 2, 2, 2, 11, 11], 3)


def test_each_house_has_a_mark_of_its_own(redis: Redis, mark: Watermark) -> None:
    mark.note(7)

    assert Watermark(redis, prefix="ours:").highest() == 0


class Beside(Watermark):
    """Before and after it is looked at, something happens *meanwhile*."""

    def __init__(self, redis: Redis, meanwhile: Callable[[], object]) -> None:
        super().__init__(redis)
        self._meanwhile = meanwhile

    def highest(self) -> int:
        self._meanwhile()
        highest = super().highest()
        self._meanwhile()
        return highest


def test_a_look_while_another_worker_posts_and_looks_is_no_alarm(
    sessions: Sessions, redis: Redis, mark: Watermark
) -> None:
    """Whichever of the two is asked first: between the database and the mark others go on."""
    batches(sessions, 1)
    mark.note(1)
    others: list[Gap | None] = []

    def another() -> None:
        stored(sessions)
        a_submission(sessions, on_begun=mark.note).post_next()
        others.append(gap_of(sessions, mark))

    found = gap_of(sessions, Beside(redis, another))

    assert (found, others) == (None, [None, None])
    assert mark.highest() == len(all_of(sessions, Batch)) == 3


def test_a_sweep_that_overlaps_with_another_workers_holds_nothing(sessions: Sessions, redis: Redis) -> None:
    mark = Watermark(redis)

    def another() -> None:
        stored(sessions)
        a_submission(sessions, on_begun=mark.note).post_next()
        an_upkeep(sessions, watermark=mark).sweep()

    with capture_logs() as logs:
        an_upkeep(sessions, watermark=Beside(redis, another)).sweep()

    assert not any(one["event"] == "database_went_back" for one in logs)
    assert the_account(sessions).held_at is None
    assert states_of(sessions) == ["submitted", "submitted"]


def test_a_new_empty_database_begins_anew(sessions: Sessions, mark: Watermark) -> None:
    mark.note(7)

    found = gap_of(sessions, mark)
    stored(sessions)
    a_submission(sessions, on_begun=mark.note).post_next()

    assert (found, gap_of(sessions, mark), mark.highest()) == (None, None, 1)


def _only_messages(sessions: Sessions) -> None:
    stored(sessions)


def _only_batches(sessions: Sessions) -> None:
    batches(sessions, 3)


KNOWN: list[Any] = [
    pytest.param(_only_messages, 4, Gap(0, 4), id="messages without a batch, which waited at the backup"),
    pytest.param(_only_batches, 4, Gap(3, 4), id="batches whose messages are past their retention"),
    pytest.param(_only_batches, 3, None, id="the batch that was seen"),
    pytest.param(_only_batches, 2, None, id="a later one"),
    pytest.param(_only_messages, 0, None, id="messages, and none was ever posted"),
]


@pytest.mark.parametrize(("known", "seen", "gap"), KNOWN)
def test_a_database_that_does_not_know_what_was_seen_came_from_a_backup(
    sessions: Sessions, mark: Watermark, known: Callable[[Sessions], None], seen: int, gap: Gap | None
) -> None:
    known(sessions)
    mark.note(seen)

    found = gap_of(sessions, mark)

    assert found == gap
    assert mark.highest() == max(seen, len(all_of(sessions, Batch)))


def test_the_mark_stands_at_each_batch_before_its_first_byte(sessions: Sessions, mark: Watermark) -> None:
    seen: list[int] = []
    gateway = MemoryGateway(during=lambda _: seen.append(mark.highest()))
    room = a_submission(sessions, gateway, batch_max_messages=1, on_begun=mark.note)
    for _ in range(3):
        stored(sessions)

    post_all(room)

    assert seen == [1, 2, 3]


def test_a_batch_that_never_begins_leaves_the_mark_where_it_was(sessions: Sessions, mark: Watermark) -> None:
    stored(sessions)

    def is_given_up() -> None:
        raise NeverPosted("the time to begin was over")

    a_submission(sessions, Meanwhile(sessions, BEFORE, is_given_up), on_begun=mark.note).post_next()

    assert ([one.state for one in all_of(sessions, Batch)], mark.highest()) == (["released"], 0)


def test_a_restore_right_after_a_batch_began_is_noticed_though_no_sweep_came_between(
    sessions: Sessions, mark: Watermark
) -> None:
    sms = stored(sessions)
    a_submission(sessions, on_begun=mark.note).post_next()
    with sessions.begin() as session:
        session.execute(delete(Message))
        session.execute(delete(Batch))
    stored(sessions, id=sms)

    assert gap_of(sessions, mark) == Gap(0, 1)


def test_a_database_that_went_back_is_an_error_in_the_log_and_nothing_is_posted(
    sessions: Sessions, mark: Watermark
) -> None:
    behind(sessions, mark)
    gateway = MemoryGateway()

    with capture_logs() as logs:
        an_upkeep(sessions, watermark=mark).sweep()
    posted = post_all(a_submission(sessions, gateway))

    (told,) = [one for one in logs if one["event"] == "database_went_back"]
    assert (told["log_level"], told["last_batch"], told["highest"]) == ("error", 1, 5)
    assert "sms recover --since" in told["remedy"]
    assert (posted, gateway.posted, states_of(sessions)) == (0, [], ["queued"])
    assert (the_account(sessions).held_by, the_account(sessions).held_at) == ("restored database", NOON)
    assert [(one.who, one.what, one.reason) for one in all_of(sessions, Decision)] == [
        ("restored database", "pause", "the database's last batch is 1, but 5 was seen: it came from a backup")
    ]


def test_it_is_held_also_where_a_person_held_it_already(sessions: Sessions, mark: Watermark) -> None:
    """Else that person's resume would post again what was posted since."""
    behind(sessions, mark)
    a_person(sessions).pause("the vendor asked for it")
    keeper = an_upkeep(sessions, watermark=mark)

    with capture_logs() as logs:
        keeper.sweep()
        keeper.sweep()

    assert [one["event"] for one in logs].count("database_went_back") == 2, "until somebody has looked"
    assert the_account(sessions).held_by == "restored database, after ann"
    assert [(one.who, one.what) for one in all_of(sessions, Decision)] == [
        ("ann", "pause"),
        ("restored database", "pause"),
    ]


def test_nobody_resumes_it_before_it_was_recovered(sessions: Sessions, mark: Watermark) -> None:
    behind(sessions, mark)
    an_upkeep(sessions, watermark=mark).sweep()
    person = a_person(sessions, mark)

    with pytest.raises(
        DatabaseRestored, match=r"came from a backup.*Stop all workers, then run: sms recover --since TIME"
    ):
        person.resume()

    assert not person.pause(), "it is held already, and more firmly"
    assert the_account(sessions).held_by == "restored database"
    assert not a_submission(sessions).post_next()
    assert [one.what for one in all_of(sessions, Decision)] == ["pause"]


def test_a_recovery_lets_it_go_and_workers_post_again(sessions: Sessions, mark: Watermark) -> None:
    behind(sessions, mark)
    keeper = an_upkeep(sessions, watermark=mark)
    keeper.sweep()

    doubtful = a_person(sessions, mark).recover(BACKUP)
    new = stored(sessions)
    found = keeper.sweep()
    post_all(a_submission(sessions, on_begun=mark.note))

    assert (doubtful, sum(found.values())) == (1, 0)
    assert (the_account(sessions).held_at, the_account(sessions).held_by) == (None, None)
    assert states_of(sessions) == ["unconfirmed", "submitted"]
    assert the_sms(sessions, new).batch_id == mark.highest()


def test_a_recovery_leaves_what_a_person_paused_before_paused(sessions: Sessions, mark: Watermark) -> None:
    behind(sessions, mark)
    a_person(sessions).pause("a campaign went wrong")
    an_upkeep(sessions, watermark=mark).sweep()

    a_person(sessions, mark).recover(BACKUP)
    stored(sessions)
    posted = post_all(a_submission(sessions))
    held_by = the_account(sessions).held_by
    a_person(sessions).resume()

    assert (posted, held_by) == (0, "ann")
    assert post_all(a_submission(sessions)) == 1


@pytest.mark.parametrize("count", [0, 2], ids=["nothing yet", "some batches"])
def test_without_redis_there_is_no_alarm_and_all_sweeps_run(sessions: Sessions, no_mark: Watermark, count: int) -> None:
    batches(sessions, count)
    stored(sessions, state=MessageState.POSTING)
    keeper = an_upkeep(sessions, Clock(NOON + timedelta(hours=1)), watermark=no_mark)

    with capture_logs() as logs:
        found = keeper.sweep()

    assert found["worker_died"] == 1
    assert not any(one["event"] == "database_went_back" for one in logs)
    assert the_account(sessions).held_at is None
