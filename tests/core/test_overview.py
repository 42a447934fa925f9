"""Is it going out? Figures of now, a verdict with its reason, and what needs a person, put together."""

from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from builders import NOON, Sessions, a_batch, a_send, an_intake, many_stored, stored
from sqlalchemy import Engine, event, insert, text
from sqlalchemy.orm import Session
from taking import TELL

from models import Callback, RefusedIntake, Worker
from models.lifecycle import BatchState, Lane, MessageState, Room
from worker.quiet import NEVER, QuietHours, QuietLanes
from worker.store import accounts, attention, circuits, figures, overview
from worker.store.accounts import Pause
from worker.store.circuits import Trouble
from worker.store.overview import Minute, Overview
from worker.store.verdict import SAID

S, L = MessageState, Lane
AT_NOON = QuietLanes({L.BULK: QuietHours(time(11), time(13))}, ZoneInfo("UTC"))


def ago(**how_long: float) -> datetime:
    return NOON - timedelta(**how_long)


def a_worker(sessions: Sessions, **changes: Any) -> None:
    row = {"name": "sms@one:1:x", "release": "0.4.0", "started_at": ago(hours=1), "seen_at": NOON, "figures": {}}
    with sessions.begin() as session:
        session.execute(insert(Worker), [row | {"bell_at": ago(seconds=1)} | changes])


def seen(sessions: Sessions, quiet: QuietLanes = NEVER) -> Overview:
    with sessions() as session:
        return overview.overview(session, "login", now=NOON, quiet=quiet)


def answered(sessions: Sessions, **changes: Any) -> None:
    batch = {"state": BatchState.ACCEPTED, "accepted": 1, "refused": 0, "finished_at": ago(seconds=20)}
    with sessions.begin() as session:
        a_batch(session, **batch | changes)


def broken(sessions: Sessions, state: BatchState = BatchState.UNCONFIRMED, **changes: Any) -> None:
    with sessions.begin() as session:
        a_batch(session, **{"state": state, "finished_at": ago(seconds=30)} | changes)


def _paused(sessions: Sessions) -> None:
    a_worker(sessions)
    with sessions.begin() as session:
        account_id = accounts.account_id_of(session, "login")
        accounts.pause(session, account_id, Pause("limit is over", 103, 200), now=NOON, probe_at=NOON)


def _held(sessions: Sessions) -> None:
    _paused(sessions)
    with sessions.begin() as session:
        account_id = accounts.account_id_of(session, "login")
        accounts.hold(session, account_id, now=NOON, who="ann", reason="a campaign went wrong")


def _circuit(room: Room) -> Callable[[Sessions], None]:
    def fail(sessions: Sessions) -> None:
        a_worker(sessions)
        with sessions.begin() as session:
            account_id = accounts.account_id_of(session, "login")
            circuits.fail(session, account_id, room, Trouble("HTTP 502"), most=1, probing=False, now=NOON)

    return fail


def _dead(sessions: Sessions) -> None:
    a_worker(sessions, seen_at=ago(minutes=5))
    a_worker(sessions, name="left", left_at=ago(seconds=1))


def _deaf(sessions: Sessions) -> None:
    a_worker(sessions, bell_at=ago(minutes=2))


def _just_begun(sessions: Sessions) -> None:
    a_worker(sessions, started_at=ago(seconds=3), bell_at=None)


def _waiting(lane: Lane, *, goes: bool, **how_long: float) -> Callable[[Sessions], None]:
    def wait(sessions: Sessions) -> None:
        a_worker(sessions)
        stored(sessions, lane=lane, send_at=ago(**how_long), created_at=ago(**how_long))
        if goes:
            answered(sessions)

    return wait


def _cut_off(sessions: Sessions) -> None:
    a_worker(sessions)
    answered(sessions)
    broken(sessions)
    broken(sessions, BatchState.RELEASED, reason="refused")


