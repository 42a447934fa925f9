"""Plans for later, of every kind that the tables hold: callbacks, probes, leases and questions."""

from datetime import datetime

from builders import NOON, Sessions, a_batch, stored
from sqlalchemy import insert, select
from taking import TELL

from models import Callback, Circuit
from models.lifecycle import MessageState, Room
from worker.store import accounts, circuits
from worker.store.accounts import Pause
from worker.store.circuits import Trouble


def owed(sessions: Sessions, next_try_at: datetime) -> None:
    """A producer is to be told."""
    told = {"event_id": "e", "target": TELL, "event": {}, "state": "owed", "attempts": 3}
    with sessions.begin() as session:
        session.execute(insert(Callback), [told | {"created_at": NOON, "next_try_at": next_try_at}])


def in_trouble(sessions: Sessions, probe_at: datetime, *, login: str = "login") -> None:
    """The account is paused, and both circuits are open."""
    with sessions.begin() as session:
        account_id = accounts.account_id_of(session, login)
        accounts.pause(session, account_id, Pause("limit is over", 103, 200), now=NOON, probe_at=probe_at)
        for room in Room:
            circuits.fail(session, account_id, room, Trouble("HTTP 502"), most=1, probing=False, now=NOON)
        for circuit in session.scalars(select(Circuit).where(Circuit.account_id == account_id)):
            circuit.probe_at = probe_at


def posting(sessions: Sessions, **changes: object) -> int:
    """Store a message that is being posted; return its batch."""
    with sessions.begin() as session:
        batch_id = a_batch(session, **changes)
    stored(sessions, state=MessageState.POSTING, batch_id=batch_id)
    return batch_id
