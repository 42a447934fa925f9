"""What an operator does by the page, on the real ``sms web``: each with a word of what was done, each in the audit."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lived
import pytest
from chromium import Watched, watched
from lived import UIDS
from lived_pages import LOGIN, OPERATOR, VIEWER
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text
from web_process import web_process

from worker.clock import utc_now
from worker.store.engine import make_engine, make_sessions


class Desk:
    """An operator's browser on a house with a past, and what stands in its database."""

    def __init__(self, watched: Watched, database_url: str) -> None:
        self.watched = watched
        self.page: Page = watched.page
        self._engine = make_engine(database_url)

    def open(self, path: str) -> Page:
        return self.watched.open(path)

    def rows(self, query: str, **values: Any) -> Sequence[Any]:
        with self._engine.connect().execution_options(sqlite_reading=True) as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]

    def state(self, uid: str) -> str:
        ((state,),) = self.rows("SELECT state FROM messages WHERE uid = :uid", uid=uid)
        return str(state)

    def audit(self, uid: str | None = None) -> Sequence[Any]:
        """What dilnoza did about a message, or about the account: who, what, why."""
        query = "SELECT who, what, reason FROM decisions WHERE uid IS NOT DISTINCT FROM :uid AND who = :who ORDER BY id"
        return self.rows(query, uid=uid, who="web:dilnoza")

    def close(self) -> None:
        self._engine.dispose()


@pytest.fixture
def desk(browser: Browser, database_url: str, tmp_path: Path) -> Iterator[Desk]:
    engine = make_engine(database_url)
    lived.live(make_sessions(engine), login=LOGIN, now=utc_now())
    engine.dispose()
    env = {"SMS_DATABASE_URL": database_url, "SMS_GATEWAY_URL": "http://127.0.0.1:9/smsgateway"}
    env |= {"SMS_GATEWAY_LOGIN": LOGIN, "SMS_GATEWAY_PASSWORD": "x", "SMS_REDIS_URL": "redis://127.0.0.1:9/0"}
    env |= {"SMS_WEB_PASSWORD": OPERATOR, "SMS_WEB_VIEWER_PASSWORD": VIEWER}
    with web_process(tmp_path, env) as url, watched(browser, url) as one:
        desk = Desk(one, database_url)
        log_in(one.open("/login"), OPERATOR)
        yield desk
        desk.close()
        assert one.wrong() == []


def log_in(page: Page, password: str) -> None:
    page.fill("#who", "dilnoza")
    page.fill("#password", password)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator(".who:visible")).to_contain_text("dilnoza")


def told(page: Page, words: str) -> None:
    """The page says so after a form."""
    expect(page.locator(".alert", has_text=words)).to_be_visible()


def test_posting_is_paused_for_a_reason_that_the_others_read_and_resumed(desk: Desk) -> None:
    page = desk.open("/")

    page.get_by_text("Pause posting…").click()
    page.get_by_label("Why").fill("wrong price in the campaign")
    page.get_by_role("button", name="Pause posting").click()

    told(page, "Posting is paused.")
    expect(page.locator("main")).to_contain_text("web:dilnoza")
    assert desk.rows("SELECT held_by FROM accounts") == [("web:dilnoza",)]

    page.get_by_role("button", name="Resume").first.click()

    told(page, "Posting goes on.")
    assert desk.rows("SELECT held_by FROM accounts") == [(None,)]
    assert [what for _, what, _ in desk.audit()] == ["pause", "resume"]
    assert desk.audit()[0] == ("web:dilnoza", "pause", "wrong price in the campaign")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("verdict", "state"), [("Resend", "queued"), ("Drop", "failed")], ids=["resend", "drop"])
def test_a_decision_is_asked_for_again_and_may_be_left(desk: Desk, verdict: str, state: str) -> None:
    page = desk.open(f"/message/{UIDS.first_in_doubt}")

    page.get_by_role("link", name=f"{verdict}…").click()
    expect(page.locator("main")).to_contain_text("1 message")
    page.get_by_role("link", name="Leave them as they are").click()
    page.wait_for_url(f"**/message/{UIDS.first_in_doubt}")
    assert desk.state(UIDS.first_in_doubt) == "unconfirmed"

    page.get_by_role("link", name=f"{verdict}…").click()
    page.locator("main button.btn-danger").click()
    page.wait_for_url(f"**/message/{UIDS.first_in_doubt}")

    told(page, "1 message is")
    assert desk.state(UIDS.first_in_doubt) == state
    assert desk.state(UIDS.second_in_doubt) == "unconfirmed"
    assert desk.audit(UIDS.first_in_doubt)[0][:2] == ("web:dilnoza", verdict.lower())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_all_that_is_in_doubt_is_decided_from_the_start_page(desk: Desk) -> None:
    page = desk.open("/")

    page.get_by_role("link", name="Resend…").first.click()
    expect(page.locator("main")).to_contain_text("2 messages")
    page.get_by_role("button", name="Post 2 again").click()

    told(page, "2 messages are queued to be posted again.")
    assert {desk.state(UIDS.first_in_doubt), desk.state(UIDS.second_in_doubt)} == {"queued"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_message_that_waits_is_cancelled(desk: Desk) -> None:
    page = desk.open(f"/message/{UIDS.waiting}")

    page.get_by_role("button", name="Cancel it").click()

    told(page, "The message is cancelled")
    assert desk.state(UIDS.waiting) == "cancelled"
    assert desk.audit(UIDS.waiting)[0][1] == "cancel"
    expect(page.get_by_role("button", name="Cancel it")).to_have_count(0)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_gateway_is_asked_again_about_what_was_given_up(desk: Desk) -> None:
    page = desk.open(f"/message/{UIDS.unknown}")

    page.get_by_role("button", name="Ask the gateway again").click()

    told(page, "The gateway is asked once more")
    assert desk.state(UIDS.unknown) == "submitted"
    assert desk.audit(UIDS.unknown)[0][1] == "ask"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_producers_are_told_again_one_by_one_or_all(desk: Desk) -> None:
    failed = "SELECT count(*) FROM callbacks WHERE state = 'failed'"
    page = desk.open(f"/message/{UIDS.failed}")

    page.get_by_role("button", name="Tell its producer again").click()
    told(page, "1 callback is told again now.")
    assert desk.rows(failed) == [(1,)]
    page = desk.open("/")
    page.get_by_role("button", name="Tell all of them again").click()

    told(page, "1 callback is told again now.")
    assert desk.rows(failed) == [(0,)]
    assert desk.rows("SELECT DISTINCT retried_by FROM callbacks WHERE retried_by IS NOT NULL") == [("web:dilnoza",)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_page_left_open_acts_on_nothing_that_has_changed_since(desk: Desk) -> None:
    page = desk.open(f"/message/{UIDS.waiting}")
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("button", name="Cancel it").click()
    told(other, "The message is cancelled")

    page.get_by_role("button", name="Cancel it").click()

    told(page, "It was no longer queued")
    assert len(desk.audit(UIDS.waiting)) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_everything_is_done_without_javascript_too(desk: Desk) -> None:
    state: Any = desk.page.context.storage_state()
    browser = desk.page.context.browser
    assert browser
    with watched(browser, desk.watched.url, java_script_enabled=False, storage_state=state) as plain:
        page = plain.open("/")
        page.get_by_text("Pause posting…").click()
        page.get_by_role("button", name="Pause posting").click()

        told(page, "Posting is paused.")
        assert plain.wrong() == []
    assert [what for _, what, _ in desk.audit()] == ["pause"]
