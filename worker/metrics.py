"""Figures for Prometheus, asked of the database and of Redis, so that they are true when every worker is dead.

Gauges are counted in the tables at each scrape; counters and histograms are what all processes wrote into ``workers``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from sqlalchemy.orm import Session, sessionmaker

from models.lifecycle import CallbackState, Lane, MessageState, Room
from worker import quiet
from worker.instruments import KINDS, Kind
from worker.lanes import LaneLists
from worker.quiet import QuietLanes
from worker.settings import Settings
from worker.store import figures, workers
from worker.store.engine import DATABASE_TROUBLE, reading

log = structlog.get_logger()


class HouseCollector(Collector):
    """Asks the database at each scrape. While it does not answer, ``sms_database_up`` is 0 and all else is absent.

    The same goes for Redis, ``sms_redis_up`` and the orders that lie there.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        login: str,
        now: Callable[[], datetime],
        quiet_lanes: QuietLanes = quiet.NEVER,
        lists: LaneLists | None = None,
    ) -> None:
        """*login* is the vendor's account whose standing is shown; *lists* is None where the broker is not Redis."""
        self._sessions = sessions
        self._login = login
        self._now = now
        self._quiet = quiet_lanes
        self._lists = lists

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering it asks nothing."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Every figure, as of now."""
        try:
            with reading(self._sessions) as session:
                found = [*self._messages(session), *self._gateway(session), *_others(session), *self._workers(session)]
        except DATABASE_TROUBLE as error:
            log.warning("metrics_unavailable", error=type(error).__name__)
            found = []
        up = _one("sms_database_up", "Whether the database answers; without it nothing else is known.", bool(found))
        return [up, *found, *self._redis()]

    def _messages(self, session: Session) -> Iterator[Metric]:
        now = self._now()
        queues = figures.queues(session, now=now)
        unconfirmed = figures.unconfirmed(session)
        waiting = {lane: queue.waiting for lane, queue in queues.items()}
        later = {lane: queue.later for lane, queue in queues.items()}
        quiet_now: dict[str, float] = {lane: self._quiet.cover(lane, now) for lane in Lane}
        ages = {lane: (now - queue.oldest_at).total_seconds() for lane, queue in queues.items() if queue.oldest_at}
        doubt_at = figures.oldest_unconfirmed_at(session)
        states: dict[str, float] = {
            MessageState.QUEUED: sum(queue.waiting + queue.later for queue in queues.values()),
            MessageState.POSTING: figures.posting(session),
            MessageState.SUBMITTED: figures.submitted(session),
            MessageState.UNCONFIRMED: sum(unconfirmed.values()),
        }
        yield _each("sms_waiting_messages", "Messages that may be posted now and wait.", "lane", Lane, waiting)
        yield _each("sms_waiting_oldest_seconds", "How long the oldest of them has waited.", "lane", Lane, ages)
        yield _each("sms_later_messages", "Messages whose time to be posted has not come.", "lane", Lane, later)
        yield _each(
            "sms_lane_quiet", "Whether it has quiet hours now, so that all of it waits.", "lane", Lane, quiet_now
        )
        yield _each("sms_open_messages", "Messages in each state that is not final.", "state", states, states)
        yield _each("sms_unconfirmed_messages", "Messages in doubt: sms unconfirmed.", "lane", Lane, unconfirmed)
        yield _one(
            "sms_unconfirmed_oldest_seconds",
            "How long ago the oldest message in doubt was posted.",
            max(0.0, (now - doubt_at).total_seconds()) if doubt_at else 0,
        )

    def _gateway(self, session: Session) -> Iterator[Metric]:
        standing = figures.standing(session, self._login)
        circuits = dict.fromkeys(figures.open_circuits(session, self._login), 1)
        yield _one("sms_account_paused", "Whether trouble with the account keeps us from posting.", standing.paused)
        yield _one(
            "sms_account_held", "Whether a person, or a restored database, lets nothing be posted.", standing.held
        )
        yield _each("sms_circuit_open", "Whether the gateway is only probed.", "room", Room, circuits)

    def _workers(self, session: Session) -> Iterator[Metric]:
        now = self._now()
        yield _one(
            "sms_workers", "Worker processes that showed themselves lately.", len(workers.alive(session, now=now))
        )
        if bell_at := workers.last_bell_at(session):
            since = max(0.0, (now - bell_at).total_seconds())
            yield _one("sms_last_bell_seconds", "How long ago a worker heard beat's bell; absent if never.", since)
        yield from families(workers.totals(session))

    def _redis(self) -> Iterator[Metric]:
        if self._lists is None:
            return
        try:
            lying = {str(lane): float(self._lists.lying(lane).waiting) for lane in Lane}
        except RedisError as error:
            log.warning("metrics_unavailable", error=type(error).__name__)
            yield _one("sms_redis_up", "Whether Redis answers, which the orders come by.", value=False)
        else:
            yield _one("sms_redis_up", "Whether Redis answers, which the orders come by.", value=True)
            yield _each("sms_untaken_orders", "Orders that lie on Redis, untaken.", "lane", Lane, lying)


