"""A message's story: facts in the order of time, and words for each."""

import string
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, a_polling, a_send, a_submission, an_envelope, an_intake, post_all, stored
from sqlalchemy import insert
from taking import TELL

from models import Callback, Report
from models.lifecycle import Lane, MessageState, Verdict
from worker import story as words
from worker.gateway.memory import MemoryGateway
from worker.people import Person
from worker.store import accounts
from worker.store import story as facts
from worker.store.engine import reading
from worker.store.story import Event, Story, story_of, uids_beginning
from worker.store.unconfirmed import Chosen

UID = "0b9a5000-0000-4000-8000-000000000001"


def the_story(sessions: Sessions, uid: str = UID) -> Story:
    with reading(sessions) as session:
        story = story_of(session, uid)
    assert story
    return story


def kinds(some: Any) -> list[str]:
    return [event.kind for event in some]


def test_nobody_knows_a_uid_that_was_never_ordered(sessions: Sessions) -> None:
    with reading(sessions) as session:
        assert story_of(session, "nobody") is None


def test_an_ordered_message_waits(sessions: Sessions) -> None:
    an_intake(sessions, fold_text=True).take_raw([a_send(text="Kod “1”", task_id=UID, key=None)], Lane.OTP)

    story = the_story(sessions)

    assert kinds(story.events) == ["ordered", "text_changed"]
    assert kinds(story.ahead) == ["waits"]
    assert story.ordered_text == "Kod “1”"
    assert story.events[0].fields | {"lane": "otp", "parts": 1, "encoding": "gsm"} == story.events[0].fields


def test_one_for_later_is_held_back_until_then(sessions: Sessions) -> None:
    later = NOON + timedelta(hours=3)
    order = a_send(task_id=UID, send_at=later.isoformat(), expires_at=(later + timedelta(hours=1)).isoformat())
    an_intake(sessions).take_raw([order], Lane.NORMAL)

    story = the_story(sessions)

    assert kinds(story.events) == ["ordered", "held_back"]
    assert [(event.kind, event.at) for event in story.ahead] == [
        ("waits", later),
        ("expires", later + timedelta(hours=1)),
    ]


def test_a_refused_order_has_a_story_of_its_own(sessions: Sessions) -> None:
    an_intake(sessions).take_raw([an_envelope("sms.send", "12", "Hello", task_id=UID)], Lane.NORMAL)

    story = the_story(sessions)

    assert story.message is None
    assert kinds(story.events) == ["order_refused"]
    assert "phone_invalid" in words.told(story.events[0])


def test_a_delivered_message_tells_of_its_batch_its_answer_its_report_and_its_callbacks(sessions: Sessions) -> None:
    clock = Clock()
    gateway = MemoryGateway(now=clock)
    order = a_send(task_id=UID, callback=TELL)
    an_intake(sessions, clock).take_raw([order, a_send(phone="998901234568")], Lane.NORMAL)
    clock.advance(seconds=1)
    post_all(a_submission(sessions, gateway, clock))
    clock.advance(seconds=10)
    submitted = the_story(sessions)
    gateway.deliver(1)
    a_polling(sessions, gateway, clock).ask_next()
    delivered = the_story(sessions)

    assert kinds(submitted.ahead) == ["next_poll", "callback_next"]
    claimed = next(event for event in submitted.events if event.kind == "claimed")
    assert (claimed.fields["others"], claimed.fields["worker"]) == (1, "worker@test")
    assert kinds(submitted.events)[0] == "ordered"
    assert {"claimed", "answered", "accepted", "callback_owed"} <= set(kinds(submitted.events))
    assert {"reported", "delivered"} <= set(kinds(delivered.events))
    assert [event.at for event in delivered.events] == sorted(event.at for event in delivered.events)
    assert kinds(delivered.ahead) == ["callback_next", "callback_next"]


def test_a_report_is_told_with_the_gateways_own_word(sessions: Sessions) -> None:
    sms_id = stored(sessions, uid=UID, state=MessageState.DELIVERED, delivered_at=NOON + timedelta(seconds=9))
    said = {"sms_id": sms_id, "gateway_status": "TRANSMITTED", "received_at": NOON + timedelta(seconds=5), "answer": {}}
    with sessions.begin() as session:
        session.execute(insert(Report), [said])

    story = the_story(sessions)

    assert kinds(story.events)[-2:] == ["reported", "delivered"]
    assert "“TRANSMITTED”" in words.told(story.events[-2])
    assert not story.ahead


