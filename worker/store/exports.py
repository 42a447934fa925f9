"""Messages for an export: as many as there are, a slice at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from models import Message
from worker.store.engine import reading
from worker.store.listing import Wanted

SLICE = 5_000  # ids, not rows: however few meet the filters, no statement looks at more


def exported(
    sessions: sessionmaker[Session], wanted: Wanted, columns: Sequence[str], *, slice_of: int = SLICE
) -> Iterator[tuple[Any, ...]]:
    """*columns* of every message that is meant, in the order of ids, up to the newest of when it began.

    Each slice is a short transaction of its own: a row that changes meanwhile is given as it is when its turn comes.
    """
    with reading(sessions) as session:
        # Each by itself: for both at once, SQLite would read all of them.
        first, last = (session.scalars(select(end(Message.id))).one_or_none() for end in (func.min, func.max))
    if first is None or last is None:
        return
    found = select(*(getattr(Message, name) for name in columns)).where(*wanted.criteria()).order_by(Message.id)
    for start in range(first, last + 1, slice_of):
        with reading(sessions) as session:
            within = found.where(Message.id >= start, Message.id < min(start + slice_of, last + 1))
            rows = session.execute(within).all()
        yield from (tuple(row) for row in rows)
