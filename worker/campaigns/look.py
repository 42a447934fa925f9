"""The first reading of a file: what would become of each row, and what it would cost. Nothing is changed."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from sqlalchemy.orm import Session, sessionmaker

from worker import orders
from worker.campaigns.campaign import Campaign, Chunk, Line
from worker.campaigns.outcome import Became, Outcome, of_stored, refused
from worker.errors import OrderRefused
from worker.order_fields import Caps, Terms
from worker.orders import New, Refusal
from worker.rewriting import rewritten
from worker.store import admission
from worker.store import campaigns as store
from worker.store.engine import reading
from worker.text import size_of

UNCAPPED = Caps()


def look(campaign: Campaign, *, sessions: sessionmaker[Session], terms: Callable[[], Terms]) -> Iterator[Outcome]:
    """What would become of each row, by every check but the caps and the window of duplicates.

    Raises `UnreadableFile`, and SQLAlchemy's errors.
    """
    for chunk in campaign.chunks():
        would = _would(chunk, sessions, replace(terms(), caps=UNCAPPED))
        yield from (next(would) if line.ordered else _wrong(line) for line in chunk.lines)


def _would(chunk: Chunk, sessions: sessionmaker[Session], terms: Terms) -> Iterator[Outcome]:
    read = list(orders.read(chunk.envelope, terms)) if chunk.ordered else []
    rows = [one.row for one in read if isinstance(one, New)]
    with reading(sessions) as session:
        found = store.found(session, [line.uid for line in chunk.ordered if line.uid])
        kept_out = admission.keep_out(session, rows, terms) if rows else {}  # without caps it counts nothing
    for line, one in zip(chunk.ordered, read, strict=True):
        uid = line.uid or ""
        if uid in found:
            yield of_stored(line, found[uid], became=Became.THERE)
        elif isinstance(one, New):
            yield refused(line, kept_out[uid]) if uid in kept_out else _new(line, one, terms)
        elif isinstance(one, Refusal):
            yield refused(line, OrderRefused(one.reason, one.explanation))


def _new(line: Line, order: New, terms: Terms) -> Outcome:
    parts, encoding, text = order.row["parts"], order.row["encoding"], order.row["text"]
    folded = None
    if encoding == "ucs2" and not terms.fold_text:
        least = size_of(rewritten(text, fold=True, transliterate=terms.transliterate_text)).parts
        folded = least if least < parts else None
    return Outcome(line, Became.NEW, parts=parts, encoding=encoding, text=text, folded_parts=folded)


def _wrong(line: Line) -> Outcome:
    return refused(line, line.wrong or OrderRefused("row_invalid", "It asks for nothing."))
