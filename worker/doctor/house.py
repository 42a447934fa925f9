"""The house at work: workers, beat, what waits, and what needs a person."""

from sqlalchemy.orm import Session

from models.lifecycle import Lane, Room
from worker.doctor.check import Check, Found, Ground, fault, note, ok, skipped, warning
from worker.quiet import QuietLanes
from worker.store import workers
from worker.store.engine import make_engine, make_sessions, reading
from worker.store.overview import Overview, overview, up_to
from worker.store.verdict import BELL_SECONDS, SLOW_SECONDS, STUCK_SECONDS
from worker.wiring import quiet_lanes

HOURS = 1 / 60
EXPLAINED = "sms refused: what is said of each order says what to do"


def _overview(ground: Ground) -> Overview:
    def look() -> Overview:
        settings = ground.settings
        engine = make_engine(settings.database_url, connections=1)
        quiet: QuietLanes = quiet_lanes(settings)
        try:
            with reading(make_sessions(engine)) as session:
                return _all(session, settings.gateway_login, ground, quiet)
        finally:
            engine.dispose()

    return ground.once("overview", look)


def _all(session: Session, login: str, ground: Ground, quiet: QuietLanes) -> Overview:
    return overview(session, login, now=ground.now(), quiet=quiet, hours=HOURS)


def _workers(ground: Ground) -> Found:
    alive = _overview(ground).workers
    if not alive:
        return fault(f"none was seen within {workers.ALIVE_FOR.total_seconds():.0f} s")
    return ok(f"{len(alive)} alive: {', '.join(sorted(one.name.partition(':')[0] for one in alive))}")


def _releases(ground: Ground) -> Found:
    releases = sorted({one.release for one in _overview(ground).workers})
    if not releases:
        return skipped("no worker is alive")
    if len(releases) > 1:
        return warning(f"workers of different releases work side by side: {', '.join(releases)}")
    return ok(f"all are of release {releases[0]}")


def _beat(ground: Ground) -> Found:
    seen = _overview(ground)
    if not seen.workers:
        return skipped("no worker is alive to hear it")
    if seen.bell_age_seconds is None:
        return fault("no worker has ever heard it")
    words = f"its bell was heard {seen.bell_age_seconds:.0f} s ago"
    return ok(words) if seen.bell_age_seconds <= BELL_SECONDS else fault(words)


def _waiting(ground: Ground) -> Found:
    seen = _overview(ground)
    said = [
        f"{one.lane} {up_to(one.waiting)}, the oldest {one.oldest_seconds or 0:,.0f} s"
        for one in seen.lanes
        if one.waiting
    ]
    if not said:
        return ok("nothing waits")
    words = "; ".join(said)
    awake = [one for one in seen.lanes if one.waiting and not one.quiet]
    goes = any(one.out_per_minute for one in seen.lanes)
    if not goes and any((one.oldest_seconds or 0) > STUCK_SECONDS for one in awake):
        return fault(f"{words}, and nothing goes out")
    late = [one for one in awake if (one.oldest_seconds or 0) > SLOW_SECONDS.get(one.lane, float("inf"))]
    if any(one.lane == Lane.OTP for one in late):
        return fault(words)
    return warning(words) if late else ok(words)


def _account(ground: Ground) -> Found:
    account = _overview(ground).account
    if account.held_at:
        return fault(f"held by {account.held_by} since {account.held_at:%Y-%m-%d %H:%M} UTC")
    if account.paused_at:
        return fault(f"paused since {account.paused_at:%Y-%m-%d %H:%M} UTC: {account.reason}")
    return ok("nothing keeps it from posting")


def _circuits(ground: Ground) -> Found:
    is_open = [one for one in _overview(ground).circuits if one.opened_at]
    if not is_open:
        return ok("the gateway is called as usual")
    words = "; ".join(f"{one.room} is open: {one.reason}" for one in is_open)
    return fault(words) if any(one.room == Room.POSTING for one in is_open) else warning(words)


def _unconfirmed(ground: Ground) -> Found:
    said = [f"{one.unconfirmed:,} {one.lane}" for one in _overview(ground).lanes if one.unconfirmed]
    if not said:
        return ok("no message is in doubt")
    return warning(f"nobody knows whether these were taken: {', '.join(said)}")


def _callbacks(ground: Ground) -> Found:
    seen = _overview(ground)
    if seen.callbacks_failed:
        return warning(f"{seen.callbacks_failed:,} could not be told for a day, {seen.callbacks_owed:,} are owed")
    return ok(f"none has failed, {seen.callbacks_owed:,} are owed")


def _refused(ground: Ground) -> Found:
    refused = _overview(ground).refused_today
    return (
        note(f"{refused:,} orders were refused today (UTC)", EXPLAINED)
        if refused
        else ok("no order was refused today (UTC)")
    )


SCHEMA = ("database.schema",)
START = "start one: celery -A worker worker"
CHECKS = (
    Check(
        "house.workers",
        "Is a worker alive?",
        "Without one orders stay on Redis, and nothing is posted or asked; nothing is lost either.",
        START,
        _workers,
        after=SCHEMA,
    ),
    Check(
        "house.releases",
        "Are all workers of one release?",
        "Two are meant to work side by side only while a new one comes.",
        "restart the older ones",
        _releases,
        after=SCHEMA,
    ),
    Check(
        "house.beat",
        "Does beat ring?",
        "Without its bell no report is asked for, nothing that was lost is swept up, and plans for later do not go.",
        "start one: celery -A worker beat",
        _beat,
        after=SCHEMA,
    ),
    Check(
        "house.waiting",
        "Does anything wait too long?",
        "A code is worth something for a minute or two.",
        "look at the faults above; else more posts at once: SMS_GATEWAY_CONNECTIONS, or another worker",
        _waiting,
        after=SCHEMA,
    ),
    Check(
        "house.account",
        "May we post?",
        "The vendor's refusal of the account, or a person, stops every post; messages stay queued.",
        "put it right with the vendor, then sms resume; after a restore sms recover --since TIME",
        _account,
        after=SCHEMA,
    ),
    Check(
        "house.circuits",
        "Does the gateway answer well enough to be called?",
        "After many failures only one probe at a time calls it, with growing pauses.",
        "it is tried again by itself; look at the checks of the gateway",
        _circuits,
        after=SCHEMA,
    ),
    Check(
        "house.unconfirmed",
        "Is any message in doubt?",
        "Its post was cut off: it may have been taken. It is never posted again without a decision.",
        "sms unconfirmed: look, then resend or drop",
        _unconfirmed,
        after=SCHEMA,
    ),
    Check(
        "house.callbacks",
        "Could producers be told?",
        "A producer that is not told may order again what was delivered.",
        "mend the receiver, then sms callbacks retry",
        _callbacks,
        after=SCHEMA,
    ),
    Check(
        "house.refused",
        "Were orders refused?",
        "They are kept in refused_intakes with the reason, and sent to nobody.",
        EXPLAINED,
        _refused,
        after=SCHEMA,
    ),
)
