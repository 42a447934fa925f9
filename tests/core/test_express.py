"""What comes while a place is free is stored in its batch and posted at once, exactly once, or else it is queued."""

from collections.abc import Callable, Iterator, Sequence
from datetime import time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from builders import NOON, Sessions, a_phone, a_send, all_of, an_envelope, an_upkeep, post_all, states_of, stored
from express import MANY, Making, making
from servers import wait_for
from sqlalchemy import update
from sqlalchemy.orm import Session

from models import Account, Batch, Circuit, Message, RefusedIntake
from models.lifecycle import AccountState, CircuitState, Lane, Room
from worker.errors import GatewayUnavailable, SubmissionUnconfirmed
from worker.gateway import OutgoingSms
from worker.gateway.memory import MemoryGateway
from worker.quiet import QuietHours, QuietLanes
from worker.store import blocks

PHONE, BLOCKED = a_phone(1), a_phone(2)
A_SECOND = timedelta(seconds=1)
LATER, EARLIER = (NOON + A_SECOND).isoformat(), (NOON - A_SECOND).isoformat()
ALL_DAY = QuietLanes({Lane.NORMAL: QuietHours(time(0), time(23, 59))}, ZoneInfo("UTC"))


@pytest.fixture
def at_once(redis_url: str, sessions: Sessions) -> Iterator[Making]:
    yield from making(redis_url, sessions)


def batches_of(sessions: Sessions) -> list[tuple[str, int]]:
    return [(batch.state, batch.size) for batch in all_of(sessions, Batch)]


@pytest.mark.parametrize("warm", [0, 1, MANY], ids=["cold", "one warm", "warm"])
def test_what_comes_is_posted_at_once_and_once(at_once: Making, sessions: Sessions, warm: int) -> None:
    house = at_once(MemoryGateway(warm=warm), batch_max_messages=10)

    house.order(*(a_send(a_phone(number)) for number in range(45)))
    again = post_all(house.room)

    assert sorted(phone for phones in house.posted() for phone in phones) == [a_phone(number) for number in range(45)]
    assert (set(states_of(sessions)), again) == ({"submitted"}, 0)
    assert sorted(batches_of(sessions)) == [("accepted", 5), *[("accepted", 10)] * 4]


@pytest.mark.parametrize("warm", [0, MANY], ids=["cold", "warm"])
def test_before_a_byte_leaves_its_batch_says_so_in_the_table(at_once: Making, sessions: Sessions, warm: int) -> None:
    seen: list[tuple[str, object, list[str]]] = []

    def look(_: Sequence[OutgoingSms]) -> None:
        (batch,) = all_of(sessions, Batch)
        seen.append((batch.state, batch.begins_by, states_of(sessions)))

    at_once(MemoryGateway(warm=warm, during=look)).order(a_send())

    assert seen == [("posting", None, ["posting"])]


def test_an_order_that_comes_again_is_not_posted_again(at_once: Making, sessions: Sessions) -> None:
    house, known, new = at_once(), a_send(PHONE), a_send(a_phone(3))
    house.order(known)

    house.order(known, new, new)
    house.order(known, new)

    assert house.posted() == [[PHONE], [a_phone(3)]]
    assert batches_of(sessions) == [("accepted", 1), ("accepted", 1)]


def test_two_messages_for_one_phone_go_in_two_posts(at_once: Making, sessions: Sessions) -> None:
    house = at_once()

    house.order(a_send(PHONE, "one"), a_send(PHONE, "two"))

    assert house.posted() == [[PHONE], [PHONE]]
    assert states_of(sessions) == ["submitted", "submitted"]


def test_many_in_one_order_go_in_as_many_batches_as_they_fill(at_once: Making) -> None:
    messages = [{"phone": a_phone(number), "text": "Salom"} for number in range(100)]

    house = at_once(width=3, batch_max_messages=7)
    house.order(an_envelope("sms.send_many", messages))
    post_all(house.room)

    assert sorted(phone for phones in house.posted() for phone in phones) == [one["phone"] for one in messages]


