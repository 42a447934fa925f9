"""``sms refused``: who answers for a producer finds what was wrong with its orders, and no phone or text unasked."""

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Clock, Sessions, a_send, all_of, an_envelope, an_intake
from sqlalchemy import insert

from models import RefusedIntake
from models.lifecycle import Lane
from worker.cli import refused as command
from worker.store import refused as store

PHONE, TEXT = "998901234567", "Your code is 4821"
Sms = Callable[..., Any]


def put(sessions: Sessions, *uids: str, **changes: Any) -> None:
    """Refused orders as intake keeps them."""
    row: dict[str, Any] = {
        "queue": "sms.otp",
        "task": "sms.send",
        "producer": "shop",
        "key": "k",
        "reason": "phone_invalid",
    }
    row |= {"explanation": "phone: not a possible number.", "body": f'[["{PHONE}", "{TEXT}"], {{}}]'}
    row |= {"body_encoding": "utf-8", "created_at": NOON}
    with sessions.begin() as session:
        session.execute(insert(RefusedIntake), [row | {"uid": uid, "digest": uid} | changes for uid in uids])


def uids_of(answer: Any) -> list[str]:
    return [json.loads(line)["uid"] for line in answer.out.splitlines()]


def ids_of(sessions: Sessions) -> list[int]:
    return [one.id for one in all_of(sessions, RefusedIntake)]


def test_they_are_shown_the_last_one_first_each_with_what_to_do(sms: Sms, sessions: Sessions) -> None:
    put(sessions, "u1")
    put(sessions, "u2", created_at=NOON + timedelta(hours=1), key=None, explanation="Use \x1b[2J a new key.")
    first, second = ids_of(sessions)

    answer = sms("refused")

    assert answer.out.splitlines() == [
        "Refused orders: 2.",
        f"{second}  2026-11-30 18:00:00+05:00  sms.otp  phone_invalid  producer shop, uid u2",
        "  Use \\x1b[2J a new key.",
        f"{first}  2026-11-30 17:00:00+05:00  sms.otp  phone_invalid  producer shop, key k, uid u1",
        "  phone: not a possible number.",
    ]
    assert (answer.code, answer.err) == (0, "")


def test_where_there_is_none_it_says_so(sms: Sms) -> None:
    answer = sms("refused")

    assert (answer.code, answer.out) == (0, "No refused order meets all of this.\n")


@pytest.mark.parametrize("shape", [(), ("--json",), ("--csv",)], ids=["people", "programs", "spreadsheets"])
@pytest.mark.parametrize("asked", [(), ("--uid", "u1"), ("ID",)], ids=["list", "uid", "id"])
def test_the_order_as_it_came_is_shown_only_to_whoever_asks(
    sms: Sms, sessions: Sessions, shape: tuple[str, ...], asked: tuple[str, ...]
) -> None:
    put(sessions, "u1")
    words = [str(ids_of(sessions)[0]) if word == "ID" else word for word in asked]

    hidden, revealed = sms("refused", *words, *shape), sms("refused", *words, *shape, "--reveal")

    assert (PHONE in hidden.out, TEXT in hidden.out) == (False, False)
    assert (PHONE in revealed.out, TEXT in revealed.out) == (True, True)


HOSTILE: list[Any] = [
    pytest.param(a_send(f"{PHONE}0000", TEXT), id="phone"),
    pytest.param(a_send(TEXT, PHONE), id="exchanged"),
    pytest.param(a_send(PHONE, f"{TEXT}\0"), id="text"),
    pytest.param(a_send(PHONE, TEXT, callback={"task": TEXT, TEXT: PHONE}), id="callback"),
    pytest.param(a_send(PHONE, TEXT, send_at=TEXT), id="send_at"),
    pytest.param(a_send(PHONE, TEXT, nickname=[PHONE, TEXT]), id="nickname"),
    pytest.param(an_envelope("sms.send_many", [[PHONE, TEXT]]), id="many"),
    pytest.param(an_envelope("sms.send", PHONE, TEXT, PHONE), id="arguments"),
    pytest.param(an_envelope("sms.sned", PHONE, TEXT), id="task"),
    pytest.param(f"{PHONE} {TEXT}".encode(), id="no message"),
]


@pytest.mark.parametrize("raw", HOSTILE)
def test_neither_reason_nor_explanation_quotes_a_phone_or_a_text(sms: Sms, sessions: Sessions, raw: bytes) -> None:
    an_intake(sessions).take_raw([raw], Lane.OTP)

    shown = [sms("refused", *shape) for shape in ((), ("--json",), ("--csv",))]

    assert ids_of(sessions)
    assert not [one.out for one in shown if PHONE in one.out or TEXT in one.out or "4821" in one.out]


