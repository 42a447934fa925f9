"""What the settings make of an order: each lane's own limits, who may be sent to in staging, how words are written."""

import os
from datetime import timedelta
from typing import Any

import pytest
from builders import Sessions, a_phone, a_send, a_submission, all_of, post_all
from taking import take, the_only_sms, the_refusal

from models import Message, RefusedIntake
from models.lifecycle import Lane
from worker.gateway.memory import MemoryGateway
from worker.order_fields import Caps
from worker.settings import Settings
from worker.wiring import terms

PHONE = "998901234567"
MINE, YOURS = "998911111111", "998922222222"
CURLY, PLAIN = "Toʻlov qabul qilindi", "To'lov qabul qilindi"


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("SMS_")]:
        monkeypatch.delenv(name)


def settings(**changes: Any) -> Settings:
    account = {"gateway_url": "https://gateway.example", "gateway_login": "shop", "gateway_password": "x"}
    return Settings(**account | changes)


# Of each lane its own


OF_EACH_LANE: dict[str, tuple[dict[str, Any], Any, list[Any]]] = {
    "parts": (
        {"max_parts": 8, "max_parts_otp": 1, "max_parts_bulk": 3},
        lambda found: found.max_parts,
        [1, 8, 3],
    ),
    "parts by default": ({}, lambda found: found.max_parts, [10, 10, 10]),
    "lifetimes": (
        {"expires_after_seconds_otp": 90, "expires_after_seconds_bulk": 3600.5},
        lambda found: found.expires_after.total_seconds(),
        [90, 0, 3600.5],
    ),
    "caps of a number": (
        {"hourly_cap_per_phone_otp": 5, "hourly_cap_per_phone_normal": 7},
        lambda found: found.caps.hourly_per_phone,
        [5, 7, 0],
    ),
}


@pytest.mark.parametrize(("changes", "read", "expected"), OF_EACH_LANE.values(), ids=OF_EACH_LANE)
def test_each_lane_has_terms_of_its_own(changes: dict[str, Any], read: Any, expected: list[Any]) -> None:
    set_so = settings(**changes)

    assert [read(terms(set_so, lane)) for lane in Lane] == expected


@pytest.mark.parametrize("lane", Lane)
def test_every_lane_has_the_terms_that_are_of_all(lane: Lane) -> None:
    set_so = settings(
        gateway_nickname="SHOP",
        gateway_timezone="Asia/Almaty",
        callback_secret="hush",
        fold_text=True,
        transliterate_text=True,
        countries="KZ,UZ",
        allowed_recipients=f"+{MINE}, {YOURS}",
        staging_recipients=MINE,
        daily_cap_per_producer=1000,
        duplicate_window_seconds=600,
    )

    found = terms(set_so, lane)

    assert (found.lane, found.nickname, found.zone.key, found.signs_callbacks) == (lane, "SHOP", "Asia/Almaty", True)
    assert (found.fold_text, found.transliterate_text, found.countries) == (True, True, ("KZ", "UZ"))
    assert (found.allowed_recipients, found.staging_recipients) == ((MINE, YOURS), (MINE,))
    assert found.caps == Caps(0, 1000, timedelta(minutes=10))
    assert found.now.utcoffset() == timedelta(0)


def test_without_settings_nothing_is_kept_out_or_changed() -> None:
    found = terms(settings(), Lane.OTP)

    assert (found.caps, found.expires_after, found.countries) == (Caps(), timedelta(0), ("UZ",))
    assert (found.allowed_recipients, found.staging_recipients) == ((), ())
    assert (found.fold_text, found.transliterate_text, found.signs_callbacks) == (False, False, False)


# Too long


@pytest.mark.parametrize(("text", "stored"), [("a" * 306, 1), ("a" * 307, 0)], ids=["two parts", "three"])
def test_a_text_of_more_parts_than_its_lane_allows_is_refused_by_the_lanes_name(
    sessions: Sessions, text: str, stored: int
) -> None:
    taken = take(sessions, a_send(PHONE, text), lane=Lane.BULK, max_parts=2)

    assert (taken.stored, taken.refused) == (stored, 1 - stored)
    assert [(one.reason, one.explanation) for one in all_of(sessions, RefusedIntake)] == [
        ("text_too_long", "text: 3 parts (gsm); at most 2 are allowed on the lane bulk.")
    ] * (1 - stored)


def test_parts_are_counted_of_what_is_posted(sessions: Sessions) -> None:
    words = "ʻ" * 160

    taken = take(sessions, a_send(PHONE, words), max_parts=1, fold_text=True)

    assert (taken.stored, the_only_sms(sessions).parts) == (1, 1)


# For tests: whom nobody but these may be sent to


