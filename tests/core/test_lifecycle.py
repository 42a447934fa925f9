"""Every row of the life-cycle's table is a move, nothing else is, and an impossible row cannot be stored."""

import itertools
import re
from datetime import timedelta
from typing import Any

import pytest
from builders import NOON, Sessions, a_batch, an_sms, stored, the_sms
from sqlalchemy import CheckConstraint, Engine, insert, inspect, text, update
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.orm import Session

from models import Account, Base, Batch, Block, Callback, Circuit, Decision, Message, RefusedIntake, Report, Tally
from models.lifecycle import (
    FINAL,
    MOVES,
    AccountState,
    BatchState,
    CallbackState,
    CircuitState,
    Lane,
    MessageState,
    Room,
    Verdict,
    sources_of,
)
from worker.store.moves import move

S = MessageState
#: The table of moves as people read it, and one more: the answer to that very batch, after upkeep had given it up.
TABLE = {
    "queued": {"posting", "cancelled", "expired"},
    "posting": {"submitted", "failed", "queued", "unconfirmed"},
    "unconfirmed": {"queued", "failed", "submitted"},
    "submitted": {"delivered", "failed", "unknown"},
    "unknown": {"delivered", "failed", "submitted"},
}
ALL_PAIRS = list(itertools.product(S, S))


def what_the_state_asks_for(target: S) -> dict[str, Any]:
    """The fields that must be set with a move to *target*."""
    names: dict[S, set[str]] = {
        S.SUBMITTED: {"request_id", "submitted_at", "next_poll_at"},
        S.DELIVERED: {"delivered_at"},
    }
    row = an_sms(state=target)
    return {name: row[name] for name in names.get(target, set())}


@pytest.mark.parametrize(("source", "target"), ALL_PAIRS, ids=[f"{a} to {b}" for a, b in ALL_PAIRS])
def test_only_the_rows_of_the_table_are_moves(source: S, target: S) -> None:
    is_a_move = target in MOVES.get(source, frozenset())

    assert is_a_move == (str(target) in TABLE.get(str(source), set()))
    assert is_a_move == (source in sources_of(target))


def test_final_states_are_those_of_the_contract_and_only_unknown_can_be_left() -> None:
    assert {"delivered", "failed", "unknown", "cancelled", "expired"} == {str(state) for state in FINAL}
    assert {S.UNKNOWN} == {state for state in FINAL if state in MOVES}


def test_each_row_of_the_table_moves_a_message(sessions: Sessions) -> None:
    for source, targets in MOVES.items():
        for target in targets:
            sms = stored(sessions, state=source)
            with sessions.begin() as session:
                batch = {"batch_id": a_batch(session), "posted_at": NOON} if target is S.POSTING else {}
                values = what_the_state_asks_for(target) | batch

                moved = move(session, target, Message.id == sms, now=NOON, **values)

            assert [sms] == [one.id for one in moved], f"{source} to {target}"
            assert target == the_sms(sessions, sms).state


def test_nothing_but_the_rows_of_the_table_moves_a_message(sessions: Sessions) -> None:
    for source, target in ALL_PAIRS:
        if target in MOVES.get(source, frozenset()):
            continue
        sms = stored(sessions, state=source)

        with sessions.begin() as session:
            moved = move(session, target, Message.id == sms, now=NOON, **what_the_state_asks_for(target))

        assert list(moved) == [], f"{source} to {target}"
        assert source == the_sms(sessions, sms).state


@pytest.mark.parametrize(("source", "target"), [(S.DELIVERED, S.QUEUED), (S.UNCONFIRMED, S.POSTING)], ids=str)
def test_a_move_that_the_table_does_not_know_is_a_mistake_of_ours(sessions: Sessions, source: S, target: S) -> None:
    with sessions.begin() as session, pytest.raises(ValueError, match="no message moves"):
        move(session, target, now=NOON, sources=[source])


@pytest.mark.parametrize("target", sorted(FINAL), ids=str)
def test_an_end_is_dated_and_leaving_it_takes_the_date_away(sessions: Sessions, target: S) -> None:
    source = min(sources_of(target) - {S.UNKNOWN})
    sms = stored(sessions, state=source)
    later = NOON + timedelta(hours=1)

    with sessions.begin() as session:
        move(session, target, Message.id == sms, now=later, **what_the_state_asks_for(target))
        ended = the_end_of(session, sms)
        move(session, S.SUBMITTED, Message.id == sms, now=later, sources=[S.UNKNOWN], next_poll_at=later)

    assert later == ended
    assert the_sms(sessions, sms).finalized_at == (None if target is S.UNKNOWN else later)


