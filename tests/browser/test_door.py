"""Logging in and out, and the switches of language and theme."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Watched, watched
from lived import UIDS
from lived_pages import OPERATOR, VIEWER, LivedPages, lived_pages
from playwright.sync_api import Browser, Page, expect

Open = Callable[..., Watched]
WRONG_TRIES = 5


@pytest.fixture
def own_pages(sqlite_template: Path, tmp_path: Path) -> Iterator[LivedPages]:
    """Whose throttle a test may wear out, and whose clock it may move."""
    with lived_pages(sqlite_template, tmp_path) as pages:
        yield pages


def log_in(page: Page, password: str, who: str = "aziza") -> None:
    page.get_by_label("Your name").fill(who)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_whoever_logs_in_comes_to_the_page_he_wanted(look: Open) -> None:
    stranger = look(f"/message/{UIDS.told}", role=None)
    expect(stranger.page).to_have_title("Log in · SMS")

    log_in(stranger.page, OPERATOR)

    stranger.page.wait_for_url(f"**/message/{UIDS.told}")
    expect(stranger.page.locator(".who:visible")).to_have_text("aziza · operator")


@pytest.mark.parametrize(("password", "role"), [(OPERATOR, "operator"), (VIEWER, "viewer")])
def test_the_password_says_what_one_may_do(look: Open, password: str, role: str) -> None:
    stranger = look("/login", role=None)

    log_in(stranger.page, password, who="Бобур")

    expect(stranger.page.locator(".who:visible")).to_have_text(f"Бобур · {role}")


def test_a_wrong_password_is_told_and_the_name_kept(look: Open) -> None:
    stranger = look("/login", role=None)
    stranger.forgiven = ("401",)

    log_in(stranger.page, "guessed")

    expect(stranger.page.get_by_role("alert")).to_have_text("The password is wrong.")
    expect(stranger.page.get_by_label("Your name")).to_have_value("aziza")


def test_whoever_guesses_has_to_wait_and_then_may_try_again(browser: Browser, own_pages: LivedPages) -> None:
    with watched(browser, own_pages.url) as guesser:
        page = guesser.open("/login")
        for _ in range(WRONG_TRIES):
            log_in(page, "guessed")
            expect(page.get_by_role("alert")).to_have_text("The password is wrong.")
        log_in(page, OPERATOR)
        expect(page.get_by_role("alert")).to_contain_text("Too many wrong passwords")

        own_pages.clock.advance(seconds=10)
        log_in(page, OPERATOR)

        expect(page.locator(".who:visible")).to_have_text("aziza · operator")


def test_after_logging_out_the_way_back_shows_nothing(browser: Browser, own_pages: LivedPages) -> None:
    with watched(browser, own_pages.url, storage_state=own_pages.cookies(browser)) as operator:
        page = operator.open(f"/message/{UIDS.told}")

        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/login")
        page.goto(f"{own_pages.url}/message/{UIDS.told}")

        expect(page.get_by_role("button", name="Log in")).to_be_visible()
        assert operator.wrong() == []


def test_without_passwords_everybody_on_this_machine_is_an_operator(
    browser: Browser, sqlite_template: Path, tmp_path: Path
) -> None:
    nobody: dict[str, Any] = {"web_password": None, "web_viewer_password": None}
    with lived_pages(sqlite_template, tmp_path, **nobody) as pages, watched(browser, pages.url) as anybody:
        page = anybody.open("/")

        expect(page.locator(".who:visible")).to_have_text("local · operator")
        expect(page.get_by_role("button", name="Log out")).to_have_count(0)
        assert anybody.wrong() == []


@pytest.mark.parametrize(("language", "word"), [("Русский", "Сообщения"), ("Oʻzbekcha", "Xabarlar")], ids=["ru", "uz"])
def test_a_language_is_chosen_on_any_page_and_stays(look: Open, language: str, word: str) -> None:
    page = look("/messages?state=failed").page

    page.get_by_role("button", name=language).click()

    expect(page.get_by_role("link", name=word, exact=True)).to_be_visible()
    assert page.url.endswith("/messages?state=failed")
    page.reload()
    expect(page.get_by_role("link", name=word, exact=True)).to_be_visible()


def test_a_browser_s_own_language_is_spoken_at_first(look: Open) -> None:
    page = look("/login", role=None, locale="ru-RU").page

    expect(page.locator("html")).to_have_attribute("lang", "ru")


def test_dark_is_chosen_and_stays(look: Open) -> None:
    page = look("/").page
    assert brightness(page) > 0.8

    page.get_by_role("button", name="Dark").click()

    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    assert brightness(page) < 0.2
    page.goto(page.url + "messages")
    assert brightness(page) < 0.2


def test_the_system_s_theme_is_followed_without_javascript_too(look: Open) -> None:
    page = look("/", dark=True, java_script_enabled=False)

    page.page.get_by_role("button", name="Dark").click()

    assert page.page.locator("html").get_attribute("data-bs-theme") == "dark"


def brightness(page: Page) -> float:
    """Of the background: 0 is black."""
    colour: str = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    red, green, blue = (int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")[:3])
    return (red + green + blue) / 3 / 255
