"""Lists: what is found, by whom, a page at a time, and as a file."""

import csv
import json
import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from builders import NOON, Sessions, a_batch, many_stored, stored, the_sms
from sqlalchemy import insert
from web_pages import Browser

from models import Account
from models.block import Block
from models.callback import Callback
from models.decision import Decision
from models.lifecycle import AccountState, BatchState, CallbackState, Lane, MessageState, Verdict
from models.refused_intake import RefusedIntake
from models.report import Report
from worker.store.accounts import account_id_of
from worker.web.lists import rows as rows_module
from worker.web.lists.cells import masked_words
from worker.web.lists.view import AT_ONCE

PHONE = "998901234567"
MASKED = "********4567"
TEXT = "Your code is 4821"


def uids(page: str) -> list[str]:
    """The messages of a list, in its order."""
    return list(dict.fromkeys(re.findall(r'href="/message/([^"]+)"', page)))


def link(page: str, words: str) -> str:
    """Where the link with these words leads."""
    found = re.search(rf'<a [^>]*href="([^"]+)"[^>]*>{words}</a>', page)
    assert found, words
    return found[1].replace("&amp;", "&")


def test_messages_are_listed_newest_first(operator: Browser, sessions: Sessions) -> None:
    for uid in ("first", "second", "third"):
        stored(sessions, uid=uid)

    page = operator.get("/messages").text

    assert uids(page) == ["third", "second", "first"]
    assert "3 rows" in page


def test_an_operator_sees_whole_phones_and_texts(operator: Browser, sessions: Sessions) -> None:
    stored(sessions, phone=PHONE, text=TEXT)

    page = operator.get("/messages").text

    assert PHONE in page
    assert TEXT in page


def test_a_viewer_sees_the_last_four_digits_and_no_text(viewer: Browser, sessions: Sessions) -> None:
    stored(sessions, phone=PHONE, text=TEXT)

    page = viewer.get("/messages").text

    assert MASKED in page
    assert PHONE not in page
    assert TEXT not in page


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("state=failed", ["failed"]),
        ("lane=otp", ["otp"]),
        ("producer=bank", ["bank"]),
        ("nickname=INFO", ["named"]),
        ("phone=%2B998+90+123-45-67", ["phone"]),
        ("key=order-7", ["key"]),
        ("request_id=77", ["request"]),
        ("since=2026-12-01", ["late"]),
        ("until=2026-11-30+16:59", []),
        ("until=2026-12-01+00:00&lane=otp", ["otp"]),
        ("state=delivered&lane=otp", []),
    ],
)
def test_a_filter_leaves_what_meets_it(operator: Browser, sessions: Sessions, asked: str, found: list[str]) -> None:
    stored(sessions, uid="failed", state=MessageState.FAILED)
    stored(sessions, uid="otp", lane=Lane.OTP)
    stored(sessions, uid="bank", producer="bank")
    stored(sessions, uid="named", nickname="INFO")
    stored(sessions, uid="phone", phone=PHONE)
    stored(sessions, uid="key", key="order-7")
    stored(sessions, uid="request", state=MessageState.SUBMITTED, request_id="77")
    stored(sessions, uid="late", created_at=NOON + timedelta(days=1))

    assert uids(operator.get(f"/messages?{asked}").text) == found


@pytest.mark.parametrize("asked", ["state=gone", "since=yesterday", "batch=many", "lane=OTP", "producer=%00"])
def test_a_filter_that_cannot_be_read_is_named(operator: Browser, asked: str) -> None:
    answer = operator.get(f"/messages?{asked}")

    assert answer.status_code == 400
    assert 'role="alert"' in answer.text


def test_what_somebody_typed_is_never_markup(operator: Browser) -> None:
    page = operator.get("/messages", params={"producer": '"><script>alert(1)</script>'}).text

    assert "<script>alert(1)" not in page


def test_pages_follow_each_other_and_lead_back(operator: Browser, sessions: Sessions) -> None:
    ids = many_stored(sessions, 2 * AT_ONCE + 3)
    expected = [the_sms(sessions, number).uid for number in reversed(ids)]

    first = operator.get("/messages").text
    second = operator.get(link(first, "Older")).text
    third = operator.get(link(second, "Older")).text
    back = operator.get(link(third, "Newer")).text

    assert uids(first) + uids(second) + uids(third) == expected
    assert uids(back) == uids(second)
    assert ">Older</a>" not in third
    assert ">Newer</a>" not in first


