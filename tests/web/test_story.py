"""The page of one message."""

import pytest
from builders import NOON, Sessions, stored
from sqlalchemy import insert
from web_pages import Browser

from models import Decision, RefusedIntake
from models.lifecycle import MessageState, Verdict

S = MessageState
SECRET = "Your code is 4821"


def test_a_message_tells_its_story_from_its_order_to_its_end(operator: Browser, sessions: Sessions) -> None:
    stored(sessions, uid="a", state=S.DELIVERED, request_id="5001", phone="998901234567", text=SECRET)

    page = operator.get("/message/a").text

    story = page.split("Its story")[1]
    assert story.index("Ordered by shop on lane normal") < story.index("Delivered: the phone has it")
    assert SECRET in page
    assert "998901234567" in page
    assert "/status?request_id=5001" in page


def test_a_viewer_sees_neither_the_text_nor_the_phone(viewer: Browser, sessions: Sessions) -> None:
    stored(sessions, uid="a", state=S.UNCONFIRMED, phone="998901234567", text=SECRET)

    page = viewer.get("/message/a").text

    assert "********4567" in page
    assert "998901234567" not in page
    assert SECRET not in page
    assert "/decide?" not in page


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        (S.QUEUED, ["Cancel it"]),
        (S.UNCONFIRMED, ["Resend…", "Drop…"]),
        (S.UNKNOWN, ["Ask the gateway again"]),
        (S.DELIVERED, []),
    ],
)
def test_what_may_be_done_fits_the_state(operator: Browser, sessions: Sessions, state: S, offered: list[str]) -> None:
    stored(sessions, uid="a", state=state)

    page = operator.get("/message/a").text

    everything = ["Cancel it", "Resend…", "Drop…", "Ask the gateway again", "Tell its producer again"]
    assert [one for one in everything if one in page] == offered


def test_who_decided_is_part_of_the_story(operator: Browser, sessions: Sessions) -> None:
    stored(sessions, uid="a")
    with sessions.begin() as session:
        session.execute(insert(Decision), [{"at": NOON, "who": "web:boris", "what": Verdict.RESEND, "uid": "a"}])

    assert "web:boris decided to let it be posted again." in operator.get("/message/a").text


def test_an_order_that_was_refused_has_a_page_too(operator: Browser, sessions: Sessions) -> None:
    row = {"uid": "r", "reason": "phone_invalid", "explanation": "phone: not a possible number", "queue": "sms.otp"}
    with sessions.begin() as session:
        session.execute(
            insert(RefusedIntake), [row | {"body": "{}", "body_encoding": "utf-8", "digest": "r", "created_at": NOON}]
        )

    page = operator.get("/message/r").text

    assert "its order was refused" in page
    assert "phone: not a possible number" in page


def test_a_uid_may_hold_anything(operator: Browser, sessions: Sessions) -> None:
    stored(sessions, uid="shop/7 <b>a</b>?")

    answer = operator.get("/message/shop/7%20%3Cb%3Ea%3C/b%3E%3F")

    assert answer.status_code == 200
    assert "<b>a</b>" not in answer.text


def test_words_of_others_are_no_markup(operator: Browser, sessions: Sessions) -> None:
    stored(sessions, uid="a", producer="<script>alert(1)</script>", text="<img src=x>", reason="<i>")

    page = operator.get("/message/a").text

    assert not [one for one in ("<script>alert", "<img", "<i>") if one in page]


def test_a_uid_that_nobody_ever_had_is_not_found(operator: Browser) -> None:
    assert operator.get("/message/nobody").status_code == 404
    assert operator.get("/message/%00").status_code == 404
    assert operator.get("/message").status_code == 404
