"""Whatever prints rows writes them for programs and for spreadsheets in one way."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from builders import NOON, Sessions, stored
from sqlalchemy import insert
from taking import TELL

from models import Block, Callback
from models.lifecycle import MessageState

EVIL = "=1+1\x1b[2J\u202e"
Sms = Callable[..., Any]
COMMANDS = ["list", "export", "unconfirmed", "blocked", "callbacks", "costs"]


@pytest.fixture
def lived_in(sessions: Sessions) -> None:
    """A house in which each of the commands has a row to show, with words that nobody should obey."""
    stored(sessions, uid="u1", producer=EVIL, state=MessageState.UNCONFIRMED, reason="read_timeout")
    block = {"phone": "998901234567", "lane": "otp", "reason": EVIL, "who": "ali", "at": NOON}
    owed = {"event_id": "e", "target": TELL, "event": {"state": "failed", "producer": EVIL}, "state": "failed"}
    with sessions.begin() as session:
        session.execute(insert(Block), [block])
        session.execute(insert(Callback), [owed | {"attempts": 1, "created_at": NOON, "finished_at": NOON}])


def words_of(command: str) -> list[str]:
    return [command, *(["--since", "2026-11-01", "--until", "2026-12-31"] if command == "costs" else [])]


@pytest.mark.usefixtures("lived_in")
@pytest.mark.parametrize("command", COMMANDS)
def test_both_forms_name_the_same_and_neither_is_obeyed(sms: Sms, command: str) -> None:
    by_json, by_csv = sms(*words_of(command), "--json"), sms(*words_of(command), *_csv(command))

    rows = [json.loads(line) for line in by_json.out.splitlines()]
    (row,) = csv.DictReader(io.StringIO(by_csv.out, newline=""))
    assert (by_json.code, by_csv.code, len(rows)) == (0, 0, 1)
    assert set(row) == set(rows[0])
    assert not [cell for cell in row.values() if cell.startswith(("=", "@"))]
    assert not {"\x1b", "\u202e"} & set(by_json.out)
    assert command == "export" or not {"\x1b", "\u202e"} & set(by_csv.out)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_csv_of_nothing_is_its_line_of_names(sms: Sms, command: str) -> None:
    out = sms(*words_of(command), *_csv(command)).out

    assert len(list(csv.reader(io.StringIO(out, newline="")))) == 1


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "export"] + ["parts"])
def test_one_form_at_a_time(sms: Sms, command: str) -> None:
    answer = sms(command, "--json", "--csv", *(["Hello"] if command == "parts" else []))

    assert answer.code == 2
    assert "Choose one of --json and --csv." in answer.err


def test_the_ways_of_a_text_are_rows_of_csv(sms: Sms) -> None:
    rows = list(csv.DictReader(io.StringIO(sms("parts", "Kod “1”", "--csv").out, newline="")))

    assert [(row["way"], row["encoding"]) for row in rows[:2]] == [("as it is", "ucs2"), ("folded", "gsm")]


def _csv(command: str) -> list[str]:
    return ["--format", "csv"] if command == "export" else ["--csv"]
