"""Producers are told what they asked for, at least once, each event under one id, until a day has passed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, a_polling, a_submission, all_of, an_upkeep, stored, the_sms
from sqlalchemy import insert

from models import Callback, Message
from models.lifecycle import MessageState
from worker.callbacks import AT_ONCE, Callbacks
from worker.errors import BatchRefused, CallbackFailed, SubmissionUnconfirmed
from worker.gateway.memory import MemoryGateway
from worker.store import decisions
from worker.store.callbacks import Owed

TELL = {"task": "shop.sms_changed", "queue": "shop"}


class Receiver:
    """Whoever is told; *fails* is raised each time, if given."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails = fails
        self.told: list[Owed] = []

    def __call__(self, owed: Owed) -> None:
        self.told.append(owed)
        if self.fails:
            raise self.fails


def a_room(sessions: Sessions, receiver: Any, clock: Clock | None = None, dice: float = 0.5) -> Callbacks:
    return Callbacks(sessions, receiver, clock or Clock(), lambda: dice)


def owed(sessions: Sessions, count: int = 1) -> None:
    rows = [
        {"event_id": str(number), "target": TELL, "event": {"event_id": str(number)}, "state": "owed", "attempts": 0}
        | {"created_at": NOON, "next_try_at": NOON}
        for number in range(count)
    ]
    with sessions.begin() as session:
        session.execute(insert(Callback), rows)


def events_of(sessions: Sessions) -> list[str]:
    return [one.event["state"] for one in all_of(sessions, Callback)]


@pytest.mark.parametrize(("callback", "rings"), [(TELL, [1, 2]), (None, [0, 0])], ids=["asked for", "not asked for"])
def test_the_bell_rings_right_after_a_commit_that_owes_word(
    sessions: Sessions, callback: dict[str, str] | None, rings: list[int]
) -> None:
    sms = stored(sessions, callback=callback)
    clock, rung, seen = Clock(), list[int](), list[int]()
    gateway = MemoryGateway(now=clock)

    a_submission(sessions, gateway, clock, on_owed=lambda: rung.append(len(events_of(sessions)))).post_next()
    seen.append(len(rung))
    gateway.deliver(sms)
    clock.advance(minutes=1)
    a_polling(sessions, gateway, clock, on_owed=lambda: rung.append(len(events_of(sessions)))).ask_next()
    seen.append(len(rung))

    assert seen == rings
    assert rung == list(range(1, len(rung) + 1)), "rung before the commit"


def test_a_producer_is_owed_word_of_each_step_it_asked_for(sessions: Sessions) -> None:
    sms = stored(sessions, callback=TELL, phone="998901234567", key="k")
    clock = Clock()
    gateway = MemoryGateway(now=clock)
    a_submission(sessions, gateway, clock).post_next()
    gateway.deliver(sms)
    clock.advance(minutes=1)

    a_polling(sessions, gateway, clock).ask_next()

    submitted, delivered = all_of(sessions, Callback)
    (message,) = all_of(sessions, Message)
    assert {"event_id", "uid", "key", "producer", "state", "reason", "phone", "parts", "at"} == set(submitted.event)
    assert (submitted.event_id, submitted.sms_id, submitted.target) == (submitted.event["event_id"], sms, TELL)
    assert {**submitted.event, "event_id": ""} == {
        "event_id": "",
        "uid": message.uid,
        "key": "k",
        "producer": "shop",
        "state": "submitted",
        "reason": None,
        "phone": "998901234567",
        "parts": 1,
        "at": NOON.isoformat(),
    }
    assert ("delivered", clock.at.isoformat()) == (delivered.event["state"], delivered.event["at"])
    assert submitted.event_id != delivered.event_id


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(SubmissionUnconfirmed("read timed out"), ("unconfirmed", "read timed out"), id="unconfirmed"),
        pytest.param(BatchRefused("array is invalid", error_no=201), ("failed", "array is invalid"), id="failed"),
    ],
)
def test_a_producer_is_owed_the_reason_as_well(sessions: Sessions, answer: Exception, told: tuple[str, str]) -> None:
    stored(sessions, callback=TELL)

    a_submission(sessions, MemoryGateway(answers=[answer])).post_next()

    assert [told] == [(one.event["state"], one.event["reason"]) for one in all_of(sessions, Callback)]


def test_nobody_is_told_of_queued_and_posting(sessions: Sessions) -> None:
    sms = stored(sessions, callback=TELL, state=MessageState.UNCONFIRMED)

    with sessions.begin() as session:
        decisions.resend(session, Message.id == sms, now=NOON, who="a test")

    assert events_of(sessions) == []