def test_all_that_is_known_is_told_to_programs_and_spreadsheets(sms: Sms, sessions: Sessions) -> None:
    put(sessions, "u1")

    known = json.loads(sms("refused", "--json", "--reveal").out)
    (row,) = csv.DictReader(io.StringIO(sms("refused", "--csv", "--reveal").out, newline=""))

    assert known.pop("id")
    assert tuple(row) == store.Listed._fields
    assert known == {
        "created_at": "2026-11-30T12:00:00+00:00",
        "queue": "sms.otp",
        "task": "sms.send",
        "uid": "u1",
        "producer": "shop",
        "key": "k",
        "reason": "phone_invalid",
        "explanation": "phone: not a possible number.",
        "body_encoding": "utf-8",
        "body": f'[["{PHONE}", "{TEXT}"], {{}}]',
    }


FILTERS: list[Any] = [
    pytest.param(("--producer", "bank"), ["u2"], id="producer"),
    pytest.param(("--reason", "text_too_long"), ["u2"], id="reason"),
    pytest.param(("--lane", "bulk"), ["u2"], id="lane"),
    pytest.param(("--queue", "sms.otp"), ["u1"], id="queue"),
    pytest.param(("--key", "k"), ["u1"], id="key"),
    pytest.param(("--uid", "u1"), ["u1"], id="uid"),
    pytest.param(("--since", "2026-11-30T18:00"), ["u2"], id="since a time of the settings' zone"),
    pytest.param(("--until", "2026-11-30T18:00:00+05:00"), ["u1"], id="until, which is not in it"),
    pytest.param(("--producer", "bank", "--key", "k"), [], id="two at once"),
]


@pytest.mark.parametrize(("words", "uids"), FILTERS)
def test_they_are_narrowed_by_what_is_asked(
    sms: Sms, sessions: Sessions, words: tuple[str, ...], uids: list[str]
) -> None:
    other = {"producer": "bank", "reason": "text_too_long", "queue": "sms.bulk", "key": "other"}
    put(sessions, "u1")
    put(sessions, "u2", created_at=NOON + timedelta(hours=1), **other)

    answer = sms("refused", "--json", *words)

    assert uids_of(answer) == uids
    assert answer.code == 0


def test_the_last_line_leads_through_all_pages(sms: Sms, sessions: Sessions) -> None:
    put(sessions, *(f"u{number}" for number in range(5)))
    words, seen = ["refused", "--producer", "shop", "--limit", "2", "--json"], list[str]()

    while words:
        answer = sms(*words)
        seen += uids_of(answer)
        words = re.findall(r"\S+", answer.err.removeprefix("More: sms "))

    assert seen == ["u4", "u3", "u2", "u1", "u0"]


def test_one_is_shown_in_whole(sms: Sms, sessions: Sessions) -> None:
    put(sessions, "u1", "u2")
    first, _ = ids_of(sessions)

    answer = sms("refused", str(first))

    shown = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in answer.out.splitlines())
    assert tuple(shown) == store.Listed._fields
    assert (shown["uid"], shown["created_at"]) == ("u1", "2026-11-30 17:00:00+05:00")
    assert shown["body"].endswith("characters; --reveal shows them, phones and texts too")


def test_an_order_whose_producer_nobody_could_read_is_listed_too(sms: Sms, sessions: Sessions) -> None:
    an_intake(sessions, Clock()).take_raw([b"\xff no message"], Lane.OTP)

    answer = sms("refused")

    assert "not_json  nobody knows whose" in answer.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["999"], "There is no refused order 999: correct it", id="no such id"),
        pytest.param(["0"], "ID", id="no id at all"),
        pytest.param(["--lane", "otp", "--queue", "sms.otp"], "Choose one of --lane and --queue.", id="two queues"),
        pytest.param(["--json", "--csv"], "Choose one of --json and --csv.", id="two forms"),
        pytest.param(["--producer", " "], "--producer is empty", id="an empty word"),
        pytest.param(["--since", "soon"], "--since 'soon' is no time", id="no time"),
        pytest.param(["--since", "2026-11-30", "--until", "2026-11-29"], "nothing can lie between", id="no span"),
    ],
)
def test_words_that_make_no_sense_are_wrong_input(sms: Sms, words: list[str], said: str) -> None:
    answer = sms("refused", *words)

    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


def test_very_many_are_not_counted_one_by_one(sms: Sms, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (store, command):
        monkeypatch.setattr(module, "MOST_COUNTED", 3)
    put(sessions, *(f"u{number}" for number in range(5)))

    with sessions() as session:
        assert store.count(session, store.Chosen()) == 4
    assert sms("refused").out.startswith("Refused orders: more than 3.\n")