def the_end_of(session: Session, sms: int) -> Any:
    return session.scalars(
        text("SELECT finalized_at FROM messages WHERE id = :id").columns(Message.finalized_at).bindparams(id=sms)
    ).one()


KNOWN_WORDS = [
    ("messages", "state_known", MessageState),
    ("messages", "lane_known", Lane),
    ("batches", "state_known", BatchState),
    ("batches", "lane_known", Lane),
    ("callbacks", "state_known", CallbackState),
    ("accounts", "state_known", AccountState),
    ("circuits", "room_known", Room),
    ("circuits", "state_known", CircuitState),
    ("decisions", "what_known", Verdict),
    ("blocks", "lane_known", Lane),
    ("tallies", "lane_known", Lane),
]


@pytest.mark.parametrize(
    ("table", "name", "words"), KNOWN_WORDS, ids=[f"{table} {name}" for table, name, _ in KNOWN_WORDS]
)
def test_the_database_knows_the_same_words(engine: Engine, table: str, name: str, words: type[MessageState]) -> None:
    checks = {check["name"]: check["sqltext"] for check in inspect(engine).get_check_constraints(table)}

    assert set(re.findall("'([a-z]+)'", checks[f"ck_{table}_{name}"])) == {str(word) for word in words}


def a_message_with(**changes: Any) -> tuple[type[Base], dict[str, Any]]:
    return Message, {"batch_id": None, **an_sms(**changes)}


def a_batch_with(**changes: Any) -> tuple[type[Base], dict[str, Any]]:
    lease = None if "state" in changes else NOON
    finished = NOON if "state" in changes else None
    row = {"account_id": 1, "lane": "otp", "state": "posting", "size": 1, "worker": "w", "created_at": NOON}
    return Batch, row | {"lease_until": lease, "finished_at": finished} | changes


def an_account_with(**changes: Any) -> tuple[type[Base], dict[str, Any]]:
    return Account, {"login": "other", "state": "active", "probes": 0} | changes


def a_circuit_with(**changes: Any) -> tuple[type[Base], dict[str, Any]]:
    open_since = {"opened_at": NOON, "probe_at": NOON} if changes.get("state") == "open" else {}
    row = {"account_id": 2, "room": "posting", "state": "closed", "failures": 0, "probes": 0}
    return Circuit, row | open_since | changes


def a_decision_with(**changes: Any) -> tuple[type[Base], dict[str, Any]]:
    return Decision, {"at": NOON, "who": "a test", "what": "drop"} | changes


def a_callback_with(**changes: Any) -> tuple[type[Base], dict[str, Any]]:
    row = {"event_id": "e", "target": {}, "event": {}, "state": "owed", "attempts": 0, "created_at": NOON}
    return Callback, row | {"next_try_at": NOON} | changes


def a_refused_intake_with(**changes: Any) -> tuple[type[Base], dict[str, Any]]:
    words = ("digest", "queue", "reason", "explanation", "body")
    return RefusedIntake, dict.fromkeys(words, "x") | {"body_encoding": "utf-8", "created_at": NOON} | changes


def a_block_with(**changes: Any) -> tuple[type[Base], dict[str, Any]]:
    return Block, {"phone": "998901234567", "lane": "bulk", "who": "a test", "at": NOON} | changes


def a_tally_with(**changes: Any) -> tuple[type[Base], dict[str, Any]]:
    return Tally, {"day": NOON.date(), "producer": "shop", "lane": "bulk", "messages": 1} | changes