def test_nobody_is_owed_anything_that_did_not_ask(sessions: Sessions) -> None:
    stored(sessions)

    a_submission(sessions).post_next()

    assert events_of(sessions) == []


def test_what_did_not_happen_is_not_owed(sessions: Sessions) -> None:
    sms = stored(sessions, callback=TELL, uid="order-1")

    with sessions() as session:
        decisions.cancel(session, "order-1", now=NOON, reason="by hand")
        session.rollback()

    assert (the_sms(sessions, sms).state, events_of(sessions)) == ("queued", [])


def test_an_expired_message_is_told(sessions: Sessions) -> None:
    stored(sessions, callback=TELL, expires_at=NOON)

    an_upkeep(sessions).sweep()

    assert events_of(sessions) == ["expired"]


def test_what_was_told_is_not_told_again(sessions: Sessions) -> None:
    owed(sessions)
    receiver = Receiver()
    room = a_room(sessions, receiver)

    assert [room.tell_next(), room.tell_next()] == [True, False]

    (callback,) = all_of(sessions, Callback)
    assert [one.event for one in receiver.told] == [{"event_id": "0"}]
    assert (callback.state, callback.attempts, callback.finished_at) == ("told", 1, NOON)


def test_tellers_at_the_same_time_never_tell_the_same(sessions: Sessions) -> None:
    owed(sessions, 100)
    receiver = Receiver()
    rooms = [a_room(sessions, receiver) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tell_all, rooms))

    assert sorted(one.id for one in receiver.told) == [one.id for one in all_of(sessions, Callback)]


def tell_all(room: Callbacks) -> None:
    while room.tell_next():
        pass


def test_what_a_dead_teller_leased_is_told_when_its_lease_is_over(sessions: Sessions) -> None:
    owed(sessions)
    clock = Clock()
    with pytest.raises(KeyboardInterrupt):
        a_room(sessions, Receiver(KeyboardInterrupt()), clock).tell_next()  # type: ignore[arg-type]
    receiver = Receiver()
    room = a_room(sessions, receiver, clock)

    clock.advance(minutes=4)
    too_early = room.tell_next()
    clock.advance(minutes=1)
    room.tell_next()

    assert not too_early
    assert len(receiver.told) == 1


@pytest.mark.parametrize(("dice", "factor"), [(0.0, 0.5), (0.5, 1.0), (1.0, 1.5)], ids=["low", "middle", "high"])
def test_the_pause_before_the_next_try_doubles(sessions: Sessions, dice: float, factor: float) -> None:
    owed(sessions)
    clock = Clock()
    room = a_room(sessions, Receiver(CallbackFailed("http 500")), clock, dice)
    pauses = []

    for _ in range(4):
        room.tell_next()
        (callback,) = all_of(sessions, Callback)
        pauses.append((callback.next_try_at - clock.at).total_seconds())
        clock.at = callback.next_try_at

    assert [5 * factor, 10 * factor, 20 * factor, 40 * factor] == pauses
    assert (callback.state, callback.reason) == ("owed", "http 500")


def test_a_producer_that_cannot_be_told_for_a_day_is_given_up(sessions: Sessions) -> None:
    owed(sessions)
    clock = Clock()
    receiver = Receiver(CallbackFailed("http 500"))
    room = a_room(sessions, receiver, clock)

    for _ in range(200):
        clock.advance(minutes=15)
        room.tell_next()

    (callback,) = all_of(sessions, Callback)
    assert (callback.state, callback.reason, callback.next_try_at) == ("failed", "http 500", None)
    assert callback.finished_at > NOON + timedelta(hours=22)
    assert 20 < len(receiver.told) == callback.attempts < 40
    assert len({str(one.event) for one in receiver.told}) == 1


def test_a_receiver_that_breaks_the_teller_does_not_hold_up_the_others(sessions: Sessions) -> None:
    owed(sessions, 3)
    told: list[int] = []

    def tell(one: Owed) -> None:
        if one.event["event_id"] == "0":
            raise UnicodeError("label too long")
        told.append(one.id)

    a_room(sessions, tell).tell_next()

    assert len(told) == 2
    assert [(one.state, one.reason) for one in all_of(sessions, Callback)] == [
        ("owed", "unexpected UnicodeError"),
        ("told", None),
        ("told", None),
    ]


def test_others_are_called_only_when_there_may_be_more(sessions: Sessions) -> None:
    owed(sessions, AT_ONCE + 1)
    rung: list[int] = []
    room = a_room(sessions, Receiver())

    for turn in range(2):
        room.tell_next(on_full=partial(rung.append, turn))

    assert rung == [0]
