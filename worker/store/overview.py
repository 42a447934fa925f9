"""How the house stands: is it going out? Each figure by queries that stay cheap however many old rows there are."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, String, cast, func, select
from sqlalchemy.orm import Session

from models import Account, Batch, Circuit, Message, RefusedIntake
from models.lifecycle import BatchState, CallbackState, Lane, MessageState, Room
from worker.quiet import NEVER, QuietLanes
from worker.store import figures, workers
from worker.store.attention import Attention, attention
from worker.store.sweeps import WORKER_DIED
from worker.store.verdict import SAID, Evidence, Waiting, judge
from worker.store.workers import Alive

RATE_OVER = timedelta(minutes=5)
REFUSED_LATELY = timedelta(days=1)  #: older ones are looked up where they are kept
GATEWAY_OVER = timedelta(minutes=15)
DELIVERY_OVER = timedelta(days=1)
MOST_ROWS = 20_000  #: of a busy time only the newest so many are looked at
MOST_ENDED = 2_000
MOST_REFUSED = 10_000
MOST_ATTENTION = 50
NOT_TRIED = ("the worker is to stop", "quiet hours have begun", "the time to begin was over", WORKER_DIED)


class LaneStanding(NamedTuple):
    """What a lane has to do, and does."""

    lane: Lane
    waiting: int  #: may be posted now; counted up to `figures.MOST`
    oldest_seconds: float | None  #: how long the oldest of these may; None if nothing waits
    later: int  #: queued for a later time; counted up to `figures.MOST`
    unconfirmed: int
    quiet: bool  #: whether it has quiet hours now
    in_per_minute: float  #: stored, over the last five minutes
    out_per_minute: float  #: answered by the gateway


class GatewayStanding(NamedTuple):
    """How the gateway answered the posts of the last 15 minutes, in batches."""

    answers: int  #: answered message by message
    refused: int  #: refused as a whole
    cut_off: int  #: nobody knows
    unreachable: int  #: surely not taken
    latency_ms_p50: int | None
    latency_ms_p95: int | None
    errors: dict[int | None, int]  #: by the vendor's number, of those that were not answered message by message


class Delivery(NamedTuple):
    """From the moment when a message might go to the phone's having it, says the gateway."""

    p50_seconds: float | None
    p95_seconds: float | None
    messages: int  #: that this is of: the delivered of the newest `MOST_ENDED` that came to an end within a day


class Minute(NamedTuple):
    """What one minute brought, in messages."""

    at: datetime  #: its beginning
    accepted: int
    delivered: int
    failed: int


class AccountStanding(NamedTuple):
    """Whether the vendor, or a person, lets us post."""

    paused_at: datetime | None
    reason: str | None
    error_no: int | None
    probe_at: datetime | None
    held_at: datetime | None
    held_by: str | None


class CircuitStanding(NamedTuple):
    """Whether the gateway is called as usual by this room."""

    room: str
    opened_at: datetime | None  #: None while it is closed
    reason: str | None
    probe_at: datetime | None


class Overview(NamedTuple):
    """All of it."""

    at: datetime
    verdict: str  #: going, slow, stopped or idle
    reason: str  #: in a word; `worker.store.verdict.SAID` has its sentence and what to do
    lanes: list[LaneStanding]
    gateway: GatewayStanding
    delivery: Delivery
    minutes: list[Minute]
    attention: list[Attention]
    account: AccountStanding
    circuits: list[CircuitStanding]
    workers: list[Alive]
    bell_age_seconds: float | None  #: since beat's bell was heard last; None if it never was
    callbacks_owed: int
    callbacks_failed: int
    refused_today: int  #: orders, in this day of UTC, counted up to `MOST_REFUSED`
    posting: int
    submitted: int  #: whose report is awaited; counted up to `figures.MOST`


def overview(session: Session, login: str, *, now: datetime, quiet: QuietLanes = NEVER, hours: float = 3) -> Overview:
    """How all stands at *now* with the account of *login*; minutes for so many *hours*."""
    bell_at = workers.last_bell_at(session)
    seen = Overview(
        at=now,
        verdict="",
        reason="",
        lanes=lanes(session, now=now, quiet=quiet),
        gateway=gateway(session, now=now),
        delivery=delivery(session, now=now),
        minutes=minutes(session, now=now, hours=hours),
        attention=attention(session, limit=MOST_ATTENTION, refused_since=now - REFUSED_LATELY),
        account=account_of(session, login),
        circuits=circuits_of(session, login),
        workers=workers.alive(session, now=now),
        bell_age_seconds=max(0.0, (now - bell_at).total_seconds()) if bell_at else None,
        callbacks_owed=figures.callbacks(session, CallbackState.OWED),
        callbacks_failed=figures.callbacks(session, CallbackState.FAILED),
        refused_today=refused_since(session, now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)),
        posting=figures.posting(session),
        submitted=figures.submitted(session, most=figures.MOST),
    )
    reason = judge(_evidence(seen))
    return seen._replace(reason=reason, verdict=SAID[reason].verdict)


