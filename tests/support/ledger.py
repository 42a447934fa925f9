"""What must stand in the tables, kept in plain Python beside them: by the contract, not by the code."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from builders import Clock, Sessions
from flights import Flight
from sqlalchemy import select

from models import Batch, Callback, Decision, Message, RefusedIntake
from models.lifecycle import Verdict

#: The contract's table, written once more.
MOVES = {
    "queued": {"posting", "cancelled", "expired"},
    "posting": {"submitted", "failed", "queued", "unconfirmed"},
    "unconfirmed": {"queued", "failed", "submitted"},
    "submitted": {"delivered", "failed", "unknown"},
    "unknown": {"delivered", "failed"},
}
FINAL = {"delivered", "failed", "unknown", "cancelled", "expired"}
TOLD = {"submitted", "unconfirmed"} | FINAL  #: to a producer that wants to be told
MESSAGE = (Message.id, Message.uid, Message.state, Message.resends, Message.next_poll_at)
CALLBACK = (Callback.event_id, Callback.sms_id, Callback.state, Callback.event)
FARTHEST_POLL = timedelta(minutes=20)  # a ladder's last step and its lease, and no more


@dataclass
class Known:
    """One accepted order."""

    uid: str
    lane: str
    ordered_at: datetime
    send_at: datetime | None = None  #: None: at once
    expires_at: datetime | None = None
    wants: bool = False  #: to be told
    state: str = "queued"
    resends: int = 0
    decisions: set[str] = field(default_factory=set)  #: names of those carried out on it
    told: list[str] = field(default_factory=list)
    flight: Flight | None = None  #: its last post
    may_be_taken: int = 0  #: posts of it that nobody can rule out
    request_id: str | None = None
    submitted_at: datetime | None = None
    doubted_at: datetime | None = None  #: when its batch was given up, or answered after that


class Ledger:
    """Every message by its id, and what its table must say of it."""

    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock
        self.latest = clock.at  #: that the clock ever said
        self.messages: dict[int, Known] = {}
        self.refused: set[tuple[str, bytes]] = set()
        self.heard: set[str] = set()  #: event_ids that reached a receiver

    def __getitem__(self, sms_id: int) -> Known:
        return self.messages[sms_id]

    def of_state(self, *states: str) -> list[int]:
        return [sms_id for sms_id, known in self.messages.items() if known.state in states]

    def of_uid(self, uid: str) -> int | None:
        return next((sms_id for sms_id, known in self.messages.items() if known.uid == uid), None)

    def of_flight(self, flight: Flight) -> list[int]:
        """The messages of a post whose outcome is still open."""
        still = self.of_state("posting", "unconfirmed")
        return [sms_id for sms_id in still if self.messages[sms_id].flight is flight]

    def is_late(self, sms_id: int) -> bool:
        expires_at = self.messages[sms_id].expires_at
        return expires_at is not None and expires_at <= self._clock()

    def may_be_posted(self, sms_id: int) -> bool:
        known = self.messages[sms_id]
        return known.state == "queued" and (known.send_at is None or known.send_at <= self._clock())

    def is_due(self, sms_id: int) -> bool:
        """The same, and it must be: what was ordered at once by a clock that ran ahead waits for upkeep's look."""
        return self.may_be_posted(sms_id) and self.messages[sms_id].ordered_at <= self._clock()

    def add(self, known: Known) -> None:
        """An order was accepted: it must be a row from now on."""
        with self._sessions() as session:
            sms_id = session.scalars(select(Message.id).where(Message.uid == known.uid)).one()
        self.messages[sms_id] = known

    def move(self, sms_id: int, target: str) -> None:
        """It must be in *target* now."""
        known = self.messages[sms_id]
        assert target in MOVES[known.state], f"{known.state} to {target}"
        known.state = target
        if target in TOLD and known.wants:
            known.told.append(target)
        if target == "submitted":
            known.submitted_at = self._clock()
        if target == "unconfirmed":
            known.doubted_at = self._clock()

    def decide(self, sms_id: int, verdict: str, name: str) -> None:
        """Somebody decided about one in doubt: once for each *name*, however often it comes."""
        known = self.messages[sms_id]
        if known.state != "unconfirmed" or name in known.decisions:
            return
        known.decisions.add(name)
        known.resends += verdict == "resend"
        self.move(sms_id, "queued" if verdict == "resend" else "failed")

    def may(self, sms_ids: Collection[int], target: str) -> list[int]:
        """Each of these may have moved to *target*, or not; return those that did."""
        moved = [sms_id for sms_id in sms_ids if self.stands_in(sms_id, target)]
        for sms_id in moved:
            self.move(sms_id, target)
        return moved

    def stands_in(self, sms_id: int, state: str) -> bool:
        """What the table says: only where the contract leaves the choice."""
        with self._sessions() as session:
            return session.scalars(select(Message.state).where(Message.id == sms_id)).one() == state

    def check(self) -> None:
        """Compare all with the tables, and look at what must hold whatever happened."""
        self.latest = max(self.latest, self._clock())
        of_batch = (Message.id, Message.state, Batch.state.label("batch"), Batch.begins_by, Batch.lease_until)
        with self._sessions() as session:
            messages = session.execute(select(*MESSAGE)).all()
            batched = session.execute(select(*of_batch).join(Batch, Message.batch_id == Batch.id)).all()
            open_batches = session.scalars(select(Batch.id).where(Batch.state == "posting")).all()
            callbacks = session.execute(select(*CALLBACK)).all()
            decisions = session.execute(select(Decision.uid, Decision.what)).all()
            refused = session.scalars(select(RefusedIntake.id)).all()
        verdicts = Counter((uid, what) for uid, what in decisions)
        self._check_messages(messages)
        self._check_batches(batched, len(open_batches))
        self._check_told(callbacks)
        for known in self.messages.values():
            assert verdicts[known.uid, Verdict.RESEND] == known.resends, "a resend that nobody is named for"
            assert known.may_be_taken <= 1 + known.resends, "posted again without a decision"
        assert len(refused) == len(self.refused), "an order that is not kept"

    def _check_messages(self, rows: Sequence[Any]) -> None:
        expected = {sms_id: (known.uid, known.state, known.resends) for sms_id, known in self.messages.items()}
        assert {row.id: (row.uid, row.state, row.resends) for row in rows} == expected
        for row in rows:
            assert not row.next_poll_at or row.next_poll_at <= self.latest + FARTHEST_POLL, "asked too late"

    def _check_batches(self, rows: Sequence[Any], open_batches: int) -> None:
        for row in rows:
            assert (row.state == "posting") <= (row.batch == "posting"), "in a batch that is over"
            flight = self.messages[row.id].flight
            if row.state == "posting" and flight:
                assert row.lease_until
                assert flight.began == (row.begins_by is None), "what has begun is not said, or said too early"
        flights = {id(self.messages[sms_id].flight) for sms_id in self.of_state("posting")}
        assert open_batches == len(flights), "an open batch without messages"

    def _check_told(self, rows: Sequence[Any]) -> None:
        told: dict[int, list[tuple[str, str]]] = {sms_id: [] for sms_id in self.messages}
        for row in rows:
            told.get(row.sms_id, []).append((row.event["at"], row.event["state"]))
            assert row.state != "told" or row.event_id in self.heard
        for sms_id, known in self.messages.items():
            assert Counter(state for _, state in told[sms_id]) == Counter(known.told), "a change that is not told"
