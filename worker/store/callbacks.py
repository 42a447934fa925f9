"""Leasing callbacks that are owed, and storing whether they were told."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models import Callback
from models.lifecycle import CallbackState


class Owed(NamedTuple):
    """A callback to be told, in plain values."""

    id: int
    target: dict[str, Any]
    event: dict[str, Any]
    attempts: int
    created_at: datetime


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
    return sorted(Owed(*row) for row in leased)


def hand_back(session: Session, untold: Sequence[Owed], *, now: datetime) -> None:
    """These were leased, but nobody has tried to tell them: they are due again, and no try is counted."""
    still_owed = (Callback.id.in_([one.id for one in untold]), Callback.state == CallbackState.OWED)
    session.execute(
        update(Callback).where(*still_owed).values(next_try_at=now, attempts=Callback.attempts - 1),
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


def _finish(session: Session, callback_id: int, **values: Any) -> None:
    owed = (Callback.id == callback_id, Callback.state == CallbackState.OWED)
    session.execute(update(Callback).where(*owed).values(**values))