def test_what_was_cut_off_waits_for_a_person_and_remembers_who_decided(sessions: Sessions) -> None:
    stored(sessions, uid=UID, state=MessageState.UNCONFIRMED, reason="read_timeout", attempts=2)
    before = the_story(sessions)
    person = Person(sessions, "login", "ali@shop", lambda: NOON + timedelta(hours=1))

    person.decide(Verdict.RESEND, Chosen(uids=[UID]))
    after = the_story(sessions)

    assert "cut_off" in kinds(before.events)
    assert "earlier_batches" in kinds(before.events)
    assert kinds(before.ahead) == ["to_decide"]
    assert before.ahead[0].at == next(one.at for one in before.events if one.kind == "cut_off")
    assert after.events[-1].kind == "decided_resend"
    assert words.told(after.events[-1]).startswith("ali@shop decided")
    assert kinds(after.ahead) == ["waits"]


def test_a_paused_account_stands_in_the_way(sessions: Sessions) -> None:
    stored(sessions, uid=UID)
    with sessions.begin() as session:
        account_id = accounts.account_id_of(session, "login")
        accounts.hold(session, account_id, now=NOON, who="ali", reason="holiday")

    story = the_story(sessions)

    assert kinds(story.ahead) == ["waits", "account_held"]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"state": "told", "finished_at": NOON, "attempts": 1}, "callback_told"),
        ({"state": "failed", "finished_at": NOON, "attempts": 9, "reason": "HTTP 500"}, "callback_failed"),
    ],
    ids=["told", "failed"],
)
def test_how_a_callback_ended_is_told(sessions: Sessions, changes: dict[str, Any], kind: str) -> None:
    sms_id = stored(sessions, uid=UID, state=MessageState.DELIVERED)
    row = {"event_id": "e", "sms_id": sms_id, "target": TELL, "event": {"state": "delivered"}, "created_at": NOON}
    with sessions.begin() as session:
        session.execute(insert(Callback), [row | changes])

    story = the_story(sessions)

    assert kinds(story.events)[-2:] == ["callback_owed", kind]
    assert "delivered" in words.told(story.events[-1])
    assert f"attempts: {changes['attempts']}" in words.told(story.events[-1])


def test_a_uid_is_found_by_how_it_begins(sessions: Sessions) -> None:
    stored(sessions, uid=UID)
    stored(sessions, uid="0b9a5fff-0000-4000-8000-000000000001")
    stored(sessions, uid="1b9a5000-0000-4000-8000-000000000001")

    with reading(sessions) as session:
        one, two = uids_beginning(session, "0b9a5000-0"), uids_beginning(session, "0b9a5")

    assert one == [UID]
    assert len(two) == 2


def test_no_phone_and_no_text_stands_in_an_event(sessions: Sessions) -> None:
    an_intake(sessions, staging_recipients=["998907777777"]).take_raw([a_send(task_id=UID)], Lane.NORMAL)

    told = [words.told(event) for event in the_story(sessions).events]

    assert len(told) == 2
    assert not any("4821" in one or "1234567" in one or "7777777" in one for one in told)


def test_there_is_a_sentence_for_every_kind_of_event() -> None:
    source = Path(str(facts.__file__)).read_text()
    named = {kind for kind in words.SENTENCES if f'"{kind}"' in source}
    by_verdict = {f"decided_{verdict}" for verdict in Verdict if verdict not in {Verdict.PAUSE, Verdict.RESUME}}
    ended = {str(state) for state in facts.ENDED}

    assert named | by_verdict | ended >= set(words.SENTENCES) - {"decided_retry"}
    assert by_verdict | ended <= set(words.SENTENCES)


@pytest.mark.parametrize("kind", words.SENTENCES)
def test_a_sentence_is_a_sentence_even_where_nothing_is_known(kind: str) -> None:
    told = words.told(Event(NOON, kind, {}))

    assert "{" not in told
    assert "None" not in told
    assert told[0] in string.ascii_uppercase + "-"


def test_a_sentence_can_be_told_in_another_language() -> None:
    event = Event(NOON, "claimed", {"batch_id": 7, "others": 3, "worker": "w"})

    told = words.told(event, {words.SENTENCES["claimed"]: "Пачка {batch_id}: ещё {others}, {worker}"}.get)  # type: ignore[arg-type]

    assert told == "Пачка 7: ещё 3, w"
