"""Whatever page it is: everybody can use it, on any screen, and it asks nobody but us for anything."""

from collections.abc import Callable
from urllib.parse import quote

import pytest
from chromium import NARROW, WIDE, Watched
from lived import UIDS
from lived_pages import OPERATOR, VIEWER

Open = Callable[..., Watched]
LISTS = ("messages", "batches", "reports", "callbacks", "refused", "decisions", "blocks", "workers")
PAGES = {
    "start": "/",
    "send": "/send",
    "status": "/status",
    **{name: f"/{name}" for name in LISTS},
    "messages filtered": "/messages?state=unconfirmed&lane=otp",
    "messages none": "/messages?phone=998000000000",
    "batch": "/batches/1",
    "callback": "/callbacks/3",
    "refused order": "/refused/3",
    "no such page": "/no-such-page",
    **{f"message {name}": f"/message/{quote(uid)}" for name, uid in UIDS._asdict().items()},
}
FORGIVEN = {"/no-such-page": "404", "/send": "403"}  #: there a viewer has no business
HAS_A_LANGUAGE_OF_ITS_OWN = ("ru", "uz")

every_page = pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)


def forgiving(look: Open, path: str, **how: object) -> Watched:
    """Chromium complains of each 404 in its console, even of one that we asked for."""
    page = look(None, **how)
    page.forgiven = (FORGIVEN[path],) if path in FORGIVEN else ()
    page.open(path)
    return page


@every_page
@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_bars_nobody_and_fits(look: Open, path: str, width: int, dark: bool) -> None:
    page = forgiving(look, path, width=width, dark=dark)

    assert page.barriers() == []
    assert page.too_wide() == []


@every_page
@pytest.mark.parametrize("language", HAS_A_LANGUAGE_OF_ITS_OWN)
def test_it_fits_in_long_words_too(look: Open, path: str, language: str) -> None:
    page = forgiving(look, path, width=NARROW, locale=language)

    assert page.page.locator("html").get_attribute("lang") == language
    assert page.too_wide() == []


@every_page
def test_a_viewer_sees_no_whole_phone_and_nothing_that_acts(look: Open, path: str) -> None:
    page = forgiving(look, path, role=VIEWER)

    acting = page.page.locator("main form[method=post]")
    assert acting.count() == 0
    shown = page.page.content()
    assert not [word for word in ("998901234567", "998971112233", "Kod: 4821") if word in shown]


@every_page
def test_without_javascript_it_says_the_same(look: Open, path: str) -> None:
    with_it = forgiving(look, path)
    without = forgiving(look, path, java_script_enabled=False)

    assert without.page.locator("h1").inner_text() == with_it.page.locator("h1").inner_text()
    for found in ("main table tbody tr", "main form", "main dl", "main a"):
        assert without.page.locator(found).count() == with_it.page.locator(found).count(), found


@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_log_in_bars_nobody_and_fits(look: Open, width: int, dark: bool) -> None:
    page = look("/login", role=None, width=width, dark=dark)

    assert page.barriers() == []
    assert page.too_wide() == []


def test_every_page_of_the_menu_is_among_these(look: Open) -> None:
    page = look("/").page

    menu = {link.get_attribute("href") for link in page.locator("nav a").all()}

    assert len(menu) > len(LISTS)
    assert menu <= set(PAGES.values())


def test_what_others_wrote_is_shown_and_never_run(look: Open) -> None:
    page = look(f"/message/{UIDS.evil}").page

    assert "<script src=//evil.example>" in page.locator("main").inner_text()
    assert page.locator("main script, main img").count() == 0


def test_a_page_with_a_foreign_file_would_be_caught(look: Open) -> None:
    page = look("/")

    with page.page.expect_event("console"):
        page.page.evaluate("() => { new Image().src = 'https://evil.example/x.png' }")

    assert any("evil.example" in one for one in page.wrong())
    page.forgiven = ("evil.example",)


def test_operators_see_whole_phones(look: Open) -> None:
    assert "998901234567" in look(f"/message/{UIDS.told}", role=OPERATOR).page.content()