IMPOSSIBLE = {
    "ck_messages_state_known": a_message_with(state="sent"),
    "ck_messages_lane_known": a_message_with(lane="fast"),
    "ck_messages_encoding_known": a_message_with(encoding="latin"),
    "ck_messages_counts_sane": a_message_with(parts=0),
    "ck_messages_finalized_at_iff_final": a_message_with(finalized_at=NOON),
    "ck_messages_request_id_iff_submitted": a_message_with(state="failed", finalized_at=NOON, submitted_at=NOON),
    "ck_messages_taken_has_request_id": a_message_with(
        state="unknown", finalized_at=NOON, request_id=None, submitted_at=None
    ),
    "ck_messages_else_no_request_id": a_message_with(request_id="1", submitted_at=NOON),
    "ck_messages_delivered_at_iff_delivered": a_message_with(delivered_at=NOON),
    "ck_messages_next_poll_at_iff_submitted": a_message_with(next_poll_at=NOON),
    "ck_messages_posted_has_batch": a_message_with(state="posting", posted_at=NOON),
    "ck_batches_state_known": a_batch_with(state="sent"),
    "ck_batches_lane_known": a_batch_with(lane="fast"),
    "ck_batches_size_as_documented": a_batch_with(size=101),
    "ck_batches_lease_iff_posting": a_batch_with(lease_until=None),
    "ck_batches_finished_at_iff_finished": a_batch_with(finished_at=NOON),
    "ck_batches_accepted_iff_answered": a_batch_with(state="accepted", refused=0),
    "ck_batches_refused_iff_answered": a_batch_with(state="accepted", accepted=1),
    "ck_callbacks_state_known": a_callback_with(state="sent", next_try_at=None, finished_at=NOON),
    "ck_callbacks_next_try_at_iff_owed": a_callback_with(next_try_at=None),
    "ck_callbacks_finished_at_iff_finished": a_callback_with(finished_at=NOON),
    "ck_accounts_state_known": an_account_with(state="closed"),
    "ck_accounts_paused_at_iff_paused": an_account_with(state="paused", probe_at=NOON),
    "ck_accounts_probe_at_iff_paused": an_account_with(state="paused", paused_at=NOON),
    "ck_circuits_room_known": a_circuit_with(room="telling"),
    "ck_circuits_state_known": a_circuit_with(state="half-open"),
    "ck_circuits_opened_at_iff_open": a_circuit_with(opened_at=NOON),
    "ck_circuits_probe_at_iff_open": a_circuit_with(state="open", probe_at=None),
    "ck_decisions_what_known": a_decision_with(what="forget"),
    "ck_refused_intakes_body_encoding_known": a_refused_intake_with(body_encoding="latin"),
    "ck_blocks_lane_known": a_block_with(lane="fast"),
    "ck_blocks_lifted_by_iff_lifted": a_block_with(lifted_at=NOON),
    "ck_tallies_lane_known": a_tally_with(lane="fast"),
    "ck_tallies_counts_sane": a_tally_with(messages=-1),
}


def test_each_named_check_has_a_row_that_breaks_it() -> None:
    constraints = (one for table in Base.metadata.tables.values() for one in table.constraints)

    assert set(IMPOSSIBLE) == {str(one.name) for one in constraints if isinstance(one, CheckConstraint)}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_an_impossible_row_cannot_be_stored(sessions: Sessions, name: str) -> None:
    table, row = IMPOSSIBLE[name]
    with sessions.begin() as session:
        a_batch(session)

    with sessions() as session, pytest.raises(IntegrityError, match=name):
        session.execute(insert(table), [row])


def test_what_the_gateway_said_cannot_be_changed(sessions: Sessions) -> None:
    sms = stored(sessions, state=S.SUBMITTED)
    report = {"sms_id": sms, "received_at": NOON, "answer": {"status": "transmitted"}}
    with sessions.begin() as session:
        session.execute(insert(Report), [report])

    with sessions() as session, pytest.raises(DatabaseError, match="append-only"):
        session.execute(update(Report).values(gateway_status="delivered"))


def test_a_naive_moment_never_goes_into_the_table(sessions: Sessions) -> None:
    naive = NOON.replace(tzinfo=None)

    with sessions() as session, pytest.raises(Exception, match="naive moment"):
        session.execute(insert(Message), [an_sms(send_at=naive)])


def test_a_moment_comes_back_as_it_went_in(sessions: Sessions) -> None:
    moment = NOON.replace(microsecond=123_456)

    sms = stored(sessions, send_at=moment)

    assert (moment, timedelta(0)) == (the_sms(sessions, sms).send_at, the_sms(sessions, sms).send_at.utcoffset())
