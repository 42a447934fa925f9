"""The start page: is it going out, and if not, why, and what to do."""

import re
from datetime import timedelta

import pytest
from builders import NOON, Clock, Sessions, a_batch, an_sms, many_stored, stored
from sqlalchemy import insert, update
from web_pages import Browser

from models import Account, Message, RefusedIntake, Worker
from models.lifecycle import BatchState, Lane, MessageState
from worker.store import figures
from worker.store.accounts import BY_RESTORE, account_id_of, hold
from worker.store.overview import Minute
from worker.store.verdict import SAID
from worker.web.pages import words
from worker.web.pages.chart import chart_of

S = MessageState
REFUSAL = {"reason": "phone_fixed_line", "explanation": "no mobile", "body": "{}", "body_encoding": "utf-8"}


@pytest.fixture
def working(sessions: Sessions) -> None:
    """A worker is alive, and hears beat's bell."""
    row = {"name": "w1@host", "release": "0.4.0", "started_at": NOON - timedelta(hours=1), "seen_at": NOON}
    with sessions.begin() as session:
        session.execute(insert(Worker), [row | {"bell_at": NOON, "figures": {}}])


def verdict(page: str) -> str:
    found = re.search(r'verdict-(\w+)"[^>]*>\s*<p class="big"', page)
    assert found
    return found[1]


def test_without_a_worker_nothing_goes_out_and_the_page_says_what_to_do(operator: Browser) -> None:
    page = operator.get("/").text

    assert verdict(page) == "stopped"
    assert "No worker is alive." in page
    assert "Start one: celery -A worker worker" in page


@pytest.mark.usefixtures("working")
def test_where_nothing_waits_the_house_is_idle(operator: Browser) -> None:
    assert verdict(operator.get("/").text) == "idle"


@pytest.mark.usefixtures("working")
def test_a_code_that_waits_is_in_its_lane_with_its_age(operator: Browser, sessions: Sessions) -> None:
    many_stored(sessions, 3, lane=Lane.OTP, send_at=NOON - timedelta(seconds=45))

    page = operator.get("/").text

    row = (
        page.split("codes (otp)</th>", 1)[-1]
        if "codes (otp)</th>" in page
        else page.split('<th scope="row">codes (otp)')[1]
    )
    row = row.split("</tr>")[0]
    assert ">3</a>" in row
    assert "45 s" in row
    assert verdict(page) == "slow"


def test_more_than_is_counted_has_a_plus(
    operator: Browser, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "MOST", 7)
    many_stored(sessions, 9, lane=Lane.OTP, send_at=NOON)
    many_stored(sessions, 9, lane=Lane.OTP, send_at=NOON + timedelta(hours=1))
    for _ in range(9):
        stored(sessions, state=MessageState.SUBMITTED)

    page = operator.get("/").text

    assert page.count(">7+<") == 3


@pytest.mark.usefixtures("working")
def test_a_pause_stops_everything_and_can_be_ended_there(operator: Browser, sessions: Sessions) -> None:
    with sessions.begin() as session:
        hold(session, account_id_of(session, "login"), now=NOON, who="boris@host", reason="holiday")

    page = operator.get("/").text

    assert verdict(page) == "stopped"
    assert "boris@host" in page
    assert "Resume posting" in page


@pytest.mark.usefixtures("working")
def test_after_a_restore_the_verdict_does_not_say_to_resume(operator: Browser, sessions: Sessions) -> None:
    with sessions.begin() as session:
        hold(session, account_id_of(session, "login"), now=NOON, who=BY_RESTORE, reason=None)

    page = operator.get("/").text

    assert verdict(page) == "stopped"
    assert "The database was restored from a backup" in page
    assert "sms recover --since TIME" in page
    assert "Resume it below." not in page


def test_refused_orders_lead_to_those_of_their_reason_and_say_what_it_means(
    operator: Browser, sessions: Sessions
) -> None:
    order = {"uid": "x", "task": "sms.send", "queue": "sms.otp", "digest": "x", "created_at": NOON}
    with sessions.begin() as session:
        session.execute(insert(RefusedIntake), [order | REFUSAL])

    page = operator.get("/").text

    assert 'href="/refused?reason=phone_fixed_line&amp;queue=sms.otp"' in page
    assert "This is a fixed line, which takes no SMS." in page


