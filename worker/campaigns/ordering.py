"""The second reading of a file: its rows are ordered, some hundred in a transaction; what is accepted is committed."""

from collections.abc import Callable, Iterator, Mapping

from sqlalchemy.orm import Session, sessionmaker

from worker.campaigns.campaign import Campaign, Chunk
from worker.campaigns.outcome import Became, Outcome, of_stored, refused
from worker.errors import OrderRefused
from worker.intake import Intake
from worker.order_fields import Terms
from worker.store import campaigns as store
from worker.store.campaigns import Found
from worker.store.engine import reading

NOT_KEPT = OrderRefused("not_readable", "Intake took no notice of it; please report it.")


def order(campaign: Campaign, *, sessions: sessionmaker[Session], terms: Callable[[], Terms]) -> Iterator[Outcome]:
    """Order every row through intake, and say what became of it.

    It may be broken off anywhere and begun again, by two at the same time: keys let nothing be ordered twice.
    Raises `UnreadableFile`, and SQLAlchemy's errors; what came before is ordered.
    """
    for chunk in campaign.chunks():
        these = terms()
        if chunk.ordered:
            _intake(sessions, these).take(chunk.envelope, campaign.lane)
        yield from _outcomes(chunk, sessions, these)


def _intake(sessions: sessionmaker[Session], terms: Terms) -> Intake:
    return Intake(sessions, lambda _lane: terms, lambda: terms.now)


def _outcomes(chunk: Chunk, sessions: sessionmaker[Session], terms: Terms) -> Iterator[Outcome]:
    with reading(sessions) as session:
        found = store.found(session, [line.uid for line in chunk.ordered if line.uid])
        whys = _whys(session, chunk, found)
    for line in chunk.lines:
        if there := found.get(line.uid or ""):
            # The instant of this transaction tells what it stored from what was there.
            is_new = there.created_at == terms.now
            yield of_stored(line, there, became=Became.QUEUED if is_new else Became.THERE)
        else:
            yield refused(line, line.wrong or whys.get(line.line, NOT_KEPT))


def _whys(session: Session, chunk: Chunk, found: Mapping[str, Found]) -> dict[int, OrderRefused]:
    """Why lines were refused."""
    uids = {line.line: line.uid for line in chunk.ordered if line.uid and line.uid not in found}
    kept = store.refusals(session, list(uids.values())) if uids else {}
    return {line: OrderRefused(kept[uid].reason, kept[uid].explanation) for line, uid in uids.items() if uid in kept}
