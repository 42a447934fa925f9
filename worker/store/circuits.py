"""The circuits, shared by all workers: whether the gateway is called as usual, or by one probe at a time."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, Select, Table, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from models import Circuit
from models.lifecycle import CircuitState, Room
from worker.backoff import backoff
from worker.store.noted import note

PAUSE = (timedelta(seconds=1), timedelta(minutes=1))  # between probes: the gateway may be well again at any moment


class Trouble(NamedTuple):
    """Why a call of the gateway was no good one."""

    reason: str
    http_status: int | None = None
    weight: int = 1  #: how many failures it counts for


def prepare(session: Session, account_id: int) -> None:
    """Make the circuits of an account that is new."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    new = {"account_id": account_id, "state": CircuitState.CLOSED, "failures": 0, "probes": 0}
    rows = [new | {"room": room} for room in Room]
    session.execute(dialect.insert(Circuit).on_conflict_do_nothing(index_elements=["account_id", "room"]), rows)


def is_open(session: Session, account_id: int, room: Room) -> bool:
    """Whether only a probe may call now."""
    return session.scalars(select(Circuit.state).where(*_this(account_id, room))).one() == CircuitState.OPEN


def take_probe(session: Session, account_id: int, room: Room, *, now: datetime, until: datetime) -> bool:
    """Whether this caller may make the one probe that is due; no other may before *until*."""
    due = (*_this(account_id, room), Circuit.state == CircuitState.OPEN, Circuit.probe_at <= now)
    return (
        session.execute(update(Circuit).where(*due).values(probe_at=until).returning(Circuit.room)).first() is not None
    )


def give_back_probe(session: Session, account_id: int, room: Room, *, now: datetime) -> None:
    """There was nothing to probe with: the next caller may."""
    session.execute(
        update(Circuit).where(*_this(account_id, room), Circuit.state == CircuitState.OPEN).values(probe_at=now)
    )


def close(session: Session, account_id: int, room: Room) -> bool:
    """A probe went well, or a person says so; return whether the circuit had been open."""
    still_open = (*_this(account_id, room), Circuit.state == CircuitState.OPEN)
    closed = update(Circuit).where(*still_open).values(_WELL).returning(Circuit.room)
    return session.execute(closed).first() is not None


def forget_all(session: Session, account_ids: Select[int]) -> None:
    """Close the circuits of these accounts."""
    theirs = (Circuit.account_id.in_(account_ids), Circuit.state == CircuitState.OPEN)
    session.execute(update(Circuit).where(*theirs).values(_WELL))


def forget_failures(session: Session, account_id: int, room: Room) -> None:
    """A call went well that found the circuit closed: one that was under way when it opened changes nothing."""
    # Nearly always there is nothing to forget, and no row is written.
    session.connection().execute(_FORGET, {"this_account": account_id, "this_room": room})


def fail(
    session: Session, account_id: int, room: Room, trouble: Trouble, *, most: int, probing: bool, now: datetime
) -> bool:
    """A call went wrong; with *most* failures in a row the circuit opens. Return whether this call opened it.

    A probe that failed puts off the next one; a call that was under way when the circuit opened changes nothing.
    """
    this = (*_this(account_id, room), Circuit.state == CircuitState.CLOSED)
    said: dict[str, Any] = {"reason": trouble.reason, "http_status": trouble.http_status}
    if probing:
        _put_off(session, account_id, room, said, now)
        return False
    counted = session.execute(
        update(Circuit)
        .where(*this)
        .values(said | {"failures": Circuit.failures + trouble.weight})
        .returning(Circuit.failures)
    ).first()
    if counted is None or counted.failures < most:
        return False
    opened = {"state": CircuitState.OPEN, "opened_at": now, "probe_at": now + PAUSE[0], "probes": 0}
    session.execute(update(Circuit).where(*this).values(opened))
    note(session, "sms_circuit_openings", room)
    return True


def _put_off(session: Session, account_id: int, room: Room, said: dict[str, Any], now: datetime) -> None:
    this = (*_this(account_id, room), Circuit.state == CircuitState.OPEN)
    failed = session.scalars(select(Circuit.probes).where(*this)).first()
    if failed is not None:
        pause = backoff(failed + 2, base=PAUSE[0], ceiling=PAUSE[1])
        session.execute(update(Circuit).where(*this).values(said | {"probe_at": now + pause, "probes": failed + 1}))


def _this(account_id: int, room: Room) -> tuple[ColumnElement[bool], ...]:
    return Circuit.account_id == account_id, Circuit.room == room


CIRCUITS = cast("Table", Circuit.__table__)
_FORGET = (
    update(CIRCUITS)
    .where(CIRCUITS.c.account_id == bindparam("this_account"), CIRCUITS.c.room == bindparam("this_room"))
    .where(CIRCUITS.c.state == CircuitState.CLOSED, CIRCUITS.c.failures > 0)
    .values(failures=0, reason=None, http_status=None)
)
_NOTHING = {"reason": None, "http_status": None, "opened_at": None, "probe_at": None}
_WELL = {"state": CircuitState.CLOSED, "failures": 0, "probes": 0} | _NOTHING
