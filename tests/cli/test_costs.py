"""What was sent and billed, in parts and money."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from builders import NOON, Sessions, a_batch, stored

from models.lifecycle import BatchState, Lane, MessageState
from worker.clock import utc_now

Sms = Any  # the command: words in, what came of it out
MONTH = ("--since", "2026-11-01", "--until", "2026-11-30")


def posted(sessions: Sessions, at: datetime = NOON, **changes: Any) -> None:
    """Store an SMS that was posted *at* then; delivered, unless *changes* say otherwise."""
    with sessions.begin() as session:
        batch_id = a_batch(session, state=BatchState.ACCEPTED, accepted=1, refused=0, created_at=at)
    state = changes.pop("state", MessageState.DELIVERED)
    stored(sessions, **{"state": state, "batch_id": batch_id, "posted_at": at} | changes)


def failed(sessions: Sessions, **changes: Any) -> None:
    posted(sessions, state=MessageState.FAILED, **changes)


def lines(sms: Sms, *words: str) -> list[dict[str, Any]]:
    answer = sms("costs", "--json", *(words or MONTH))
    assert (answer.code, answer.err) == (0, "")
    return [json.loads(line) for line in answer.out.splitlines()]


def the_line(sms: Sms, *words: str) -> dict[str, Any]:
    (line,) = lines(sms, *words)
    return line


@pytest.fixture
def prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_PRICE_PER_PART", "95.1")
    monkeypatch.setenv("SMS_PRICE_PER_PART_OF_NICKNAME", "BANK=120.25,FREE=0")


def test_what_was_sent_is_summed_up_by_day_producer_and_nickname(sms: Sms, sessions: Sessions) -> None:
    posted(sessions, producer="shop", nickname="SHOP", parts=2, billed_parts=3)
    posted(sessions, producer="shop", nickname="SHOP", state=MessageState.SUBMITTED)
    posted(sessions, producer="shop")
    posted(sessions, NOON - timedelta(days=1), producer="bank", nickname="BANK", billed_parts=1)

    found = lines(sms)

    assert [(one["day"], one["producer"], one["nickname"]) for one in found] == [
        ("2026-11-29", "bank", "BANK"),
        ("2026-11-30", "shop", None),
        ("2026-11-30", "shop", "SHOP"),
    ]
    assert found[2] == {
        "day": "2026-11-30",
        "producer": "shop",
        "nickname": "SHOP",
        "messages": 2,
        "delivered": 1,
        "delivered_share": 0.5,
        "parts": 3,
        "billed_parts": 3,
        "billed_more": 1,
        "unbilled_parts": 1,
        "in_doubt": 0,
        "in_doubt_parts": 0,
        "money": None,
        "own_money": None,
        "in_doubt_money": None,
        "currency": None,
    }


@pytest.mark.usefixtures("prices")
def test_money_is_exact_by_the_gateways_parts_where_they_are_known_and_else_by_ours(
    sms: Sms, sessions: Sessions
) -> None:
    posted(sessions, parts=2, billed_parts=3)
    posted(sessions, parts=2, state=MessageState.SUBMITTED)
    posted(sessions, nickname="BANK", billed_parts=1)
    posted(sessions, nickname="FREE", billed_parts=1)

    by_nickname = lines(sms, *MONTH, "--by", "nickname")
    total = the_line(sms, *MONTH, "--by", "producer")

    assert [(one["nickname"], one["money"], one["own_money"]) for one in by_nickname] == [
        (None, "475.5", "190.2"),
        ("BANK", "120.25", "0"),
        ("FREE", "0", "0"),
    ]
    assert (total["money"], total["own_money"], total["currency"]) == ("595.75", "190.2", "UZS")


TAKEN: dict[str, tuple[MessageState, dict[str, Any]]] = {
    "submitted": (MessageState.SUBMITTED, {}),
    "delivered": (MessageState.DELIVERED, {}),
    "without a final report": (MessageState.UNKNOWN, {}),
    "reported undeliverable": (MessageState.FAILED, {"request_id": "1", "submitted_at": NOON}),
}


@pytest.mark.parametrize(("state", "changes"), TAKEN.values(), ids=TAKEN)
def test_what_the_gateway_took_costs_money_whatever_became_of_it(
    sms: Sms, sessions: Sessions, state: MessageState, changes: dict[str, Any]
) -> None:
    posted(sessions, state=state, **changes)

    assert the_line(sms)["messages"] == 1


FREE: dict[str, tuple[MessageState, dict[str, Any]]] = {
    "queued": (MessageState.QUEUED, {}),
    "being posted": (MessageState.POSTING, {}),
    "cancelled": (MessageState.CANCELLED, {}),
    "expired": (MessageState.EXPIRED, {}),
    "refused by the gateway": (MessageState.FAILED, {"reason": "is NOT a phone number", "error_no": 300}),
}


@pytest.mark.parametrize(("state", "changes"), FREE.values(), ids=FREE)
def test_what_the_gateway_did_not_take_costs_nothing(
    sms: Sms, sessions: Sessions, state: MessageState, changes: dict[str, Any]
) -> None:
    posted(sessions, state=state, **changes)

    assert lines(sms) == []


IN_DOUBT: dict[str, tuple[MessageState, dict[str, Any], tuple[int, int, int]]] = {
    "unconfirmed": (MessageState.UNCONFIRMED, {}, (0, 1, 2)),
    "dropped": (MessageState.FAILED, {"reason": "dropped"}, (0, 1, 2)),
    "dropped by policy": (MessageState.FAILED, {"reason": "dropped_by_policy"}, (0, 1, 2)),
    "resent, and waiting": (MessageState.QUEUED, {"resends": 1}, (0, 1, 2)),
    "resent, and delivered": (MessageState.DELIVERED, {"resends": 1}, (1, 1, 2)),
    "resent, and cut off again": (MessageState.UNCONFIRMED, {"resends": 1}, (0, 2, 4)),
    "resent, and refused": (MessageState.FAILED, {"resends": 1, "error_no": 300}, (0, 1, 2)),
}


@pytest.mark.parametrize(("state", "changes", "expected"), IN_DOUBT.values(), ids=IN_DOUBT)
@pytest.mark.usefixtures("prices")
def test_each_post_that_was_cut_off_stands_apart_as_in_doubt(
    sms: Sms, sessions: Sessions, state: MessageState, changes: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    posted(sessions, state=state, parts=2, **changes)

    line = the_line(sms)

    messages, _, parts = expected
    assert (line["messages"], line["in_doubt"], line["in_doubt_parts"]) == expected
    assert (line["money"], line["in_doubt_money"]) == ("190.2" if messages else "0", f"{parts * 95.1:.1f}")


@pytest.mark.parametrize(
    ("zone", "moment"),
    [
        pytest.param("Asia/Tashkent", ("2026-11-29T18:59:59.999999", "2026-11-29"), id="the last instant of a day"),
        pytest.param("Asia/Tashkent", ("2026-11-29T19:00:00", "2026-11-30"), id="the first of the next"),
        pytest.param("UTC", ("2026-11-29T23:59:59.999999", "2026-11-29"), id="UTC"),
        pytest.param(
            "Asia/Kathmandu", ("2026-11-29T18:14:59.9", "2026-11-29"), id="three quarters off, before midnight"
        ),
        pytest.param("Asia/Kathmandu", ("2026-11-29T18:15:00", "2026-11-30"), id="three quarters off, at midnight"),
        pytest.param("America/Sao_Paulo", ("2026-11-30T02:59:59", "2026-11-29"), id="west of Greenwich"),
        pytest.param("Europe/Berlin", ("2026-10-25T22:59:59", "2026-10-25"), id="in the last hour of a day of 25"),
        pytest.param("Europe/Berlin", ("2026-10-24T22:00:00", "2026-10-25"), id="in the first of it"),
    ],
)
def test_days_are_those_of_the_gateways_zone(
    sms: Sms, sessions: Sessions, monkeypatch: pytest.MonkeyPatch, zone: str, moment: tuple[str, str]
) -> None:
    at, day = moment
    monkeypatch.setenv("SMS_GATEWAY_TIMEZONE", zone)
    posted(sessions, datetime.fromisoformat(at).replace(tzinfo=UTC))

    assert the_line(sms, "--since", day, "--until", day)["day"] == day
    assert lines(sms, "--until", "2026-10-01") == []


def test_without_days_it_shows_the_last_thirty_with_today(sms: Sms, sessions: Sessions) -> None:
    now = utc_now()
    for days in (0, 28, 31):
        posted(sessions, now - timedelta(days=days))

    assert sum(one["messages"] for one in lines(sms, "--by", "day")) == 2


def test_a_message_counts_on_the_day_of_its_post_whenever_it_was_ordered(sms: Sms, sessions: Sessions) -> None:
    posted(sessions, NOON, created_at=NOON - timedelta(days=40))

    assert the_line(sms, "--since", "2026-11-30", "--until", "2026-11-30")["messages"] == 1


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("lane", [("bulk",), ("otp",)]),
        ("producer,lane", [("bank", "otp"), ("shop", "bulk"), ("shop", "otp")]),
        (" lane , producer ", [("bulk", "shop"), ("otp", "bank"), ("otp", "shop")]),
        ("day", [("2026-11-30",)]),
    ],
    ids=["lane", "producer and lane", "in the order given", "day"],
)
def test_groups_are_chosen(sms: Sms, sessions: Sessions, by: str, groups: list[tuple[str, ...]]) -> None:
    for producer, lane in (("shop", Lane.OTP), ("shop", Lane.BULK), ("bank", Lane.OTP), ("shop", Lane.OTP)):
        posted(sessions, producer=producer, lane=lane)

    found = lines(sms, *MONTH, "--by", by)

    names = [name.strip() for name in by.split(",")]
    assert [tuple(one[name] for name in names) for one in found] == groups
    assert sum(one["messages"] for one in found) == 4


@pytest.mark.usefixtures("prices")
def test_people_are_shown_a_table_with_its_total(sms: Sms, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    posted(sessions, producer="shop", nickname="BANK", parts=1200, billed_parts=1201)
    posted(sessions, producer="shop\x1b[2J[red]", state=MessageState.UNCONFIRMED)
    posted(sessions, NOON - timedelta(days=1), producer="shop", state=MessageState.SUBMITTED)

    answer = sms("costs", *MONTH)

    first, heads, *rows, total = [line.split() for line in answer.out.splitlines()[:6]]
    assert first == ["Sent", "from", "2026-11-01", "to", "2026-11-30", "(Asia/Tashkent):"]
    assert heads == ["day", "producer", "nickname", "sent", "arrived", "parts", "billed", "more", "doubt", "UZS"]
    assert rows[0] == ["2026-11-29", "shop", "(none)", "1", "0.0%", "1", "0", "0", "0", "95.1"]
    assert rows[1][-7:] == ["1", "100.0%", "1,200", "1,201", "+1", "0", "144,420.25"]
    assert rows[2][-7:] == ["0", "-", "0", "0", "0", "1", "0"]
    assert total == ["total", "2", "50.0%", "1,201", "1,201", "+1", "1", "144,515.35"]
    assert "By our own count, where the gateway has not told its yet: 1 parts, 95.1 UZS." in answer.out
    assert "1 posts, 1 parts, 95.1 UZS. See sms unconfirmed." in answer.out
    assert "\x1b" not in answer.out
    assert max(map(len, answer.out.splitlines())) <= 120


def test_a_table_fits_eighty_columns(sms: Sms, sessions: Sessions, prices: None) -> None:  # noqa: ARG001
    posted(sessions, producer="a-producer-with-a-long-name", nickname="ELEVENCHARS", lane=Lane.NORMAL, parts=30_000)

    answer = sms("costs", *MONTH, "--by", "day,producer,nickname,lane")

    table = answer.out.split("billed: parts")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "2,853,000" in table


def test_without_a_price_there_is_no_column_of_money(sms: Sms, sessions: Sessions) -> None:
    posted(sessions)

    answer = sms("costs", *MONTH)

    assert "UZS" not in answer.out
    assert answer.out.endswith("Set SMS_PRICE_PER_PART to see money.\n")


def test_csv_has_a_line_of_names_even_if_nothing_was_sent(sms: Sms, sessions: Sessions) -> None:
    nothing = sms("costs", "--csv", *MONTH)
    posted(sessions, producer='a "shop", really\n', nickname=None)

    answer = sms("costs", "--csv", *MONTH)

    (row,) = csv.DictReader(io.StringIO(answer.out))
    assert nothing.out.splitlines() == answer.out.splitlines()[:1]
    assert (row["day"], row["producer"], row["nickname"], row["messages"]) == (
        "2026-11-30",
        'a "shop", really\\n',
        "",
        "1",
    )


def test_no_spreadsheet_takes_a_name_for_a_formula(sms: Sms, sessions: Sessions) -> None:
    posted(sessions, producer="=1+1")

    answer = sms("costs", "--csv", *MONTH, "--by", "producer")

    assert answer.out.splitlines()[1].startswith("'=1+1,")


def test_nothing_sent_is_said(sms: Sms) -> None:
    answer = sms("costs", *MONTH)

    assert (answer.code, answer.out) == (0, "Nothing was sent from 2026-11-01 to 2026-11-30 (Asia/Tashkent).\n")


WRONG: dict[str, tuple[list[str], str]] = {
    "no date": (["--since", "yesterday"], "--since 'yesterday' is no date: give one such as 2026-11-30."),
    "a time": (["--until", "2026-11-30T09:00"], "--until '2026-11-30T09:00' is no date"),
    "the end of the calendar": (["--until", "9999-12-31"], "--until '9999-12-31' is no date"),
    "its beginning": (["--since", "0001-01-01"], "--since '0001-01-01' is no date"),
    "the wrong way round": (["--since", "2026-11-30", "--until", "2026-11-01"], "--since 2026-11-30 is after --until"),
    "an unknown group": (["--by", "day,phone"], "--by 'day,phone': give one or more of day, producer, nickname, lane"),
    "no group": (["--by", ""], "--by '': give one or more of day"),
    "two formats": (["--json", "--csv"], "Choose one of --json and --csv."),
}


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_wrong_input_is_one_line(sms: Sms, words: list[str], said: str) -> None:
    answer = sms("costs", *words)

    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"sms: {said}")
    assert answer.err.count("\n") == 1