def test_what_needs_somebody_is_shown_with_its_remedy(operator: Browser, sessions: Sessions) -> None:
    stored(sessions, state=S.UNCONFIRMED, lane=Lane.OTP, reason="read time-out")

    page = operator.get("/").text

    assert "Nobody knows whether these arrived" in page
    assert "/decide?lane=otp&amp;reason=read+time-out&amp;verdict=resend" in page or "verdict=resend" in page


def test_a_viewer_sees_the_same_without_a_single_button_that_acts(viewer: Browser, sessions: Sessions) -> None:
    stored(sessions, state=S.UNCONFIRMED, reason="read time-out")

    page = viewer.get("/").text

    assert "Nobody knows whether these arrived" in page
    assert "/decide?" not in page
    assert 'action="/do/' not in page


@pytest.mark.usefixtures("working")
def test_answers_and_errors_of_the_gateway_have_their_meaning_in_words(operator: Browser, sessions: Sessions) -> None:
    with sessions.begin() as session:
        a_batch(session, state=BatchState.ACCEPTED, accepted=2, refused=0, answer_ms=120)
        a_batch(session, state=BatchState.RELEASED, error_no=103, reason="limit is over", answer_ms=90)

    page = operator.get("/").text

    assert "error 103, the account&#39;s limit is used up" in page
    assert "120 ms" in page


def test_the_chart_says_the_same_in_a_table(operator: Browser, sessions: Sessions) -> None:
    before = NOON - timedelta(minutes=1)
    with sessions.begin() as session:
        batch = a_batch(session, state=BatchState.ACCEPTED, accepted=7, refused=0, finished_at=before)
        ended = {"state": S.DELIVERED, "batch_id": batch, "finalized_at": before}
        session.execute(insert(Message), [an_sms(**ended) for _ in range(5)])

    page = operator.get("/").text

    table = page.split("Messages, by quarters of an hour")[1].split("</table>")[0]
    assert re.search(r"<td>7</td><td>5</td><td>0</td></tr></tbody>", table)


def test_redis_being_away_keeps_nobody_from_looking(operator: Browser) -> None:
    answer = operator.get("/")

    assert answer.status_code == 200
    assert "Redis does not answer" in answer.text


def test_what_is_refreshed_is_the_same_page_without_its_frame(operator: Browser) -> None:
    piece = operator.get("/now").text

    assert "<html" not in piece
    assert piece.lstrip().startswith('<div id="now">')
    assert set(re.findall(r'data-part="(\w+)"', piece)) <= set(re.findall(r'data-part="(\w+)"', operator.get("/").text))


def test_no_style_stands_in_the_page_itself(operator: Browser) -> None:
    assert 'style="' not in operator.get("/").text


def test_a_trouble_of_the_account_may_be_tried_at_once(operator: Browser, sessions: Sessions, clock: Clock) -> None:
    with sessions.begin() as session:
        account_id_of(session, "login")
        paused = {"state": "paused", "reason": "incorrect login or password", "error_no": 101}
        session.execute(update(Account).values(**paused, paused_at=clock(), probe_at=clock() + timedelta(minutes=1)))

    page = operator.get("/").text

    assert "The vendor refuses the account" in page
    assert "Try again at once" in page


def test_every_reason_of_the_verdict_and_every_error_number_has_words() -> None:
    assert set(words.REASONS) == set(SAID)
    assert words.all_errors_have_words()


def test_a_quiet_night_is_drawn_along_the_floor() -> None:
    nothing = [Minute(NOON + timedelta(minutes=number), 0, 0, 0) for number in range(180)]

    chart = chart_of(nothing)

    assert {point.split()[1] for point in chart.paths["failed"].removeprefix("M").split(" L")} == {f"{chart.floor:.1f}"}


def test_the_minute_that_is_not_over_is_counted_and_not_drawn() -> None:
    nothing = [Minute(NOON + timedelta(minutes=number), 0, 0, 0) for number in range(179)]
    last = Minute(NOON + timedelta(minutes=179), 7, 5, 1)

    chart = chart_of([*nothing, last])

    assert chart.totals == {"accepted": 7, "delivered": 5, "failed": 1}
    assert {point.split()[1] for point in chart.paths["accepted"].removeprefix("M").split(" L")} == {
        f"{chart.floor:.1f}"
    }
