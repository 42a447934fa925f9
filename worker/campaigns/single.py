"""One SMS, ordered by a person: through intake as all others, so that a refusal is told at once."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy.orm import Session, sessionmaker

from worker.campaigns.ordering import NOT_KEPT
from worker.envelope import Envelope
from worker.errors import OrderRefused
from worker.intake import Intake
from worker.order_fields import DEFAULT_PRODUCER, Terms, is_word
from worker.orders import uid_of_key
from worker.store.campaigns import refusals
from worker.store.engine import reading
from worker.store.listing import Wanted, page


class Ordered(NamedTuple):
    """What became of an order."""

    uid: str
    state: str | None  #: None if it was refused
    refusal: OrderRefused | None = None  #: also if its key is there already with another phone or text
    is_new: bool = False  #: False if a message with this key, phone and text was there before, and was left as it is
    parts: int | None = None
    encoding: str | None = None


def order_one(fields: Mapping[str, Any], *, sessions: sessionmaker[Session], terms: Terms) -> Ordered:
    """Order an SMS of these *fields* of ``sms.send`` (None stands for one that is not given) by the lane of *terms*.

    What is refused is kept among the refused intakes, as every producer's is. Raises SQLAlchemy's errors: then it is
    not known whether it was ordered; with the same key it may be ordered again.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    task_id = str(uuid4())
    envelope = Envelope("sms.send", task_id, [], given, raw=json.dumps(given, default=str).encode())
    Intake(sessions, lambda _lane: terms, lambda: terms.now).take(envelope, terms.lane)
    uid = _uid(given, task_id)
    with reading(sessions) as session:
        there = next(iter(page(session, Wanted(uid=uid), limit=1)), None)
        why = refusals(session, [uid], since=terms.now).get(uid)
    if why or there is None:
        refusal = OrderRefused(why.reason, why.explanation) if why else NOT_KEPT
        return Ordered(uid, there and there.state, refusal)
    return Ordered(uid, there.state, None, there.created_at == terms.now, there.parts, there.encoding)


def _uid(given: Mapping[str, Any], task_id: str) -> str:
    producer, key = given.get("producer", DEFAULT_PRODUCER), given.get("key")
    return uid_of_key(producer, key) if is_word(key) and is_word(producer) else task_id
