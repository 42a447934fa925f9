"""The rooms with all they need, built once for each process from the settings."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from zoneinfo import ZoneInfo

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.orm import Session, sessionmaker

from models.lifecycle import Lane
from worker import callbacks, tracing, trouble
from worker.backoff import ladder
from worker.bell import OneBell
from worker.callbacks import Callbacks, Tell
from worker.clock import utc_now
from worker.errors import CallbackFailed
from worker.gateway import Gateway
from worker.gateway.http import http_gateway
from worker.intake import Intake
from worker.lanes import LaneLists
from worker.limits import Limit, QuestionTurns, post_turn
from worker.observed import count_moves, log_moves, watch
from worker.order_fields import Caps, Terms
from worker.polling import Polling
from worker.publisher import Publisher
from worker.quiet import QuietLanes
from worker.receivers import MOST_AT_ONCE
from worker.settings import Settings
from worker.store import circuits
from worker.store.accounts import account_id_of, let_others_go
from worker.store.callbacks import Owed
from worker.store.clocks import Longest
from worker.store.engine import make_engine, make_sessions
from worker.submission import LEASE_MARGIN, Submission
from worker.turnstile import Turnstile
from worker.upkeep import Upkeep
from worker.watermark import Watermark
from worker.webhook import Webhook

CALLBACKS_AT_ONCE = MOST_AT_ONCE + 1  # whoever else is to be told has always one left
OTHER_CONNECTIONS = 10  # lanes, bells, sweeps, the asker and the publisher
REDIS_TIMEOUT_SECONDS = 30
BELL_TIMEOUT_SECONDS = 2  # a bell is not worth waiting for, and a limit has its stand-in


@dataclass(frozen=True, slots=True)
class House:
    """Everything one process works with. *stopping* is set when it is to finish what is in hand and leave."""

    settings: Settings
    sessions: sessionmaker[Session]
    lists: LaneLists | None  #: None where the broker is not Redis
    bell: OneBell
    intake: Intake
    submission: Submission
    polling: Polling
    callbacks: Callbacks
    upkeep: Upkeep
    watermark: Watermark | None  #: None where the broker is not Redis
    posting: Turnstile
    asking: Turnstile
    telling: Turnstile
    stopping: Event
    publisher: Publisher  #: not started


def build(
    settings: Settings,
    *,
    worker: str,
    tell_task: Tell,
    ring_callbacks: Callable[[], None],
    note_batch: Callable[[int], None],
    stopping: Event,
) -> House:
    """Build the house; *worker* names this process and no other that ever was.

    Raises SQLAlchemy's errors if the database does not answer.
    """
    connections = settings.gateway_connections + OTHER_CONNECTIONS
    sessions = make_sessions(make_engine(settings.database_url, connections=connections))
    tracing.begin(worker)
    watch(sessions, count_moves, log_moves, tracing.trace_moves)
    redis = make_redis(settings.redis_url) if settings.broker_is_redis else None
    bells = make_redis(settings.redis_url, timeout_seconds=BELL_TIMEOUT_SECONDS) if redis else None
    prefix = settings.redis_key_prefix
    outside = _Outside(settings, sessions, http_gateway(settings), ring_callbacks, note_batch, stopping)
    watermark = Watermark(bells, prefix=prefix) if bells else None
    posts, polls = _limits(settings, bells, stopping)
    return House(
        settings=settings,
        sessions=sessions,
        lists=LaneLists(redis, owner=worker, prefix=prefix) if redis else None,
        bell=OneBell(bells, prefix=prefix),
        intake=Intake(sessions, lambda lane: terms(settings, lane), utc_now),
        submission=outside.submission(worker, post_turn(posts, stopping) if posts else None),
        polling=outside.polling(QuestionTurns(polls)),
        callbacks=Callbacks(sessions, _teller(settings, tell_task), utc_now, random.random, stopping.is_set),
        upkeep=outside.upkeep(watermark),
        watermark=watermark,
        posting=Turnstile(settings.gateway_connections, stopping),
        asking=Turnstile(1, stopping),  # one thread asks all the questions
        telling=Turnstile(CALLBACKS_AT_ONCE, stopping),
        stopping=stopping,
        publisher=Publisher(sessions, worker, now=utc_now),
    )


@dataclass(frozen=True, slots=True)
class _Outside:
    """The rooms that talk to the gateway."""

    settings: Settings
    sessions: sessionmaker[Session]
    gateway: Gateway
    ring_callbacks: Callable[[], None]
    note_batch: Callable[[int], None]
    stopping: Event

    def submission(self, worker: str, may_post: Callable[[Callable[[], Lane | None]], bool] | None) -> Submission:
        return Submission(
            sessions=self.sessions,
            gateway=self.gateway,
            account_id=self._account_id(),
            worker=worker,
            batch_max_messages=self.settings.batch_max_messages,
            connect_timeout=self._connect_timeout,
            call_timeout=self._call_timeout,
            slow_after=self._slow_after,
            first_poll_after=lambda: ladder(self.settings.poll_ladder_seconds, 0, random.random),
            now=utc_now,
            wait=time.sleep,
            on_owed=self.ring_callbacks,
            on_begun=self.note_batch,
            turn=may_post,
            leaving=self.stopping.is_set,
            give_up_recording_after=timedelta(seconds=self.settings.gateway_read_timeout_seconds),
            recipients=_recipients(self.settings),
            quiet=quiet_lanes(self.settings),
        )

    def polling(self, turn: Callable[[], float]) -> Polling:
        return Polling(
            sessions=self.sessions,
            gateway=self.gateway,
            connections=self.settings.poll_connections,
            account_id=self._account_id(),
            ladder_seconds=self.settings.poll_ladder_seconds,
            give_up_after=timedelta(hours=self.settings.poll_give_up_after_hours),
            call_timeout=self._call_timeout,
            slow_after=self._slow_after,
            now=utc_now,
            dice=random.random,
            on_owed=self.ring_callbacks,
            turn=turn,
            leaving=self.stopping.is_set,
        )

    def upkeep(self, watermark: Watermark | None) -> Upkeep:
        return Upkeep(
            sessions=self.sessions,
            policy=self.settings.unconfirmed_policy,
            retention=_retention(self.settings),
            now=utc_now,
            longest=self._longest(),
            account_id=self._account_id(),
            watermark=watermark,
            leaving=self.stopping.is_set,
            quiet=quiet_lanes(self.settings),
            wait=self.stopping.wait,
        )

    def _longest(self) -> Longest:
        """How far off the rooms' plans can be when they are made."""
        lease = self._connect_timeout + self._call_timeout + 2 * LEASE_MARGIN
        poll = 1.1 * timedelta(seconds=max(self.settings.poll_ladder_seconds))
        probe = lease + max(trouble.ACCOUNT_PAUSE[1], circuits.PAUSE[1])
        return Longest(lease=lease, poll=poll + lease, callback=1.5 * callbacks.PAUSE[1], probe=probe)

    def _account_id(self) -> int:
        with self.sessions.begin() as session:
            let_others_go(session, self.settings.gateway_login)
            return account_id_of(session, self.settings.gateway_login)

    @property
    def _connect_timeout(self) -> timedelta:
        return 2 * timedelta(seconds=self.settings.gateway_connect_timeout_seconds)  # a host may have two addresses

    @property
    def _call_timeout(self) -> timedelta:
        # The gateway's client bounds the whole answer by the read time-out, however it trickles, give or take a second.
        return self._connect_timeout + timedelta(seconds=self.settings.gateway_read_timeout_seconds + 1)

    @property
    def _slow_after(self) -> timedelta:
        return timedelta(seconds=self.settings.gateway_read_timeout_seconds / 2)


