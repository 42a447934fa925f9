"""Producers and people of a `House`: what they order and decide, and what the ledger must say then."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from builders import Sessions, a_phone, a_send, an_envelope
from ledger import Known
from sqlalchemy import select
from walking import House

from models import Message
from models.lifecycle import Lane, Verdict
from worker.store.unconfirmed import Chosen


class Wish(NamedTuple):
    """What matters about one order."""

    lane: Lane = Lane.NORMAL
    another: bool = True  #: whether its phone is another one than the last
    nickname: str | None = None
    wait: int | None = None  #: seconds until it may be posted
    life: int | None = None  #: seconds until it expires
    told: bool = True  #: whether its producer wants to be told


@dataclass(frozen=True)
class Order:
    """What a producer put on a lane; *carried_out* does in the ledger what it must do, however often it comes."""

    raw: bytes
    lane: Lane
    carried_out: Callable[[], None]


class Producers:
    """They remember what they ordered, and may send it again."""

    def __init__(self, house: House, sessions: Sessions) -> None:
        self.orders: list[Order] = []
        self.decisions: list[Order] = []
        self._house, self._ledger = house, house.ledger
        self._sessions = sessions
        self._phones = self._names = 0

    def order(self, wish: Wish) -> None:
        self._phones += wish.another
        uid, now = f"sms {len(self.orders)}", self._house.clock()
        send_at = now + timedelta(seconds=wish.wait) if wish.wait else None
        expires_at = now + timedelta(seconds=wish.life) if wish.life else None
        known = Known(uid, wish.lane, now, send_at, expires_at, wish.told)
        times = {name: at.isoformat() for name in ("send_at", "expires_at") if (at := getattr(known, name))}
        callback = {"task": "shop.told"} if wish.told else None
        text = f"Hello {len(self.orders) % 2}"  # some messages look the same
        phone = a_phone(self._phones)
        raw = a_send(phone, text, task_id=uid, nickname=wish.nickname, callback=callback, **times)
        self._take(Order(raw, wish.lane, lambda: None if self._ledger.of_uid(uid) else self._ledger.add(known)))

    def order_by_key(self, lane: Lane, key: str, text: str) -> None:
        raw = a_send(text=text, key=key, task_id=f"sms {len(self.orders)}")
        self._take(Order(raw, lane, partial(self._keyed, key, text, lane, raw)))

    def cancel(self, lane: Lane, number: int) -> None:
        """Stop one of the orders, or one that is not there yet."""
        uid = f"sms {number % (len(self.orders) + 2)}"
        raw = an_envelope("sms.cancel", uid, task_id=f"cancel {len(self.orders)}")
        self._take(Order(raw, lane, partial(self._cancelled, uid, lane, raw)))

    def decide(self, numbers: Sequence[int], verdict: str, *, by_order: bool) -> None:
        """A producer by an order, or a person, decides about some of what is in doubt."""
        ids = self._ledger.of_state("unconfirmed")
        uids = [self._ledger[ids[number % len(ids)]].uid for number in numbers]
        self._names += 1
        name = f"decision {self._names}"
        if by_order:
            raw = an_envelope("sms.resolve", uids, verdict, task_id=name)
            self.decisions.append(Order(raw, Lane.NORMAL, partial(self._decided, uids, verdict, name)))
            self._take(self.decisions[-1])
        else:
            self._house.person.decide(Verdict(verdict), Chosen(uids=uids))
            self._decided(uids, verdict, name)

    def again(self, order: Order) -> None:
        """The broker delivers it once more."""
        self._house.take(order.raw, order.lane)
        order.carried_out()

    def _take(self, order: Order) -> None:
        self.again(order)
        self.orders.append(order)

    def _keyed(self, key: str, text: str, lane: Lane, raw: bytes) -> None:
        with self._sessions() as session:
            uid, stored = session.execute(select(Message.uid, Message.text).where(Message.key == key)).one()
        if self._ledger.of_uid(uid) is None:
            assert stored == text
            self._ledger.add(Known(uid, lane, self._house.clock()))
        elif stored != text:
            self._ledger.refused.add((lane, raw))

    def _cancelled(self, uid: str, lane: Lane, raw: bytes) -> None:
        sms_id = self._ledger.of_uid(uid)
        if sms_id is None:
            self._ledger.refused.add((lane, raw))
        elif self._ledger[sms_id].state == "queued":
            self._ledger.move(sms_id, "cancelled")

    def _decided(self, uids: Sequence[str], verdict: str, name: str) -> None:
        for uid in uids:
            self._ledger.decide(self._ledger.of_uid(uid) or 0, verdict, name)
