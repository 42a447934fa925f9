"""From a lane's list into the table: only what is committed leaves Redis."""

from threading import Event

import pytest
import redis
from builders import Sessions, a_send, all_of, an_envelope, an_intake, states_of
from databases import administer
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from models import RefusedIntake
from models.lifecycle import Lane
from worker.lanes import LaneLists
from worker.takers import Takers

TASK_ID = "0195a3f0-6c1e-4d0f-9b1f-0d6a3f6a7c11"


@pytest.fixture
def server(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


class Bell:
    def __init__(self) -> None:
        self.rings = 0

    def __call__(self) -> None:
        self.rings += 1


def a_taker(server: redis.Redis, sessions: Sessions, bell: Bell | None = None) -> Takers:
    """A taker that never waits, because it is about to stop."""
    stopping = Event()
    stopping.set()
    return Takers(LaneLists(server, owner="one"), an_intake(sessions), ring=bell or Bell(), stopping=stopping)


def left_on(server: redis.Redis) -> list[bytes]:
    """Everything that still lies on Redis, waiting or in flight."""
    lists = [key for key in server.scan_iter() if server.type(key) == b"list"]
    return [bytes(order) for key in lists for order in server.lrange(key, 0, -1)]  # type: ignore[arg-type]


def test_orders_are_stored_then_taken_off_redis_and_then_rung_for(server: redis.Redis, sessions: Sessions) -> None:
    bell = Bell()
    server.lpush("sms.otp", a_send(), a_send(), b"not JSON")

    a_taker(server, sessions, bell)._take(Lane.OTP)

    assert states_of(sessions) == ["queued", "queued"]
    assert (left_on(server), bell.rings) == ([], 1)
    assert [refused.queue for refused in all_of(sessions, RefusedIntake)] == ["sms.otp"]


def test_nobody_rings_for_what_was_only_refused(server: redis.Redis, sessions: Sessions) -> None:
    bell = Bell()
    server.lpush("sms.otp", b"not JSON")

    a_taker(server, sessions, bell)._take(Lane.OTP)

    assert (left_on(server), bell.rings) == ([], 0)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_orders_stay_on_redis_while_the_database_is_away(
    server: redis.Redis, sessions: Sessions, postgres_server: str, database_url: str
) -> None:
    name, order = make_url(database_url).database, a_send()
    taker = a_taker(server, sessions)
    server.lpush("sms.otp", order)
    administer(postgres_server, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    with pytest.raises(OperationalError):
        taker._take(Lane.OTP)
    administer(postgres_server, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

    kept = left_on(server)
    taker._take(Lane.OTP)

    assert ([order], []) == (kept, left_on(server))
    assert states_of(sessions) == ["queued"]


def test_a_cancel_comes_again_while_another_may_be_storing_its_message(server: redis.Redis, sessions: Sessions) -> None:
    other = LaneLists(server, owner="other")
    cancel = an_envelope("sms.cancel", TASK_ID)
    server.lpush("sms.otp", a_send(task_id=TASK_ID))
    in_flight = other.take(Lane.OTP, most=1, most_bytes=1)
    server.lpush("sms.otp", cancel)
    taker = a_taker(server, sessions)

    taker._take(Lane.OTP)
    an_intake(sessions).take_raw(in_flight, Lane.OTP)
    other.done(Lane.OTP)
    taker._take(Lane.OTP)

    assert (states_of(sessions), left_on(server)) == (["cancelled"], [])


def test_a_cancel_of_what_nobody_is_storing_is_kept_as_refused(server: redis.Redis, sessions: Sessions) -> None:
    server.lpush("sms.otp", an_envelope("sms.cancel", TASK_ID))

    a_taker(server, sessions)._take(Lane.OTP)

    assert [refused.reason for refused in all_of(sessions, RefusedIntake)] == ["message_unknown"]
    assert left_on(server) == []


def test_stopping_puts_back_what_is_not_stored_yet(server: redis.Redis, sessions: Sessions) -> None:
    order = a_send()
    server.lpush("sms.otp", order)
    lists = LaneLists(server, owner="one")
    takers = Takers(lists, an_intake(sessions), ring=Bell(), stopping=Event())
    lists.take(Lane.OTP, most=1, most_bytes=1)

    takers.start()
    takers.stop()

    assert [order] == server.lrange("sms.otp", 0, -1) or states_of(sessions) == ["queued"]
