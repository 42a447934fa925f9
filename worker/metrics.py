"""Figures for Prometheus, all of them asked of the database, so that they are true when every worker is dead."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session, sessionmaker

from models.lifecycle import CallbackState, Lane, MessageState, Room
from worker import quiet
from worker.quiet import QuietLanes
from worker.store import figures
from worker.store.engine import DATABASE_TROUBLE, reading

log = structlog.get_logger()


class HouseCollector(Collector):
    """Asks the database at each scrape. While it does not answer, ``sms_database_up`` is 0 and all else is absent."""

    def __init__(
        self,
        sessions: sessionmaker[Session],
        login: str,
        now: Callable[[], datetime],
        quiet_lanes: QuietLanes = quiet.NEVER,
    ) -> None:
        """*login* is the vendor's account whose standing is shown."""
        self._sessions = sessions
        self._login = login
        self._now = now
        self._quiet = quiet_lanes

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing, so that registering it asks nothing."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Every figure, as of now."""
        try:
            with reading(self._sessions) as session:
                found = [*self._messages(session), *self._gateway(session), *_others(session)]
        except DATABASE_TROUBLE as error:
            log.warning("metrics_unavailable", error=type(error).__name__)
            found = []
        return [
            _one("sms_database_up", "Whether the database answers; without it nothing else is known.", bool(found)),
            *found,
        ]

    def _messages(self, session: Session) -> Iterator[GaugeMetricFamily]:
        now = self._now()
        queues = figures.queues(session, now=now)
        unconfirmed = figures.unconfirmed(session)
        waiting = {lane: queue.waiting for lane, queue in queues.items()}
        quiet_now: dict[str, float] = {lane: self._quiet.cover(lane, now) for lane in Lane}
        ages = {lane: (now - queue.oldest_at).total_seconds() for lane, queue in queues.items() if queue.oldest_at}
        states: dict[str, float] = {
            MessageState.QUEUED: sum(queue.queued for queue in queues.values()),
            MessageState.POSTING: figures.posting(session),
            MessageState.SUBMITTED: figures.submitted(session),
            MessageState.UNCONFIRMED: sum(unconfirmed.values()),
        }
        yield _each("sms_waiting_messages", "Messages that may be posted now and wait.", "lane", Lane, waiting)
        yield _each("sms_waiting_oldest_seconds", "How long the oldest of them has waited.", "lane", Lane, ages)
        yield _each(
            "sms_lane_quiet", "Whether it has quiet hours now, so that all of it waits.", "lane", Lane, quiet_now
        )
        yield _each("sms_open_messages", "Messages in each state that is not final.", "state", states, states)
        yield _each("sms_unconfirmed_messages", "Messages in doubt: sms unconfirmed.", "lane", Lane, unconfirmed)

    def _gateway(self, session: Session) -> Iterator[GaugeMetricFamily]:
        standing = figures.standing(session, self._login)
        circuits = dict.fromkeys(figures.open_circuits(session, self._login), 1)
        yield _one("sms_account_paused", "Whether trouble with the account keeps us from posting.", standing.paused)
        yield _one(
            "sms_account_held", "Whether a person, or a restored database, lets nothing be posted.", standing.held
        )
        yield _each("sms_circuit_open", "Whether the gateway is only probed.", "room", Room, circuits)


def _others(session: Session) -> Iterator[GaugeMetricFamily]:
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
