"""The processes that work: who is alive, when beat's bell was heard last, and what all of them counted together."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from models import Worker

ALIVE_FOR = timedelta(seconds=20)  #: after its last sign a process is taken for dead
KEPT_FOR = timedelta(days=1)  #: after that only a dead process' counts are kept
GONE = "gone"  #: the row that keeps the counts of all that are gone
AT_ONCE = 200

Figures = Mapping[str, float]


class Alive(NamedTuple):
    """A process, as it last said of itself."""

    name: str
    release: str
    started_at: datetime
    seen_at: datetime
    bell_at: datetime | None
    left_at: datetime | None


class Sign(NamedTuple):
    """What a process says of itself."""

    seen_at: datetime
    bell_at: datetime | None
    figures: Figures
    left_at: datetime | None = None


def register(session: Session, name: str, sign: Sign, *, release: str, started_at: datetime) -> None:
    """Begin the row of process *name*; said again, it changes what was said before."""
    said = sign._asdict() | {"figures": dict(sign.figures)}
    row = {"name": name, "release": release, "started_at": started_at} | said
    session.execute(_insert(session).values(row).on_conflict_do_update(index_elements=["name"], set_=said))


def publish(session: Session, name: str, sign: Sign) -> bool:
    """Write what process *name* says; return False if its row is gone, and it is to register anew."""
    said = sign._asdict() | {"figures": dict(sign.figures)}
    written = update(Worker).where(Worker.name == name).values(said).returning(Worker.name)
    return session.execute(written, execution_options={"synchronize_session": False}).first() is not None


def alive(session: Session, *, now: datetime) -> list[Alive]:
    """Those that were seen within `ALIVE_FOR` and have not left."""
    return _listed(session, Worker.seen_at > now - ALIVE_FOR, Worker.left_at.is_(None))


def listed(session: Session) -> list[Alive]:
    """Every process of the last day, the one seen last first."""
    return _listed(session)


def last_bell_at(session: Session) -> datetime | None:
    """When any process last heard beat's bell."""
    return session.scalars(select(func.max(Worker.bell_at))).one()


def totals(session: Session) -> dict[str, float]:
    """What all processes counted together, the dead and the gone too."""
    return _sum(session.scalars(select(Worker.figures)))


def fold(session: Session, *, now: datetime) -> int:
    """Add up to `AT_ONCE` processes not seen for `KEPT_FOR` to the row `GONE`; return how many.

    Several may do it at once: each row is added by whoever locks it. A process that only slept registers anew.
    """
    old = (Worker.name != GONE, Worker.seen_at < now - KEPT_FOR)
    if session.execute(select(Worker.name).where(*old).limit(1)).first() is None:
        return 0
    kept = _gone(session, now)
    rows = session.scalars(select(Worker).where(*old).limit(AT_ONCE).with_for_update(skip_locked=True)).all()
    kept.figures = _sum([kept.figures, *(row.figures for row in rows)])
    kept.seen_at = kept.left_at = now
    kept.bell_at = max((row.bell_at for row in (kept, *rows) if row.bell_at), default=None)
    for row in rows:
        session.delete(row)
    return len(rows)


def _gone(session: Session, now: datetime) -> Worker:
    """The row of those that are gone, locked."""
    new: dict[str, Any] = {"name": GONE, "release": "", "started_at": now, "seen_at": now, "left_at": now}
    statement = _insert(session).values(new | {"figures": {}}).on_conflict_do_nothing(index_elements=["name"])
    session.execute(statement)
    return session.scalars(select(Worker).where(Worker.name == GONE).with_for_update()).one()


def _listed(session: Session, *criteria: ColumnElement[bool]) -> list[Alive]:
    columns = [getattr(Worker, name) for name in Alive._fields]
    found = select(*columns).where(Worker.name != GONE, *criteria).order_by(Worker.seen_at.desc(), Worker.name)
    return [Alive._make(row) for row in session.execute(found)]


def _sum(figures: Iterable[Figures]) -> dict[str, float]:
    total = defaultdict[str, float](float)
    for one in figures:
        for name, value in one.items():
            total[name] += value
    return dict(total)


def _insert(session: Session) -> Any:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(Worker)
