"""The form that sends an SMS: once, with its cost, and without losing what was typed."""

import re
from collections.abc import Callable, Iterator

import pytest
from builders import Clock, Sessions, all_of
from web_pages import Browser, serving

from models import Message, RefusedIntake
from worker.settings import Settings
from worker.web.app import make_app

WRITTEN = {"phone": "+998 90 123-45-67", "text": "Your code is 4821", "lane": "otp", "do": "send"}
DEAR = "Oʻzbekiston — “gʻoya”. " * 4


def form_of(browser: Browser) -> str:
    found = re.search(r'name="form" value="([^"]+)"', browser.get("/send").text)
    assert found
    return found[1]


@pytest.fixture
def dear_page(a_settings: Callable[..., Settings], sessions: Sessions, clock: Clock) -> Iterator[Browser]:
    """A house where a part costs something, but from the shop less."""
    settings = a_settings(price_per_part=100, price_per_part_of_nickname={"SHOP": 95.5}, hourly_cap_per_phone_otp=1)
    with serving(make_app(settings, sessions, now=clock)) as url:
        browser = Browser(url)
        yield browser
        browser.close()


def test_an_sms_is_stored_and_its_page_shown(operator: Browser, sessions: Sessions) -> None:
    answer = operator.send("/send", follow=True, **WRITTEN, form=form_of(operator))

    [sms] = all_of(sessions, Message)
    assert (sms.phone, sms.text, sms.lane, sms.producer) == ("998901234567", "Your code is 4821", "otp", "web")
    assert sms.tags["sent_by"] == "web:anna"
    assert answer.url.path == f"/message/{sms.uid}"
    assert "Stored, and on its way." in answer.text


def test_a_form_that_is_sent_twice_sends_once(operator: Browser, sessions: Sessions, clock: Clock) -> None:
    form = form_of(operator)

    first = operator.send("/send", follow=True, **WRITTEN, form=form)
    clock.advance(seconds=1)
    second = operator.send("/send", follow=True, **WRITTEN, form=form)

    assert len(all_of(sessions, Message)) == 1
    assert first.url == second.url
    assert "It was ordered before, and is sent once." in second.text


def test_another_form_sends_the_same_again(operator: Browser, sessions: Sessions) -> None:
    for _ in range(2):
        operator.send("/send", follow=True, **WRITTEN, form=form_of(operator))

    assert len(all_of(sessions, Message)) == 2


def test_a_key_of_ones_own_is_kept_over_forms(operator: Browser, sessions: Sessions) -> None:
    for _ in range(2):
        operator.send("/send", follow=True, **WRITTEN, key="order-7", form=form_of(operator))

    assert [one.key for one in all_of(sessions, Message)] == ["order-7"]


def test_times_are_of_the_gateways_zone(operator: Browser, sessions: Sessions) -> None:
    operator.send("/send", follow=True, **WRITTEN, send_at="2026-12-01T09:00", expires_at="2026-12-01T10:00", form="f1")

    [sms] = all_of(sessions, Message)
    assert (sms.send_at.isoformat(), sms.expires_at.isoformat()) == (
        "2026-12-01T04:00:00+00:00",
        "2026-12-01T05:00:00+00:00",
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"phone": "123"}, "This is not a possible mobile number."),
        ({"phone": ""}, "Give a mobile number."),
        ({"text": "  "}, "Write the words of the SMS."),
        ({"lane": "express"}, "Choose one of the lanes."),
        ({"send_at": "soon"}, "This is not a time that can be kept."),
    ],
    ids=["phone", "no phone", "no text", "lane", "time"],
)
def test_a_refusal_stands_at_its_field_and_nothing_typed_is_lost(
    operator: Browser, sessions: Sessions, changes: dict[str, str], said: str
) -> None:
    answer = operator.send("/send", follow=True, **(WRITTEN | {"nickname": "SHOP"} | changes), form="f1")

    assert answer.status_code == 422
    assert said in answer.text
    assert 'value="SHOP"' in answer.text
    assert (all_of(sessions, Message), all_of(sessions, RefusedIntake)) == ([], [])


def test_what_a_rule_refuses_is_told_with_what_is_allowed(dear_page: Browser, sessions: Sessions) -> None:
    dear_page.send("/send", follow=True, **WRITTEN, form=form_of(dear_page))
    answer = dear_page.send("/send", follow=True, **WRITTEN, form=form_of(dear_page))

    assert answer.status_code == 422
    assert "at most 1 messages to one number" in answer.text
    assert len(all_of(sessions, Message)) == 1
    assert [one.reason for one in all_of(sessions, RefusedIntake)] == ["phone_capped"]


def test_a_text_is_counted_on_the_server_as_one_types(operator: Browser, sessions: Sessions) -> None:
    form_of(operator)

    piece = operator.send("/send/count", text=DEAR).text

    assert "2 parts · UCS-2" in piece
    assert "Written with plain quotes and dashes it takes 1 part." in piece
    assert "SMS_FOLD_TEXT" in piece
    assert all_of(sessions, Message) == []


def test_without_a_script_a_button_counts(operator: Browser, sessions: Sessions) -> None:
    form_of(operator)

    page = operator.send("/send", follow=True, **(WRITTEN | {"text": DEAR, "do": "count"})).text

    assert "2 parts · UCS-2" in page
    assert all_of(sessions, Message) == []


def test_one_button_writes_it_in_the_cheaper_way(operator: Browser, sessions: Sessions) -> None:
    form_of(operator)

    page = operator.send("/send", follow=True, **(WRITTEN | {"text": DEAR, "do": "plain"})).text

    assert "O&#39;zbekiston - &#34;g&#39;oya&#34;." in page
    assert "1 part · GSM 03.38" in page
    assert all_of(sessions, Message) == []


def test_line_ends_of_a_form_are_counted_as_they_are_posted(operator: Browser, sessions: Sessions) -> None:
    operator.send("/send", follow=True, **(WRITTEN | {"text": "one\r\ntwo"}), form=form_of(operator))

    assert all_of(sessions, Message)[0].text == "one\ntwo"


@pytest.mark.parametrize(("nickname", "cost"), [("", "100.00 UZS"), ("SHOP", "95.50 UZS")])
def test_the_cost_is_that_of_the_sender_name(dear_page: Browser, nickname: str, cost: str) -> None:
    form_of(dear_page)

    assert cost in dear_page.send("/send/count", text="Hello", nickname=nickname).text


def test_no_text_and_no_phone_ever_stands_in_an_address(operator: Browser) -> None:
    page = operator.get("/send").text

    assert page.count('method="get"') == page.count('action="/find"')


@pytest.mark.parametrize(
    ("phone", "said"),
    [
        pytest.param("+998 71 234-56-78", "This is a fixed line, which takes no SMS.</span>", id="nothing to add"),
        pytest.param("12", "This is not a possible mobile number. (", id="what is allowed"),
    ],
)
def test_a_wrong_field_says_what_is_wrong_once(operator: Browser, phone: str, said: str) -> None:
    answer = operator.send("/send", follow=False, **(WRITTEN | {"phone": phone}), form=form_of(operator))

    assert answer.status_code == 422
    assert said in answer.text
