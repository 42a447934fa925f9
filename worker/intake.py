"""Taking orders in: read them, check them, store many at once. Only what is committed may be taken off the broker."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Protocol

import structlog
from sqlalchemy.orm import Session, sessionmaker

from models.lifecycle import Lane
from worker import envelope as envelopes
from worker import orders as orders_of
from worker.envelope import Envelope
from worker.errors import OrderRefused
from worker.order_fields import Terms
from worker.orders import Block, Cancel, New, Order, Refusal, Resolve
from worker.store import admission, blocks, decisions
from worker.store import intake as store
from worker.store.claims import Claimed
from worker.store.engine import DATABASE_TROUBLE
from worker.store.moves import Moved
from worker.store.noted import note

log = structlog.get_logger()

BY_PRODUCER = "cancelled_by_producer"


@dataclass(slots=True)
class Taken:
    """What became of some orders."""

    stored: int = 0
    refused: int = 0
    moved: int = 0  #: messages that a cancel stopped, or that a resolve queued again or dropped
    unmatched: list[Cancel] = field(default_factory=list)  #: cancels of messages that are not there, or not yet
    claimed: list[Claimed] = field(default_factory=list)  #: what of it is to be posted at once
    waiting: int = 0  #: what of it is queued

    def add(self, other: "Taken") -> "Taken":
        """Both together."""
        return Taken(
            self.stored + other.stored,
            self.refused + other.refused,
            self.moved + other.moved,
            self.unmatched + other.unmatched,
            self.claimed + other.claimed,
            self.waiting + other.waiting,
        )


@dataclass(frozen=True, slots=True)
class Read:
    """Orders of a lane, and what they were read against."""

    orders: Sequence[Order]
    terms: Terms

    @property
    def only_new(self) -> bool:
        """Whether nobody cancels or blocks in the same breath what is to be found queued then."""
        return all(isinstance(order, New | Refusal) for order in self.orders)


class Offer(Protocol):
    """What may be posted at once of what is stored."""

    def take(
        self, session: Session, rows: Sequence[Mapping[str, Any]], lane: Lane
    ) -> tuple[Mapping[str, Moved], Sequence[Claimed]] | None:
        """Store *rows* (no uid twice), some of them in batches to post once this is committed; None to queue all."""


@dataclass(frozen=True, slots=True)
class Intake:
    """The room where orders come in."""

    sessions: sessionmaker[Session]
    terms: Callable[[Lane], Terms]
    now: Callable[[], datetime]

    def read(self, raws: Sequence[bytes], lane: Lane) -> Read:
        """Read what lies on a lane's list, oldest first. Never raises."""
        terms = self.terms(lane)
        return Read([order for raw in raws for order in _read(raw, terms)], terms)

    def store(self, read: Read, *, offer: Offer | None = None) -> Taken:
        """Store what was read, and claim of it what *offer* says; with an offer, it must be `Read.only_new`.

        Raises SQLAlchemy's errors while the database is away.
        """
        return self._store(read.orders, read.terms, offer)

    def take(self, envelope: Envelope, lane: Lane) -> Taken:
        """Both for one order that came as an ordinary Celery task, and is queued."""
        terms = self.terms(lane)
        return self._store(orders_of.read(envelope, terms), terms)

    def refuse(self, queue: str, refusal: Refusal) -> None:
        """Keep an order that no lane could read."""
        with self.sessions.begin() as session:
            store.insert_refusals(session, [(queue, refusal)], now=self.now())

    def give_up_cancels(self, cancels: Iterable[Cancel], lane: Lane) -> None:
        """Cancels of messages that nobody ever ordered are kept as refused.

        Whoever was storing such a message when it was first looked for is done by now, so they are tried once more.
        """
        refused = OrderRefused("message_unknown", "There is no message of that uid, or of that producer and key.")
        now = self.now()
        with self.sessions.begin() as session:
            unknown = [one for one in cancels if not decisions.cancel(session, one.uid, now=now, reason=BY_PRODUCER)[0]]
            kept = [orders_of.refusal(one.envelope, refused, fields={}, uid=one.uid) for one in unknown]
            if kept:
                store.insert_refusals(session, [(_queue(lane), one) for one in kept], now=now)

    def _store(self, orders: Sequence[Order], terms: Terms, offer: Offer | None = None) -> Taken:
        if not orders:
            return Taken()
        try:
            with self.sessions.begin() as session:
                return _write(session, orders, terms, offer)
        except Exception as error:
            if isinstance(error, DATABASE_TROUBLE) and not _beyond_a_limit(error):
                raise
            # One of them cannot be stored; halve until it stands alone, so that it holds up nobody else.
            if len(orders) == 1:
                log.warning("order_not_storable", error=type(error).__name__)
                return self._refuse_unstorable(orders[0], terms)
            middle = len(orders) // 2
            return self._store(orders[:middle], terms).add(self._store(orders[middle:], terms))

    def _refuse_unstorable(self, order: Order, terms: Terms) -> Taken:
        kept = (_queue(terms.lane), _unstorable(order))
        with self.sessions.begin() as session:
            refused = store.insert_refusals(session, [kept], now=terms.now)
        return Taken(refused=refused)


def _beyond_a_limit(error: Exception) -> bool:
    """Whether PostgreSQL calls an order too long or too deep (class 54), which Python's drivers call operational."""
    return str(getattr(getattr(error, "orig", None), "sqlstate", None)).startswith("54")


def _unstorable(order: Order) -> Refusal:
    refused = OrderRefused("not_storable", "The database cannot hold one of its fields.")
    if isinstance(order, Refusal):
        return Refusal(refused.reason, refused.explanation, order.body)
    if isinstance(order, New):
        return _refused(order, refused)
    return orders_of.refusal(order.envelope, refused, fields={})


