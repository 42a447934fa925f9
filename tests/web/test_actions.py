"""What a person does by the page: it moves what it says, leaves a row in the audit, and asks for a role and a token."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path

import httpx
import pytest
from builders import NOON, Sessions, all_of, states_of, stored
from sqlalchemy import insert, update
from web_pages import Browser, serving

from models import Account, Callback, Decision, Message
from models.lifecycle import CallbackState, Lane, MessageState
from worker.settings import Settings
from worker.store.accounts import BY_RESTORE, account_id_of, hold
from worker.store.engine import make_engine, make_sessions
from worker.web.app import make_app

S = MessageState
ACTIONS = [
    "/do/pause",
    "/do/resume",
    "/do/cancel",
    "/do/ask",
    "/do/retry",
    "/decide",
    "/send",
    "/send/count",
    "/status",
]
HIDDEN = re.compile(r'type="hidden" name="(\w+)" value="([^"]*)"')


def audit(sessions: Sessions) -> list[tuple[str, str, str | None]]:
    return [(one.who, one.what, one.uid) for one in all_of(sessions, Decision)]


def hidden(form: str) -> dict[str, str]:
    """The fields that a form brings with it, but for its token."""
    found = {name: unescape(value) for name, value in HIDDEN.findall(form)}
    return {name: value for name, value in found.items() if name != "csrftoken"}


def asked(browser: Browser, where: str) -> dict[str, str]:
    return hidden(browser.get(where).text.split('action="/decide"')[1].split("</form>")[0])


@pytest.mark.parametrize(("verdict", "state"), [("resend", S.QUEUED), ("drop", S.FAILED)])
def test_a_decision_is_asked_again_and_then_carried_out(
    operator: Browser, sessions: Sessions, verdict: str, state: S
) -> None:
    stored(sessions, uid="a", state=S.UNCONFIRMED, lane=Lane.OTP)
    stored(sessions, uid="b", state=S.UNCONFIRMED, lane=Lane.OTP)
    stored(sessions, uid="c", state=S.UNCONFIRMED, lane=Lane.BULK)

    page = operator.get(f"/decide?verdict={verdict}&lane=otp").text
    before = states_of(sessions)
    answer = operator.send("/decide", follow=True, **asked(operator, f"/decide?verdict={verdict}&lane=otp"))

    assert "2 messages" in page
    assert before == [S.UNCONFIRMED] * 3
    assert states_of(sessions) == [state, state, S.UNCONFIRMED]
    assert audit(sessions) == [("web:anna", verdict, "a"), ("web:anna", verdict, "b")]
    assert "2 messages are" in answer.text


def test_what_was_settled_meanwhile_is_left_and_told(operator: Browser, sessions: Sessions) -> None:
    for uid in ("a", "b"):
        stored(sessions, uid=uid, state=S.UNCONFIRMED, lane=Lane.OTP)
    fields = asked(operator, "/decide?verdict=drop&lane=otp")
    with sessions.begin() as session:
        session.execute(update(Message).where(Message.uid == "b").values(state=S.QUEUED))

    answer = operator.send("/decide", follow=True, **fields)

    assert "1 message is dropped. 1 was no longer unconfirmed, and is left as it is." in answer.text
    assert states_of(sessions) == [S.FAILED, S.QUEUED]


def test_more_than_was_shown_is_asked_about_anew(operator: Browser, sessions: Sessions) -> None:
    stored(sessions, state=S.UNCONFIRMED, lane=Lane.OTP)
    fields = asked(operator, "/decide?verdict=resend&lane=otp")
    stored(sessions, state=S.UNCONFIRMED, lane=Lane.OTP, posted_at=NOON - timedelta(minutes=1))

    answer = operator.send("/decide", follow=True, **fields)

    assert "Nothing was changed: look again." in answer.text
    assert states_of(sessions) == [S.UNCONFIRMED] * 2


def test_a_message_that_was_cut_off_anew_is_not_what_was_shown(operator: Browser, sessions: Sessions) -> None:
    stored(sessions, uid="a", state=S.UNCONFIRMED)
    fields = asked(operator, "/decide?verdict=resend&uid=a")
    with sessions.begin() as session:
        session.execute(update(Message).values(posted_at=NOON + timedelta(minutes=5)))

    operator.send("/decide", follow=True, **fields)

    assert states_of(sessions) == [S.UNCONFIRMED]
    assert audit(sessions) == []


def test_all_that_is_unconfirmed_must_be_asked_for_by_name(operator: Browser) -> None:
    assert operator.get("/decide?verdict=resend").status_code == 400


def test_posting_is_paused_for_a_reason_and_resumed(operator: Browser, sessions: Sessions) -> None:
    operator.send("/do/pause", reason="the vendor asked for it")
    held = [one.held_by for one in all_of(sessions, Account)]
    again = operator.send("/do/pause")
    answer = operator.send("/do/resume")

    assert held == ["web:anna"]
    assert "Posting was paused already. Nothing was changed." in again.text
    assert "Posting goes on." in answer.text
    assert [one.held_by for one in all_of(sessions, Account)] == [None]
    assert [(one.what, one.who, one.reason) for one in all_of(sessions, Decision)] == [
        ("pause", "web:anna", "the vendor asked for it"),
        ("resume", "web:anna", "web:anna"),
    ]


def test_a_restored_database_is_not_resumed_by_a_button(operator: Browser, sessions: Sessions) -> None:
    with sessions.begin() as session:
        hold(session, account_id_of(session, "login"), now=NOON, who=BY_RESTORE, reason=None)

    answer = operator.send("/do/resume")

    assert "sms recover --since TIME" in answer.text
    assert all_of(sessions, Account)[0].held_by == BY_RESTORE


def test_a_queued_message_is_cancelled_and_a_posted_one_is_not(operator: Browser, sessions: Sessions) -> None:
    stored(sessions, uid="waits")
    stored(sessions, uid="gone", state=S.DELIVERED)

    done = operator.send("/do/cancel", uid="waits")
    not_done = operator.send("/do/cancel", uid="gone")

    assert "The message is cancelled, and is not posted." in done.text
    assert "and so it was not cancelled" in not_done.text
    assert states_of(sessions) == [S.CANCELLED, S.DELIVERED]
    assert audit(sessions) == [("web:anna", "cancel", "waits")]


def test_the_gateway_is_asked_again_about_what_is_unknown(operator: Browser, sessions: Sessions) -> None:
    stored(sessions, uid="lost", state=S.UNKNOWN)

    operator.send("/do/ask", uid="lost")

    assert states_of(sessions) == [S.SUBMITTED]
    assert audit(sessions) == [("web:anna", "ask", "lost")]


def test_a_failed_callback_is_told_again(operator: Browser, sessions: Sessions) -> None:
    ids = [a_failed_callback(sessions, uid) for uid in ("a", "b")]

    answer = operator.send("/do/retry", callback=str(ids[0]))

    told = {one.id: (one.state, one.retried_by) for one in all_of(sessions, Callback)}
    assert "1 callback is told again now." in answer.text
    assert told == {ids[0]: (CallbackState.OWED, "web:anna"), ids[1]: (CallbackState.FAILED, None)}
    assert audit(sessions) == [("web:anna", "retry", "a")]


def test_all_failed_callbacks_are_told_again_by_one_button(operator: Browser, sessions: Sessions) -> None:
    for uid in ("a", "b"):
        a_failed_callback(sessions, uid)

    answer = operator.send("/do/retry")

    assert "2 callbacks are told again now." in answer.text
    assert {one.state for one in all_of(sessions, Callback)} == {CallbackState.OWED}


def test_a_form_leads_back_to_this_site_alone(operator: Browser) -> None:
    answer = operator.send("/do/resume", follow=False, next="https://elsewhere.example/")

    assert answer.headers["location"] == "/"


@pytest.mark.parametrize("where", ["https://elsewhere.example/", "//elsewhere.example/", "/\\\\elsewhere.example/"])
def test_nor_does_the_way_back_from_a_question(operator: Browser, sessions: Sessions, where: str) -> None:
    stored(sessions, uid="a", state=S.UNCONFIRMED)

    page = operator.get("/decide", params={"verdict": "drop", "uid": "a", "next": where}).text

    assert "elsewhere" not in page.split("<h1>")[1]


@pytest.mark.parametrize("path", ACTIONS)
def test_a_viewer_may_do_none_of_it(viewer: Browser, sessions: Sessions, path: str) -> None:
    stored(sessions, uid="a", state=S.UNCONFIRMED)

    answer = viewer.send(path, uid="a", verdict="drop", shown="1", until=NOON.isoformat())

    assert answer.status_code == 403
    assert (states_of(sessions), audit(sessions)) == ([S.UNCONFIRMED], [])


def test_a_viewer_is_not_even_asked(viewer: Browser) -> None:
    assert viewer.get("/decide?verdict=drop&lane=otp").status_code == 403
    assert viewer.get("/send").status_code == 403


@pytest.mark.parametrize("path", ACTIONS)
def test_without_the_token_nothing_is_done(operator: Browser, sessions: Sessions, path: str) -> None:
    answer = operator.http.post(path, data={"uid": "a", "phone": "998901234567", "text": "Hi", "do": "send"})

    assert answer.status_code == 403
    assert (audit(sessions), states_of(sessions)) == ([], [])


@pytest.mark.parametrize("path", [path for path in ACTIONS if path.startswith("/do/")] + ["/send/count"])
def test_looking_at_an_action_does_nothing(operator: Browser, sessions: Sessions, path: str) -> None:
    answer = operator.get(path)

    assert answer.status_code in {404, 405}
    assert audit(sessions) == []


@pytest.fixture
def houseless(a_settings: Callable[..., Settings], tmp_path: Path) -> Iterator[Browser]:
    """Somebody at a page whose database was never made."""
    engine = make_engine(f"sqlite:///{tmp_path}/not/there.db")
    with serving(make_app(a_settings(), make_sessions(engine), now=lambda: NOON)) as url:
        browser = Browser(url)
        browser.get("/send")
        yield browser
        browser.close()
    engine.dispose()


@pytest.mark.parametrize("path", ["/", "/now", "/message/a", "/status?request_id=1"])
def test_a_database_that_is_away_is_said_so(houseless: Browser, path: str) -> None:
    assert houseless.get(path).status_code == 503


@pytest.mark.parametrize("path", ["/do/pause", "/do/resume", "/do/cancel"])
def test_an_action_without_a_database_is_said_not_to_be_done(houseless: Browser, path: str) -> None:
    answer: httpx.Response = houseless.send(path, uid="a")

    assert answer.status_code == 503


def test_what_was_typed_outlives_a_database_that_is_away(houseless: Browser) -> None:
    answer = houseless.send("/send", phone="998901234567", text="Your code is 4821", lane="otp", do="send", form="f1")

    assert answer.status_code == 503
    assert "Your code is 4821" in answer.text
    assert 'name="form" value="f1"' in answer.text


def a_failed_callback(sessions: Sessions, uid: str) -> int:
    sms_id = stored(sessions, uid=uid, state=S.DELIVERED)
    row = {"event_id": f"event-{uid}", "sms_id": sms_id, "target": {"task": "shop.told", "queue": "shop"}}
    row |= {"event": {"uid": uid, "state": "delivered"}, "state": CallbackState.FAILED, "reason": "HTTP 500"}
    row |= {"attempts": 9, "created_at": NOON, "finished_at": NOON}
    with sessions.begin() as session:
        return session.scalars(insert(Callback).returning(Callback.id), [row]).one()