def _evidence(seen: Overview) -> Evidence:
    return Evidence(
        held=seen.account.held_at is not None,
        paused=seen.account.paused_at is not None,
        open=any(one.opened_at and one.room == Room.POSTING for one in seen.circuits),
        working_seconds=max(((seen.at - one.started_at).total_seconds() for one in seen.workers), default=None),
        bell_age_seconds=seen.bell_age_seconds,
        answers=seen.gateway.answers,
        broken=seen.gateway.cut_off + seen.gateway.unreachable,
        lanes=[
            Waiting(one.lane, one.waiting, one.oldest_seconds or 0, one.quiet, one.out_per_minute) for one in seen.lanes
        ],
    )


def lanes(session: Session, *, now: datetime, quiet: QuietLanes = NEVER) -> list[LaneStanding]:
    """Each lane, the most urgent first."""
    in_doubt = figures.unconfirmed(session)
    since = _since_when(session, now)
    came, went = _came_per_minute(session, since, now), _went_per_minute(session, since, now)
    found = []
    for lane in Lane:
        queue = figures.queue_up_to(session, lane, figures.MOST, now=now)
        age = max(0.0, (now - queue.oldest_at).total_seconds()) if queue.oldest_at else None
        counts = (queue.waiting, age, queue.later, in_doubt.get(lane, 0), quiet.cover(lane, now))
        found.append(LaneStanding(lane, *counts, came.get(lane, 0.0), went.get(lane, 0.0)))
    return found


def up_to(count: int) -> str:
    """In a person's words, where counting stopped at `figures.MOST`.

    >>> up_to(99_999), up_to(100_000)
    ('99,999', '100,000+')
    """
    return f"{count:,}+" if count >= figures.MOST else f"{count:,}"


def _since_when(session: Session, now: datetime) -> datetime:
    """Five minutes back, or as far as the newest `MOST_ROWS` reach. Reads ix_messages_created_at from its end."""
    newest = select(Message.created_at).where(Message.created_at > now - RATE_OVER).order_by(Message.created_at.desc())
    return session.scalars(newest.offset(MOST_ROWS - 1).limit(1)).first() or now - RATE_OVER


def _came_per_minute(session: Session, since: datetime, now: datetime) -> dict[str, float]:
    """Reads ix_messages_created_at from its end."""
    came = select(Message.lane, func.count()).where(Message.created_at >= since).group_by(Message.lane)
    return _per_minute(session.execute(came).all(), since, now)


def _went_per_minute(session: Session, since: datetime, now: datetime) -> dict[str, float]:
    """Reads ix_batches_finished_at from its end."""
    taken = func.coalesce(func.sum(Batch.accepted + Batch.refused), 0)
    went = select(Batch.lane, taken).where(Batch.finished_at >= since).group_by(Batch.lane)
    return _per_minute(session.execute(went).all(), since, now)


def _per_minute(rows: Iterable[Any], since: datetime, now: datetime) -> dict[str, float]:
    per_minute = 60 / max(1.0, (now - since).total_seconds())
    return {lane: float(messages) * per_minute for lane, messages in rows}


def gateway(session: Session, *, now: datetime) -> GatewayStanding:
    """Reads ix_batches_finished_at from its end."""
    columns = (Batch.state, Batch.error_no, Batch.http_status, Batch.reason, Batch.answer_ms)
    newest = select(*columns).where(Batch.finished_at > now - GATEWAY_OVER).order_by(Batch.finished_at.desc())
    some = newest.limit(MOST_ROWS).subquery()
    outcomes, errors, latencies = Counter[str](), Counter[int | None](), Counter[int]()
    grouped: Iterable[Any] = session.execute(select(*some.c, func.count()).group_by(*some.c))
    for state, error_no, http_status, reason, answer_ms, count in grouped:
        outcome = _outcome(state, reason, answered=error_no is not None or http_status is not None)
        outcomes[outcome] += count
        if outcome not in {"answers", "not tried"}:
            errors[error_no] += count
        if answer_ms is not None:
            latencies[answer_ms] += count
    return GatewayStanding(
        answers=outcomes["answers"],
        refused=outcomes["refused"],
        cut_off=outcomes["cut_off"],
        unreachable=outcomes["unreachable"],
        latency_ms_p50=_percentile(latencies, 0.5),
        latency_ms_p95=_percentile(latencies, 0.95),
        errors=dict(errors),
    )


