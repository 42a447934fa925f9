"""Everything can be done without a mouse, and one sees where one is."""

from collections.abc import Callable

import pytest
from chromium import NARROW, WIDE, Watched
from lived import TOLD_PHONE, UIDS
from playwright.sync_api import Page, expect

Open = Callable[..., Watched]
MOST_STOPS = 400
FOCUSED = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const box = one.getBoundingClientRect(), look = getComputedStyle(one);
  return {
    what: `${one.tagName} ${one.id} ${one.name || ""} ${(one.textContent || "").trim().slice(0, 30)}`,
    onscreen: box.width > 0 && box.right > 0 && box.bottom > 0 && box.left < innerWidth && box.top < innerHeight,
    ringed: (look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 2) || look.boxShadow !== "none",
  };
}"""
PAGES = ["/", "/messages", "/send", "/status", f"/message/{UIDS.first_in_doubt}", "/callbacks/3"]


def stops(page: Page) -> list[dict[str, object]]:
    """Where Tab leads, one after the other, until it leaves the page."""
    found: list[dict[str, object]] = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused is None:
            return found
        found.append(focused)
    raise AssertionError(f"Tab never leaves the page; last: {found[-3:]}")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_wherever_tab_leads_one_sees_it(look: Open, path: str, width: int, dark: bool) -> None:
    page = look(path, width=width, dark=dark).page

    found = stops(page)

    assert len(found) > 5
    assert [stop["what"] for stop in found if not stop["onscreen"]] == []
    assert [stop["what"] for stop in found if not stop["ringed"]] == []


@pytest.mark.parametrize("path", PAGES)
def test_nothing_jumps_the_queue(look: Open, path: str) -> None:
    page = look(path).page

    assert page.locator("[tabindex]:not([tabindex='0']):not([tabindex='-1'])").count() == 0


def test_the_first_stop_skips_the_menu(look: Open) -> None:
    page = look("/messages").page

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    assert page.evaluate("() => document.querySelector('main').contains(document.activeElement)")


def test_the_narrow_menu_opens_by_key(look: Open) -> None:
    page = look("/", width=NARROW).page
    expect(page.get_by_role("link", name="Messages", exact=True)).to_be_hidden()

    page.locator("summary", has_text="Menu").focus()
    page.keyboard.press("Space")
    page.get_by_role("link", name="Messages", exact=True).focus()
    page.keyboard.press("Enter")

    page.wait_for_url("**/messages")


def test_a_phone_is_found_by_keys_alone(look: Open) -> None:
    page = look("/messages").page

    page.get_by_role("searchbox").focus()
    page.keyboard.type(TOLD_PHONE)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**phone={TOLD_PHONE}**")

    expect(page.locator("main tbody tr")).to_have_count(1)


def test_a_theme_is_chosen_by_space(look: Open) -> None:
    page = look("/").page

    page.get_by_role("button", name="Dark").focus()
    page.keyboard.press("Space")

    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
