"""Posting: claim a batch, commit, post it once, store what came of it."""

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

import structlog
from sqlalchemy.orm import Session, sessionmaker
from structlog.contextvars import bound_contextvars

from models.lifecycle import Lane
from worker import quiet
from worker.errors import (
    GatewayError,
    NeverPosted,
    SubmissionUnconfirmed,
)
from worker.gateway import Acceptance, Gateway
from worker.pace import Pace
from worker.quiet import QuietLanes
from worker.recording import Posted, Recording
from worker.rota import Rota
from worker.seats import every_lane
from worker.store import accounts, claims
from worker.store.accounts import Gate
from worker.store.claims import Claimant, Claimed, Linger, Way
from worker.store.engine import reading
from worker.together import Together
from worker.trouble import Outcome

log = structlog.get_logger()

FREE = Gate()
AT_ONCE = 64  # batches whose answers are stored in one transaction
LEASE_MARGIN = timedelta(seconds=15)  # past the time-outs; an answer stored still later is not lost either


@dataclass(frozen=True, slots=True)
class Submission:
    """The room where messages are posted."""

    sessions: sessionmaker[Session]
    gateway: Gateway
    account_id: int
    worker: str
    batch_max_messages: int
    connect_timeout: timedelta  #: the longest that connecting takes, before the first byte
    call_timeout: timedelta  #: the longest that the gateway's time-outs let one post take
    slow_after: timedelta  #: a post that took longer counts as trouble
    first_poll_after: Callable[[], timedelta]
    now: Callable[[], datetime]
    wait: Callable[[float], None]  #: sleeps so many seconds
    on_owed: Callable[[], None]  #: called after a commit that owes callbacks
    on_begun: Callable[[int], None] = lambda _batch_id: None  #: called when a batch begins; must return at once
    #: where there is a limit, waits for the turn of the best lane that its argument tells; False to leave it
    turn: Callable[[Callable[[], Lane | None]], bool] | None = None
    leaving: Callable[[], bool] = lambda: False  #: whether the worker is to stop
    give_up_recording_after: timedelta = timedelta(seconds=30)  #: when the worker is to stop and the database is away
    recipients: frozenset[str] | None = None  #: the only phones that may be posted to; None: all
    quiet: QuietLanes = quiet.NEVER
    pace: Pace = field(default_factory=Pace)
    rota: Rota = field(default_factory=Rota)
    lingering: Mapping[Lane, Lock] = field(default_factory=lambda: {lane: Lock() for lane in Lane})
    recording: Recording = field(init=False)
    record: Together[Posted] = field(init=False)

    def __post_init__(self) -> None:
        """Answers that come while others are being stored are stored together."""
        recording = Recording(
            self.sessions,
            self.account_id,
            self.first_poll_after,
            self.now,
            self.wait,
            self.on_owed,
            self.leaving,
            self.give_up_recording_after,
        )
        object.__setattr__(self, "recording", recording)
        object.__setattr__(self, "record", Together(recording.store_together, most=AT_ONCE))

    def post_next(
        self, *, lanes: Callable[[], Sequence[Lane]] = every_lane, on_full: Callable[[], None] = lambda: None
    ) -> bool:
        """Post the next batch of *lanes*, best first; return False when there was nothing to post.

        *on_full* is called when the batch was full, or something due could not go with it, so that others may take part
        before this post is over. Raises SQLAlchemy's errors while the database is away, but never once a batch is on
        its way.
        """
        # No turn is spent on an empty look, and no message uses up an attempt while it waits for its turn.
        if self.turn and not self.turn(lambda: self._best_lane(lanes())):
            return False
        gate, claimed = self._claim(lanes())
        if claimed is None:
            return False
        if isinstance(claimed, Linger):
            return self._linger(claimed)
        if claimed.leaves_more:
            on_full()
        self.post_claimed(claimed, gate)
        return True

    def post_claimed(self, claimed: Claimed, gate: Gate = FREE) -> bool:
        """Post a batch, whose claim is committed, and store what came of it; return whether all of it was taken.

        *gate* is what stood in the way when it was claimed. Never raises.
        """
        began = time.monotonic()
        # No connection and no lock is held here: a slow gateway must not drain the database's pool.
        with bound_contextvars(batch_id=claimed.batch_id, lane=str(claimed.lane)):
            answer, took = self._post(claimed)
            outcome = Outcome(answer, gate, slow=bool(took and took > self.slow_after), took=took)
            posted = Posted(claimed, outcome)
            if not self.record(posted):
                self.recording.store(claimed, outcome)
            self.pace.note_post(seconds=time.monotonic() - began)
            return posted.is_plain

    def is_due(self, lanes: Sequence[Lane]) -> bool:
        """Whether any of *lanes* has something to post now."""
        return self._best_lane(lanes) is not None

    def way_for(self, lane: Lane) -> Way:
        """What is before a message that comes by *lane* now."""
        with reading(self.sessions) as session:
            return self._way_for(session, lane, self.now())

    def claimant_at_once(self, session: Session, lane: Lane) -> Claimant | None:
        """Who claims what is being stored; None if it has to be queued."""
        now = self.now()
        return self._claimant(now) if self._way_for(session, lane, now) is Way.CLEAR else None

    def _way_for(self, session: Session, lane: Lane, now: datetime) -> Way:
        awake = self.quiet.awake(Lane, now)
        return claims.way_for(session, self.account_id, lane, now=now, lanes=awake) if lane in awake else Way.KEPT

    def _best_lane(self, lanes: Sequence[Lane]) -> Lane | None:
        now = self.now()
        with reading(self.sessions) as session:
            if not accounts.lets_post(session, self.account_id, now=now):
                return None
            return claims.best_due(session, now=now, lanes=self.quiet.awake(lanes, now))

    def _linger(self, until: Linger) -> bool:
        """Wait for a fuller batch, in one thread of each lane; the lane's others leave it to that one."""
        if not until.pause:
            return True
        # Not one for all lanes: who waits a second for bulk would keep an OTP that would wait a tenth.
        lingering = self.lingering[until.lane]
        if not lingering.acquire(blocking=False):
            return False
        try:
            self.wait(until.pause.total_seconds())
        finally:
            lingering.release()
        return True

    def _claim(self, lanes: Sequence[Lane]) -> tuple[Gate, Claimed | Linger | None]:
        with self.sessions.begin() as session:
            session.connection()  # may wait for its turn; the lease begins after that
            now = self.now()
            claimant = self._claimant(now)
            gate = accounts.gate_of(session, self.account_id)
            if gate.is_free:
                return gate, self._claim_some(session, claimant, self.quiet.awake(lanes, now))
            if gate.held or not accounts.take_probe(
                session, self.account_id, gate, now=now, until=claimant.lease_until
            ):
                return gate, None
            probe = claims.claim(session, claimant, limit=1, lanes=self.quiet.awake(Lane, now), rota=self.rota)
            if not isinstance(probe, Claimed):
                accounts.give_back_probe(session, self.account_id, now=now)
            return gate, probe

    def _claimant(self, now: datetime) -> Claimant:
        begins_by = now + self.connect_timeout + LEASE_MARGIN
        lease_until = begins_by + self.call_timeout
        return Claimant(self.account_id, self.worker, now, begins_by, lease_until, self.recipients)

    def _claim_some(self, session: Session, claimant: Claimant, lanes: Sequence[Lane]) -> Claimed | Linger | None:
        def patience(lane: Lane, missing: int, oldest_at: datetime) -> timedelta:
            return self.pace.linger(lane, missing, oldest_at, now=claimant.now)

        # Where there is a limit, waiting for one's turn has filled the batch already.
        chosen = claims.no_patience if self.turn else patience
        limit = self.batch_max_messages
        claimed = claims.claim(session, claimant, limit=limit, lanes=lanes, patience=chosen, rota=self.rota)
        if isinstance(claimed, Claimed):
            self.pace.note(claimed.lane, len(claimed.messages), now=claimant.now)
        return claimed

    def _post(self, claimed: Claimed) -> tuple[Acceptance | GatewayError, timedelta | None]:
        """What came of it, and how long the gateway took for it; None if the post never began."""
        begun_at: datetime | None = None

        def begin() -> None:
            nonlocal begun_at
            self._begin(claimed)
            begun_at = self.now()

        answer = self._submit(claimed, begin)
        return answer, self.now() - begun_at if begun_at else None

    def _submit(self, claimed: Claimed, begin: Callable[[], None]) -> Acceptance | GatewayError:
        try:
            return self.gateway.submit(claimed.messages, nickname=claimed.nickname, begin=begin)
        except GatewayError as error:
            return error
        except Exception as error:  # noqa: BLE001
            # Our own mistake, after which nobody can say what left. Frames only: an error's words may hold a text.
            log.error("post_broke", frames=traceback.format_tb(error.__traceback__))  # noqa: TRY400
            return SubmissionUnconfirmed(f"unexpected {type(error).__name__}")

    def _begin(self, claimed: Claimed) -> None:
        """The second commit: from here on bytes may have left. Raises `NeverPosted` if the batch was given up."""
        if self.leaving():
            raise NeverPosted("the worker is to stop")
        if claimed.begins_by:
            self._go_on(claimed, claimed.begins_by)
            return
        with self.sessions.begin() as session:
            session.connection()  # may wait for its turn; this process may have slept as well
            now = self.now()
            if self.quiet.cover(claimed.lane, now):
                raise NeverPosted("quiet hours have begun")
            lease_until = now + self.call_timeout + LEASE_MARGIN
            begun = claims.begin(session, claimed, now=now, lease_until=lease_until)
        in_time = begun and self.now() <= lease_until - self.call_timeout
        self.rota.note_begin(in_time=in_time)
        if not in_time:
            raise NeverPosted("the time to begin was over")
        self.on_begun(claimed.batch_id)

    def _go_on(self, claimed: Claimed, begins_by: datetime) -> None:
        """The claim has begun it, in one commit; this process may have slept since."""
        now = self.now()
        if self.quiet.cover(claimed.lane, now):
            raise NeverPosted("quiet hours have begun")
        if now >= begins_by:
            raise NeverPosted("the time to begin was over")
        self.on_begun(claimed.batch_id)