def test_numbers_that_are_not_allowed_are_refused(sessions: Sessions) -> None:
    taken = take(sessions, a_send(MINE), a_send(PHONE), allowed_recipients=(MINE, YOURS))

    assert (taken.stored, the_only_sms(sessions).phone) == (1, MINE)
    assert the_refusal(sessions).reason == "phone_not_allowed"
    assert PHONE not in the_refusal(sessions).explanation


# For staging: who is sent to instead


def test_in_staging_every_number_has_a_stand_in_always_the_same(sessions: Sessions) -> None:
    orders = [a_send(a_phone(number), f"Text {again}") for number in range(50) for again in range(2)]

    take(sessions, *orders, staging_recipients=(MINE, YOURS))

    stand_ins: dict[str, set[str]] = {}
    for sms in all_of(sessions, Message):
        stand_ins.setdefault(sms.ordered_phone, set()).add(sms.phone)
    assert sorted(stand_ins) == [a_phone(number) for number in range(50)]
    assert [len(phones) for phones in stand_ins.values()] == [1] * 50
    assert set.union(*stand_ins.values()) == {MINE, YOURS}


def test_in_staging_nobody_else_is_sent_to(sessions: Sessions) -> None:
    gateway = MemoryGateway()
    take(sessions, *(a_send(a_phone(number)) for number in range(6)), a_send(MINE), staging_recipients=(MINE, YOURS))

    post_all(a_submission(sessions, gateway))

    posted = [one.phone for post in gateway.posted for one in post.messages]
    assert (len(posted), set(posted)) == (7, {MINE, YOURS})
    assert all(len(post.messages) <= 2 for post in gateway.posted), "no phone twice in a request"


def test_a_stand_in_that_is_ordered_itself_is_sent_to_as_it_is(sessions: Sessions) -> None:
    take(sessions, a_send(YOURS), staging_recipients=(MINE, YOURS))

    assert (the_only_sms(sessions).phone, the_only_sms(sessions).ordered_phone) == (YOURS, None)


def test_in_staging_only_allowed_numbers_are_stood_in_for(sessions: Sessions) -> None:
    terms_of_staging: dict[str, Any] = {"allowed_recipients": (PHONE,), "staging_recipients": (MINE,)}

    take(sessions, a_send(PHONE), a_send(YOURS), **terms_of_staging)

    assert (the_only_sms(sessions).phone, the_only_sms(sessions).ordered_phone) == (MINE, PHONE)
    assert the_refusal(sessions).reason == "phone_not_allowed"


# Words


@pytest.mark.parametrize(
    ("flags", "words", "posted"),
    [
        ({}, CURLY, CURLY),
        ({"fold_text": True}, CURLY, PLAIN),
        ({"fold_text": True}, PLAIN, PLAIN),
        ({"transliterate_text": True}, "Салом", "Salom"),
        ({"fold_text": True}, "Салом", "Салом"),
    ],
    ids=["as ordered", "folded", "plain already", "in Latin letters", "nothing to fold"],
)
def test_words_are_posted_as_the_settings_say_and_kept_as_they_were_ordered(
    sessions: Sessions, flags: dict[str, Any], words: str, posted: str
) -> None:
    take(sessions, a_send(PHONE, words), **flags)

    sms = the_only_sms(sessions)
    assert (sms.text, sms.ordered_text) == (posted, words if words != posted else None)


# The same order under other settings


SETTINGS: list[dict[str, Any]] = [
    {},
    {"fold_text": True},
    {"fold_text": True, "transliterate_text": True},
    {"staging_recipients": (MINE,)},
    {"staging_recipients": (YOURS, MINE), "fold_text": True},
    {"nickname": "HOUSE", "expires_after": timedelta(hours=1)},
]


@pytest.mark.parametrize("after", SETTINGS, ids=str)
@pytest.mark.parametrize("before", SETTINGS, ids=str)
def test_the_same_order_is_the_same_message_though_a_setting_changed(
    sessions: Sessions, before: dict[str, Any], after: dict[str, Any]
) -> None:
    take(sessions, a_send(PHONE, CURLY, key="k"), **before)

    taken = take(sessions, a_send(PHONE, CURLY, key="k"), **after)

    assert (taken.stored, taken.refused) == (0, 0)


@pytest.mark.parametrize(
    "other", [(PHONE, PLAIN), (YOURS, CURLY)], ids=["words that are posted alike", "a number with the same stand-in"]
)
def test_another_order_is_another_though_it_would_be_posted_alike(sessions: Sessions, other: tuple[str, str]) -> None:
    alike: dict[str, Any] = {"fold_text": True, "staging_recipients": (MINE,)}
    take(sessions, a_send(PHONE, CURLY, key="k"), **alike)

    take(sessions, a_send(*other, key="k"), **alike)

    assert the_refusal(sessions).reason == "key_reused"