def registry(
    sessions: sessionmaker[Session],
    settings: Settings,
    *,
    now: Callable[[], datetime],
    quiet_lanes: QuietLanes = quiet.NEVER,
    lists: LaneLists | None = None,
) -> CollectorRegistry:
    """All figures, to be scraped. *lists* is None where the broker is not Redis; of short time-outs."""
    found = CollectorRegistry(auto_describe=False)
    found.register(HouseCollector(sessions, settings.gateway_login, now, quiet_lanes, lists))
    return found


def families(totals: Mapping[str, float]) -> Iterator[Metric]:
    """Counters and histograms of what all processes counted, keyed as `worker.instruments.Instruments.figures` says."""
    by_kind: dict[str, dict[tuple[str, ...], float]] = {kind.name: {} for kind in KINDS}
    for key, value in totals.items():
        name, *words = key.split("|")
        if name in by_kind:  # another release's, perhaps
            by_kind[name][tuple(words)] = value
    for kind in KINDS:
        found = by_kind[kind.name]
        yield _histogram(kind, found) if kind.buckets else _counter(kind, found)


def _counter(kind: Kind, found: Mapping[tuple[str, ...], float]) -> Metric:
    family = CounterMetricFamily(kind.name, kind.meaning, labels=kind.labels)
    # What cannot be told apart by labels is there from the beginning, or its first rise could not be seen.
    for words in sorted(found.keys() | set(kind.known)):
        if len(words) == len(kind.labels):
            family.add_metric(words, found.get(words, 0))
    return family


def _histogram(kind: Kind, found: Mapping[tuple[str, ...], float]) -> Metric:
    family = HistogramMetricFamily(kind.name, kind.meaning, labels=kind.labels)
    width = len(kind.labels)
    for labels in sorted({words[:width] for words in found if len(words) == width + 1} | set(kind.known)):
        mine = {words[-1]: value for words, value in found.items() if words[:width] == labels}
        family.add_metric(labels, _cumulated(kind, mine), mine.get("sum", 0))
    return family


def _cumulated(kind: Kind, mine: Mapping[str, float]) -> list[tuple[str, float]]:
    """Each bucket with all below it; one that only another release had counts from our next bound on."""
    alone = [(float(bound), value) for bound, value in mine.items() if bound != "sum"]
    bounds = (*(float(bound) for bound in kind.buckets), float("inf"))
    return [(_le(bound), sum(value for other, value in alone if other <= bound)) for bound in bounds]


def _le(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(bound)


def _others(session: Session) -> Iterator[Metric]:
    owed, failed = (figures.callbacks(session, state) for state in (CallbackState.OWED, CallbackState.FAILED))
    yield _one("sms_callbacks_owed", "Callbacks that producers are to be told.", owed)
    yield _one("sms_callbacks_failed", "Callbacks that could not be told for a day.", failed)
    yield _one("sms_refused_intakes", "Orders that could not be accepted, and are kept.", figures.refused(session))


def _one(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, value=value)


def _each(name: str, meaning: str, label: str, known: Iterable[str], found: Mapping[str, float]) -> GaugeMetricFamily:
    """A figure for each of *known*, also where nothing was found: an absent one could not be told from a missing 0."""
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for word in known:
        family.add_metric([str(word)], max(0, found.get(word, 0)))
    return family