@pytest.mark.parametrize(
    ("order", "state"),
    [
        pytest.param(a_send(send_at=LATER), "queued", id="not yet due"),
        pytest.param(a_send(send_at=EARLIER, expires_at=NOON.isoformat()), "queued", id="over"),
        pytest.param(a_send(BLOCKED), None, id="blocked"),
        pytest.param(a_send("no phone"), None, id="refused"),
        pytest.param(b"not JSON", None, id="unreadable"),
    ],
)
def test_what_may_not_be_posted_is_not_and_holds_up_nobody(
    at_once: Making, sessions: Sessions, order: bytes, state: str | None
) -> None:
    with sessions.begin() as session:
        blocks.block(session, [BLOCKED], lanes=tuple(Lane), now=NOON, who="nodira", reason=None)
    house = at_once()

    house.order(a_send(PHONE), order, a_send(a_phone(3)))

    assert sorted(phone for phones in house.posted() for phone in phones) == [PHONE, a_phone(3)]
    assert sorted(states_of(sessions)) == [*([state] if state else []), "submitted", "submitted"]
    assert len(all_of(sessions, RefusedIntake)) == (not state)


def test_what_was_over_when_it_came_expires(at_once: Making, sessions: Sessions) -> None:
    house = at_once()
    house.order(a_send(send_at=EARLIER, expires_at=NOON.isoformat()))

    post_all(house.room)
    an_upkeep(sessions, house.clock).sweep()

    assert (house.posted(), states_of(sessions)) == ([], ["expired"])


def test_nothing_overtakes_what_is_queued_in_its_lane(at_once: Making, sessions: Sessions) -> None:
    stored(sessions, lane=Lane.NORMAL, phone=a_phone(9))
    house = at_once()

    house.order(a_send(PHONE))
    before, rings = house.posted(), house.bell.rings
    house.order(a_send(PHONE), lane=Lane.OTP)
    after = house.posted()

    assert (before, after) == ([], [[PHONE]])
    assert states_of(sessions) == ["queued", "queued", "submitted"]
    assert rings
    assert house.bell.rings == rings


def test_once_the_queue_is_empty_what_comes_goes_at_once_again(at_once: Making, sessions: Sessions) -> None:
    stored(sessions, lane=Lane.NORMAL)
    house = at_once()
    house.order(a_send(PHONE))
    post_all(house.room)

    house.order(a_send(a_phone(3)))

    assert states_of(sessions) == ["submitted"] * 3


def hold(session: Session) -> None:
    session.execute(update(Account).values(held_at=NOON, held_by="nodira"))


def pause(session: Session) -> None:
    paused = {"state": AccountState.PAUSED, "reason": "limit is over", "paused_at": NOON, "probe_at": NOON + A_SECOND}
    session.execute(update(Account).values(paused))


def open_circuit(session: Session) -> None:
    opened = {"state": CircuitState.OPEN, "reason": "slow", "opened_at": NOON, "probe_at": NOON + A_SECOND}
    session.execute(update(Circuit).where(Circuit.room == Room.POSTING).values(opened))


@pytest.mark.parametrize(
    ("meanwhile", "changes"),
    [
        pytest.param(hold, {}, id="held by a person"),
        pytest.param(pause, {}, id="account paused"),
        pytest.param(open_circuit, {}, id="circuit open"),
        pytest.param(lambda _: None, {"quiet": ALL_DAY}, id="quiet hours"),
    ],
)
def test_where_nothing_may_be_posted_all_is_queued_and_rung_for(
    at_once: Making, sessions: Sessions, meanwhile: Callable[[Session], None], changes: dict[str, Any]
) -> None:
    house = at_once(**changes)
    with sessions.begin() as session:
        meanwhile(session)

    house.order(a_send(PHONE), a_send(a_phone(3)))

    assert (house.posted(), states_of(sessions), batches_of(sessions)) == ([], ["queued", "queued"], [])
    assert house.bell.rings >= 1


@pytest.mark.parametrize("meanwhile", [hold, pause, open_circuit], ids=["held", "paused", "circuit open"])
def test_that_the_last_one_went_says_nothing_of_the_next(
    at_once: Making, sessions: Sessions, meanwhile: Callable[[Session], None]
) -> None:
    house = at_once()
    house.order(a_send(PHONE))
    with sessions.begin() as session:
        meanwhile(session)

    house.order(a_send(a_phone(3)))

    assert (house.posted(), states_of(sessions)) == ([[PHONE]], ["submitted", "queued"])