def _outcome(state: str, reason: str | None, *, answered: bool) -> str:
    if state == BatchState.ACCEPTED:
        return "answers"
    if state == BatchState.UNCONFIRMED:
        return "cut_off"
    if state == BatchState.REFUSED or answered:
        return "refused"
    return "not tried" if reason in NOT_TRIED else "unreachable"


def _percentile(counts: Mapping[Any, int], share: float) -> Any:
    """The smallest value that *share* of all lie at or below; None if there are none."""
    wanted, seen = share * sum(counts.values()), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return value
    return None


def delivery(session: Session, *, now: datetime) -> Delivery:
    """Reads ix_messages_finalized_at from its end."""
    columns = (Message.state, Message.send_at, Message.delivered_at)
    ended = select(*columns).where(Message.finalized_at > now - DELIVERY_OVER).order_by(Message.finalized_at.desc())
    rows = session.execute(ended.limit(MOST_ENDED))
    seconds = Counter(
        max(0.0, round((delivered_at - send_at).total_seconds(), 1))
        for state, send_at, delivered_at in rows
        if state == MessageState.DELIVERED and delivered_at
    )
    return Delivery(_percentile(seconds, 0.5), _percentile(seconds, 0.95), seconds.total())


def minutes(session: Session, *, now: datetime, hours: float = 3) -> list[Minute]:
    """Every minute of the last *hours*, the oldest first, this unfinished one last.

    Reads these hours of ix_batches_finished_at and ix_messages_finalized_at, and no older rows.
    """
    last = now.astimezone(UTC).replace(second=0, microsecond=0)
    first = last - timedelta(minutes=round(hours * 60) - 1)
    states = (func.count().filter(Message.state == state) for state in (MessageState.DELIVERED, MessageState.FAILED))
    accepted = _by_minute(session, Batch.finished_at, first, func.sum(func.coalesce(Batch.accepted, 0)))
    ended = _by_minute(session, Message.finalized_at, first, *states)
    moments = [first + timedelta(minutes=minute) for minute in range(round(hours * 60))]
    return [Minute(at, *accepted.get(at, (0,)), *ended.get(at, (0, 0))) for at in moments]


def _by_minute(session: Session, at: Any, first: datetime, *what: ColumnElement[int]) -> dict[datetime, list[int]]:
    is_postgres = session.get_bind().dialect.name == "postgresql"
    minute = func.date_trunc("minute", at) if is_postgres else func.substr(cast(at, String), 1, 16)
    rows = session.execute(select(minute, *what).where(at >= first).group_by(minute))
    return {_moment(moment): [int(count or 0) for count in counts] for moment, *counts in rows}


def _moment(minute: datetime | str) -> datetime:
    if isinstance(minute, str):  # SQLite's, in UTC
        return datetime.fromisoformat(minute).replace(tzinfo=UTC)
    return minute.astimezone(UTC)


def account_of(session: Session, login: str) -> AccountStanding:
    """The account of *login*; nothing stands in its way if nobody has used it yet."""
    columns = [getattr(Account, name) for name in AccountStanding._fields]
    row = session.execute(select(*columns).where(Account.login == login)).first()
    return AccountStanding(*row) if row else AccountStanding(None, None, None, None, None, None)


def circuits_of(session: Session, login: str) -> list[CircuitStanding]:
    """Those of *login*: posting, then polling."""
    columns = [getattr(Circuit, name) for name in CircuitStanding._fields]
    found = select(*columns).join(Account, Circuit.account_id == Account.id).where(Account.login == login)
    return [CircuitStanding(*row) for row in session.execute(found.order_by(Circuit.room.desc()))]


def refused_since(session: Session, since: datetime) -> int:
    """Orders refused since then, counted up to `MOST_REFUSED`. Reads ix_refused_intakes_created_at."""
    some = select(RefusedIntake.id).where(RefusedIntake.created_at >= since).limit(MOST_REFUSED).subquery()
    return session.scalars(select(func.count()).select_from(some)).one()
