"""A whole house in one thread's hands: each room takes one step at a time, and the ledger says what must come of it."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Literal, NoReturn

from anything import emptied
from builders import Clock, Sessions, a_polling, a_submission, an_intake, an_upkeep
from fates import TAKEN, TRUTHS, PostAnswer, told
from flights import CONNECTING, Flight, Vendor, die
from ledger import FINAL, Ledger
from sqlalchemy import select

from models import Account, Batch, Circuit, Message
from models.lifecycle import Lane
from worker.callbacks import Callbacks
from worker.errors import CallbackFailed, GatewayUnavailable
from worker.people import Person
from worker.store.callbacks import Owed
from worker.upkeep import MOST_RESENDS

GIVE_UP_AFTER = timedelta(hours=48)
CONNECTS_WITHIN = timedelta(seconds=5)
BEGINS_WITHIN = timedelta(seconds=20)  # of its claim, or never
LATE_ANSWERS = timedelta(minutes=1)
ALL_WELL = PostAnswer("taken", (), really=True)
ENDS = {"delivered": "delivered", "rejected": "failed"}  #: the vendor's words that are final


class House:
    """Rooms of one database, one clock and one vendor."""

    def __init__(
        self,
        sessions: Sessions,
        vendor_ids: Literal["per-message", "shared"],
        policies: dict[Lane, str],
        batch_max_messages: int,
    ) -> None:
        self._sessions = emptied(sessions)
        self.clock = Clock()
        self.ledger = Ledger(sessions, self.clock)
        self.vendor = Vendor(self.clock, vendor_ids)
        self._policies = policies
        self._tell: Callable[[Owed], None] = self._hear
        self._intake = an_intake(sessions, self.clock)
        options = {"batch_max_messages": batch_max_messages, "connect_timeout": CONNECTS_WITHIN}
        self._submission = a_submission(sessions, self.vendor, self.clock, **options)
        self._callbacks = Callbacks(sessions, self._say, self.clock, lambda: 0.5)
        self._upkeep = an_upkeep(sessions, self.clock, policy=policies.__getitem__)
        self.person = Person(sessions, "login", "a person", self.clock)

    def _say(self, owed: Owed) -> None:
        self._tell(owed)

    def take(self, raw: bytes, lane: Lane) -> None:
        taken = self._intake.take_raw([raw], lane)
        self._intake.give_up_cancels(taken.unmatched, lane)

    # Posting, in its three steps

    def claim(self) -> Flight:
        """Let a worker claim a batch; the flight has landed if there was nothing to post."""
        held, alone = self._gate()
        late = [sms_id for sms_id in self.ledger.of_state("queued") if self.ledger.is_late(sms_id)]
        flight = Flight(self._submission.post_next)
        self.ledger.may(late, "expired")
        if not flight.landed:
            assert flight.where == CONNECTING
            assert not held, "posted while a person holds the account"
            assert len(flight.about) == 1 or not alone, "more than a probe"
            self._claimed(flight)
        return flight

    def begin(self, flight: Flight) -> None:
        """Its connection stands: either the first byte leaves, or the post has landed without one."""
        ours = self.ledger.of_flight(flight)
        given_up = len(ours) < len(flight.messages)
        flight.go_on()
        if flight.landed:
            assert given_up or self.clock() != flight.claimed_at, "not even tried"
            self._all(flight, "queued")
            return
        assert not given_up, "begun after its messages were given to others"
        flight.began = True
        for sms_id in ours:
            expires_at = self.ledger[sms_id].expires_at
            assert not expires_at or self.clock() < expires_at + BEGINS_WITHIN, "posted long after its time"
            self.ledger[sms_id].may_be_taken += 1

    def land(self, flight: Flight, answer: PostAnswer) -> None:
        """The gateway answers, or breaks off, and the worker stores that, or dies."""
        fates = dict(zip((sms.reference for sms in flight.messages), answer.fates(len(flight.messages)), strict=True))
        flight.go_on(partial(answer.given_by(self.vendor), flight.messages))
        assert flight.landed
        ours = self.ledger.of_flight(flight)
        for sms_id, fate in fates.items():
            known = self.ledger[sms_id]
            known.may_be_taken -= not fate.may_be_taken
            if sms_id in ours and fate.state and fate.state != known.state:
                self.ledger.move(sms_id, fate.state)
            if sms_id in ours and fate is TAKEN:
                known.request_id = self.vendor.last_request_id(sms_id)
            if sms_id in ours and fate.state == "unconfirmed":
                known.doubted_at = self.clock()

    def cannot_connect(self, flight: Flight) -> None:
        """The gateway is away, so nothing left."""
        flight.go_on(partial(throw, GatewayUnavailable("connection refused")))
        self._all(flight, "queued")

    def break_before_the_first_byte(self, flight: Flight) -> None:
        """A mistake of ours: nothing left either, but it is no harm to doubt it."""
        flight.go_on(partial(throw, ValueError("broke")))
        if not self.ledger.may(self.ledger.of_flight(flight), "unconfirmed"):
            self._all(flight, "queued")

    def post(self, answer: PostAnswer) -> bool:
        """All three steps; return whether a batch was posted."""
        flight = self.claim()
        if flight.landed:
            return bool(flight.about)
        self.begin(flight)
        if not flight.landed:
            self.land(flight, answer)
        return True

    # Polling

    def ask(self) -> Flight:
        """Let a worker lease questions; the flight has landed if nothing was due."""
        return Flight(a_polling(self._sessions, self.vendor, self.clock, give_up_after=GIVE_UP_AFTER).ask_next)

    def hear(self, flight: Flight, kind: str) -> bool:
        """Answer all its questions; return whether there was any."""
        asked: list[str] = []
        while not flight.landed:
            asked.append(flight.about)
            flight.go_on(partial(told, kind, self.vendor, flight.about))
        if kind != "worker dies":
            for request_id in asked:
                self._reported(request_id, kind)
        return bool(asked)

    # The rest of the house

    def tell(self, kind: str) -> bool:
        """Tell producers, all in the same way; return whether anything was owed."""
        ways = {
            "hears": self._hear,
            "fails": fail,
            "breaks": break_down,
            "dies": lambda _: die(),
            "dies after": self._hear_and_die,
        }
        self._tell = ways[kind]
        return bool(Flight(self._callbacks.tell_next).about)

    def sweep(self) -> None:
        with self._sessions() as session:
            columns = (Message.id, Batch.begins_by, Batch.lease_until)
            rows = session.execute(select(*columns).join(Batch).where(Message.state == "posting")).all()
        self._upkeep.sweep()
        for sms_id, begins_by, lease_until in rows:
            if begins_by and begins_by <= self.clock():
                self.ledger.move(sms_id, "queued")
            elif not begins_by and lease_until and lease_until < self.clock():
                self.ledger.move(sms_id, "unconfirmed")
        for sms_id in self.ledger.of_state("queued"):
            if self.ledger.is_late(sms_id):
                self.ledger.move(sms_id, "expired")
        for sms_id in self.ledger.of_state("unconfirmed"):
            self._by_policy(sms_id)

    def come_to_rest(self) -> None:
        """From now on all goes well: within two hours nothing is left but what waits for a person's decision."""
        self.person.resume()
        self.clock.at = self.ledger.latest + timedelta(hours=1)
        for _ in range(3):
            self.clock.advance(minutes=20)
            self.sweep()
            until_quiet(lambda: self.post(ALL_WELL))
            for sms_id in list(self.vendor.took):
                self.vendor.deliver(sms_id)
            until_quiet(lambda: self.hear(self.ask(), "the truth"))
            until_quiet(lambda: self.tell("hears"))
        self.ledger.check()
        left = [known for known in self.ledger.messages.values() if known.state not in FINAL]
        waits = [one for one in left if one.state == "unconfirmed" and self._waits_for_a_person(one.lane, one.resends)]
        assert left == waits, "stuck"

    def _claimed(self, flight: Flight) -> None:
        flight.messages, flight.claimed_at = flight.about, self.clock()
        for sms in flight.messages:
            assert self.ledger.may_be_posted(sms.reference), "posted too early, or not queued"
            assert not self.ledger.is_late(sms.reference), "posted too late"
            self.ledger.move(sms.reference, "posting")
            self.ledger[sms.reference].flight = flight
        assert len({sms.phone for sms in flight.messages}) == len(flight.messages), "one phone twice"
        (lane,) = {self.ledger[sms.reference].lane for sms in flight.messages}
        earlier = list(Lane)[: list(Lane).index(Lane(lane))]
        waiting = [sms_id for sms_id in self.ledger.of_state("queued") if self.ledger[sms_id].lane in earlier]
        assert not any(self.ledger.is_due(sms_id) for sms_id in waiting), "an earlier lane waits"

    def _gate(self) -> tuple[bool, bool]:
        """Whether a person holds the account, and whether only a probe may be posted."""
        with self._sessions() as session:
            account = session.scalars(select(Account)).one()
            is_open = session.scalars(select(Circuit.state).where(Circuit.room == "posting")).one() == "open"
        return account.held_at is not None, account.state == "paused" or is_open

    def _all(self, flight: Flight, state: str) -> None:
        for sms_id in self.ledger.of_flight(flight):
            self.ledger.move(sms_id, state)

    def _reported(self, request_id: str, kind: str) -> None:
        ours = self.ledger.of_state("submitted", "unknown")
        for sms_id in [one for one in ours if self.ledger[one].request_id == request_id]:
            word = self.vendor.word_about(request_id, sms_id) if kind in TRUTHS else None
            waited = self.clock() - (self.ledger[sms_id].submitted_at or self.clock())
            if word in ENDS:
                self.ledger.move(sms_id, ENDS[word])
            elif self.ledger[sms_id].state == "submitted" and waited >= GIVE_UP_AFTER:
                self.ledger.move(sms_id, "unknown")
        if kind in TRUTHS:
            doubtful = self.ledger.of_state("unconfirmed")
            proved = [sms_id for sms_id in doubtful if self.vendor.word_about(request_id, sms_id)]
            for sms_id in self.ledger.may(proved, "submitted"):
                self.ledger[sms_id].request_id = request_id

    def _by_policy(self, sms_id: int) -> None:
        known = self.ledger[sms_id]
        if self._waits_for_a_person(known.lane, known.resends):
            return
        policy = self._policies[Lane(known.lane)]
        target = "queued" if policy == "resend" else "failed"
        must = known.doubted_at and known.doubted_at < self.clock() - LATE_ANSWERS
        if must or self.ledger.stands_in(sms_id, target):
            self.ledger.decide(sms_id, policy, f"policy, {known.resends} before")

    def _waits_for_a_person(self, lane: str, resends: int) -> bool:
        policy = self._policies[Lane(lane)]
        return policy == "hold" or (policy == "resend" and resends >= MOST_RESENDS)

    def _hear(self, owed: Owed) -> None:
        self.ledger.heard.add(owed.event["event_id"])

    def _hear_and_die(self, owed: Owed) -> NoReturn:
        self._hear(owed)
        die()


def until_quiet(step: Callable[[], bool]) -> None:
    for _ in range(200):
        if not step():
            return
    raise AssertionError("never comes to rest")


def throw(error: Exception) -> NoReturn:
    raise error


def fail(_: Owed) -> NoReturn:
    raise CallbackFailed("refused")


def break_down(_: Owed) -> NoReturn:
    raise ValueError("broke")
