"""``sms metrics``: figures that come from the database alone, by queries that old messages do not slow down."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from builders import NOON, Clock, Sessions, a_batch, stored
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from servers import wait_for
from sqlalchemy import Engine, event, insert, text

from models import Callback, RefusedIntake
from models.lifecycle import CallbackState, Lane, MessageState, Room
from worker.embedded import processes
from worker.instruments import KINDS
from worker.metrics import HouseCollector
from worker.store import accounts, circuits, figures
from worker.store.engine import make_engine, make_sessions

Sms = Callable[..., Any]
Figures = Callable[..., float | None]
#: what begins the names of what workers count, each with an end of its own
COUNTED = tuple(f"{kind.name}_{end}" for kind in KINDS for end in ("total", "bucket", "count", "sum"))


@pytest.fixture
def figure(sessions: Sessions) -> Figures:
    """Asks for one figure by its name and labels, at noon."""
    registry = CollectorRegistry()
    registry.register(HouseCollector(sessions, "login", Clock()))
    return lambda name, **labels: registry.get_sample_value(name, labels)


def a_callback(sessions: Sessions, state: CallbackState) -> None:
    row: dict[str, Any] = {"event_id": os.urandom(8).hex(), "target": {}, "event": {}, "state": state, "attempts": 1}
    row |= {"created_at": NOON} | ({"next_try_at": NOON} if state == CallbackState.OWED else {"finished_at": NOON})
    with sessions.begin() as session:
        session.execute(insert(Callback), [row])


def a_refusal(sessions: Sessions) -> None:
    row = {"digest": os.urandom(8).hex(), "queue": "sms.otp", "reason": "phone_invalid", "explanation": "no number"}
    with sessions.begin() as session:
        session.execute(insert(RefusedIntake), [row | {"body": "", "body_encoding": "utf-8", "created_at": NOON}])


def test_an_empty_house_has_every_figure_and_all_are_zero(sms: Sms) -> None:
    answer = sms("metrics")

    shown = {(sample.name, *sample.labels.values()): sample.value for sample in samples(answer.out)}
    assert answer.code == 0
    assert [shown.pop((f"sms_{server}_up",)) for server in ("database", "redis")] == [1, 1]
    assert set(shown.values()) == {0}
    assert {name for name, *_ in shown if not name.startswith(COUNTED)} == {
        "sms_waiting_messages",
        "sms_waiting_oldest_seconds",
        "sms_lane_quiet",
        "sms_open_messages",
        "sms_unconfirmed_messages",
        "sms_account_paused",
        "sms_account_held",
        "sms_circuit_open",
        "sms_callbacks_owed",
        "sms_callbacks_failed",
        "sms_refused_intakes",
        "sms_workers",
        "sms_later_messages",
        "sms_unconfirmed_oldest_seconds",
        "sms_untaken_orders",
    }
    assert {labels[0] for name, *labels in shown if name == "sms_waiting_messages"} == set(Lane)


def test_a_lane_s_wait_is_that_of_its_oldest_message_that_is_due(sessions: Sessions, figure: Figures) -> None:
    for seconds in (10, 90, -3600):
        stored(sessions, lane=Lane.OTP, send_at=NOON - timedelta(seconds=seconds))
    stored(sessions, lane=Lane.BULK, send_at=NOON + timedelta(hours=1))

    assert figure("sms_waiting_messages", lane="otp") == 2
    assert figure("sms_waiting_oldest_seconds", lane="otp") == 90
    assert figure("sms_waiting_messages", lane="bulk") == 0
    assert figure("sms_waiting_oldest_seconds", lane="bulk") == 0
    assert figure("sms_open_messages", state="queued") == 4


def test_a_gauge_counts_on_where_a_person_has_seen_enough(
    sessions: Sessions, figure: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "MOST", 2)
    for hours in (0, 0, 0, 1, 1, 1, 1):
        stored(sessions, lane=Lane.BULK, send_at=NOON + timedelta(hours=hours))
    for _ in range(5):
        stored(sessions, state=MessageState.SUBMITTED)

    assert (figure("sms_waiting_messages", lane="bulk"), figure("sms_later_messages", lane="bulk")) == (3, 4)
    assert [figure("sms_open_messages", state=state) for state in ("queued", "submitted")] == [7, 5]


def test_messages_are_counted_in_every_state_that_is_not_final(sessions: Sessions, figure: Figures) -> None:
    for state in MessageState:
        stored(sessions, state=state)
    stored(sessions, state=MessageState.UNCONFIRMED, lane=Lane.OTP)

    found = {state: figure("sms_open_messages", state=state) for state in MessageState}
    assert found.pop(MessageState.UNCONFIRMED) == 2
    opened = {state: value for state, value in found.items() if value is not None}
    assert opened == dict.fromkeys([MessageState.QUEUED, MessageState.POSTING, MessageState.SUBMITTED], 1)
    assert figure("sms_unconfirmed_messages", lane="otp") == figure("sms_unconfirmed_messages", lane="normal") == 1


def test_a_batch_that_is_half_answered_counts_only_what_is_still_posting(sessions: Sessions, figure: Figures) -> None:
    with sessions.begin() as session:
        batch = a_batch(session, size=3)
    for state in (MessageState.POSTING, MessageState.POSTING, MessageState.SUBMITTED):
        stored(sessions, state=state, batch_id=batch)

    assert figure("sms_open_messages", state="posting") == 2


def test_what_keeps_us_from_posting_is_shown(sessions: Sessions, figure: Figures) -> None:
    with sessions.begin() as session:
        account = accounts.account_id_of(session, "login")
        accounts.hold(session, account, now=NOON, who="nodira", reason=None)
        accounts.pause(session, account, accounts.Pause("wrong password", 100, None), now=NOON, probe_at=NOON)
        trouble = circuits.Trouble("bad_gateway", 502)
        circuits.fail(session, account, Room.POLLING, trouble, most=1, probing=False, now=NOON)

    assert figure("sms_account_paused") == figure("sms_account_held") == 1
    assert figure("sms_circuit_open", room="polling") == 1
    assert figure("sms_circuit_open", room="posting") == 0


def test_another_account_s_trouble_is_not_ours(sessions: Sessions, figure: Figures) -> None:
    with sessions.begin() as session:
        accounts.hold(session, accounts.account_id_of(session, "theirs"), now=NOON, who="them", reason=None)
        accounts.account_id_of(session, "login")

    assert figure("sms_account_held") == 0


def test_what_producers_are_owed_and_what_they_did_wrong_is_counted(sessions: Sessions, figure: Figures) -> None:
    for state in (CallbackState.OWED, CallbackState.FAILED, CallbackState.FAILED, CallbackState.TOLD):
        a_callback(sessions, state)
    a_refusal(sessions)

    assert (figure("sms_callbacks_owed"), figure("sms_callbacks_failed"), figure("sms_refused_intakes")) == (1, 2, 1)


def test_while_the_database_is_away_that_is_all_that_is_known() -> None:
    engine = make_engine("postgresql+psycopg://sms@127.0.0.1:1/sms")
    registry = CollectorRegistry()
    registry.register(HouseCollector(make_sessions(engine), "login", Clock()))

    assert [(sample.name, sample.value) for family in registry.collect() for sample in family.samples] == [
        ("sms_database_up", 0)
    ]


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        pytest.param(lambda session: figures.queues(session, now=NOON), "ix_messages_fair", id="queues"),
        pytest.param(figures.posting, "ix_batches_lease_until", id="posting"),
        pytest.param(figures.posting, "ix_messages_batch_id", id="posting, its messages"),
        pytest.param(figures.submitted, "ix_messages_poll", id="submitted"),
        pytest.param(figures.unconfirmed, "ix_messages_unconfirmed", id="unconfirmed"),
        pytest.param(
            lambda session: figures.callbacks(session, CallbackState.OWED), "ix_callbacks_next_try_at", id="owed"
        ),
        pytest.param(
            lambda session: figures.callbacks(session, CallbackState.FAILED), "ix_callbacks_failed", id="failed"
        ),
        pytest.param(figures.refused, "ix_refused_intakes", id="refused"),
    ],
)
def test_each_figure_reads_its_index_and_no_table(
    sessions: Sessions, engine: Engine, ask: Callable[..., Any], index: str
) -> None:
    (plan,) = plans_of(sessions, engine, ask)

    assert index in plan
    assert "Seq Scan" not in plan
    assert "SCAN messages\n" not in plan


def plans_of(sessions: Sessions, engine: Engine, ask: Callable[..., Any]) -> list[str]:
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
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET enable_seqscan = off"))
            rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all()
        else:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    return "".join(f"{row[-1]}\n" for row in rows)


def test_neither_phone_nor_text_nor_login_is_in_the_figures(sessions: Sessions, sms: Sms) -> None:
    stored(sessions, phone="998901234567", text="Your code is 4821", state=MessageState.UNCONFIRMED)

    shown = sms("metrics").out

    assert not [secret for secret in ("4567", "4821", "login", "not-to-be-seen") if secret in shown]


def test_a_database_that_is_away_from_the_start_is_one_line(sms: Sms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMS_DATABASE_URL", "postgresql+psycopg://sms:hidden@127.0.0.1:1/sms")

    answer = sms("metrics")

    assert (answer.code, answer.err.count("\n"), "hidden" in answer.err) == (2, 1, False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--serve", "9178"], "give HOST:PORT such as 127.0.0.1:9178", id="no host"),
        pytest.param(["--serve", "127.0.0.1:http"], "give HOST:PORT", id="no number"),
        pytest.param(["--serve", "127.0.0.1:70000"], "give HOST:PORT", id="no port"),
        pytest.param(["127.0.0.1:9178"], "sms metrics --serve 127.0.0.1:9178", id="without --serve"),
        pytest.param(["--serve", "192.0.2.1:9178"], "cannot be listened on", id="not this host's"),
    ],
)
def test_an_address_that_will_not_do_gets_one_line(sms: Sms, words: list[str], said: str) -> None:
    answer = sms("metrics", *words)

    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1


def test_an_address_in_use_gets_one_line(sms: Sms) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = sms("metrics", "--serve", f"127.0.0.1:{taken.getsockname()[1]}")

    assert answer.code == 2
    assert "cannot be listened on" in answer.err


@pytest.fixture
def served(sqlite_template: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """``sms metrics --serve`` as a process, and its address."""
    shutil.copy(sqlite_template, tmp_path / "sms.db")
    env = {"PATH": os.environ["PATH"], "SMS_DATABASE_URL": f"sqlite:///{tmp_path}/sms.db"}
    env |= {"SMS_GATEWAY_URL": "http://127.0.0.1:9", "SMS_GATEWAY_LOGIN": "we", "SMS_GATEWAY_PASSWORD": "x"}
    log = tmp_path / "metrics.log"
    command = [sys.executable, "-m", "worker.cli.main", "metrics", "--serve", "127.0.0.1:0"]
    process = processes.start(command, log=log, env=env, cwd=tmp_path)
    wait_for(lambda: "until Ctrl-C" in log.read_text())
    yield process, log.read_text().split()[1]
    processes.stop(process, seconds=10)


def test_it_serves_until_it_is_told_to_stop(served: tuple[subprocess.Popen[bytes], str]) -> None:
    process, address = served

    answers = [requests.get(address, timeout=30) for _ in range(2)]
    process.terminate()

    assert address.endswith("/metrics")
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [sample.value for sample in samples(answers[1].text) if sample.name == "sms_database_up"] == [1]
    assert process.wait(30) == 0


def samples(exposition: str) -> list[Any]:
    return [sample for family in text_string_to_metric_families(exposition) for sample in family.samples]
