"""A mistake of ours keeps an answer from being stored: its ids are in the log, and the gateway is not blamed for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from builders import NOON, Clock, Sessions, a_submission, all_of, an_upkeep, post_all, states_of, stored, the_sms
from in_trouble import UNREACHABLE, a_room, opened, the_circuit
from sqlalchemy import event
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from models import Account, Batch
from worker.errors import AccountRefused
from worker.gateway import Acceptance, AcceptedSms
from worker.gateway.memory import MemoryGateway
from worker.trouble import Outcome

PHONE, TEXT = "998907654321", "Your code is 4821"
UNSTORABLE = "half a pair \ud800"


def unstorable(*ids: int) -> Acceptance:
    return Acceptance([AcceptedSms(one, UNSTORABLE, None) for one in ids])


def state_of(sessions: Sessions) -> tuple[Any, ...]:
    circuit = the_circuit(sessions)
    return circuit.state, circuit.failures, circuit.probes, circuit.reason


def test_its_ids_are_in_the_log_once_without_phone_or_text(sessions: Sessions) -> None:
    sms = stored(sessions, phone=PHONE, text=TEXT)

    with capture_logs(processors=[merge_contextvars]) as logs:
        a_submission(sessions, MemoryGateway(answers=[unstorable(sms)])).post_next()

    (given_up,) = [one for one in logs if one["event"] == "answer_given_up"]
    assert (given_up["taken"], given_up["batch_id"]) == ([(sms, UNSTORABLE)], 1)
    assert "mistake of ours" in given_up["because"]
    assert not any(word in str(logs) for word in (PHONE, TEXT))
    assert (the_sms(sessions, sms).state, the_sms(sessions, sms).reason) == ("unconfirmed", "answer_not_recorded")
    assert [(one.state, one.reason) for one in all_of(sessions, Batch)] == [("unconfirmed", "answer_not_recorded")]


def test_it_does_not_open_the_circuit(sessions: Sessions) -> None:
    clock = Clock()
    sms = stored(sessions)

    with capture_logs() as logs:
        a_room(sessions, clock, unstorable(sms)).post_next()

    assert state_of(sessions) == ("closed", 0, 0, None)
    assert not any(one["event"] == "circuit_opened" for one in logs)


def test_failures_before_it_are_neither_more_nor_forgotten(sessions: Sessions) -> None:
    clock = Clock()
    sms = stored(sessions)
    room = a_room(sessions, clock, UNREACHABLE, UNREACHABLE, unstorable(sms))
    for _ in range(2):
        room.post_next()
    before = state_of(sessions)

    room.post_next()

    assert before == state_of(sessions) == ("closed", 2, 0, UNREACHABLE.reason)


def test_a_circuits_probe_whose_answer_is_lost_so_is_given_back(sessions: Sessions) -> None:
    clock = Clock()
    opened(sessions, clock)
    sms, _ = stored(sessions), stored(sessions)
    before = state_of(sessions)

    a_room(sessions, clock, unstorable(sms)).post_next()
    after, probe_at = state_of(sessions), the_circuit(sessions).probe_at
    probed = a_room(sessions, clock).post_next()

    assert (before, after[0], probe_at) == (after, "open", clock.at)
    assert (probed, state_of(sessions)[0]) == (True, "closed")
    assert states_of(sessions) == ["unconfirmed", "unconfirmed", "submitted"]


def test_the_accounts_probe_whose_answer_is_lost_so_is_given_back(sessions: Sessions) -> None:
    clock = Clock()
    sms, _ = stored(sessions), stored(sessions)
    a_room(sessions, clock, AccountRefused("limit is over", error_no=103)).post_next()
    clock.advance(minutes=1)

    a_room(sessions, clock, unstorable(sms)).post_next()
    (account,) = all_of(sessions, Account)
    probed = a_room(sessions, clock).post_next()

    assert (account.state, account.probes, account.probe_at) == ("paused", 0, clock.at)
    assert (probed, [one.state for one in all_of(sessions, Account)]) == (True, ["active"])


@contextmanager
def nothing_can_be_stored(sessions: Sessions) -> Iterator[None]:
    def broken(_: object) -> None:
        raise ValueError(PHONE, TEXT)

    event.listen(sessions, "before_commit", broken)
    yield
    event.remove(sessions, "before_commit", broken)


def test_who_cannot_store_even_that_leaves_the_batch_to_upkeep(sessions: Sessions) -> None:
    sms = stored(sessions, phone=PHONE, text=TEXT)
    clock = Clock()
    gateway = MemoryGateway()
    room = a_submission(sessions, gateway, clock)
    gate, claimed = room._claim(["normal"])  # type: ignore[list-item]
    answer, _ = room._post(claimed)  # type: ignore[arg-type]

    with capture_logs() as logs, nothing_can_be_stored(sessions):
        room.recording.store(claimed, Outcome(answer, gate))  # type: ignore[arg-type]
    left = states_of(sessions)
    clock.at = NOON + timedelta(hours=1)
    an_upkeep(sessions, clock).sweep()
    post_all(room)

    assert [one["taken"] for one in logs if one["event"] == "answer_given_up"] == [[(sms, "10000000")]]
    assert not any(word in str(logs) for word in (PHONE, TEXT))
    assert (left, states_of(sessions), len(gateway.posted)) == (["posting"], ["unconfirmed"], 1)