def test_the_filter_stays_from_page_to_page(operator: Browser, sessions: Sessions) -> None:
    many_stored(sessions, AT_ONCE + 1, producer="bank")
    many_stored(sessions, 5, producer="shop")

    first = operator.get("/messages?producer=bank").text
    second = operator.get(link(first, "Older")).text

    assert (len(uids(first)), len(uids(second))) == (AT_ONCE, 1)


def test_a_list_without_an_index_is_looked_through_a_window_at_a_time(
    operator: Browser, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_module, "WINDOW", 10)
    with sessions.begin() as session:
        old = a_batch(session, state=BatchState.REFUSED)
        for _ in range(79):
            a_batch(session, state=BatchState.RELEASED)

    first = operator.get("/batches?state=refused").text
    second = operator.get(link(first, "Older")).text

    assert "Nothing found so far" in first
    assert f'href="/batches/{old}"' in second
    assert ">Older</a>" not in second
    assert "Nothing found so far" in operator.get(link(second, "Newer")).text


def test_a_time_is_found_by_halves(operator: Browser, sessions: Sessions) -> None:
    with sessions.begin() as session:
        numbers = [a_batch(session, created_at=NOON + timedelta(hours=hour)) for hour in range(40)]

    page = operator.get("/batches?since=2026-11-30+20:00&until=2026-11-30+22:00").text  # 15:00 to 17:00 in UTC

    assert [number for number in numbers if f'href="/batches/{number}"' in page] == numbers[3:5]


def test_instants_are_those_of_the_gateways_zone_which_is_named(operator: Browser, sessions: Sessions) -> None:
    stored(sessions)

    page = operator.get("/messages").text

    assert "2026-11-30 17:00:00" in page
    assert "Times are in Asia/Tashkent." in page


def test_a_batch_leads_to_its_messages_and_back(operator: Browser, sessions: Sessions) -> None:
    number = the_sms(sessions, stored(sessions, uid="in it", state=MessageState.SUBMITTED)).batch_id

    batch = operator.get(f"/batches/{number}").text
    messages = operator.get(link(batch, "Messages of this batch")).text

    assert uids(messages) == ["in%20it"]
    assert f'href="/batches/{number}"' in messages


def test_a_report_is_found_by_its_message_and_leads_to_it(operator: Browser, sessions: Sessions) -> None:
    number, other = stored(sessions, uid="this"), stored(sessions, uid="other")
    a_report(sessions, sms_id=number, gateway_status="DELIVRD")
    a_report(sessions, sms_id=other, gateway_status="EXPIRED")

    page = operator.get(f"/reports?message={number}").text

    assert uids(page) == ["this"]
    assert "DELIVRD" in page
    assert "EXPIRED" not in page


def test_only_an_operator_sees_what_the_gateway_answered(
    operator: Browser, viewer: Browser, sessions: Sessions
) -> None:
    a_report(sessions, sms_id=stored(sessions), answer={"recipient": PHONE})

    shown, masked = operator.get("/reports/1").text, viewer.get("/reports/1").text

    assert PHONE in shown
    assert PHONE not in masked


def test_a_callbacks_secrets_are_for_operators(operator: Browser, viewer: Browser, sessions: Sessions) -> None:
    a_callback(sessions, target={"url": "https://user:hidden-word@shop.example/sms?key=hidden-too"})

    shown, masked = operator.get("/callbacks/1").text, viewer.get("/callbacks/1").text

    assert "hidden-word" in shown
    assert PHONE in shown
    for hidden in ("hidden-word", "hidden-too", PHONE):
        assert hidden not in masked
        assert hidden not in viewer.get("/callbacks").text
    assert "https://shop.example" in masked


def test_the_body_of_a_refused_order_is_for_operators(operator: Browser, viewer: Browser, sessions: Sessions) -> None:
    a_refused(sessions, body=json.dumps({"phone": PHONE, "text": TEXT}), explanation=f"phone: +{PHONE} is none")

    shown, masked = operator.get("/refused/1").text, viewer.get("/refused/1").text

    assert TEXT in shown
    assert TEXT not in masked
    assert PHONE not in masked
    assert MASKED in masked


