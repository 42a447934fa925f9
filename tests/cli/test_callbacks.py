"""``sms callbacks`` shows what producers could not be told, and tells it again when a person says so."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Sessions, all_of
from sqlalchemy import Engine, event, insert, text

from models import Callback

Sms = Callable[..., Any]
PHONE = "998901234567"
SHOP = {"url": "https://user:hidden@shop.example:8443/sms?token=hidden"}
BANK = {"task": "bank.told", "queue": "bank"}


def untold(sessions: Sessions, state: str = "failed", *, target: dict[str, str] = SHOP, **changes: Any) -> int:
    """Store one callback; return its id."""
    with sessions.begin() as session:
        number = len(session.query(Callback).all())
        event = {"event_id": f"e-{number}", "uid": f"u-{number}", "key": "k", "producer": "shop", "state": "delivered"}
        event |= {"phone": PHONE} | changes.pop("event", {})
        row = {"event_id": event["event_id"], "target": target, "event": event, "state": state, "attempts": 12}
        row |= {"created_at": NOON, "reason": "http 500"}
        row |= {"next_try_at": NOON} if state == "owed" else {"finished_at": NOON + timedelta(days=1)}
        return session.scalars(insert(Callback).returning(Callback.id), [row | changes]).one()


def the_ids(answer: Any) -> list[int]:
    return [json.loads(line)["id"] for line in answer.out.splitlines()]


def states(sessions: Sessions) -> list[str]:
    return [one.state for one in all_of(sessions, Callback)]


def test_that_nobody_waits_to_be_told_is_said(sessions: Sessions, sms: Sms) -> None:
    untold(sessions, "told")

    answer = sms("callbacks")

    assert (answer.code, answer.out) == (0, "Failed: 0; Owed: 0.\n")


def test_all_that_is_known_is_told_to_programs(sessions: Sessions, sms: Sms) -> None:
    failed = untold(sessions, retried_at=NOON, retried_by="ann")

    answer = sms("callbacks", "--json")

    (line,) = answer.out.splitlines()
    known = {"id": failed, "state": "failed", "told": "delivered", "event_id": "e-0", "uid": "u-0", "key": "k"}
    known |= {"producer": "shop", "phone": "********4567", "receiver": "https://shop.example:8443", "attempts": 12}
    known |= {"reason": "http 500", "created_at": "2026-11-30T12:00:00+00:00", "next_try_at": None}
    known |= {"finished_at": "2026-12-01T12:00:00+00:00", "retried_at": "2026-11-30T12:00:00+00:00"}
    assert json.loads(line) == known | {"retried_by": "ann"}
    assert answer.err == "Failed: 1; Owed: 0.\n"


def test_all_that_is_known_is_told_to_people(sessions: Sessions, sms: Sms) -> None:
    failed = untold(sessions)
    owed = untold(sessions, "owed", target=BANK, reason=None, attempts=0)

    answer = sms("callbacks")

    assert answer.out.splitlines() == [
        "Failed: 1; Owed: 1.",
        f"{failed}  failed  delivered of u-0  ********4567  producer shop, key k",
        "  to https://shop.example:8443: http 500, attempts 12",
        "  owed since 2026-11-30T17:00:00+05:00, given up 2026-12-01T17:00:00+05:00",
        f"{owed}  owed  delivered of u-1  ********4567  producer shop, key k",
        "  to queue:bank: not tried yet, attempts 0",
        "  owed since 2026-11-30T17:00:00+05:00, next try 2026-11-30T17:00:00+05:00",
        "To tell the failed ones again: sms callbacks retry, with ids or the same filters.",
    ]


@pytest.mark.parametrize("words", [[], ["--json"], ["retry", "--all", "--yes"]], ids=str)
def test_no_phone_no_password_and_no_query_is_shown_unasked(sessions: Sessions, sms: Sms, words: list[str]) -> None:
    untold(sessions)

    answer = sms("callbacks", *words)

    assert answer.code == 0
    assert not any(secret in answer.out + answer.err for secret in ("98901", "hidden", "token"))


@pytest.mark.parametrize("words", [[], ["--json"]], ids=["for people", "for programs"])
def test_phone_and_address_are_shown_to_whoever_asks(sessions: Sessions, sms: Sms, words: list[str]) -> None:
    untold(sessions)

    answer = sms("callbacks", "--reveal", *words)

    assert PHONE in answer.out
    assert SHOP["url"] in answer.out


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--state", "owed"], id="its state"),
        pytest.param(["--producer", "bank"], id="its producer"),
        pytest.param(["--receiver", "bank"], id="its queue"),
        pytest.param(["--receiver", "queue:bank"], id="its queue as it is shown"),
        pytest.param(["--since", "2026-11-30T17:30:00"], id="since, in the zone of the settings"),
        pytest.param(["--since", "2026-11-30T12:30:00Z", "--producer", "bank"], id="all that is given"),
    ],
)
def test_a_filter_picks_what_it_says(sessions: Sessions, sms: Sms, words: list[str]) -> None:
    untold(sessions)
    later = NOON + timedelta(hours=1)
    this = untold(sessions, "owed", target=BANK, event={"producer": "bank"}, created_at=later)

    assert the_ids(sms("callbacks", "--json", *words)) == [this]


def test_a_host_is_picked_with_its_port(sessions: Sessions, sms: Sms) -> None:
    this = untold(sessions)
    untold(sessions, target={"url": "https://shop.example/sms"})

    assert the_ids(sms("callbacks", "--json", "--receiver", "shop.example:8443")) == [this]


def test_people_see_the_first_twenty_and_are_told_of_the_others(sessions: Sessions, sms: Sms) -> None:
    for _ in range(22):
        untold(sessions)

    answer = sms("callbacks")

    assert answer.out.count("owed since") == 20
    assert "\nNot shown: 2 more. --limit 22 shows them all, filters narrow them.\n" in answer.out
    assert len(the_ids(sms("callbacks", "--json"))) == 22
    assert len(the_ids(sms("callbacks", "--json", "--limit", "3"))) == 3


def test_what_failed_is_owed_again_for_another_day(sessions: Sessions, sms: Sms) -> None:
    these = [untold(sessions), untold(sessions)]
    untold(sessions)

    answer = sms("callbacks", "retry", *map(str, these), "--yes", "--as", "ann")

    first = all_of(sessions, Callback)[0]
    assert answer.out.splitlines() == [
        "To tell again: 2; by receiver: https://shop.example:8443 2.",
        "2 owed again, as ann decided.",
    ]
    assert states(sessions) == ["owed", "owed", "failed"]
    assert (first.attempts, first.finished_at, first.retried_by, first.event_id) == (0, None, "ann", "e-0")
    assert first.next_try_at == first.retried_at != NOON


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        pytest.param(["--all"], ["owed", "owed", "owed"], id="all"),
        pytest.param(["--producer", "bank"], ["failed", "owed", "owed"], id="of a producer"),
        pytest.param(["--receiver", "shop.example:8443"], ["owed", "failed", "owed"], id="of a receiver"),
        pytest.param(["--since", "2026-11-30T12:30:00Z"], ["failed", "owed", "owed"], id="since"),
    ],
)
def test_only_what_failed_and_is_meant_is_retried(
    sessions: Sessions, sms: Sms, words: list[str], wanted: list[str]
) -> None:
    untold(sessions)
    later = NOON + timedelta(hours=1)
    untold(sessions, target=BANK, event={"producer": "bank"}, created_at=later)
    untold(sessions, "owed", target=BANK, event={"producer": "bank"}, created_at=later)

    answer = sms("callbacks", "retry", "--yes", *words)

    assert answer.code == 0
    assert states(sessions) == wanted
    assert all_of(sessions, Callback)[2].retried_at is None


def test_many_are_retried(sessions: Sessions, sms: Sms) -> None:
    for _ in range(3):
        untold(sessions)
    with sessions.begin() as session:
        rows = [{"event_id": f"m-{number}", "target": BANK, "event": {}, "state": "failed"} for number in range(1_100)]
        session.execute(
            insert(Callback), [row | {"attempts": 1, "created_at": NOON, "finished_at": NOON} for row in rows]
        )

    answer = sms("callbacks", "retry", "--receiver", "bank", "--yes")

    assert answer.out.splitlines()[-1].startswith("1100 owed again")
    assert states(sessions).count("failed") == 3


def test_a_dry_run_changes_nothing(sessions: Sessions, sms: Sms) -> None:
    untold(sessions)

    answer = sms("callbacks", "retry", "--all", "--dry-run")

    assert (answer.code, states(sessions)) == (0, ["failed"])
    assert answer.out.endswith("Nothing was changed: this was a dry run.\n")


@pytest.mark.parametrize(("say", "code", "state"), [("y\n", 0, "owed"), ("n\n", 1, "failed")], ids=["yes", "no"])
def test_a_person_is_asked(sessions: Sessions, sms: Sms, say: str, code: int, state: str) -> None:
    untold(sessions)

    answer = sms("callbacks", "retry", "--all", say=say)

    assert "Tell 1 again?" in answer.out
    assert (answer.code, states(sessions)) == (code, [state])


def test_what_has_not_failed_is_said_and_left_alone(sessions: Sessions, sms: Sms) -> None:
    failed, owed = untold(sessions), untold(sessions, "owed")

    answer = sms("callbacks", "retry", str(failed), str(owed), "--yes")

    assert (answer.code, answer.err) == (1, f"{owed} is owed, not failed.\n")
    assert all_of(sessions, Callback)[1].retried_at is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--state", "told"], "sms: --state 'told' is none to choose: give owed or failed.", id="state"),
        pytest.param(["--producer", " "], "sms: --producer is empty", id="producer"),
        pytest.param(["--receiver", ""], "sms: --receiver is empty", id="receiver"),
        pytest.param(["--since", "today"], "sms: --since 'today' is no time: give ISO 8601 such as", id="time"),
        pytest.param(["--state", "failed", "retry"], "sms: Filters stand behind the command", id="filter first"),
        pytest.param(["retry", "--yes"], "sms: retry what? Name ids or a filter such as --receiver", id="nothing"),
        pytest.param(
            ["retry", "17", "18"], "sms: There are no callbacks 17, 18: correct the ids and try again.", id="ids"
        ),
        pytest.param(["retry", "4711"], "sms: There is no callback 4711: correct the id and try again.", id="id"),
        pytest.param(["retry", *map(str, range(1, 1_002))], "sms: 1001 ids are too many", id="many ids"),
    ],
)
def test_wrong_words_get_one_line(sms: Sms, words: list[str], said: str) -> None:
    answer = sms("callbacks", *words)

    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1


def test_a_producer_s_words_do_not_command_the_terminal(sessions: Sessions, sms: Sms) -> None:
    untold(sessions, event={"key": "k\x1b[2J\nFailed: 0"}, target={"task": "t", "queue": "q\x1b[2J"})

    answer = sms("callbacks", "--reveal")

    assert r"key k\x1b[2J\nFailed: 0" in answer.out
    assert all(one.isprintable() or one == "\n" for one in answer.out)


def test_what_was_refused_and_has_hardly_a_name_is_shown(sessions: Sessions, sms: Sms) -> None:
    untold(sessions, event={"state": "refused", "phone": None, "key": None, "uid": None, "producer": None})

    answer = sms("callbacks")

    assert answer.code == 0
    assert "failed  refused of no uid" in answer.out


def test_what_was_told_is_not_read_to_find_what_was_not(engine: Engine, sessions: Sessions, sms: Sms) -> None:
    untold(sessions)
    asked: list[tuple[str, Any]] = []
    listen = lambda _c, _cursor, statement, parameters, *_: asked.append((statement, parameters))  # noqa: E731
    event.listen(Engine, "before_cursor_execute", listen)
    sms("callbacks", "--producer", "shop")
    event.remove(Engine, "before_cursor_execute", listen)

    plans = [plan_of(engine, *one) for one in asked if one[0].startswith("SELECT callbacks.")]
    assert ["ix_callbacks_failed" in plan for plan in plans] == [True, False] * 2, "to count, and to show"
    assert ["ix_callbacks_next_try_at" in plan for plan in plans] == [False, True] * 2


def plan_of(engine: Engine, statement: str, parameters: Any) -> str:
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET enable_seqscan = off"))  # a table as small as this one is read whole
            rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all()
        else:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    return "".join(f"{row[-1]}\n" for row in rows)


def test_a_receiver_that_has_none_is_told_of_those_that_have(sessions: Sessions, sms: Sms) -> None:
    untold(sessions)
    untold(sessions, target=BANK)

    answer = sms("callbacks", "--receiver", "nowhere")

    assert (answer.code, answer.out) == (0, "Failed: 0; Owed: 0.\n")
    assert answer.err == "The receiver nowhere has none of these. Others have: https://shop.example:8443, queue:bank.\n"
