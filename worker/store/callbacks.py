"""Leasing callbacks that are owed, and storing whether they were told."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, insert, select, update
from sqlalchemy.orm import Session

from models import Callback, Decision
from models.lifecycle import CallbackState, Verdict

PAGE = 500


class Owed(NamedTuple):
    """A callback to be told, in plain values."""

    id: int
    target: dict[str, Any]
    event: dict[str, Any]
    attempts: int
    created_at: datetime
    retried_at: datetime | None = None

    @property
    def owed_since(self) -> datetime:
        """When it came to be owed, or a person had it tried again."""
        return self.retried_at or self.created_at


class Listed(NamedTuple):
    """A callback that is owed or failed, with all that is known about it."""

    id: int
    state: str
    event: dict[str, Any]
    target: dict[str, Any]
    reason: str | None
    attempts: int
    created_at: datetime
    next_try_at: datetime | None
    finished_at: datetime | None
    retried_at: datetime | None
    retried_by: str | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which of the callbacks that are not told are meant: those that meet all that is given."""

    ids: Sequence[int] = ()
    state: CallbackState | None = None  #: None stands for owed and failed
    producer: str | None = None
    since: datetime | None = None  #: when what is to be told became true

    def criteria(self) -> list[ColumnElement[bool]]:
        """The same for a WHERE, but for the state."""
        chosen: list[ColumnElement[bool]] = []
        if self.ids:
            chosen.append(Callback.id.in_(self.ids))
        if self.producer is not None:
            chosen.append(Callback.event["producer"].as_string() == self.producer)
        if self.since:
            chosen.append(Callback.created_at >= self.since)
        return chosen


def due(session: Session, *, now: datetime, limit: int) -> list[Owed]:
    """Up to *limit* callbacks that are due, the longest waiting first; they are not leased by it."""
    columns = [getattr(Callback, name) for name in Owed._fields]
    these = (Callback.state == CallbackState.OWED, Callback.next_try_at <= now)
    found = session.execute(select(*columns).where(*these).order_by(Callback.next_try_at).limit(limit))
    return [Owed(*row) for row in found]


def put_off(session: Session, ids: Sequence[int], *, now: datetime, at: datetime) -> None:
    """Those of *ids* that are still due are due *at* then; what was leased meanwhile is left alone."""
    still_due = (Callback.id.in_(ids), Callback.state == CallbackState.OWED, Callback.next_try_at <= now)
    session.execute(
        update(Callback).where(*still_due).values(next_try_at=at), execution_options={"synchronize_session": False}
    )


def lease_owed(session: Session, *, now: datetime, until: datetime, limit: int) -> list[Owed]:
    """Take up to *limit* callbacks that are due; nobody else tells them before *until*."""
    due = session.scalars(
        select(Callback.id)
        .where(Callback.state == CallbackState.OWED, Callback.next_try_at <= now)
        .order_by(Callback.next_try_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if not due:
        return []
    columns = [getattr(Callback, name) for name in Owed._fields]
    leased = session.execute(
        update(Callback)
        .where(Callback.id.in_(due), Callback.state == CallbackState.OWED)
        .values(next_try_at=until, attempts=Callback.attempts + 1)
        .returning(*columns),
        execution_options={"synchronize_session": False},
    )
    return sorted((Owed(*row) for row in leased), key=lambda one: one.id)


def hand_back(session: Session, untold: Sequence[Owed], *, at: datetime) -> None:
    """These were leased, but nobody has tried to tell them: they are due again *at* then, and no try is counted."""
    still_owed = (Callback.id.in_([one.id for one in untold]), Callback.state == CallbackState.OWED)
    session.execute(
        update(Callback).where(*still_owed).values(next_try_at=at, attempts=Callback.attempts - 1),
        execution_options={"synchronize_session": False},
    )


def is_owed(session: Session, *, now: datetime) -> bool:
    """Whether any producer waits to be told."""
    due = select(Callback.id).where(Callback.state == CallbackState.OWED, Callback.next_try_at <= now)
    return session.execute(due.limit(1)).first() is not None


def record_told(session: Session, callback_id: int, *, now: datetime) -> None:
    """The receiver has it."""
    _finish(session, callback_id, state=CallbackState.TOLD, finished_at=now, next_try_at=None, reason=None)


def record_failed(session: Session, callback_id: int, reason: str, *, now: datetime) -> None:
    """Given up; a person may try again."""
    _finish(session, callback_id, state=CallbackState.FAILED, finished_at=now, next_try_at=None, reason=reason)


def try_again(session: Session, callback_id: int, reason: str, *, at: datetime) -> None:
    """It did not work this time."""
    _finish(session, callback_id, next_try_at=at, reason=reason)


def owe_again(session: Session, ids: Sequence[int], *, now: datetime, who: str) -> int:
    """Owe those of *ids* that failed anew, due at once and without a try yet; return how many. Each is audited."""
    again = {"state": CallbackState.OWED, "next_try_at": now, "finished_at": None, "attempts": 0}
    failed = (Callback.id.in_(ids), Callback.state == CallbackState.FAILED)
    retried = update(Callback).where(*failed).values(**again, retried_at=now, retried_by=who)
    columns = (Callback.id, Callback.event, Callback.reason)
    rows = session.execute(retried.returning(*columns), execution_options={"synchronize_session": False}).all()
    if rows:
        session.execute(insert(Decision), [_decision(*row, now=now, who=who) for row in sorted(rows, key=_by_id)])
    return len(rows)


def listed(reading: Callable[[], Any], chosen: Chosen) -> Iterator[Listed]:
    """What meets *chosen*, failed ones first, in the order of their ids; *reading* opens a session for each page.

    Reads ix_callbacks_failed or ix_callbacks_next_try_at, which hold no callback that was told.
    """
    for state in [chosen.state] if chosen.state else [CallbackState.FAILED, CallbackState.OWED]:
        last = 0
        while True:
            with reading() as session:
                page = _page(session, chosen, state, after_id=last)
            yield from page
            if len(page) < PAGE:
                break
            last = page[-1].id


def states_of(session: Session, ids: Sequence[int]) -> dict[int, str]:
    """The state of each of *ids* that there is. At most a thousand: no database takes any number of values."""
    found = session.execute(select(Callback.id, Callback.state).where(Callback.id.in_(ids)))
    return {callback_id: state for callback_id, state in found}  # noqa: C416


def _page(session: Session, chosen: Chosen, state: CallbackState, *, after_id: int) -> list[Listed]:
    columns = [getattr(Callback, name) for name in Listed._fields]
    # The sum keeps SQLite from walking along the ids of all that was ever told; failed ones have an index of their own.
    by_id = Callback.id if state == CallbackState.FAILED else Callback.id + 0
    planned = [Callback.next_try_at.is_not(None)] if state == CallbackState.OWED else []
    these = (Callback.state == state, by_id > after_id, *planned, *chosen.criteria())
    found = select(*columns).where(*these).order_by(by_id).limit(PAGE)
    return [Listed(*row) for row in session.execute(found)]


def _decision(
    callback_id: int, event: dict[str, Any], reason: str | None, *, now: datetime, who: str
) -> dict[str, Any]:
    about = f"callback {callback_id}: {reason or 'no reason is known'}"
    return {"at": now, "who": who, "what": Verdict.RETRY, "uid": event.get("uid"), "reason": about}


def _by_id(row: Row[Any]) -> int:
    return int(row[0])


def _finish(session: Session, callback_id: int, **values: Any) -> None:
    owed = (Callback.id == callback_id, Callback.state == CallbackState.OWED)
    session.execute(update(Callback).where(*owed).values(**values))