def make_redis(url: str, *, timeout_seconds: float = REDIS_TIMEOUT_SECONDS) -> Redis:
    """A client of the broker's server, for what Celery does not do."""
    return Redis.from_url(
        url,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        socket_keepalive=True,
        health_check_interval=25,
        retry=Retry(NoBackoff(), 1),  # a connection that was cut meanwhile; whoever calls knows what to do after that
    )


def looking_lists(settings: Settings) -> LaneLists | None:
    """The lanes' lists for somebody who only looks, and does not wait long; None where the broker is not Redis."""
    if not settings.broker_is_redis:
        return None
    redis = make_redis(settings.redis_url, timeout_seconds=BELL_TIMEOUT_SECONDS)
    return LaneLists(redis, owner="looking", prefix=settings.redis_key_prefix)


def terms(settings: Settings, lane: Lane) -> Terms:
    """What the settings say about orders that come by *lane* now."""
    return Terms(
        lane,
        utc_now(),
        settings.zone,
        settings.gateway_nickname,
        settings.of_lane("max_parts", lane) or settings.max_parts,
        signs_callbacks=settings.callback_secret is not None,
        plain_callbacks=settings.callback_private_addresses,
        expires_after=timedelta(seconds=settings.of_lane("expires_after_seconds", lane)),
        fold_text=settings.fold_text,
        transliterate_text=settings.transliterate_text,
        countries=settings.countries,
        allowed_recipients=settings.allowed_recipients,
        staging_recipients=settings.staging_recipients,
        caps=Caps(
            hourly_per_phone=settings.of_lane("hourly_cap_per_phone", lane),
            daily_per_producer=settings.daily_cap_per_producer,
            duplicate_window=timedelta(seconds=settings.duplicate_window_seconds),
        ),
    )


def quiet_lanes(settings: Settings) -> QuietLanes:
    """The lanes that have quiet hours; OTP never has."""
    hours = {lane: settings.of_lane("quiet_hours", lane) for lane in Lane}
    return QuietLanes({lane: set_ for lane, set_ in hours.items() if set_}, ZoneInfo(settings.quiet_hours_timezone))


def _recipients(settings: Settings) -> frozenset[str] | None:
    """The only phones that may be posted to: what is queued may be from before the setting, or of a copied database."""
    return frozenset(settings.staging_recipients or settings.allowed_recipients) or None


def _limits(settings: Settings, redis: Redis | None, stopping: Event) -> tuple[list[Limit], list[Limit]]:
    prefix = f"{settings.redis_key_prefix}sms:limit:"
    share = settings.gateway_otp_share
    both = _limit(redis, prefix + "gateway", settings.gateway_requests_per_second, stopping, otp_share=share)
    polls = _limit(redis, prefix + "polls", settings.poll_requests_per_second, stopping)
    return both, polls + both


def _limit(redis: Redis | None, name: str, per_second: float, stopping: Event, *, otp_share: float = 0) -> list[Limit]:
    return [Limit(redis, name, per_second, stopping, otp_share=otp_share)] if per_second else []


def _retention(settings: Settings) -> timedelta | None:
    return timedelta(days=settings.retention_days) if settings.retention_days else None


def _teller(settings: Settings, tell_task: Tell) -> Tell:
    secret = settings.callback_secret
    webhook = secret and Webhook(secret.get_secret_value(), settings.callback_private_addresses, utc_now)

    def tell(owed: Owed) -> None:
        if "task" in owed.target:
            tell_task(owed)
        elif webhook:
            webhook.post(owed.target["url"], owed.event)
        else:
            raise CallbackFailed("SMS_CALLBACK_SECRET is not set")

    return tell
