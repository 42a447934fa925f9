"""Between the commit of what goes at once and its first byte: whatever happens there, nothing is left in doubt."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import time, timedelta
from threading import Event
from zoneinfo import ZoneInfo

import pytest
from builders import NOON, Clock, Sessions, a_phone, a_send, all_of, an_upkeep, post_all, states_of
from express import MANY, Making, making
from servers import wait_for
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from models import Batch
from models.lifecycle import Lane
from worker.errors import GatewayUnavailable
from worker.gateway import Acceptance, OutgoingSms
from worker.gateway.memory import MemoryGateway
from worker.quiet import QuietHours, QuietLanes

PHONE = a_phone(1)
LATER = (NOON + timedelta(seconds=1)).isoformat()


@pytest.fixture
def at_once(redis_url: str, sessions: Sessions) -> Iterator[Making]:
    yield from making(redis_url, sessions)


def batches_of(sessions: Sessions) -> list[tuple[str, int]]:
    return [(batch.state, batch.size) for batch in all_of(sessions, Batch)]


class Slow(MemoryGateway):
    """Something happens between the commit and the begin of a post."""

    def __init__(self, meanwhile: Callable[[], object], *, warm: int = MANY) -> None:
        super().__init__(warm=warm)
        self._meanwhile = meanwhile

    def submit(self, messages: Sequence[OutgoingSms], *, nickname: str | None, begin: Callable[[], None]) -> Acceptance:
        self._meanwhile()
        return super().submit(messages, nickname=nickname, begin=begin)


@pytest.mark.parametrize("warm", [0, MANY], ids=["cold", "warm"])
@pytest.mark.parametrize(
    ("seconds", "expires_at"),
    [
        pytest.param(3600, None, id="slept for long"),
        pytest.param(2, LATER, id="its time is over"),
    ],
)
def test_a_process_that_slept_between_commit_and_post_posts_nothing(
    at_once: Making, sessions: Sessions, warm: int, seconds: float, expires_at: str | None
) -> None:
    clock = Clock()
    house = at_once(Slow(lambda: clock.advance(seconds=seconds), warm=warm), clock=clock)

    house.order(a_send(expires_at=expires_at))

    assert (house.posted(), states_of(sessions), batches_of(sessions)) == ([], ["queued"], [("released", 1)])


@pytest.mark.parametrize("warm", [0, MANY], ids=["cold", "warm"])
def test_where_quiet_hours_begin_between_commit_and_post_nothing_leaves(
    at_once: Making, sessions: Sessions, warm: int
) -> None:
    clock, begins_at = Clock(), NOON + timedelta(seconds=1)
    quiet = QuietLanes({Lane.NORMAL: QuietHours(begins_at.time(), time(23))}, ZoneInfo("UTC"))
    house = at_once(Slow(lambda: clock.advance(seconds=2), warm=warm), clock=clock, quiet=quiet)

    house.order(a_send())

    assert (house.posted(), states_of(sessions), batches_of(sessions)) == ([], ["queued"], [("released", 1)])


@pytest.mark.parametrize("warm", [0, 1], ids=["cold", "warm"])
def test_only_over_a_standing_connection_a_batch_has_begun_by_its_commit(
    at_once: Making, sessions: Sessions, warm: int
) -> None:
    begun = list[bool]()
    house = at_once(Slow(lambda: begun.extend(one.begins_by is None for one in all_of(sessions, Batch)), warm=warm))

    house.order(a_send(PHONE))

    assert (begun, house.posted()) == ([warm > 0], [[PHONE]])


def test_what_upkeep_gave_up_while_its_process_slept_is_queued_again_when_that_wakes(
    at_once: Making, sessions: Sessions
) -> None:
    clock, given_up = Clock(), list[str]()

    def sleep() -> None:
        clock.advance(hours=1)
        an_upkeep(sessions, clock).sweep()
        given_up.extend(states_of(sessions))

    house = at_once(Slow(sleep), clock=clock)
    house.order(a_send())

    assert (given_up, house.posted(), states_of(sessions)) == (["unconfirmed"], [], ["queued"])


def test_a_commit_whose_answer_is_lost_leaves_nothing_in_doubt(at_once: Making, sessions: Sessions) -> None:
    """The database has it, and nobody here knows; nothing of it left, so it is queued again, and posted once."""
    house, dialect = at_once(), sessions.kw["bind"].dialect
    lost, commit = OperationalError("COMMIT", None, Exception("the connection broke")), dialect.do_commit

    def commit_and_break(connection: DBAPIConnection) -> None:
        dialect.do_commit = commit
        commit(connection)
        raise lost

    dialect.do_commit = commit_and_break
    with pytest.raises(OperationalError):
        house.order(a_send(PHONE))
    assert (states_of(sessions), batches_of(sessions), house.turnstile.inside) == (["queued"], [("released", 1)], 0)
    house.takers._take(Lane.NORMAL)  # what is in flight comes again
    post_all(house.room)

    assert (house.posted(), states_of(sessions), house.bell.rings > 0) == ([[PHONE]], ["submitted"], True)


def test_what_the_database_refused_to_commit_is_not_let_go_of(at_once: Making, sessions: Sessions) -> None:
    """It rolled back: there is no batch of that number, or by now another one."""
    house, dialect = at_once(), sessions.kw["bind"].dialect
    commit = dialect.do_commit

    def refuse(_: DBAPIConnection) -> None:
        dialect.do_commit = commit
        raise OperationalError("COMMIT", None, Exception("no room"))

    dialect.do_commit = refuse
    with pytest.raises(OperationalError), capture_logs() as lines:
        house.order(a_send(PHONE))
    house.takers._take(Lane.NORMAL)
    wait_for(lambda: not house.turnstile.inside)

    assert (house.posted(), states_of(sessions)) == ([[PHONE]], ["submitted"])
    assert "answer_given_up" not in [line["event"] for line in lines]


@pytest.mark.parametrize("lane", Lane)
def test_what_is_queued_again_after_a_post_is_rung_for(at_once: Making, sessions: Sessions, lane: Lane) -> None:
    house = at_once(MemoryGateway(answers=[GatewayUnavailable("refused")], warm=MANY))

    house.order(a_send(), lane=lane)
    house.express.close()

    assert (states_of(sessions), house.bell.rings) == (["queued"], 1)


@pytest.mark.parametrize("warm", [0, MANY], ids=["cold", "warm"])
def test_a_worker_that_is_to_stop_posts_nothing_more_and_leaves_nothing_in_doubt(
    at_once: Making, sessions: Sessions, warm: int
) -> None:
    stopping = Event()
    house = at_once(Slow(stopping.set, warm=warm), stopping=stopping)

    house.order(*(a_send(a_phone(number)) for number in range(3)))
    house.express.close()

    assert (house.posted(), set(states_of(sessions))) == ([], {"queued"})
    assert batches_of(sessions) == [("released", 3)]


def test_a_pool_that_has_ended_lets_nothing_leave(at_once: Making, sessions: Sessions) -> None:
    house = at_once()
    with house.express.places(Lane.NORMAL, 1) as places:
        read = house.intake.read([a_send(PHONE)], Lane.NORMAL)
        taken = house.intake.store(read, offer=places)
        house.stopping.set()
        house.express.close()
        places.post(taken)

    assert (house.posted(), states_of(sessions), house.turnstile.inside) == ([], ["queued"], 0)


def test_a_mistake_of_ours_after_the_post_is_told_and_keeps_no_place(at_once: Making, sessions: Sessions) -> None:
    def break_down(_: object) -> None:
        raise KeyError(PHONE)

    house = at_once()
    object.__setattr__(house.express.submission, "record", break_down)
    with capture_logs() as lines:
        house.order(a_send(PHONE))
        house.express.close()

    assert (house.posted(), states_of(sessions), house.turnstile.inside) == ([[PHONE]], ["posting"], 0)
    told = [line for line in lines if line["log_level"] == "error"]
    assert [line["event"] for line in told] == ["post_broke"]
    assert PHONE not in str(told)


def test_a_pool_that_gets_no_thread_posts_once_all_the_same(
    at_once: Making, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses, but has put the post into its queue before: whoever comes to that finds it done."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    house = at_once()
    with monkeypatch.context() as without_threads:
        without_threads.setattr(ThreadPoolExecutor, "_adjust_thread_count", refuse)
        house.order(a_send(PHONE))
    house.order(a_send(a_phone(3)))
    house.express.close()

    assert house.posted() == [[PHONE], [a_phone(3)]]
    assert (states_of(sessions), house.turnstile.inside) == (["submitted", "submitted"], 0)