VERDICTS = [
    pytest.param(_held, "stopped", "held", id="a person holds it, whatever else there is"),
    pytest.param(_paused, "stopped", "paused", id="the vendor refuses the account"),
    pytest.param(_circuit(Room.POSTING), "stopped", "circuit_open", id="the gateway does not answer posts"),
    pytest.param(_circuit(Room.POLLING), "idle", "nothing_waits", id="only questions are not answered"),
    pytest.param(_dead, "stopped", "no_worker", id="one worker is dead, one has left"),
    pytest.param(_deaf, "stopped", "no_bell", id="nobody rings"),
    pytest.param(_just_begun, "idle", "nothing_waits", id="a worker that has just begun has heard no bell yet"),
    pytest.param(_waiting(L.BULK, goes=False, minutes=2), "stopped", "stuck", id="it waits and nothing goes"),
    pytest.param(_cut_off, "slow", "cut_off", id="more calls break than are answered"),
    pytest.param(_waiting(L.OTP, goes=True, seconds=31), "slow", "otp_waits", id="a code waits half a minute"),
    pytest.param(_waiting(L.NORMAL, goes=True, minutes=11), "slow", "normal_waits", id="a message waits long"),
    pytest.param(_waiting(L.OTP, goes=True, seconds=29), "going", "posting", id="a code waits a moment"),
    pytest.param(_waiting(L.BULK, goes=True, hours=5), "going", "posting", id="a campaign takes its time"),
    pytest.param(_waiting(L.OTP, goes=False, seconds=2), "going", "posting", id="the first after a silence"),
    pytest.param(a_worker, "idle", "nothing_waits", id="nothing waits"),
]


@pytest.mark.parametrize(("arrange", "verdict", "reason"), VERDICTS)
def test_the_verdict_names_what_stops_it(
    sessions: Sessions, arrange: Callable[[Sessions], None], verdict: str, reason: str
) -> None:
    arrange(sessions)

    found = seen(sessions)

    assert (found.verdict, found.reason) == (verdict, reason)
    assert bool(SAID[reason].remedy) == (verdict in {"stopped", "slow"})


def test_every_reason_is_met_in_a_test_and_what_only_waits_for_its_hours_is_idle(sessions: Sessions) -> None:
    _waiting(L.BULK, goes=False, hours=1)(sessions)

    found = seen(sessions, AT_NOON)

    assert (found.verdict, found.reason) == ("idle", "quiet_hours")
    assert {case.values[2] for case in VERDICTS} | {found.reason} == set(SAID)


def test_each_lane_says_what_waits_what_is_for_later_and_what_comes_and_goes(sessions: Sessions) -> None:
    many_stored(sessions, 10, lane=L.OTP, created_at=ago(minutes=1), send_at=ago(seconds=40))
    many_stored(sessions, 3, lane=L.OTP, created_at=ago(hours=1), send_at=NOON + timedelta(hours=1))
    stored(sessions, state=S.UNCONFIRMED, lane=L.BULK, created_at=ago(hours=1))
    answered(sessions, lane=L.OTP, size=50, accepted=45, refused=5)
    answered(sessions, lane=L.OTP, size=50, accepted=50, finished_at=ago(minutes=6))

    otp, normal, bulk = seen(sessions, AT_NOON).lanes

    assert otp == (L.OTP, 10, 40.0, 3, 0, False, 2.0, 10.0)
    assert normal == (L.NORMAL, 0, None, 0, 0, False, 0.0, 0.0)
    assert bulk == (L.BULK, 0, None, 0, 1, True, 0.0, 0.0)


