"""A database that was restored from a backup has forgotten what was posted since, and would post it again."""

from typing import NamedTuple

from sqlalchemy.orm import Session, sessionmaker

from worker.store import recovery
from worker.store.engine import reading
from worker.watermark import Watermark


class Gap(NamedTuple):
    """What the database has forgotten."""

    last_batch: int  #: that it knows
    highest: int  #: that was seen

    def __str__(self) -> str:
        return f"the database's last batch is {self.last_batch}, but {self.highest} was seen: it came from a backup"


def gap_of(sessions: sessionmaker[Session], watermark: Watermark) -> Gap | None:
    """How far the database is behind what was posted, if it is; else note how far it has come. Raises `RedisError`."""
    highest = watermark.highest()  # before the database is asked, which by then has all that was noted, or more
    with reading(sessions) as session:
        last, is_new = recovery.last_batch(session), recovery.is_new(session)
    if is_new:
        watermark.begin_anew(0)  # whoever begins with an empty database has nothing to post twice
        return None
    if last < highest:
        return Gap(last, highest)
    watermark.note(last)
    return None