def _body(order: New) -> bytes:
    """The order as it came; of many in one, this one alone, or a thousand refusals would each keep them all.

    Nothing of the moment stands in it: an order that comes again must not be refused a second time.
    """
    if order.envelope.task == "sms.send":
        return order.envelope.raw
    try:
        return json.dumps(order.fields).encode()
    except (ValueError, RecursionError):
        return order.envelope.raw


def _read(raw: bytes, terms: Terms) -> Sequence[Order]:
    try:
        return orders_of.read(envelopes.unpack(raw), terms)
    except OrderRefused as refused:
        task, uid = envelopes.task_id_of(raw)
        return [Refusal(refused.reason, refused.explanation, raw, task=task, uid=uid)]
    except Exception as error:  # noqa: BLE001
        # Our own mistake must not stop the lane: the order is kept, and the line says that there is one to look at.
        log.error("order_broke_the_reader", error=type(error).__name__)  # noqa: TRY400
        return [Refusal("not_readable", "The worker could not read this order; please report it.", raw)]


def _write(session: Session, orders: Sequence[Order], terms: Terms, offer: Offer | None) -> Taken:
    taken = Taken()
    refusals: list[Refusal] = []
    if offer:  # all that is new in one run, or each would be offered the same places
        orders = sorted(orders, key=lambda order: not isinstance(order, New))
    # In their order, so that no cancel overtakes its own message, and yet many inserts at once.
    for kind, run in groupby(orders, key=type):
        if kind is New:
            new = [order for order in run if isinstance(order, New)]
            stored, claimed, kept_out = _insert(session, new, terms, offer)
            taken.stored += stored
            taken.claimed += claimed
            refusals += kept_out
            note(session, "sms_orders", terms.lane, "repeated", amount=len(new) - stored - len(kept_out))
        else:
            for order in run:
                _carry_out(session, order, terms, taken, refusals)
                note(session, "sms_orders", terms.lane, "carried_out", amount=kind is not Refusal)
    taken.waiting = taken.stored - sum(len(one.messages) for one in taken.claimed)
    note(session, "sms_orders", terms.lane, "stored", amount=taken.stored)
    if refusals:
        kept = [(_queue(terms.lane), refusal) for refusal in refusals]
        taken.refused = store.insert_refusals(session, kept, now=terms.now)
    return taken


def _carry_out(session: Session, order: Order, terms: Terms, taken: Taken, refusals: list[Refusal]) -> None:
    match order:
        case Cancel(uid=uid):
            found, cancelled = decisions.cancel(session, uid, now=terms.now, reason=BY_PRODUCER)
            taken.moved += cancelled
            if not found:
                taken.unmatched.append(order)
        case Resolve(uids=uids, decision=decision):
            taken.moved += decisions.resolve(session, uids, decision, now=terms.now, by=order.envelope.task_id)
        case Block(phones=phones, lanes=lanes):
            who = f"order:{order.envelope.task_id}"
            if order.lifts:
                blocks.lift(session, phones, lanes=lanes, now=terms.now, who=who)
            else:
                blocked = blocks.block(session, phones, lanes=lanes, now=terms.now, who=who, reason=order.reason)
                taken.moved += blocked.cancelled
        case Refusal():
            refusals.append(order)


def _insert(
    session: Session, new: Sequence[New], terms: Terms, offer: Offer | None
) -> tuple[int, Sequence[Claimed], list[Refusal]]:
    admission.let_one_in_at_a_time(session, terms)
    new = _not_refused_before(session, new, terms)
    kept_out = admission.refusals_of(session, [order.row for order in new], terms)
    refused = [_refused(one, why) for one, why in zip(new, kept_out, strict=True) if why]
    admitted = [one for one, why in zip(new, kept_out, strict=True) if not why]
    first: dict[str, New] = {}
    for order in admitted:
        first.setdefault(order.row["uid"], order)
    rows = [one.row for one in first.values()]
    inserted, claimed = (offer and rows and offer.take(session, rows, terms.lane)) or (
        store.insert_messages(session, rows),
        [],
    )
    repeated = [one for one in admitted if one.row["uid"] not in inserted or one is not first[one.row["uid"]]]
    stored = store.contents_of(session, {one.row["uid"] for one in repeated}) if repeated else {}
    reused = [one for one in repeated if stored[one.row["uid"]] != store.content_of(one.row)]
    return len(inserted), claimed, [*refused, *(_refused(one, _reused(one)) for one in reused)]


def _not_refused_before(session: Session, new: Sequence[New], terms: Terms) -> Sequence[New]:
    """Leave out what was refused and comes again: its producer was told so, though it might be let in by now."""
    suspected = store.uids_refused(session, {one.row["uid"] for one in new})
    if not suspected:
        return new
    again = {id(one) for one in new if one.row["uid"] in suspected and _was_refused(session, one, terms)}
    return [one for one in new if id(one) not in again]


def _was_refused(session: Session, order: New, terms: Terms) -> bool:
    as_before = _refused(order, OrderRefused("again", "It comes again."))
    return store.was_refused(session, _queue(terms.lane), as_before)


def _reused(order: New) -> OrderRefused:
    name = "key" if order.row["key"] else "task_id"
    explanation = f"There is already a message with this {name}, with another phone or text; use a new {name}."
    return OrderRefused(f"{name}_reused", explanation)


def _refused(order: New, refused: OrderRefused) -> Refusal:
    ordered = {**order.row, **store.content_of(order.row)._asdict()}
    return orders_of.refusal(order.envelope, refused, fields=ordered, uid=order.row["uid"], body=_body(order))


def _queue(lane: Lane) -> str:
    return f"sms.{lane}"
