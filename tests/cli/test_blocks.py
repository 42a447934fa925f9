"""``sms block``, ``sms unblock`` and ``sms blocked``: a person looks after the do-not-send list."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builders import NOON, Sessions, a_phone, all_of, stored, the_sms

from models import Block
from models.lifecycle import Lane
from worker.store import blocks

PHONE, OTHER = "998901234567", "998917654321"
Sms = Callable[..., Any]


def put(sessions: Sessions, *phones: str, at: datetime = NOON, reason: str | None = None) -> None:
    with sessions.begin() as session:
        blocks.block(session, phones, lanes=[Lane.BULK], now=at, who="nodira", reason=reason)


def lift(sessions: Sessions, *phones: str) -> None:
    with sessions.begin() as session:
        blocks.lift(session, phones, lanes=list(Lane), now=NOON + timedelta(days=1), who="aziz")


def a_file(folder: Path, *lines: str) -> str:
    file = folder / "numbers.txt"
    file.write_text("\n".join(lines), encoding="utf-8")
    return str(file)


def standing(sessions: Sessions) -> set[tuple[str, str]]:
    return {(one.phone, one.lane) for one in all_of(sessions, Block) if one.lifted_at is None}


def of_all_lanes(*phones: str) -> set[tuple[str, str]]:
    return {(phone, lane.value) for phone in phones for lane in Lane}


def test_a_blocked_number_gets_nothing_and_what_waits_for_it_is_cancelled(sessions: Sessions, sms: Sms) -> None:
    waiting = stored(sessions, phone=PHONE)

    answer = sms("block", "+998 90 123-45-67", "--reason", "asked us to", "--as", "nodira")

    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "1 number: nothing more by otp, normal, bulk. Blocks added: 3; stood before: 0.",
        "Queued messages cancelled: 1.",
    ]
    assert standing(sessions) == of_all_lanes(PHONE)
    assert {(one.who, one.reason) for one in all_of(sessions, Block)} == {("nodira", "asked us to")}
    assert the_sms(sessions, waiting).state == "cancelled"


def test_only_the_lanes_that_are_named_are_blocked(sessions: Sessions, sms: Sms) -> None:
    waiting = stored(sessions, phone=PHONE, lane=Lane.OTP)

    answer = sms("block", PHONE, OTHER, "--lane", "bulk", "--lane", "normal", "--lane", "bulk")

    assert answer.out.startswith("2 numbers: nothing more by bulk, normal. Blocks added: 4; stood before: 0.")
    assert standing(sessions) == {(phone, lane) for phone in (PHONE, OTHER) for lane in ("bulk", "normal")}
    assert the_sms(sessions, waiting).state == "queued"


def test_to_block_again_changes_nothing(sessions: Sessions, sms: Sms) -> None:
    sms("block", PHONE, "--as", "nodira")

    again = sms("block", PHONE, "--as", "aziz")

    assert again.out.startswith("1 number: nothing more by otp, normal, bulk. Blocks added: 0; stood before: 3.")
    assert {one.who for one in all_of(sessions, Block)} == {"nodira"}


def test_numbers_come_from_a_file_with_one_on_each_line(sessions: Sessions, sms: Sms, tmp_path: Path) -> None:
    file = a_file(tmp_path, "\ufeff+998 90 123-45-67", "", "  91 765 43 21 ", "998901234567")

    answer = sms("block", "--file", file)

    assert answer.out.startswith("2 numbers: ")
    assert standing(sessions) == of_all_lanes(PHONE, OTHER)


def test_numbers_come_from_the_standard_input_too(sessions: Sessions, sms: Sms) -> None:
    sms("block", PHONE, "--file", "-", say="91 765 43 21\r\n99 000 00 01\r\n")

    assert standing(sessions) == of_all_lanes(PHONE, OTHER, "998990000001")


def test_more_numbers_than_one_transaction_takes_are_blocked_and_unblocked(
    sessions: Sessions, sms: Sms, tmp_path: Path
) -> None:
    file = a_file(tmp_path, *(a_phone(number) for number in range(1_100)))

    sms("block", "--file", file, "--lane", "bulk")
    blocked = len(standing(sessions))
    answer = sms("unblock", "--file", file)

    assert blocked == 1_100
    assert answer.out == "1100 numbers: may be written to again by otp, normal, bulk. Blocks lifted: 1100.\n"
    assert standing(sessions) == set()


@pytest.mark.parametrize("command", ["block", "unblock"])
def test_one_bad_number_and_nothing_is_done(sessions: Sessions, sms: Sms, command: str, tmp_path: Path) -> None:
    put(sessions, OTHER)
    file = a_file(tmp_path, OTHER, "", "71 123 45 67", "nobody")

    answer = sms(command, OTHER, PHONE, "90 123 45", "--file", file)

    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "sms: number 3 (***2345), not a possible number; line 3 (*****4567), a fixed line, which takes no SMS; "
        "line 4 (no digits), not a possible number. Nothing was changed: correct this, or leave it out with "
        "--skip-bad.\n"
    )
    assert standing(sessions) == {(OTHER, "bulk")}


def test_bad_numbers_are_left_out_where_that_is_asked_for(sessions: Sessions, sms: Sms) -> None:
    answer = sms("block", "90 123", PHONE, "--skip-bad")

    assert answer.code == 0
    assert answer.err == "Left out: number 1 (*0123), not a possible number.\n"
    assert standing(sessions) == of_all_lanes(PHONE)


def test_of_very_many_bad_numbers_some_are_named(sms: Sms, tmp_path: Path) -> None:
    file = a_file(tmp_path, *("9" * 5_000 for _ in range(1_000)))

    answer = sms("block", "--file", file)

    assert (answer.code, answer.err.count("\n"), answer.err.count("line ")) == (2, 1, 10)
    assert "; and 990 more. Nothing was changed" in answer.err
    assert "99999" not in answer.err


def test_numbers_of_other_countries_are_read_as_the_settings_say(
    sessions: Sessions, sms: Sms, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = sms("block", "+7 701 123 45 67")
    monkeypatch.setenv("SMS_COUNTRIES", "KZ,UZ")
    sms("block", "8 701 123 45 67", PHONE)

    assert "(*******4567), a number of another country. Nothing was changed" in refused.err
    assert standing(sessions) == of_all_lanes("77011234567", PHONE)


WRONG: list[Any] = [
    pytest.param((), "There is no number", id="no number"),
    pytest.param(("--file", "/dev/null"), "There is no number", id="an empty file"),
    pytest.param(("90", "--skip-bad"), "There is no number", id="nothing but bad ones"),
    pytest.param(("--file", "missing.txt"), "--file 'missing.txt' cannot be read: No such file", id="no such file"),
    pytest.param(("--file", "."), "cannot be read: Is a directory", id="a folder"),
]


@pytest.mark.parametrize("command", ["block", "unblock"])
@pytest.mark.parametrize(("words", "said"), WRONG)
def test_wrong_input_is_one_line_and_changes_nothing(
    sessions: Sessions, sms: Sms, command: str, words: tuple[str, ...], said: str
) -> None:
    answer = sms(command, *words)

    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err.splitlines()[-1]
    assert all_of(sessions, Block) == []


@pytest.mark.parametrize("command", ["block", "unblock"])
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("+998", "90", "123", "45", "67"), id="a number"),
        pytest.param((PHONE, "90", "123-45-67"), id="behind another"),
        pytest.param(("(90)", "1234567"), id="with brackets"),
    ],
)
def test_pieces_of_a_number_are_told_to_be_put_in_quotes(
    sessions: Sessions, sms: Sms, command: str, words: tuple[str, ...]
) -> None:
    answer = sms(command, *words)

    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.startswith("sms: These look like pieces of a number: put one with blanks in quotes")
    assert all_of(sessions, Block) == []


def test_a_reason_without_a_word_is_refused(sessions: Sessions, sms: Sms) -> None:
    answer = sms("block", PHONE, "--reason", " ")

    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "--reason is empty" in answer.err
    assert all_of(sessions, Block) == []


def test_an_unblocked_number_may_be_written_to_again(sessions: Sessions, sms: Sms) -> None:
    put(sessions, PHONE, OTHER)

    answer = sms("unblock", "90 123 45 67", "--lane", "bulk", "--as", "aziz")

    assert answer.out == "1 number: may be written to again by bulk. Blocks lifted: 1.\n"
    assert standing(sessions) == {(OTHER, "bulk")}
    assert {one.lifted_by for one in all_of(sessions, Block)} == {None, "aziz"}


def test_nobody_to_unblock_is_said(sms: Sms) -> None:
    answer = sms("unblock", PHONE)

    assert (answer.code, answer.out) == (0, "1 number: not blocked by otp, normal, bulk. Nothing to do.\n")


def test_the_list_is_shown_to_people_the_last_one_first(sessions: Sessions, sms: Sms) -> None:
    put(sessions, PHONE, reason="asked\x1b[2J us")
    put(sessions, OTHER, at=NOON + timedelta(hours=1))

    answer = sms("blocked")

    assert answer.out.splitlines() == [
        "Blocks: 2.",
        "********4321  bulk    since 2026-11-30T18:00:00+05:00 by nodira",
        "********4567  bulk    since 2026-11-30T17:00:00+05:00 by nodira: asked\\x1b[2J us",
    ]
    assert (answer.code, answer.err) == (0, "")


def test_what_was_lifted_is_shown_only_if_it_is_asked_for(sessions: Sessions, sms: Sms) -> None:
    put(sessions, PHONE)
    lift(sessions, PHONE)

    assert sms("blocked").out == "Nobody is blocked.\n"
    (_, line) = sms("blocked", "--all").out.splitlines()
    assert line.endswith(" by nodira; lifted 2026-12-01T17:00:00+05:00 by aziz")


def test_all_that_is_known_is_told_to_programs(sessions: Sessions, sms: Sms) -> None:
    put(sessions, PHONE, reason="STOP")
    lift(sessions, PHONE)

    answer = sms("blocked", "--all", "--json", "--reveal")

    assert answer.err == "Blocks: 1.\n"
    known = json.loads(answer.out)
    assert known.pop("id")
    assert known == {
        "phone": PHONE,
        "lane": "bulk",
        "reason": "STOP",
        "who": "nodira",
        "at": "2026-11-30T12:00:00+00:00",
        "lifted_at": "2026-12-01T12:00:00+00:00",
        "lifted_by": "aziz",
    }


@pytest.mark.parametrize("shape", [(), ("--json",)], ids=["for people", "for programs"])
def test_phones_are_hidden_unless_they_are_to_be_revealed(sessions: Sessions, sms: Sms, shape: tuple[str, ...]) -> None:
    put(sessions, PHONE)

    assert PHONE not in sms("blocked", *shape).out
    assert PHONE in sms("blocked", *shape, "--reveal").out


FILTERS: list[Any] = [
    pytest.param(("--phone", "+998 91 765-43-21"), {"4321"}, id="a number as people write it"),
    pytest.param(("--lane", "bulk"), {"4567", "4321"}, id="a lane"),
    pytest.param(("--lane", "otp"), set(), id="a lane without any"),
    pytest.param(("--since", "2026-11-30T18:00:00"), {"4321"}, id="since a time of the settings' zone"),
    pytest.param(("--phone", PHONE, "--since", "2026-11-30T18:00:00+05:00"), set(), id="both at once"),
]


@pytest.mark.parametrize(("words", "endings"), FILTERS)
def test_the_list_is_narrowed_by_what_is_asked(
    sessions: Sessions, sms: Sms, words: tuple[str, ...], endings: set[str]
) -> None:
    put(sessions, PHONE)
    put(sessions, OTHER, at=NOON.astimezone(UTC) + timedelta(hours=1))

    answer = sms("blocked", "--json", *words)

    assert {json.loads(line)["phone"][-4:] for line in answer.out.splitlines()} == endings
    assert answer.err == (f"Blocks: {len(endings)}.\n" if endings else "No block meets all of this.\n")


def test_people_are_shown_some_and_told_how_many_there_are(sessions: Sessions, sms: Sms) -> None:
    put(sessions, *(a_phone(number) for number in range(1_050)))

    few, some, everything = sms("blocked"), sms("blocked", "--limit", "5"), sms("blocked", "--json")

    assert [len(answer.out.splitlines()) for answer in (few, some, everything)] == [22, 7, 1_050]
    assert some.out.endswith("Not shown: 1045 more. --limit 1050 shows them all, filters narrow them.\n")


def test_a_bad_number_to_look_for_is_refused_without_being_quoted(sms: Sms) -> None:
    answer = sms("blocked", "--phone", "90 1234")

    assert (answer.code, answer.err.count("\n"), "1234" in answer.err) == (2, 1, False)
    assert answer.err.startswith("sms: --phone: not a possible number; allowed are UZ")


def test_a_limit_beyond_all_numbers_is_wrong_input(sms: Sms) -> None:
    answer = sms("blocked", "--limit", "9" * 30)

    assert (answer.code, answer.out) == (2, "")
    assert "--limit" in answer.err
