"""Quiet hours: by the clock on people's walls, nothing of a lane begins within them; all else goes on."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from builders import TASHKENT, Clock, Sessions, a_submission, all_of, an_upkeep, many_stored, post_all, stored
from in_trouble import UNREACHABLE
from moments import BEFORE, Meanwhile
from prometheus_client import CollectorRegistry

from models import Account, Batch, Message
from models.lifecycle import Lane, MessageState
from worker import quiet
from worker.errors import AccountRefused
from worker.gateway.memory import MemoryGateway
from worker.metrics import HouseCollector
from worker.quiet import QuietHours, QuietLanes

A_SECOND = timedelta(seconds=1)
A_MICROSECOND = timedelta(microseconds=1)
NIGHT = QuietHours(time(21), time(9))
BERLIN = ZoneInfo("Europe/Berlin")
BEGINS = datetime(2026, 11, 30, 16, tzinfo=UTC)  # 21:00 in Tashkent
ENDS = datetime(2026, 12, 1, 4, tzinfo=UTC)  # 09:00
AT_NIGHT = QuietLanes({Lane.NORMAL: NIGHT, Lane.BULK: NIGHT}, TASHKENT)


@pytest.mark.parametrize(
    ("at", "quiet"),
    [
        pytest.param(BEGINS - A_MICROSECOND, False, id="right before they begin"),
        pytest.param(BEGINS, True, id="as they begin"),
        pytest.param(datetime(2026, 11, 30, 19, tzinfo=UTC), True, id="at midnight"),
        pytest.param(ENDS - A_MICROSECOND, True, id="right before they end"),
        pytest.param(ENDS, False, id="as they end"),
        pytest.param(datetime(2026, 11, 30, 12, tzinfo=UTC), False, id="by day"),
    ],
)
def test_hours_over_midnight_cover_from_their_first_moment_to_before_their_last(at: datetime, *, quiet: bool) -> None:
    assert NIGHT.cover(at, TASHKENT) == quiet


@pytest.mark.parametrize(
    ("at", "quiet"), [("12:59:59", False), ("13:00:00", True), ("13:59:59", True), ("14:00:00", False)], ids=str
)
def test_hours_within_a_day(at: str, *, quiet: bool) -> None:
    noon = datetime.fromisoformat(f"2026-11-30T{at}+05:00")

    assert QuietHours(time(13), time(14)).cover(noon, TASHKENT) == quiet


def test_the_same_moment_is_quiet_in_one_zone_and_not_in_another() -> None:
    evening = datetime(2026, 11, 30, 17, tzinfo=UTC)

    assert [NIGHT.cover(evening, ZoneInfo(zone)) for zone in ("UTC", "Asia/Tashkent")] == [False, True]


SPRING, AUTUMN = datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)
CHANGES: list[Any] = [
    # Berlin skips from 02:00 to 03:00, and goes from 03:00 back to 02:00.
    pytest.param("22:00-02:30", SPRING - A_SECOND, True, id="up to a skipped moment: before it"),
    pytest.param("22:00-02:30", SPRING, False, id="up to a skipped moment: over with the skip"),
    pytest.param("02:30-06:00", SPRING - A_SECOND, False, id="from a skipped moment: before it"),
    pytest.param("02:30-06:00", SPRING, True, id="from a skipped moment: begun with the skip"),
    pytest.param("02:10-02:50", SPRING - A_SECOND, False, id="within the skipped hour: before it"),
    pytest.param("02:10-02:50", SPRING, False, id="within the skipped hour: after it"),
    pytest.param("22:00-02:30", AUTUMN - timedelta(minutes=31), True, id="up to a repeated moment: first time"),
    pytest.param("22:00-02:30", AUTUMN - timedelta(minutes=30), False, id="up to a repeated moment: first end"),
    pytest.param("22:00-02:30", AUTUMN, True, id="up to a repeated moment: the wall shows it again"),
    pytest.param("22:00-02:30", AUTUMN + timedelta(minutes=30), False, id="up to a repeated moment: second end"),
    pytest.param("22:00-03:00", AUTUMN - A_SECOND, True, id="over the repeated hour: first"),
    pytest.param("22:00-03:00", AUTUMN + timedelta(minutes=59), True, id="over the repeated hour: second"),
    pytest.param("22:00-03:00", AUTUMN + timedelta(minutes=60), False, id="over the repeated hour: its end"),
]


@pytest.mark.parametrize(("hours", "at", "covered"), CHANGES)
def test_where_the_clock_changes_the_wall_decides(hours: str, at: datetime, *, covered: bool) -> None:
    assert quiet.read(hours).cover(at, BERLIN) == covered


def at(moment: datetime) -> dict[str, Any]:
    return {"created_at": moment, "send_at": moment}


def lanes_posted(sessions: Sessions) -> set[str]:
    return {sms.lane for sms in all_of(sessions, Message) if sms.state == MessageState.SUBMITTED}


def test_in_quiet_hours_only_the_other_lanes_post_and_at_their_end_it_goes_on_by_itself(sessions: Sessions) -> None:
    clock = Clock(BEGINS)
    for lane in Lane:
        stored(sessions, lane=lane, **at(BEGINS))
    room, keeper = a_submission(sessions, clock=clock, quiet=AT_NIGHT), an_upkeep(sessions, clock, quiet=AT_NIGHT)

    post_all(room)
    in_the_evening, rings = lanes_posted(sessions), [keeper.waiting().messages]
    clock.at = ENDS - A_SECOND
    post_all(room)
    at_the_end, rings = lanes_posted(sessions), [*rings, keeper.waiting().messages]
    clock.at = ENDS
    rings.append(keeper.waiting().messages)
    post_all(room)

    assert (in_the_evening, at_the_end, lanes_posted(sessions)) == ({"otp"}, {"otp"}, set(Lane))
    assert rings == [False, False, True]


def test_otp_rings_also_at_night(sessions: Sessions) -> None:
    stored(sessions, lane=Lane.OTP, **at(BEGINS))

    assert an_upkeep(sessions, Clock(BEGINS), quiet=AT_NIGHT).waiting().messages


def test_no_turn_is_spent_on_a_quiet_lane(sessions: Sessions) -> None:
    lanes: list[Lane | None] = []
    stored(sessions, **at(BEGINS))

    def turn(best_lane: Callable[[], Lane | None]) -> bool:
        lanes.append(best_lane())
        return False

    a_submission(sessions, clock=Clock(BEGINS), quiet=AT_NIGHT, turn=turn).post_next()

    assert lanes == [None]


@pytest.mark.parametrize(
    "trouble", [AccountRefused("limit is over", error_no=103), UNREACHABLE], ids=["account", "circuit"]
)
def test_no_probe_is_posted_of_a_quiet_lane_and_its_turn_is_not_lost(sessions: Sessions, trouble: Exception) -> None:
    clock = Clock(BEGINS - timedelta(minutes=30))
    many_stored(sessions, 5, **at(clock.at))
    post_all(a_submission(sessions, MemoryGateway(answers=[trouble] * 3), clock, batch_max_messages=1))
    gateway = MemoryGateway()
    room = a_submission(sessions, gateway, clock, quiet=AT_NIGHT)

    clock.at = BEGINS
    at_night = [room.post_next() for _ in range(2)]
    otp = stored(sessions, lane=Lane.OTP, **at(BEGINS))
    probed = room.post_next()

    assert (at_night, probed) == ([False, False], True)
    assert [sms.reference for batch in gateway.posted for sms in batch.messages] == [otp]
    assert [account.state for account in all_of(sessions, Account)] == ["active"]


def test_what_was_claimed_right_before_them_does_not_begin_within_them(sessions: Sessions) -> None:
    clock = Clock(BEGINS - A_SECOND)
    stored(sessions, **at(clock.at))
    slow = Meanwhile(sessions, BEFORE, lambda: clock.advance(seconds=1))

    a_submission(sessions, slow, clock, quiet=AT_NIGHT).post_next()

    assert slow.posted == []
    assert [(batch.state, batch.reason) for batch in all_of(sessions, Batch)] == [
        ("released", "quiet hours have begun")
    ]
    assert [sms.state for sms in all_of(sessions, Message)] == ["queued"]


def test_time_runs_out_in_quiet_hours_too(sessions: Sessions) -> None:
    clock = Clock(BEGINS)
    stored(sessions, expires_at=BEGINS + A_SECOND, **at(BEGINS))
    clock.advance(seconds=1)

    found = an_upkeep(sessions, clock, quiet=AT_NIGHT).sweep()

    assert (found["expired"], all_of(sessions, Message)[0].state) == (1, "expired")


def test_nobody_waits_for_a_fuller_batch_of_a_quiet_lane(sessions: Sessions) -> None:
    waits: list[float] = []
    clock = Clock(BEGINS - A_SECOND)
    room = a_submission(sessions, clock=clock, quiet=AT_NIGHT, batch_max_messages=5, wait=waits.append)
    many_stored(sessions, 5, **at(clock.at))
    room.post_next()
    clock.at = BEGINS
    stored(sessions, **at(clock.at))

    assert (room.post_next(), waits) == (False, [])


@pytest.mark.parametrize(
    ("step", "posted"),
    [
        pytest.param([BEGINS, BEGINS - A_SECOND], True, id="set back to before them"),
        pytest.param([ENDS, ENDS - A_SECOND], True, id="set back into them, after it was posted"),
        pytest.param([BEGINS - timedelta(hours=1), BEGINS], True, id="set forward into them, after it was posted"),
        pytest.param([BEGINS, ENDS], True, id="set forward past them"),
        pytest.param([BEGINS + A_SECOND, BEGINS], False, id="set back within them"),
    ],
)
def test_after_a_step_of_the_clock_what_it_shows_decides(
    sessions: Sessions, step: list[datetime], *, posted: bool
) -> None:
    clock = Clock()
    stored(sessions, **at(BEGINS - timedelta(days=1)))
    room = a_submission(sessions, clock=clock, quiet=AT_NIGHT)

    for clock.at in step:
        post_all(room)

    assert bool(lanes_posted(sessions)) == posted


def test_the_figures_say_which_lane_is_quiet(sessions: Sessions) -> None:
    clock, registry = Clock(BEGINS - A_SECOND), CollectorRegistry()
    bulk_at_night = QuietLanes({Lane.BULK: NIGHT}, TASHKENT)
    registry.register(HouseCollector(sessions, "login", clock, bulk_at_night))

    def shown() -> list[float | None]:
        return [registry.get_sample_value("sms_lane_quiet", {"lane": str(lane)}) for lane in Lane]

    in_the_evening = shown()
    clock.at = BEGINS

    assert (in_the_evening, shown()) == ([0, 0, 0], [0, 0, 1])