def test_a_long_body_is_cut_and_can_be_shown_whole(operator: Browser, sessions: Sessions) -> None:
    a_refused(sessions, body="x" * 5_000)

    page = operator.get("/refused/1").text

    assert "<details><summary>" + "x" * 400 + "…" in page
    assert "x" * 5_000 in page


def test_decisions_name_who_and_lead_to_the_message(viewer: Browser, sessions: Sessions) -> None:
    with sessions.begin() as session:
        row = {"at": NOON, "who": "web:anna", "what": Verdict.CANCEL, "uid": "this", "reason": f"{PHONE} asked for it"}
        session.execute(insert(Decision), [row])

    page = viewer.get("/decisions?what=cancel").text

    assert uids(page) == ["this"]
    assert "web:anna" in page
    assert f"{MASKED} asked for it" in page


def test_blocked_numbers_are_masked_for_viewers(operator: Browser, viewer: Browser, sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.execute(insert(Block), [{"phone": PHONE, "lane": Lane.BULK, "who": "anna", "at": NOON}])

    assert PHONE in operator.get(f"/blocks?phone={PHONE}").text
    assert PHONE not in viewer.get("/blocks").text


@pytest.mark.parametrize("path", ["/batches/999", "/decisions/1", "/messages/1", "/reports/99999999999999999999999"])
def test_a_row_that_is_not_there_is_not_found(operator: Browser, path: str) -> None:
    assert operator.get(path).status_code == 404


def test_a_file_holds_all_that_the_filter_means_however_many_pages_it_is(operator: Browser, sessions: Sessions) -> None:
    many_stored(sessions, 1_201, producer="bank", text="=1+1")
    many_stored(sessions, 7, producer="shop")

    answer = operator.get("/messages.csv?producer=bank")

    rows = list(csv.DictReader(StringIO(answer.text)))
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="messages.csv"'
    assert len({row["uid"] for row in rows}) == 1_201
    assert {row["producer"] for row in rows} == {"bank"}
    assert {row["text"] for row in rows} == {"'=1+1"}  # no formula for a spreadsheet


def test_a_file_of_json_has_instants_in_utc(operator: Browser, sessions: Sessions) -> None:
    stored(sessions, phone=PHONE, text=TEXT)

    (row,) = [json.loads(line) for line in operator.get("/messages.jsonl").text.splitlines()]

    assert (row["phone"], row["text"], row["created_at"]) == (PHONE, TEXT, "2026-11-30T12:00:00+00:00")


def test_a_viewers_file_is_masked(viewer: Browser, sessions: Sessions) -> None:
    stored(sessions, phone=PHONE, text=TEXT)
    a_callback(sessions)

    files = [viewer.get(f"/{name}").text for name in ("messages.csv", "messages.jsonl", "callbacks.csv")]

    assert MASKED in files[0]
    assert MASKED in files[1]
    assert all(PHONE not in file and TEXT not in file for file in files)


@pytest.mark.parametrize("path", ["/messages.xlsx", "/messages.csv?state=gone"])
def test_a_file_that_cannot_be_is_refused(operator: Browser, path: str) -> None:
    assert operator.get(path).status_code in {400, 404}


@pytest.mark.parametrize(
    ("typed", "leads_to"),
    [
        ("this/one", "/message/this/one"),
        ("+998 90 123-45-67", f"/messages?phone={PHONE}"),
        ("901234567", f"/messages?phone={PHONE}"),
        ("order 7", "/messages?key=order+7"),
        ("555777", "/messages?request_id=555777"),
        ("kept out", "/refused?uid=kept+out"),
    ],
    ids=["uid", "phone", "phone without a code", "key", "request_id", "uid of a refused order"],
)
def test_one_box_knows_what_was_typed(operator: Browser, sessions: Sessions, typed: str, leads_to: str) -> None:
    stored(sessions, uid="this/one", phone=PHONE, key="order 7", state=MessageState.SUBMITTED, request_id="555777")
    a_refused(sessions, uid="kept out")

    answer = operator.http.get("/find", params={"q": typed}, follow_redirects=False)

    assert (answer.status_code, answer.headers.get("location")) == (303, leads_to)


def test_what_may_be_two_things_is_asked_back(operator: Browser, sessions: Sessions) -> None:
    stored(sessions, key="5001", state=MessageState.SUBMITTED, request_id="5001")

    page = operator.get("/find?q=5001").text

    assert "/messages?key=5001" in page
    assert "/messages?request_id=5001" in page


def test_what_nobody_knows_is_said_so(operator: Browser) -> None:
    assert "Nothing is known of" in operator.get("/find?q=nobody").text
    assert operator.get("/find?q=%00").status_code == 200
    assert operator.get("/find").status_code == 200


def test_the_house_is_shown_with_its_workers_and_accounts(viewer: Browser, sessions: Sessions) -> None:
    with sessions.begin() as session:
        a_batch(session)

    page = viewer.get("/workers").text

    assert "No worker was seen in the last day." in page
    assert "login" in page


def a_report(sessions: Sessions, **changes: Any) -> None:
    with sessions.begin() as session:
        session.execute(insert(Report), [{"received_at": NOON, "answer": {}} | changes])


def a_callback(sessions: Sessions, **changes: Any) -> None:
    row: dict[str, Any] = {
        "event_id": "event",
        "target": {"url": "https://shop.example/sms"},
        "event": {"state": "delivered", "phone": PHONE},
        "state": CallbackState.TOLD,
        "attempts": 1,
        "created_at": NOON,
        "finished_at": NOON,
    }
    with sessions.begin() as session:
        session.execute(insert(Callback), [row | changes])


def a_refused(sessions: Sessions, **changes: Any) -> None:
    row: dict[str, Any] = {
        "digest": "digest",
        "queue": "sms.normal",
        "reason": "phone_invalid",
        "explanation": "phone: not a possible number.",
        "body": "{}",
        "body_encoding": "utf-8",
        "created_at": NOON,
    }
    with sessions.begin() as session:
        session.execute(insert(RefusedIntake), [row | changes])


@pytest.mark.parametrize(
    "written",
    [
        "998901234567",
        "+998 (90) 123-45-67",
        "998.90.123.45.67",
        "998/90/123_45_67",
        "998\N{NON-BREAKING HYPHEN}901234567",
    ],
)
def test_a_phone_is_masked_however_it_is_written(written: str) -> None:
    assert masked_words(f"otp for {written}, 2 parts") == f"otp for {MASKED}, 2 parts"


def test_a_viewer_finds_no_phone_that_others_wrote_into_their_words(
    operator: Browser, viewer: Browser, sessions: Sessions
) -> None:
    words = f"for {PHONE}, please"
    sms_id = stored(sessions, uid="this", key=words, state=MessageState.FAILED, reason=words, gateway_status=words)
    a_refused(sessions, uid="this", explanation=words, producer=words, key=words, task=words)
    a_report(sessions, sms_id=sms_id, gateway_status=words)
    with sessions.begin() as session:
        row = {"at": NOON, "who": "web:anna", "what": Verdict.CANCEL, "uid": "this", "reason": words}
        session.execute(insert(Decision), [row])
        account = session.get_one(Account, account_id_of(session, "login"))
        account.state, account.reason = AccountState.PAUSED, words
        account.paused_at = account.probe_at = NOON
    lists = ("messages", "refused", "reports", "decisions")
    addresses = [f"/{name}{form}" for name in lists for form in ("", ".csv", ".jsonl")]
    addresses += ["/", "/message/this", "/refused/1", "/reports/1", "/workers"]

    shown = {address for address in addresses if PHONE in operator.get(address).text}
    leaking = {address for address in addresses if PHONE in viewer.get(address).text}

    assert shown == set(addresses)
    assert leaking == set()


def test_what_is_filtered_by_is_said_and_does_not_push_the_rows_down(operator: Browser) -> None:
    page = operator.get("/messages?phone=998901234567").text

    assert '<details class="filtering">' in page
    assert "Phone: 998901234567" in page
    assert '<a href="/messages">No filter</a>' in page
