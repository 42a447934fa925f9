"""``sms list`` finds messages in the words in which people ask for them."""

import csv
import io
import json
import shlex
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Sessions, many_stored, stored

from models.lifecycle import MessageState
from worker.store import listing

PHONE = "998901234567"
Sms = Callable[..., Any]


def rows_of(answer: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.out.splitlines()]


def test_the_newest_is_first_and_is_one_line(sms: Sms, sessions: Sessions) -> None:
    stored(sessions, uid="u1", phone=PHONE)
    stored(sessions, uid="u2", phone=PHONE, key="order-1")

    answer = sms("list")

    counted, first, second = answer.out.splitlines()
    assert (answer.code, counted) == (0, "Messages: 2.")
    assert first.split()[:2] == ["2", "2026-11-30"]
    assert "17:00:00+05:00  normal  ********4567  queued       u2  shop, key order-1" in first
    assert "u1" in second


def test_what_waits_for_its_time_says_until_when(sms: Sms, sessions: Sessions) -> None:
    stored(sessions, send_at=NOON + timedelta(days=1))

    assert sms("list").out.endswith(", not before 2026-12-01 17:00:00+05:00\n")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--phone", "+998 90 123-45-67"], id="phone"),
        pytest.param(["--key", "k"], id="key"),
        pytest.param(["--key-prefix", "k"], id="beginning of a key"),
        pytest.param(["--uid", "u1"], id="uid"),
        pytest.param(["--state", "failed", "--state", "delivered"], id="states"),
        pytest.param(["--lane", "otp"], id="lane"),
        pytest.param(["--producer", "bank"], id="producer"),
        pytest.param(["--nickname", "BANK"], id="nickname"),
        pytest.param(["--request-id", "77"], id="request"),
    ],
)
def test_it_is_found_by(sms: Sms, sessions: Sessions, words: list[str]) -> None:
    many_stored(sessions, 2)
    stored(
        sessions,
        uid="u1",
        phone=PHONE,
        key="k",
        lane="otp",
        producer="bank",
        nickname="BANK",
        state=MessageState.DELIVERED,
        request_id="77",
    )

    answer = sms("list", "--json", *words)

    assert [row["uid"] for row in rows_of(answer)] == ["u1"]


def test_the_last_line_is_the_command_that_goes_on(sms: Sms, sessions: Sessions) -> None:
    every = many_stored(sessions, 5, producer="a shop")

    first = sms("list", "--limit", "2", "--producer", "a shop")
    command = shlex.split(first.out.splitlines()[-1].removeprefix("More: "))
    second = sms(*command[1:])

    assert command == ["sms", "list", "--producer", "a shop", "--limit", "2", "--before", str(every[3])]
    assert [int(line.split()[0]) for line in second.out.splitlines()[1:-1]] == [every[2], every[1]]


def test_for_programs_it_stands_apart_from_the_rows(sms: Sms, sessions: Sessions) -> None:
    many_stored(sessions, 3)

    answer = sms("list", "--limit", "1", "--json")

    assert len(rows_of(answer)) == 1
    assert answer.err == "More: sms list --limit 1 --json --before 3\n"


def test_a_search_among_very_many_says_how_far_it_looked(
    sms: Sms, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(sessions, uid="rare", nickname="RARE")
    many_stored(sessions, 40)
    monkeypatch.setattr(listing, "SLICE", 2)
    monkeypatch.setattr(listing, "SLICES", 1)

    lines = [sms("list", "--nickname", "RARE").out.splitlines()[-1]]
    while "Go on: " in lines[-1]:
        lines.append(sms(*shlex.split(lines[-1].partition("Go on: ")[2])[1:]).out.splitlines()[-1])

    assert lines[0].startswith("Looked back to message ")
    assert "  rare  " in lines[-1]
    assert len(lines) > 2


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_no_phone_and_no_text_is_shown_unasked(sms: Sms, sessions: Sessions, form: str) -> None:
    stored(sessions, phone=PHONE, ordered_phone=PHONE, text="Your code is 4821")

    masked, revealed = sms("list", form), sms("list", form, "--reveal")

    assert "4821" not in masked.out
    assert PHONE not in masked.out
    assert "4821" in revealed.out
    assert PHONE in revealed.out


def test_no_spreadsheet_and_no_terminal_obeys_what_it_shows(sms: Sms, sessions: Sessions) -> None:
    stored(sessions, key="=cmd|' /C calc'!A1", producer="a\x1b[2J\u202e")

    by_csv, by_json, by_line = sms("list", "--csv"), sms("list", "--json"), sms("list")

    (row,) = csv.DictReader(io.StringIO(by_csv.out, newline=""))
    assert row["key"].startswith("'=cmd")
    assert json.loads(by_json.out)["producer"] == "a\x1b[2J\u202e"
    for answer in (by_csv, by_json, by_line):
        assert not {"\x1b", "\u202e"} & set(answer.out)


def test_csv_has_its_names_even_if_there_is_no_row(sms: Sms) -> None:
    answer = sms("list", "--csv")

    assert answer.out.startswith("id,uid,producer,key,lane,phone,")
    assert sms("list").out == "No message meets all of this.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--json", "--csv"], "Choose one of --json and --csv.", id="two forms"),
        pytest.param(["--phone", "12"], "--phone: not a possible number", id="no phone"),
        pytest.param(["--since", "2026-12-01", "--until", "2026-11-01"], "exchange them", id="times"),
        pytest.param(["--key", " "], "--key is empty", id="empty"),
    ],
)
def test_wrong_input_is_one_line(sms: Sms, words: list[str], said: str) -> None:
    answer = sms("list", *words)

    assert answer.code == 2
    assert said in answer.err