@pytest.mark.parametrize(
    ("lane", "places"), [(Lane.OTP, 3), (Lane.NORMAL, 2), (Lane.BULK, 1)], ids=["otp", "normal", "bulk"]
)
def test_each_lane_leaves_a_seat_to_those_before_it(at_once: Making, lane: Lane, places: int) -> None:
    house = at_once(width=3)

    with house.express.places(lane, 1_000) as kept:
        assert kept.free == places
    assert house.turnstile.inside == 0


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        pytest.param(SubmissionUnconfirmed("read timed out"), "unconfirmed", id="cut off"),
        pytest.param(GatewayUnavailable("refused"), "queued", id="no connection"),
        pytest.param(ValueError("broke"), "unconfirmed", id="a mistake of ours"),
    ],
)
def test_each_outcome_is_what_it_is_for_any_post(
    at_once: Making, sessions: Sessions, answer: Exception, state: str
) -> None:
    house = at_once(MemoryGateway(answers=[answer], warm=MANY))

    house.order(a_send())

    assert (states_of(sessions), house.turnstile.inside) == ([state], 0)


def test_many_for_one_phone_hold_up_nobody_behind_them(at_once: Making) -> None:
    """Each would want a place of its own; whoever waited for those would not even read what lies behind."""
    house = at_once()
    many = [*(a_send(PHONE, key=f"again {number}") for number in range(30)), a_send(a_phone(3))]
    read = house.intake.read(many, Lane.NORMAL)
    with house.express.places(Lane.NORMAL, len(many)) as places:
        now, later = places.fill(read.orders)

    assert (len(now), later) == (31, ())


def test_what_fills_its_batches_goes_round_by_round(at_once: Making) -> None:
    house = at_once(width=3, batch_max_messages=10)
    read = house.intake.read([a_send(a_phone(number)) for number in range(50)], Lane.OTP)
    with house.express.places(Lane.OTP, 50) as places:
        now, later = places.fill(read.orders)

    assert (len(now), len(later)) == (30, 20)
    assert [*now, *later] == read.orders


@pytest.mark.parametrize(("messages", "places"), [(1, 1), (2, 2), (10, 2), (11, 3), (1_000, 8)], ids=str)
def test_no_more_places_are_kept_than_there_are_messages_for(at_once: Making, messages: int, places: int) -> None:
    """While they wait for the database, bells post from the others."""
    house = at_once(width=8, batch_max_messages=10)

    with house.express.places(Lane.OTP, messages) as kept:
        assert kept.free == places


def test_a_cancel_in_the_same_breath_finds_its_message(at_once: Making, sessions: Sessions) -> None:
    house, uid = at_once(), "0195a3f0-6c1e-4d0f-9b1f-0d6a3f6a7c11"

    house.order(a_send(task_id=uid), an_envelope("sms.cancel", uid))

    assert (house.posted(), states_of(sessions)) == ([], ["cancelled"])


def test_refused_orders_between_them_take_no_place_and_part_no_batch(at_once: Making, sessions: Sessions) -> None:
    house = at_once(width=1)
    raws = [a_send(PHONE), b"not JSON", a_send(a_phone(3)), b"nor this", a_send(a_phone(4))]
    with house.express.places(Lane.NORMAL, len(raws)) as places:
        taken = house.intake.store(house.intake.read(raws, Lane.NORMAL), offer=places)
        places.post(taken)
    wait_for(lambda: not house.turnstile.inside)
    post_all(house.room)

    assert len(taken.claimed) == 1
    assert [message.state for message in all_of(sessions, Message)] == ["submitted"] * 3


def test_what_cannot_be_stored_gives_its_places_back(at_once: Making, sessions: Sessions) -> None:
    """One of them is refused by the database: the others are queued, each is posted once, and nothing is held."""
    house = at_once()

    house.order(a_send(PHONE), a_send(a_phone(3), tags={"word": "\ud800"}), a_send(a_phone(4)))
    post_all(house.room)

    posted = [phone for phones in house.posted() for phone in phones]
    assert {PHONE, a_phone(4)} <= set(posted)
    assert len(posted) == len(set(posted)) == len(all_of(sessions, Message))
    assert house.turnstile.inside == 0


def test_a_bell_that_found_all_places_taken_is_rung_again(at_once: Making, sessions: Sessions) -> None:
    def ring_in_vain(_: Sequence[OutgoingSms]) -> None:
        house.turnstile.run(lambda: False)

    house = at_once(MemoryGateway(warm=MANY, during=ring_in_vain), width=1)
    house.order(a_send())

    assert (states_of(sessions), house.bell.rings) == (["submitted"], 1)
