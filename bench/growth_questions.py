"""What a worker and a person ask of the database, as questions whose statements are timed."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from bench import growth_rows
from bench.database_costs import cpu_seconds
from models.lifecycle import Lane
from worker.clock import utc_now
from worker.gateway import Acceptance, AcceptedSms
from worker.rota import Rota
from worker.store import overview, polls
from worker.store.at_once import insert_claimed, packed
from worker.store.claims import Claimant, Claimed, Linger, claim
from worker.store.engine import reading
from worker.store.intake import insert_messages
from worker.store.listing import Wanted, page
from worker.store.outcomes import Accepted, accept_all

LEASED = 20  # request_ids of a lease
RUNGS = 8
START_PAGE = ("lanes", "gateway", "delivery", "minutes", "attention")


class Took(NamedTuple):
    """Of this process and its backend together, where there is one, and by the clock on the wall."""

    cpu_seconds: float
    seconds: float

    def and_then(self, other: "Took") -> "Took":
        """Both."""
        return Took(self.cpu_seconds + other.cpu_seconds, self.seconds + other.seconds)


class Stopwatch:
    """Runs from its making, over the connection of *session*."""

    def __init__(self, session: Session) -> None:
        driver = session.connection().connection.driver_connection
        self._backend = driver.info.backend_pid if isinstance(driver, psycopg.Connection) else None
        self._began, self._cpu = time.perf_counter(), self._spent()

    def took(self) -> Took:
        return Took(self._spent() - self._cpu, time.perf_counter() - self._began)

    def _spent(self) -> float:
        return time.process_time() + (cpu_seconds(self._backend) if self._backend else 0)


@dataclass
class House:
    """A database, and what is asked of it; each question gives what its statements took, their commit left out."""

    sessions: sessionmaker[Session]
    rota: Rota = field(default_factory=Rota)
    number: int = 0

    def questions(self) -> Mapping[str, Callable[[], Took]]:
        return {
            "claim 50, and put 50 in their place": self.claim,
            "intake of 500, queued": self.insert,
            "intake of 500, claimed at once": self.insert_claimed,
            "accept 10 batches of 50": self.accept,
            "lease 20 questions": self.lease,
            "look up a phone": lambda: self.read(
                lambda session: page(session, Wanted(phone=growth_rows.PHONE), limit=50)
            ),
            "look up a uid": lambda: self.read(lambda session: page(session, Wanted(uid=self.uid), limit=50)),
            "newest messages": lambda: self.read(lambda session: page(session, Wanted(), limit=50)),
            "start page": lambda: self.read(lambda session: overview.overview(session, "we", now=utc_now())),
            **{f"start page: {name}": self._part(name) for name in START_PAGE},
        }

    def __post_init__(self) -> None:
        """Any message's uid is as good as another's."""
        with reading(self.sessions) as session:
            middle = text("SELECT uid FROM messages WHERE id >= (SELECT max(id) / 2 FROM messages) ORDER BY id LIMIT 1")
            self.uid = session.execute(middle).scalar_one()
        self.claimed: Sequence[Claimed] = ()

    def read(self, ask: Callable[[Session], Any]) -> Took:
        with reading(self.sessions) as session:
            meter = Stopwatch(session)
            ask(session)
            return meter.took()

    def write(self, change: Callable[[Session], Any]) -> tuple[Took, Any]:
        """Without its commit."""
        with self.sessions.begin() as session:
            meter = Stopwatch(session)
            found = change(session)
            session.flush()
            return meter.took(), found

    def claim(self) -> Took:
        spent, claimed = self.write(
            lambda session: claim(session, claimant(), limit=50, lanes=[Lane.NORMAL], rota=self.rota)
        )
        if claimed is None or isinstance(claimed, Linger):
            raise RuntimeError("nothing was queued")
        self._accept([claimed])
        again = self._rows(50, Lane.NORMAL, utc_now())
        return spent.and_then(self.write(lambda session: insert_messages(session, again))[0])

    def insert(self) -> Took:
        rows = self._rows(500, Lane.BULK, utc_now() + timedelta(days=1))
        return self.write(lambda session: insert_messages(session, rows))[0]

    def insert_claimed(self) -> Took:
        rows = self._rows(500, Lane.NORMAL, utc_now())
        batches = packed(rows, limit=50, most=10)
        spent, (_, self.claimed) = self.write(
            lambda session: insert_claimed(session, claimant(), Lane.NORMAL, rows, batches, begun=10)
        )
        return spent

    def accept(self) -> Took:
        """What the question before has put into batches."""
        return self._accept(self.claimed)

    def lease(self) -> Took:
        now = utc_now()
        until = now + timedelta(minutes=2)
        return self.write(
            lambda session: polls.lease_due(session, now=now, until=until, limit=LEASED, rungs=RUNGS, dice=lambda: 0.5)
        )[0]

    def _accept(self, claimed: Sequence[Claimed]) -> Took:
        later = utc_now() + timedelta(minutes=5)
        accepted = [Accepted(one, answer_to(one), timedelta(seconds=0.05), later) for one in claimed]
        return self.write(lambda session: accept_all(session, accepted, now=utc_now()))[0]

    def _part(self, name: str) -> Callable[[], Took]:
        ask: Callable[..., Any] = getattr(overview, name)
        more = {"limit": overview.MOST_ATTENTION} if name == "attention" else {"now": utc_now()}
        return lambda: self.read(lambda session: ask(session, **more))

    def _rows(self, count: int, lane: Lane, send_at: datetime) -> list[dict[str, Any]]:
        self.number += count
        return [a_row(self.number - n, lane, send_at) for n in range(count)]


def claimant() -> Claimant:
    now = utc_now()
    soon = now + timedelta(seconds=30)
    return Claimant(1, "worker@bench", now, begins_by=soon, lease_until=soon)


def answer_to(claimed: Claimed) -> Acceptance:
    request = str(uuid.uuid4().int % 10**12)
    return Acceptance([AcceptedSms(one.reference, request, str(one.reference)) for one in claimed.messages])


def a_row(number: int, lane: Lane, send_at: datetime) -> dict[str, Any]:
    """As intake makes it of an order."""
    nothing = dict.fromkeys(("key", "callback", "traceparent", "ordered_phone", "ordered_text", "expires_at"))
    return {
        "uid": str(uuid.uuid4()),
        "producer": f"shop-{number % 4}",
        "lane": lane.value,
        "state": "queued",
        "nickname": "SHOP",
        "attempts": 0,
        "resends": 0,
        "polls": 0,
        "tags": {},
        "created_at": utc_now(),
        "phone": f"99894{number % 10_000_000:07}",
        "operator": "beeline",
        "text": "Your order is here",
        "parts": 1,
        "encoding": "gsm",
        "send_at": send_at,
        **nothing,
    }
