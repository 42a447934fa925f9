"""Check a status by its request_id."""

from collections.abc import Callable, Iterator

import pytest
from builders import Clock, Sessions, all_of, states_of, stored
from web_pages import Browser, serving

from models import Message, Report
from models.lifecycle import MessageState
from worker.gateway import OutgoingSms
from worker.gateway.http import http_gateway
from worker.sandbox.running import RunningSandbox
from worker.settings import Settings
from worker.web.app import make_app

S = MessageState


@pytest.fixture
def settings(a_settings: Callable[..., Settings], sandbox: RunningSandbox) -> Settings:
    """Those of a house whose gateway is there."""
    config = sandbox.config
    login = {"gateway_login": config.login, "gateway_password": config.password}
    return a_settings(gateway_url=sandbox.url, **login)


@pytest.fixture
def asker(settings: Settings, sessions: Sessions, clock: Clock) -> Iterator[Browser]:
    with serving(make_app(settings, sessions, now=clock)) as url:
        browser = Browser(url)
        browser.get("/status")
        yield browser
        browser.close()


def test_all_messages_of_a_request_are_shown(operator: Browser, sessions: Sessions) -> None:
    stored(sessions, uid="a", state=S.DELIVERED, request_id="5001")
    stored(sessions, uid="b", state=S.UNKNOWN, request_id="5001")
    stored(sessions, uid="c", state=S.DELIVERED, request_id="5002")

    page = operator.get("/status?request_id=5001").text

    assert [uid for uid in "abc" if f'href="/message/{uid}"' in page] == ["a", "b"]
    assert page.count("Ask again, and store the answer") == 1


def test_a_viewer_sees_phones_masked_and_no_button(viewer: Browser, sessions: Sessions) -> None:
    stored(sessions, state=S.UNKNOWN, request_id="5001", phone="998901234567")

    page = viewer.get("/status?request_id=5001").text

    assert "********4567" in page
    assert "998901234567" not in page
    assert "Ask again" not in page
    assert "Ask the gateway now" not in page


def test_the_gateway_is_asked_now_and_its_answer_shown_but_not_stored(
    asker: Browser, sessions: Sessions, settings: Settings
) -> None:
    taken = http_gateway(settings).submit(
        [OutgoingSms(1, "998901234567", "Your code is 4821")], nickname=None, begin=lambda: None
    )
    ours = taken.accepted[0]
    ids = {"request_id": ours.request_id, "message_id": ours.message_id}
    stored(sessions, uid="a", state=S.SUBMITTED, phone="998901234567", **ids)

    page = asker.send("/status", request_id=ours.request_id).text

    said = page.split("What the gateway says")[1]
    assert ours.message_id is not None
    assert ours.message_id in said
    assert "Your code is 4821" not in page
    assert "This is shown and not stored" in said
    assert (states_of(sessions), all_of(sessions, Report)) == ([S.SUBMITTED], [])


def test_a_request_id_that_the_gateway_does_not_know_says_nothing_about_a_message(asker: Browser) -> None:
    page = asker.send("/status", request_id="1").text

    assert "error 400, the gateway does not know this request_id, or not yet" in page
    assert "It says nothing about the message." in page


def test_a_gateway_that_is_away_is_said_so(operator: Browser, sessions: Sessions) -> None:
    answer = operator.send("/status", request_id="5001")

    assert answer.status_code == 200
    assert "No report:" in answer.text
    assert all_of(sessions, Message) == []


@pytest.mark.parametrize("written", ["", "  ", "\0", "<b>"], ids=["nothing", "blanks", "NUL", "markup"])
def test_what_is_no_request_id_finds_nothing(operator: Browser, written: str) -> None:
    answer = operator.get("/status", params={"request_id": written})

    assert answer.status_code == 200
    assert "<b>" not in answer.text
