"""The form that sends an SMS and the one that checks a status, with a real worker and the sandbox behind them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import NARROW, Watched, watched
from lived_pages import OPERATOR
from playwright.sync_api import Browser, Page, expect
from servers import wait_for
from system import System
from web_process import web_process

from worker.sandbox.faults import Fault

Open = Callable[..., Watched]
PHONE = "+998 90 123-45-67"
DIGITS = "998901234567"

real = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def operator(browser: Browser, house: System, tmp_path: Path) -> Iterator[Watched]:
    """Somebody at the page of `house`, in which a worker and beat run."""
    house.worker(wait=False)
    house.beat()
    env = house.env | {"SMS_WEB_PASSWORD": OPERATOR, "SMS_PRICE_PER_PART": "100"}
    with web_process(tmp_path, env) as url, watched(browser, url) as one:
        page = one.open("/login?next=/send")
        page.fill("#who", "dilnoza")
        page.fill("#password", OPERATOR)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/send")
        yield one
        assert one.wrong() == []


def write(page: Page, text: str, *, lane: str = "otp") -> None:
    page.get_by_label("Phone", exact=True).fill(PHONE)
    page.get_by_label("Text").fill(text)
    page.get_by_label("Lane").select_option(lane)


def send(page: Page) -> None:
    page.locator("main").get_by_role("button", name="Send", exact=True).last.click()


@real
def test_an_sms_goes_out_once_however_often_one_clicks(operator: Watched, house: System) -> None:
    page = operator.page
    write(page, "Kodingiz: 4821")

    page.locator("main").get_by_role("button", name="Send", exact=True).last.dblclick()

    page.wait_for_url("**/message/*")
    expect(page.locator(".alert", has_text="Stored, and on its way.")).to_be_visible()
    house.wait_for_states(delivered=1)
    assert house.posted() == {DIGITS: 1}
    page.reload()
    expect(page.locator("main .story")).to_contain_text("delivered")


@real
def test_a_request_id_is_asked_about_here_and_at_the_gateway(operator: Watched, house: System) -> None:
    page = operator.page
    write(page, "Kodingiz: 4821")
    send(page)
    house.wait_for_states(delivered=1)
    ((request_id,),) = house.rows("SELECT request_id FROM messages")

    operator.open("/status")
    page.get_by_label("request_id", exact=True).fill(request_id)
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("region", name="Stored here")).to_contain_text(DIGITS)
    page.get_by_role("button", name="Ask the gateway now").click()

    expect(page.get_by_role("region", name="What the gateway says")).to_contain_text(DIGITS)


@real
def test_a_request_id_that_nobody_knows_is_said_so(operator: Watched) -> None:
    page = operator.open("/status?request_id=123456789")

    expect(page.locator("main")).to_contain_text("No message of ours has this request_id.")
    page.get_by_role("button", name="Ask the gateway now").click()

    expect(page.get_by_role("alert")).to_contain_text("error 400")


@real
def test_an_sms_that_is_cut_off_stands_on_the_start_page(operator: Watched, house: System) -> None:
    house.control.set_faults(Fault("cut-after", on=["send"], count=1))
    page = operator.page
    write(page, "Kodingiz: 4821")
    send(page)
    wait_for(lambda: house.states() == {"unconfirmed": 1})

    operator.open("/")

    expect(page.get_by_role("region", name="Needs somebody")).to_contain_text("Nobody knows whether these arrived")


def test_parts_encoding_and_cost_are_counted_as_one_types(look: Open) -> None:
    page = look("/send").page
    count = page.get_by_role("status").filter(has_text="part")
    expect(count).to_contain_text("160")

    page.get_by_label("Text").press_sequentially("Kodingiz: 4821")
    expect(count).to_contain_text("1 part · GSM 03.38 · 146 characters left · 100.00 UZS")
    page.get_by_label("Text").fill("Toʻlov qabul qilindi. " * 4)
    expect(count).to_contain_text("2 parts · UCS-2")
    expect(count).to_contain_text("200.00 UZS")


def test_what_makes_a_text_dear_is_shown_and_mended_by_a_click(look: Open) -> None:
    page = look("/send", width=NARROW).page
    page.get_by_label("Text").fill("Toʻlov qabul qilindi. " * 4)
    button = page.get_by_role("button", name="Write it so").first

    button.click()

    expect(page.get_by_label("Text")).to_have_value("To'lov qabul qilindi. " * 4)
    expect(page.get_by_role("status").filter(has_text="part")).to_contain_text("1 part · GSM 03.38")


def test_without_javascript_a_button_counts(look: Open) -> None:
    page = look("/send", java_script_enabled=False).page

    page.get_by_label("Text").fill("Kodingiz: 4821")
    page.get_by_role("button", name="Count the parts").click()

    expect(page.get_by_role("status").filter(has_text="part")).to_contain_text("146 characters left")
    expect(page.get_by_label("Text")).to_have_value("Kodingiz: 4821")


@pytest.mark.parametrize(
    ("phone", "wrong"),
    [pytest.param("12345", "Phone", id="no number"), pytest.param("+1 202 555 0100", "Phone", id="foreign")],
)
def test_a_slip_is_told_at_its_field_and_nothing_is_lost(look: Open, phone: str, wrong: str) -> None:
    watched = look("/send")
    watched.forgiven = ("422",)
    page = watched.page
    page.get_by_label(wrong, exact=True).fill(phone)
    page.get_by_label("Text").fill("Kodingiz: 4821")

    send(page)

    expect(page.get_by_role("alert")).to_contain_text("It was not sent")
    expect(page.get_by_label(wrong, exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Text")).to_have_value("Kodingiz: 4821")
    assert watched.barriers() == []


def test_it_is_sent_by_keys_alone(look: Open) -> None:
    page = look("/send").page
    page.get_by_label("Phone", exact=True).focus()

    page.keyboard.type(PHONE)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("Kodingiz: 4821")
    page.get_by_role("button", name="Send", exact=True).last.focus()
    page.keyboard.press("Enter")

    page.wait_for_url("**/message/*")
    expect(page.locator(".alert", has_text="Stored, and on its way.")).to_be_visible()
