"""``sms unconfirmed resend`` and ``drop``: said before, asked for, written down, and never done to anything else."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import typer
from builders import NOON, Sessions, a_batch, all_of, many_stored, states_of, stored, the_sms
from sqlalchemy import update

from models import Decision, Message
from models.lifecycle import BatchState, Lane, MessageState
from worker.store import decisions

Sms = Callable[..., Any]
IN_DOUBT = MessageState.UNCONFIRMED
BOTH = pytest.mark.parametrize(("verdict", "state"), [("resend", "queued"), ("drop", "failed")], ids=str)


@BOTH
def test_what_was_named_moves_and_the_rest_stays(sessions: Sessions, sms: Sms, verdict: str, state: str) -> None:
    for uid in ("a", "b", "c"):
        stored(sessions, state=IN_DOUBT, uid=uid)

    answer = sms("unconfirmed", verdict, "a", "--uid", "b", "--yes")

    assert answer.code == 0
    assert answer.out.splitlines()[-1].startswith("2 ")
    assert states_of(sessions) == [state, state, "unconfirmed"]


@BOTH
def test_a_decision_is_written_down_with_who_made_it(sessions: Sessions, sms: Sms, verdict: str, state: str) -> None:
    sms_id = stored(sessions, state=IN_DOUBT, uid="a", reason="read_timeout")

    sms("unconfirmed", verdict, "a", "--yes", "--as", "nodira")

    (decided,) = all_of(sessions, Decision)
    assert (decided.who, decided.what, decided.uid, decided.reason) == ("nodira", verdict, "a", "read_timeout")
    assert (the_sms(sessions, sms_id).resolved_by, the_sms(sessions, sms_id).state) == ("nodira", state)


def test_without_a_name_the_user_and_the_host_stand_in_the_audit(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, state=IN_DOUBT, uid="a")

    sms("unconfirmed", "drop", "a", "--yes")

    (decided,) = all_of(sessions, Decision)
    assert "@" in decided.who


@BOTH
def test_without_uid_or_filter_it_is_refused(sessions: Sessions, sms: Sms, verdict: str, state: str) -> None:  # noqa: ARG001
    stored(sessions, state=IN_DOUBT)

    answer = sms("unconfirmed", verdict, "--yes")

    assert answer.code == 2
    assert "or say --all. Nothing was changed." in answer.err
    assert states_of(sessions) == ["unconfirmed"]


@BOTH
def test_all_moves_only_with_so_many_words(sessions: Sessions, sms: Sms, verdict: str, state: str) -> None:
    for lane in Lane:
        stored(sessions, state=IN_DOUBT, lane=lane)

    assert sms("unconfirmed", verdict, "--all", "--yes").code == 0
    assert states_of(sessions) == [state] * 3


@pytest.mark.parametrize(
    "words", [["--lane", "otp"], ["--producer", "bank"], ["--since", "2026-11-30T17:30"], ["--all", "--lane", "otp"]]
)
def test_a_filter_narrows_a_decision(sessions: Sessions, sms: Sms, words: list[str]) -> None:
    stored(sessions, state=IN_DOUBT)
    stored(sessions, state=IN_DOUBT, lane=Lane.OTP, producer="bank", posted_at=NOON + timedelta(hours=1))

    sms("unconfirmed", "drop", *words, "--yes")

    assert states_of(sessions) == ["unconfirmed", "failed"]


def test_what_it_would_do_and_what_may_come_of_it_is_said_before(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, state=IN_DOUBT, lane=Lane.OTP, parts=2)
    stored(sessions, state=IN_DOUBT, lane=Lane.BULK)

    answer = sms("unconfirmed", "resend", "--all", say="n\n")

    assert "To resend: 2 messages (3 parts); by lane: otp 1, bulk 1.\n" in answer.out
    assert "ARRIVE TWICE" in answer.out
    assert "Resend 2 now? [y/N]" in answer.out


@pytest.mark.parametrize("say", ["n\n", "\n", ""], ids=["no", "just enter", "nobody there"])
def test_nothing_moves_without_a_yes(sessions: Sessions, sms: Sms, say: str) -> None:
    stored(sessions, state=IN_DOUBT)

    answer = sms("unconfirmed", "resend", "--all", say=say)

    assert answer.code == 1
    assert states_of(sessions) == ["unconfirmed"]
    assert all_of(sessions, Decision) == []


def test_a_yes_is_enough(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, state=IN_DOUBT)

    assert sms("unconfirmed", "resend", "--all", say="y\n").code == 0
    assert states_of(sessions) == ["queued"]


@BOTH
def test_a_dry_run_changes_nothing_and_asks_nothing(sessions: Sessions, sms: Sms, verdict: str, state: str) -> None:  # noqa: ARG001
    stored(sessions, state=IN_DOUBT)

    answer = sms("unconfirmed", verdict, "--all", "--dry-run")

    assert answer.code == 0
    assert f"To {verdict}: 1 message (1 part)" in answer.out
    assert answer.out.endswith("Nothing was changed: this was a dry run.\n")
    assert states_of(sessions) == ["unconfirmed"]


def test_nothing_in_doubt_is_nothing_to_do(sms: Sms) -> None:
    answer = sms("unconfirmed", "drop", "--all", "--yes")

    assert answer.code == 0
    assert answer.out == "Nothing is unconfirmed.\n"


def test_a_uid_that_nobody_has_stops_it_all(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, state=IN_DOUBT, uid="a")

    answer = sms("unconfirmed", "resend", "a", "typo", "--yes")

    assert (answer.code, answer.err) == (2, "sms: There is no message typo: correct the uid and try again.\n")
    assert states_of(sessions) == ["unconfirmed"]


def test_what_is_settled_already_is_counted_apart(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, state=IN_DOUBT, uid="a")
    stored(sessions, state=MessageState.DELIVERED, uid="b")

    answer = sms("unconfirmed", "resend", "a", "b", "--yes")

    assert answer.code == 1
    assert answer.err == "b is delivered, not unconfirmed.\n"
    assert "1 queued to be posted again" in answer.out
    assert "1 no longer unconfirmed, and left as it is.\n" in answer.out
    assert states_of(sessions) == ["queued", "delivered"]


def test_what_somebody_else_decides_meanwhile_stands(
    sessions: Sessions, sms: Sms, monkeypatch: pytest.MonkeyPatch
) -> None:
    for uid in ("a", "b"):
        stored(sessions, state=IN_DOUBT, uid=uid)
    meanwhile(monkeypatch, lambda: decided(sessions, "a", decisions.drop))

    answer = sms("unconfirmed", "resend", "--all")

    assert answer.code == 1
    assert "1 queued to be posted again" in answer.out
    assert "1 no longer unconfirmed, and left as it is.\n" in answer.out
    assert states_of(sessions) == ["failed", "queued"]


def test_what_is_cut_off_only_after_it_was_shown_is_left_alone(
    sessions: Sessions, sms: Sms, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(sessions, state=IN_DOUBT, uid="shown")
    meanwhile(monkeypatch, lambda: stored(sessions, state=IN_DOUBT, uid="new"))

    answer = sms("unconfirmed", "resend", "--all")

    assert (answer.code, states_of(sessions)) == (0, ["queued", "unconfirmed"])


def test_a_message_that_was_cut_off_anew_after_it_was_shown_is_left_alone(
    sessions: Sessions, sms: Sms, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(sessions, state=IN_DOUBT, uid="a")
    meanwhile(monkeypatch, lambda: cut_off_anew(sessions, "a"))

    answer = sms("unconfirmed", "resend", "--all")

    assert (answer.code, states_of(sessions)) == (1, ["unconfirmed"])
    assert "0 queued to be posted again" in answer.out


def test_very_many_are_decided_about_at_once(sessions: Sessions, sms: Sms) -> None:
    with sessions.begin() as session:
        batch = a_batch(session, state=BatchState.UNCONFIRMED)
    many_stored(sessions, 1_200, state=IN_DOUBT, batch_id=batch)

    answer = sms("unconfirmed", "drop", "--batch", str(batch), "--yes")

    assert "1200 dropped" in answer.out
    assert set(states_of(sessions)) == {"failed"}
    assert len(all_of(sessions, Decision)) == 1_200


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """While the person thinks about it, and then says yes."""
    monkeypatch.setattr(typer, "confirm", lambda _question: (happens(), True)[1])


def decided(sessions: Sessions, uid: str, how: Callable[..., int]) -> None:
    with sessions.begin() as session:
        how(session, Message.uid == uid, now=NOON, who="somebody else")


def cut_off_anew(sessions: Sessions, uid: str) -> None:
    decided(sessions, uid, decisions.resend)
    with sessions.begin() as session:
        batch = a_batch(session, state=BatchState.UNCONFIRMED)
        posted = {"state": IN_DOUBT, "batch_id": batch, "posted_at": NOON + timedelta(minutes=1)}
        session.execute(update(Message).where(Message.uid == uid).values(posted))
