"""From when until when a message may be posted: what its producer, Celery, the settings and the clock say."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from builders import (
    NOON,
    Clock,
    Sessions,
    a_phone,
    a_send,
    a_submission,
    all_of,
    an_envelope,
    an_intake,
    an_upkeep,
    post_all,
    some_terms,
    states_of,
)
from moments import BEFORE, Meanwhile
from sqlalchemy import Engine, text
from taking import take, the_only_sms, the_refusal

from models import Message
from models.lifecycle import Lane
from worker import envelope as envelopes
from worker import orders
from worker.gateway.memory import MemoryGateway
from worker.orders import New

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def times(raw: bytes, **terms: Any) -> tuple[datetime, datetime | None]:
    """From when until when the one message of an order may be posted."""
    (order,) = orders.read(envelopes.unpack(raw), some_terms(**terms))
    assert isinstance(order, New), order
    return order.row["send_at"], order.row["expires_at"]


def at(written: str) -> datetime:
    return datetime.fromisoformat(written)


# Spread over a window


def spread(count: int, **fields: Any) -> list[datetime]:
    """When each of *count* messages of one campaign may be posted."""
    return [times(a_send(key=str(number), **fields))[0] for number in range(count)]


def test_messages_are_spread_evenly_over_their_window() -> None:
    moments = spread(1_000, spread_seconds=3600)

    tenths = Counter(int((moment - NOON) / timedelta(minutes=6)) for moment in moments)
    assert sorted(tenths) == list(range(10))
    assert all(60 <= messages <= 140 for messages in tenths.values())


def test_an_order_that_comes_again_has_the_same_moment_whenever_it_comes() -> None:
    order = a_send(send_at=NOON.isoformat(), spread_seconds=3600)

    assert times(order, now=NOON) == times(order, now=NOON + 7 * HOUR, lane=Lane.BULK)


def test_a_window_begins_when_the_message_may_be_posted() -> None:
    tomorrow = NOON + timedelta(days=1)

    moments = spread(100, spread_seconds=60.5, send_at=tomorrow.isoformat())

    assert all(tomorrow <= moment < tomorrow + timedelta(seconds=60.5) for moment in moments)


def test_a_window_ends_with_its_messages_time() -> None:
    moments = spread(200, spread_seconds=3600, expires_at=(NOON + MINUTE).isoformat())

    assert all(NOON <= moment < NOON + MINUTE for moment in moments)
    assert max(moments) > NOON + MINUTE / 2


def test_what_was_over_before_it_began_is_not_spread() -> None:
    assert spread(1, spread_seconds=60, expires_at=(NOON - HOUR).isoformat()) == [NOON]


def test_the_default_lifetime_begins_at_a_messages_own_moment() -> None:
    send_at, expires_at = times(a_send(spread_seconds=3600), expires_after=MINUTE)

    assert NOON < send_at < NOON + HOUR
    assert expires_at == send_at + MINUTE


def test_each_of_many_has_a_moment_of_its_own(sessions: Sessions) -> None:
    messages = [{"phone": a_phone(number)} for number in range(20)]

    take(sessions, an_envelope("sms.send_many", messages, text="Sale", spread_seconds=3600))

    assert len({sms.send_at for sms in all_of(sessions, Message)}) == 20


@pytest.mark.parametrize("said", [0, -1, True, "60", 2_592_001, 1e300, float("nan"), []], ids=repr)
def test_a_window_that_is_none_is_refused_by_name(sessions: Sessions, said: Any) -> None:
    take(sessions, a_send(spread_seconds=said))

    assert the_refusal(sessions).reason == "spread_seconds_invalid"


# How long a message lives

LATER, PAST, FAR = (NOON + 2 * HOUR).isoformat(), (NOON - HOUR).isoformat(), (NOON + 5 * HOUR).isoformat()
LIFETIMES: dict[str, tuple[dict[str, Any], datetime | None]] = {
    "from now on": ({}, NOON + MINUTE),
    "from send_at on": ({"send_at": LATER}, NOON + 2 * HOUR + MINUTE),
    "from Celery's eta on": ({"headers": {"eta": LATER}}, NOON + 2 * HOUR + MINUTE),
    "from now on, if its eta is over": ({"headers": {"eta": PAST}}, NOON + MINUTE),
    "its own expires_at wins": ({"expires_at": FAR}, NOON + 5 * HOUR),
    "Celery's expires wins": ({"headers": {"expires": FAR}}, NOON + 5 * HOUR),
    "its own expires_at wins over Celery's": ({"expires_at": FAR, "headers": {"expires": LATER}}, NOON + 5 * HOUR),
    "what is null is not given": ({"expires_at": None}, NOON + MINUTE),
    "seconds by other hands mean nothing": ({"headers": {"expires": 60}}, NOON + MINUTE),
}


@pytest.mark.parametrize(("said", "expected"), LIFETIMES.values(), ids=LIFETIMES)
def test_a_message_that_names_no_end_has_its_lanes_lifetime(said: dict[str, Any], expected: datetime) -> None:
    _, expires_at = times(a_send(**said), expires_after=MINUTE)

    assert expires_at == expected


def test_without_a_lifetime_a_message_never_expires() -> None:
    assert times(a_send()) == (NOON, None)


BEYOND: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a lifetime": ({}, {"expires_after": timedelta(days=30)}),
    "a window": ({"spread_seconds": 2_592_000}, {}),
}


@pytest.mark.parametrize(("said", "terms"), BEYOND.values(), ids=BEYOND)
def test_a_time_beyond_the_calendar_costs_no_other_message(
    sessions: Sessions, said: dict[str, Any], terms: dict[str, Any]
) -> None:
    late = {"phone": a_phone(1), "key": "35", "send_at": "9999-12-31T00:00:00Z"} | said

    taken = take(sessions, an_envelope("sms.send_many", [{"phone": a_phone(2)}, late], text="Sale"), **terms)

    assert (taken.stored, taken.refused, the_refusal(sessions).reason) == (1, 1, "send_at_invalid")


# Clocks on people's walls

LOCAL: dict[str, tuple[str, str, str]] = {
    "no zone named": ("Asia/Tashkent", "2026-12-01T09:00:00", "2026-12-01T04:00:00Z"),
    "a day alone": ("Asia/Tashkent", "2026-12-01", "2026-11-30T19:00:00Z"),
    "before midnight there, and here the same day": ("Asia/Tashkent", "2026-12-01T23:59:59", "2026-12-01T18:59:59Z"),
    "after midnight there, and here the day before": ("Asia/Tashkent", "2026-12-01T00:00:01", "2026-11-30T19:00:01Z"),
    "an offset wins over the zone": ("Asia/Tashkent", "2026-12-01T09:00:00-03:00", "2026-12-01T12:00:00Z"),
    "summer": ("Europe/Berlin", "2026-07-01T09:00:00", "2026-07-01T07:00:00Z"),
    "winter": ("Europe/Berlin", "2026-12-01T09:00:00", "2026-12-01T08:00:00Z"),
    "a time that comes twice is the first": ("Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),
    "a time that never comes is as long after": ("Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:30:00Z"),
    "a day that never came": ("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T22:00:00Z"),
}


@pytest.mark.parametrize(("zone", "said", "meant"), LOCAL.values(), ids=LOCAL)
@pytest.mark.parametrize("name", ["send_at", "expires_at", "eta", "expires"])
def test_a_time_without_an_offset_is_read_by_the_gateways_clock(name: str, zone: str, said: str, meant: str) -> None:
    fields = {"headers": {name: said}} if name in {"eta", "expires"} else {name: said}

    send_at, expires_at = times(a_send(**fields), zone=ZoneInfo(zone))

    assert at(meant) == (send_at if name in {"send_at", "eta"} else expires_at)


def test_every_instant_stands_in_the_table_in_utc(engine: Engine, sessions: Sessions) -> None:
    take(sessions, a_send(send_at="2026-12-01T09:00:00+05:00", expires_at="2026-12-01T05:30:00-01:00"))

    sms = the_only_sms(sessions)
    assert {moment.utcoffset() for moment in (sms.created_at, sms.send_at, sms.expires_at) if moment} == {timedelta(0)}
    with engine.connect() as connection:
        sent, ends = connection.execute(
            text("SELECT CAST(send_at AS TEXT), CAST(expires_at AS TEXT) FROM messages")
        ).one()
    assert (sent[:19], ends[:19]) == ("2026-12-01 04:00:00", "2026-12-01 06:30:00")


# Through the rooms


def posted_at(sessions: Sessions, clock: Clock) -> int:
    """How many are posted now, once upkeep has looked."""
    gateway = MemoryGateway(now=clock)
    an_upkeep(sessions, clock).sweep()
    post_all(a_submission(sessions, gateway, clock))
    return sum(len(post.messages) for post in gateway.posted)


def test_nothing_is_posted_before_its_time_and_then_it_is(sessions: Sessions) -> None:
    clock = Clock(datetime(2026, 11, 30, 18, 59, tzinfo=UTC))  # a minute before midnight in Tashkent
    an_intake(sessions, clock).take_raw([a_send(send_at="2026-12-01T00:01:00")], Lane.NORMAL)

    posted = []
    for _ in range(4):
        posted.append(posted_at(sessions, clock))
        clock.advance(minutes=1)

    assert posted == [0, 0, 1, 0]


@pytest.mark.parametrize(
    ("after", "outcome"),
    [(timedelta(seconds=59.999), (1, ["submitted"])), (MINUTE, (0, ["expired"])), (HOUR, (0, ["expired"]))],
    ids=["in time", "when its time is over", "long after"],
)
@pytest.mark.parametrize("said", [{}, {"expires_at": (NOON + MINUTE).isoformat()}], ids=["by default", "as ordered"])
def test_a_code_whose_time_is_over_is_never_posted(
    sessions: Sessions, after: timedelta, outcome: tuple[int, list[str]], said: dict[str, Any]
) -> None:
    clock = Clock()
    an_intake(sessions, clock, expires_after=timedelta() if said else MINUTE).take_raw([a_send(**said)], Lane.OTP)

    clock.at += after

    assert outcome == (posted_at(sessions, clock), states_of(sessions))


def test_a_code_whose_time_ends_between_its_claim_and_its_post_is_not_posted(sessions: Sessions) -> None:
    clock = Clock()
    an_intake(sessions, clock, expires_after=MINUTE).take_raw([a_send()], Lane.OTP)
    clock.advance(seconds=59)
    gateway = Meanwhile(sessions, BEFORE, lambda: clock.advance(seconds=1))

    a_submission(sessions, gateway, clock).post_next()

    assert (gateway.posted, posted_at(sessions, clock), states_of(sessions)) == ([], 0, ["expired"])


def test_a_code_that_was_over_when_it_came_is_kept_as_expired(sessions: Sessions) -> None:
    clock = Clock()
    an_intake(sessions, clock).take_raw([a_send(headers={"expires": PAST})], Lane.OTP)

    assert (posted_at(sessions, clock), states_of(sessions)) == (0, ["expired"])


def test_a_code_is_posted_once_though_the_clock_was_set_back_before(sessions: Sessions) -> None:
    clock = Clock()
    an_intake(sessions, clock, expires_after=MINUTE).take_raw([a_send()], Lane.OTP)
    clock.advance(hours=-1)

    posted = [posted_at(sessions, clock), posted_at(sessions, clock)]

    assert (posted, states_of(sessions)) == ([1, 0], ["submitted"])


def test_what_was_ordered_for_a_later_time_waits_for_it_though_the_clock_was_set_back(sessions: Sessions) -> None:
    clock = Clock()
    an_intake(sessions, clock).take_raw([a_send(send_at=LATER)], Lane.NORMAL)
    clock.advance(hours=-1)

    posted = [posted_at(sessions, clock)]
    clock.advance(hours=3)
    posted.append(posted_at(sessions, clock))

    assert posted == [0, 1]


def test_a_code_is_not_posted_when_the_clock_leaps_over_its_time(sessions: Sessions) -> None:
    clock = Clock()
    an_intake(sessions, clock, expires_after=MINUTE).take_raw([a_send()], Lane.OTP)
    clock.advance(days=1)
    posted = [posted_at(sessions, clock)]
    clock.advance(days=-1)

    posted.append(posted_at(sessions, clock))

    assert (posted, states_of(sessions)) == ([0, 0], ["expired"])


def test_a_campaign_goes_out_over_its_window(sessions: Sessions) -> None:
    clock = Clock()
    messages = [{"phone": a_phone(number), "key": str(number)} for number in range(100)]
    order = an_envelope("sms.send_many", messages, text="Sale", spread_seconds=600)
    an_intake(sessions, clock).take_raw([order], Lane.BULK)

    posted = []
    for _ in range(3):
        clock.advance(minutes=5)
        posted.append(posted_at(sessions, clock))

    assert 30 <= posted[0] <= 70
    assert posted[1:] == [100 - posted[0], 0]
