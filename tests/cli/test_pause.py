"""``sms pause`` and ``sms resume``: a person lets nothing be posted, and lets it go on."""

from collections.abc import Callable
from typing import Any

import pytest
from builders import Sessions, a_submission, all_of, states_of, stored

from models import Account, Decision

Sms = Callable[..., Any]


def test_nothing_is_posted_from_a_pause_to_its_end(sessions: Sessions, sms: Sms) -> None:
    stored(sessions)
    room = a_submission(sessions)

    paused = sms("pause")
    while_paused = room.post_next()
    resumed = sms("resume")
    after = room.post_next()

    assert (paused.code, resumed.code) == (0, 0)
    assert paused.out.startswith("Paused: no worker posts until sms resume.")
    assert resumed.out == "Posting goes on.\n"
    assert (bool(while_paused), bool(after), states_of(sessions)) == (False, True, ["submitted"])


def test_who_paused_and_why_is_written_down(sessions: Sessions, sms: Sms) -> None:
    sms("pause", "--reason", "the vendor moves", "--as", "nodira")
    sms("resume", "--as", "aziz")

    pause, resume = all_of(sessions, Decision)
    assert (pause.who, pause.what, pause.reason) == ("nodira", "pause", "the vendor moves")
    assert (resume.who, resume.what) == ("aziz", "resume")


def test_a_second_pause_says_whose_the_first_is(sessions: Sessions, sms: Sms) -> None:
    sms("pause", "--as", "nodira")

    again = sms("pause", "--as", "aziz")

    assert again.code == 0
    assert again.out.startswith("Paused already, since ")
    assert again.out.endswith(" by nodira: nothing to do.\n")
    assert [account.held_by for account in all_of(sessions, Account)] == ["nodira"]


def test_nothing_to_resume_is_said(sms: Sms) -> None:
    assert sms("resume").out == "Nothing kept the account from posting: nothing to do.\n"


@pytest.mark.parametrize("reason", ["", " "], ids=["empty", "blank"])
def test_a_reason_without_a_word_is_refused(sessions: Sessions, sms: Sms, reason: str) -> None:
    answer = sms("pause", "--reason", reason)

    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "--reason is empty" in answer.err
    assert all_of(sessions, Decision) == []