def test_of_very_many_that_wait_only_so_many_are_counted_in_each_lane_and_the_oldest_is_still_right(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "MOST", 5)
    many_stored(sessions, 1, lane=L.BULK, send_at=ago(seconds=90))
    many_stored(sessions, 7, lane=L.BULK, send_at=ago(seconds=10))
    many_stored(sessions, 6, lane=L.BULK, send_at=NOON + timedelta(hours=1))
    many_stored(sessions, 4, lane=L.OTP)
    for _ in range(8):
        stored(sessions, state=S.SUBMITTED)

    found = seen(sessions)

    counts = {one.lane: (one.waiting, one.oldest_seconds, one.later) for one in found.lanes}
    assert counts == {L.OTP: (4, 0.0, 0), L.NORMAL: (0, None, 0), L.BULK: (5, 90.0, 5)}
    assert found.submitted == 5
    assert [overview.up_to(count) for count in (4, found.submitted)] == ["4", "5+"]


def test_of_a_storm_only_the_newest_rows_are_counted_and_the_rate_is_still_right(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MOST_ROWS", 10)
    for second in range(1, 31):
        many_stored(sessions, 1, lane=L.BULK, created_at=ago(seconds=second))
        answered(sessions, lane=L.BULK, finished_at=ago(seconds=second))

    bulk = seen(sessions).lanes[2]

    assert (bulk.in_per_minute, bulk.out_per_minute) == (60.0, 60.0)


def test_the_gateway_is_told_by_its_outcomes_its_errors_and_how_long_it_took(sessions: Sessions) -> None:
    for answer_ms in range(1, 101):
        answered(sessions, answer_ms=answer_ms)
    broken(sessions, answer_ms=30_000)
    broken(sessions, BatchState.REFUSED, reason="nickname", error_no=203, http_status=200)
    broken(sessions, BatchState.RELEASED, reason="limit is over", error_no=103, http_status=200)
    broken(sessions, BatchState.RELEASED, reason="HTTP 403", http_status=403)
    broken(sessions, BatchState.RELEASED, reason="ConnectionError")
    broken(sessions, BatchState.RELEASED, reason="the worker is to stop")
    broken(sessions, finished_at=ago(minutes=16))

    found = seen(sessions).gateway

    assert (found.answers, found.refused, found.cut_off, found.unreachable) == (100, 3, 1, 1)
    assert (found.latency_ms_p50, found.latency_ms_p95) == (51, 96)
    assert found.errors == {None: 3, 203: 1, 103: 1}


def test_time_to_deliver_is_of_the_delivered_of_a_day(sessions: Sessions) -> None:
    for seconds in (1, 2, 3, 4, 100):
        at = {"send_at": ago(minutes=10), "delivered_at": ago(minutes=10) + timedelta(seconds=seconds)}
        stored(sessions, state=S.DELIVERED, finalized_at=ago(minutes=1), **at)
    stored(sessions, state=S.DELIVERED, finalized_at=ago(hours=25), send_at=ago(hours=30), delivered_at=ago(hours=25))
    stored(sessions, state=S.FAILED, finalized_at=ago(minutes=1))

    assert seen(sessions).delivery == (3.0, 100.0, 5)


def test_the_minutes_are_all_there_and_each_has_what_ended_in_it(sessions: Sessions) -> None:
    now = NOON + timedelta(seconds=59)
    answered(sessions, size=50, accepted=40, refused=10, finished_at=NOON)
    answered(sessions, size=2, accepted=2, finished_at=NOON - timedelta(microseconds=1))
    stored(sessions, state=S.DELIVERED, finalized_at=NOON + timedelta(seconds=58), batch_id=1)
    stored(sessions, state=S.FAILED, finalized_at=ago(minutes=1))
    stored(sessions, state=S.EXPIRED, finalized_at=ago(minutes=1))
    stored(sessions, state=S.FAILED, finalized_at=ago(hours=3))

    with sessions() as session:
        found = overview.minutes(session, now=now, hours=3)

    assert [one.at for one in found] == [ago(minutes=minute) for minute in range(179, -1, -1)]
    assert found[-2:] == [Minute(ago(minutes=1), 2, 0, 1), Minute(NOON, 40, 1, 0)]
    assert sum(one.failed for one in found) == 1


def test_workers_bells_callbacks_and_todays_refusals_are_counted(sessions: Sessions) -> None:
    a_worker(sessions, bell_at=ago(seconds=7))
    for number, state in enumerate(["owed", "failed", "failed"]):
        event = {"event_id": str(number), "target": TELL, "event": {}, "attempts": 1, "created_at": NOON}
        end = {"next_try_at": NOON} if state == "owed" else {"finished_at": NOON, "reason": "HTTP 404"}
        with sessions.begin() as session:
            session.execute(insert(Callback), [event | end | {"state": state}])
    an_intake(sessions, lambda: ago(hours=13)).take_raw([a_send("12345", task_id="u")], L.OTP)
    an_intake(sessions, lambda: NOON).take_raw([a_send("12346", task_id="v")], L.OTP)
    stored(sessions, state=S.SUBMITTED)
    stored(sessions, state=S.POSTING)

    found = seen(sessions)

    assert (found.callbacks_owed, found.callbacks_failed, found.refused_today) == (1, 2, 1)
    assert ([one.name for one in found.workers], found.bell_age_seconds) == (["sms@one:1:x"], 7.0)
    assert (found.posting, found.submitted) == (1, 1)


def test_what_is_alike_is_one_line_with_the_oldest_and_an_example(sessions: Sessions) -> None:
    for number in range(3):
        with sessions.begin() as session:
            batch_id = a_batch(session, state=BatchState.UNCONFIRMED, finished_at=ago(minutes=number))
        named = {"uid": f"u{number}", "lane": L.OTP, "reason": "HTTP 502", "batch_id": batch_id}
        stored(sessions, state=S.UNCONFIRMED, **named)
    stored(sessions, state=S.UNCONFIRMED, uid="v", lane=L.BULK, reason="worker_died")
    _held(sessions)

    found = seen(sessions).attention

    assert [(one.kind, one.lane, one.reason, one.rows) for one in found] == [
        ("account held", None, "held by ann", 1),
        ("account paused", None, "limit is over", 1),
        ("unconfirmed", "otp", "HTTP 502", 3),
        ("unconfirmed", "bulk", "worker_died", 1),
    ]
    assert (found[2].uid, found[2].since, found[2].at_least) == ("u0", ago(minutes=2), False)


def test_of_very_many_some_are_looked_at_and_it_says_so_and_no_lane_hides_another(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "SAMPLE", 5)
    with sessions.begin() as session:
        batch_id = a_batch(session, state=BatchState.UNCONFIRMED)
    doubt = {"state": S.UNCONFIRMED, "posted_at": NOON, "reason": "HTTP 502", "batch_id": batch_id}
    many_stored(sessions, 20, lane=L.BULK, **doubt)
    many_stored(sessions, 2, lane=L.OTP, **doubt)

    found = seen(sessions).attention

    assert [(one.lane, one.rows, one.at_least) for one in found] == [("otp", 2, False), ("bulk", 5, True)]


def test_it_says_what_the_view_says(sessions: Sessions) -> None:
    _held(sessions)
    with sessions.begin() as session:
        account_id = accounts.account_id_of(session, "login")
        circuits.fail(session, account_id, Room.POLLING, Trouble("HTTP 502"), most=1, probing=False, now=NOON)
        other = accounts.account_id_of(session, "other")
        accounts.hold(session, other, now=NOON, who=accounts.BY_RESTORE, reason="its last batch is 1")
    sms = stored(sessions, state=S.UNCONFIRMED, uid="u", lane=L.OTP, reason="HTTP 502")
    event = {"event_id": "e", "target": TELL, "event": {}, "attempts": 1, "created_at": NOON, "sms_id": sms}
    with sessions.begin() as session:
        end = {"state": "failed", "finished_at": NOON, "reason": "HTTP 404"}
        session.execute(insert(Callback), [event | end])
    an_intake(sessions).take_raw([a_send("12345", task_id="v")], L.OTP)

    with sessions() as session:
        shown = session.execute(text("SELECT kind, uid, lane, reason, remedy FROM v_attention")).all()
        found = attention.attention(session, limit=50)

    ours = [(one.kind, one.uid, one.lane, one.reason, one.remedy) for one in found]
    assert sorted(map(str, ours)) == sorted(str(tuple(row)) for row in shown)
    assert all(one.since == NOON for one in found)


def test_no_more_is_said_than_was_asked_for_and_what_stops_all_comes_first(sessions: Sessions) -> None:
    stored(sessions, state=S.UNCONFIRMED)
    _held(sessions)

    with sessions() as session:
        found = attention.attention(session, limit=1)

    assert [one.kind for one in found] == ["account held"]


ASKED: list[Any] = [
    pytest.param(lambda session: overview.lanes(session, now=NOON), "ix_messages_claim", id="what waits"),
    pytest.param(lambda session: figures.submitted(session, most=9), "ix_messages_poll", id="what is awaited"),
    pytest.param(lambda session: overview.lanes(session, now=NOON), "ix_messages_created_at", id="what came"),
    pytest.param(lambda session: overview.lanes(session, now=NOON), "ix_batches_finished_at", id="what went"),
    pytest.param(lambda session: overview.gateway(session, now=NOON), "ix_batches_finished_at", id="gateway"),
    pytest.param(lambda session: overview.delivery(session, now=NOON), "ix_messages_finalized_at", id="delivery"),
    pytest.param(lambda session: overview.minutes(session, now=NOON), "ix_messages_finalized_at", id="minutes"),
    pytest.param(lambda session: overview.minutes(session, now=NOON), "ix_batches_finished_at", id="minutes, accepted"),
    pytest.param(lambda session: attention.attention(session, limit=9), "ix_messages_unconfirmed", id="in doubt"),
    pytest.param(lambda session: attention.attention(session, limit=9), "ix_callbacks_failed", id="untold"),
    pytest.param(lambda session: attention.attention(session, limit=9), "ix_refused_intakes_created_at", id="refused"),
    pytest.param(
        lambda session: overview.refused_since(session, NOON), "ix_refused_intakes_created_at", id="refused today"
    ),
]


@pytest.mark.parametrize(("ask", "index"), ASKED)
def test_each_question_reads_an_index_and_never_a_large_table(
    sessions: Sessions, engine: Engine, ask: Callable[[Session], object], index: str
) -> None:
    plans = plans_of(sessions, engine, ask)

    large = ("messages", "batches", "callbacks", "refused_intakes")
    scans = [f"Seq Scan on {table}" for table in large] + [f"SCAN {table}\n" for table in large]
    assert any(index in plan for plan in plans)
    assert not [plan for plan in plans for scan in scans if scan in plan]


def plans_of(sessions: Sessions, engine: Engine, ask: Callable[[Session], object]) -> list[str]:
    """How the database would go about each query that *ask* makes, if its tables were large."""
    asked: list[tuple[str, Any]] = []

    def listen(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", listen)
    with sessions() as session:
        ask(session)
    event.remove(engine, "before_cursor_execute", listen)
    return [plan_of(engine, *one) for one in asked if one[0].startswith("SELECT")]


def plan_of(engine: Engine, statement: str, parameters: Any) -> str:
    explain = "EXPLAIN" if engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET enable_seqscan = off"))
        rows = connection.exec_driver_sql(f"{explain} {statement}", parameters).all()
    return "".join(f"{row[-1]}\n" for row in rows)


def test_an_order_that_was_refused_long_ago_needs_nobody_any_more(sessions: Sessions) -> None:
    for name, hours in (("today", 23), ("before", 25)):
        row = {
            "digest": name,
            "queue": "sms.otp",
            "reason": name,
            "explanation": "…",
            "body": "",
            "body_encoding": "utf-8",
        }
        with sessions.begin() as session:
            session.execute(insert(RefusedIntake), [row | {"created_at": ago(seconds=hours * 3600)}])

    assert [one.reason for one in seen(sessions).attention if one.kind == "order refused"] == ["today"]
