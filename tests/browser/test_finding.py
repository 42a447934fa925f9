"""Whoever answers a customer finds his message: by what he says, by filters, page by page, and as a file."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from chromium import NARROW, Watched
from lived import TOLD_KEY, TOLD_PHONE, TOLD_REQUEST_ID, UIDS
from lived_pages import VIEWER
from playwright.sync_api import Page, expect

Open = Callable[..., Watched]


def find(page: Page, words: str) -> None:
    box = page.get_by_role("searchbox")
    box.fill(words)
    box.press("Enter")


def moments(page: Page) -> list[str]:
    """When the messages of a list were ordered, from its top."""
    return [row.locator("td").first.inner_text() for row in page.locator("main tbody tr").all()]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(TOLD_PHONE, id="phone"),
        pytest.param("+998 (90) 123-45-67", id="phone as people write it"),
        pytest.param(TOLD_KEY, id="key"),
        pytest.param(TOLD_REQUEST_ID, id="request_id"),
    ],
)
def test_one_box_finds_a_message_by_whatever_one_has(look: Open, words: str) -> None:
    page = look("/").page

    find(page, words)

    link = page.locator(f"main tbody a[href$='{UIDS.told}']").first
    expect(page.locator("main tbody tr")).to_have_count(1)
    link.click()
    page.wait_for_url(f"**/message/{UIDS.told}")


def test_a_uid_leads_to_the_story_at_once(look: Open) -> None:
    page = look("/", width=NARROW).page

    find(page, UIDS.told)

    page.wait_for_url(f"**/message/{UIDS.told}")


def test_what_is_not_there_is_said_with_where_it_may_be(look: Open) -> None:
    page = look("/").page

    find(page, "998000000000")

    expect(page.locator("main")).to_contain_text("Nothing is known of “998000000000”")


def test_filters_are_met_by_every_row_and_stay_in_the_form(look: Open) -> None:
    page = look("/messages").page
    open_filters(page)

    page.get_by_label("State").select_option("failed")
    page.get_by_label("Lane").select_option("bulk")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**state=failed**")

    rows = page.locator("main tbody tr")
    expect(rows).to_have_count(22)
    assert all("failed" in row and "bulk" in row for row in rows.all_inner_texts())
    open_filters(page)
    expect(page.get_by_label("State")).to_have_value("failed")


def test_a_filter_that_makes_no_sense_is_explained(look: Open) -> None:
    page = look(None)
    page.forgiven = ("400",)

    page.open("/messages?since=yesterday")

    expect(page.page.get_by_role("alert")).to_contain_text("“yesterday” is no time")


def test_older_and_newer_lead_there_and_back(look: Open) -> None:
    page = look("/messages?state=delivered").page
    first = moments(page)

    page.get_by_role("link", name="Older").click()
    page.wait_for_url("**before=**")
    second = moments(page)
    page.get_by_role("link", name="Newer").click()
    page.wait_for_url("**after=**")

    assert min(first) >= max(second)
    assert first != second
    assert moments(page) == first
    assert "state=delivered" in page.url


@pytest.mark.parametrize("role", ["operators only", VIEWER])
def test_a_file_holds_what_the_filter_means_and_only_what_one_may_see(look: Open, role: str) -> None:
    page = look("/messages?state=unconfirmed", role=role).page

    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()

    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["uid"] for row in rows} == {UIDS.first_in_doubt, UIDS.second_in_doubt}
    assert {row["phone"][:8] for row in rows} == ({"********"} if role == VIEWER else {"99893555"})
    assert ("text" in rows[0]) == (role != VIEWER)


def test_the_other_file_is_json_lines(look: Open) -> None:
    page = look("/messages?state=failed&lane=otp").page

    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()

    rows = [json.loads(line) for line in Path(download.value.path()).read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 14
    assert {(row["state"], row["lane"]) for row in rows} == {("failed", "otp")}


def test_a_message_s_story_is_told_in_order(look: Open) -> None:
    page = look(f"/message/{UIDS.told}").page

    told = page.locator("main").inner_text()

    moments_of_it = [told.index(words) for words in ("aziza", TOLD_REQUEST_ID, "delivered")]
    assert all(place >= 0 for place in moments_of_it)
    assert "the customer says that nothing came" in told
    assert "order-1001" in told


def test_from_a_message_one_comes_to_its_batch_and_back(look: Open) -> None:
    page = look(f"/message/{UIDS.failed}").page

    page.locator("main a[href^='/batches/']").first.click()
    page.wait_for_url("**/batches/*")
    page.locator("main a[href*='/messages?batch=']").first.click()
    page.wait_for_url("**/messages?batch=*")

    expect(page.locator(f"main a[href$='{UIDS.failed}']").first).to_be_visible()


def open_filters(page: Page) -> None:
    """Where they are folded away."""
    folded = page.locator("main details:has(form.filters):not([open]) > summary, details.filters:not([open]) > summary")
    if folded.count():
        folded.click()


def test_the_cells_of_a_row_stand_side_by_side(look: Open) -> None:
    page = look("/messages").page

    tops = (
        page.locator("main tbody tr")
        .first.locator("td")
        .evaluate_all("cells => cells.map(cell => Math.round(cell.getBoundingClientRect().top))")
    )

    assert max(tops) - min(tops) < 5, tops
