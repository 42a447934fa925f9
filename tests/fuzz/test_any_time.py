"""A time is the instant that its words mean, or the order is refused; every instant can be stored."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from anything import JSON, WORDS, emptied, fewer
from builders import Sessions, a_send, all_of, an_intake, some_terms
from hypothesis import given
from hypothesis import strategies as some

from models import Message, RefusedIntake
from models.lifecycle import Lane
from worker.errors import OrderRefused
from worker.order_fields import Sms, checked

DAY_MINUTES = 24 * 60 - 1
OFFSETS = some.integers(-DAY_MINUTES, DAY_MINUTES).map(lambda minutes: timezone(timedelta(minutes=minutes)))
ZONES = some.sampled_from(["Asia/Tashkent", "UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia"]).map(ZoneInfo)
LIKE_A_TIME = some.text("0123456789-:T+Z. W,", max_size=30)
NAMES = some.sampled_from(["send_at", "expires_at"])
A_DAY = timedelta(days=1)


@given(name=NAMES, said=JSON | WORDS | LIKE_A_TIME | some.datetimes().map(str) | some.dates().map(str), zone=ZONES)
def test_anything_is_an_instant_or_refused_by_its_name(name: str, said: Any, zone: ZoneInfo) -> None:
    try:
        found = read(name, said, zone)
    except OrderRefused as refused:
        assert refused.reason == f"{name}_invalid"
        return

    assert found is None or found.utcoffset() == timedelta(0)
    assert (found is None) == (said is None)


@given(name=NAMES, moment=some.datetimes(timezones=OFFSETS), zone=ZONES)
def test_a_time_with_an_offset_is_that_instant(name: str, moment: datetime, zone: ZoneInfo) -> None:
    if datetime.min + A_DAY < moment.replace(tzinfo=None) < datetime.max - A_DAY:
        assert read(name, moment.isoformat(), zone) == moment


@given(name=NAMES, moment=some.datetimes(datetime.min + A_DAY, datetime.max - A_DAY), zone=ZONES)
def test_a_time_without_one_is_read_in_the_gateways_zone(name: str, moment: datetime, zone: ZoneInfo) -> None:
    assert read(name, moment.isoformat(), zone) == moment.replace(tzinfo=zone).astimezone(UTC)


@fewer(by=20)
@given(send_at=some.datetimes(timezones=OFFSETS), expires_at=some.datetimes(timezones=OFFSETS))
def test_whatever_time_is_read_can_be_stored(sessions: Sessions, send_at: datetime, expires_at: datetime) -> None:
    order = a_send(send_at=send_at.isoformat(), expires_at=expires_at.isoformat())

    taken = an_intake(emptied(sessions)).take_raw([order], Lane.NORMAL)

    assert taken.stored + taken.refused == 1
    assert {one.reason for one in all_of(sessions, RefusedIntake)} <= {"send_at_invalid", "expires_at_invalid"}
    assert [(one.send_at, one.expires_at) for one in all_of(sessions, Message)] in ([], [(send_at, expires_at)])


@pytest.mark.parametrize("said", [datetime.min, datetime.max], ids=["the first instant", "the last instant"])
@pytest.mark.parametrize("offset", ["", "Z", "+23:59", "-23:59"])
def test_the_ends_of_time_are_instants_or_refused(sessions: Sessions, said: datetime, offset: str) -> None:
    order = a_send(expires_at=said.isoformat() + offset)

    taken = an_intake(sessions).take_raw([order], Lane.NORMAL)

    assert taken.stored + taken.refused == 1
    assert {one.reason for one in all_of(sessions, RefusedIntake)} <= {"expires_at_invalid"}
    assert len(all_of(sessions, Message)) == taken.stored


def read(name: str, said: Any, zone: ZoneInfo) -> datetime | None:
    sms = checked(Sms, {"phone": "998901234567", "text": "Hello", name: said}, some_terms(zone=zone))
    found: datetime | None = getattr(sms, name)
    return found
