"""What is counted is what the gateway saw, whatever pool the workers have, and however often they come and go."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from builders import NOON, Clock, Sessions, a_submission, stored
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.registry import Collector, CollectorRegistry
from servers import wait_for
from sqlalchemy import insert, select, text
from system import System, phones
from watched import exporter, samples, scrape, total_of

from models import Batch, Worker
from models.lifecycle import MessageState
from worker import instruments
from worker.gateway.memory import MemoryGateway
from worker.instruments import Instruments
from worker.metrics import families
from worker.observed import count_moves, watch
from worker.publisher import Publisher
from worker.store import workers
from worker.store.moves import Seen, move


class Totals(Collector):
    """What stands in ``workers``, to be exposed."""

    def __init__(self, totals: Mapping[str, float]) -> None:
        self.totals = totals

    def collect(self) -> list[object]:  # type: ignore[override]
        return list(families(self.totals))


def with_all_of(address: str, messages: int) -> str:
    """What is shown, once each process has told of its part of the *messages*, in its own time; nothing before."""
    shown = scrape(address)
    stored = total_of(shown, "sms_orders_total", outcome="stored")
    moved = (total_of(shown, "sms_moves_total", state=state) for state in ("submitted", "delivered"))
    return shown if min(stored, *moved) >= messages else ""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "pool", [["-P", "threads"], ["-P", "processes", "-c", "3"]], ids=["threads", "prefork of three"]
)
def test_the_totals_of_a_real_worker_are_what_the_gateway_took(house: System, pool: list[str]) -> None:
    house.beat()
    house.worker(*pool, name="first", SMS_BATCH_MAX_MESSAGES="4")
    for phone in phones(30):
        house.send(phone)
    house.wait_for_states(delivered=30)
    house.stop_workers()
    house.worker(*pool, name="second", SMS_BATCH_MAX_MESSAGES="4")
    for phone in phones(20, first=1000):
        house.send(phone, lane="bulk")
    house.wait_for_states(delivered=50)

    with exporter(house) as address:
        shown = wait_for(partial(with_all_of, address, 50))

    taken = len(house.control.journal())
    assert total_of(shown, "sms_moves_total", state="submitted") == taken == 50
    assert total_of(shown, "sms_moves_total", state="delivered") == 50
    assert total_of(shown, "sms_orders_total", outcome="stored") == 50
    assert total_of(shown, "sms_batches_total", outcome="accepted") == house.control.stats()["send_requests"]
    assert total_of(shown, "sms_batch_messages_sum") == 50
    assert total_of(shown, "sms_accepted_seconds_count") == total_of(shown, "sms_delivered_seconds_count") == 50
    assert len(house.rows("SELECT name FROM workers")) >= 2
    assert house.rows(
        "SELECT count(*) FROM batches WHERE answer_ms IS NULL OR worker NOT IN (SELECT name FROM workers)"
    ) == [(0,)]


def test_what_is_rolled_back_is_not_counted(sessions: Sessions) -> None:
    seen: list[Seen] = []
    watch(sessions, seen.extend)
    stored(sessions)
    seen.clear()

    with sessions() as session:
        move(session, MessageState.CANCELLED, now=NOON, reason="mistaken")
        session.rollback()
        session.commit()
    with sessions.begin() as session:
        move(session, MessageState.CANCELLED, now=NOON, reason="meant")

    assert [(one.state, one.message.reason, one.at) for one in seen] == [(MessageState.CANCELLED, "meant", NOON)]


def test_a_watcher_that_fails_undoes_nothing_and_keeps_no_other_from_watching(sessions: Sessions) -> None:
    def broken(_: object) -> None:
        raise ValueError("a mistake")

    seen: list[Seen] = []
    watch(sessions, broken, seen.extend)

    sms = stored(sessions)
    with sessions.begin() as session:
        move(session, MessageState.CANCELLED, now=NOON)

    assert sms == 1
    assert [one.state for one in seen][-1] == MessageState.CANCELLED


def test_the_time_of_an_answer_is_stored_with_its_batch(sessions: Sessions) -> None:
    clock = Clock()
    gateway = MemoryGateway(now=clock)
    room = a_submission(sessions, gateway, clock)
    submit = gateway.submit

    def slow(*args: object, **options: object) -> object:
        answer = submit(*args, **options)  # type: ignore[arg-type]
        clock.advance(seconds=1.25)
        return answer

    gateway.submit = slow  # type: ignore[method-assign, assignment]
    stored(sessions)
    room.post_next()

    with sessions() as session:
        assert session.scalars(select(Batch.answer_ms)).all() == [1250]


def a_worker(sessions: Sessions, name: str, *, seen: timedelta = timedelta(0), **figures: float) -> None:
    row = {"name": name, "release": "1", "started_at": NOON, "seen_at": NOON - seen, "figures": figures}
    with sessions.begin() as session:
        session.execute(insert(Worker), [row])


def test_who_was_not_seen_lately_or_left_is_not_alive(sessions: Sessions) -> None:
    a_worker(sessions, "now")
    a_worker(sessions, "long ago", seen=timedelta(seconds=30))
    publisher = Publisher(sessions, "left", now=Clock(), figures=dict)
    publisher.publish(leaving=True)

    with sessions() as session:
        assert [one.name for one in workers.alive(session, now=NOON)] == ["now"]
        assert {one.name for one in workers.listed(session)} == {"now", "long ago", "left"}


def test_those_gone_for_a_day_leave_their_counts(sessions: Sessions) -> None:
    a_worker(sessions, "living", a=1)
    for number in range(3):
        a_worker(sessions, f"dead {number}", seen=timedelta(days=2), a=10, b=1)

    with sessions.begin() as session:
        folded = workers.fold(session, now=NOON)
    with sessions.begin() as session:
        again = workers.fold(session, now=NOON)

    with sessions() as session:
        assert (folded, again) == (3, 0)
        assert workers.totals(session) == {"a": 31, "b": 3}
        assert [one.name for one in workers.listed(session)] == ["living"]


def test_two_that_fold_at_the_same_time_count_nothing_twice(sessions: Sessions) -> None:
    for number in range(20):
        a_worker(sessions, f"dead {number}", seen=timedelta(days=2), a=1)

    def fold() -> int:
        with sessions.begin() as session:
            return workers.fold(session, now=NOON)

    with ThreadPoolExecutor(4) as pool:
        folded = [one.result() for one in [pool.submit(fold) for _ in range(8)]]

    with sessions() as session:
        assert (sum(folded), workers.totals(session)) == (20, {"a": 20})


def test_while_the_database_is_away_counts_are_kept_and_written_later(sessions: Sessions) -> None:
    counted = {"a": 0.0}
    publisher = Publisher(sessions, "one", now=Clock(), figures=lambda: dict(counted))
    with sessions.begin() as session:
        session.execute(text("ALTER TABLE workers RENAME TO away"))
    counted["a"] = 3

    publisher._calmly()
    with sessions.begin() as session:
        session.execute(text("ALTER TABLE away RENAME TO workers"))
    publisher._calmly()

    with sessions() as session:
        assert workers.totals(session) == {"a": 3}


def test_a_process_that_slept_for_days_counts_nothing_twice(sessions: Sessions) -> None:
    clock = Clock()
    counted = {"a": 5.0}
    publisher = Publisher(sessions, "sleeper", now=clock, figures=lambda: dict(counted))
    counted["a"] = 7
    publisher.publish()
    clock.advance(days=2)
    with sessions.begin() as session:
        workers.fold(session, now=clock())

    counted["a"] = 10
    publisher.publish()
    publisher.publish()

    with sessions() as session:
        assert workers.totals(session) == {"a": 5}  # 7 - 5 before it slept, and 3 since
        assert [one.name for one in workers.alive(session, now=clock())] == ["sleeper"]


def test_the_bell_is_told_with_the_counts(sessions: Sessions) -> None:
    clock = Clock()
    publisher = Publisher(sessions, "one", now=clock, figures=dict)
    publisher.publish()
    with sessions() as session:
        unheard = workers.last_bell_at(session)

    publisher.hear_bell()
    clock.advance(seconds=5)
    publisher.publish()

    with sessions() as session:
        assert (unheard, workers.last_bell_at(session)) == (None, NOON)


def test_every_kind_is_exposed_so_that_prometheus_can_read_it() -> None:
    ours = Instruments()
    for kind in instruments.KINDS:
        words = ["x"] * len(kind.labels)
        if kind.buckets:
            ours.observe(kind.name, *words, values=[kind.buckets[2]])
            ours.observe(kind.name, *words, values=[1e9])
        else:
            ours.count(kind.name, *words, amount=3)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Totals(ours.figures()))

    plain = generate_latest(registry).decode()
    modern = openmetrics(registry).decode()  # type: ignore[no-untyped-call]

    assert {one.name for one in samples(plain)} == {
        one.name
        for family in openmetrics_families(modern)  # type: ignore[no-untyped-call]
        for one in family.samples
    }
    for kind in instruments.KINDS:
        labels = dict.fromkeys(kind.labels, "x")
        if kind.buckets:
            buckets = [
                s for s in samples(plain) if s.name == f"{kind.name}_bucket" and labels.items() <= s.labels.items()
            ]
            assert [one.value for one in buckets] == [0, 0, *[1] * (len(kind.buckets) - 2), 2]
            assert total_of(plain, f"{kind.name}_count", **labels) == 2
        else:
            assert total_of(plain, f"{kind.name}_total", **labels) == 3


def test_the_buckets_of_another_release_stay_cumulative() -> None:
    totals = {
        "sms_post_seconds|accepted|0.7": 2.0,
        "sms_post_seconds|accepted|1.0": 1,
        "sms_post_seconds|accepted|+Inf": 1,
    }
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Totals(totals))

    of = {
        one.labels["le"]: one.value
        for one in samples(generate_latest(registry).decode())
        if one.name == "sms_post_seconds_bucket" and one.labels["outcome"] == "accepted"
    }

    assert (of["0.5"], of["1.0"], of["60.0"], of["+Inf"]) == (0, 3, 3, 4)


def test_words_that_somebody_else_chooses_are_bounded() -> None:
    ours = Instruments()

    words = {ours.bounded("word", f"word {number}") for number in range(1000)}

    assert len(words) == instruments.MOST_WORDS + 1
    assert instruments.OTHER in words
    assert "|" not in Instruments().bounded("word", "a|b\nc")


def test_moves_are_counted_by_lane_and_timed_from_when_they_might_go(sessions: Sessions) -> None:
    before = instruments.figures()
    watch(sessions, count_moves)
    clock = Clock()
    stored(sessions, lane="otp", send_at=NOON + timedelta(hours=1))
    clock.advance(hours=1, seconds=4)

    a_submission(sessions, MemoryGateway(now=clock), clock).post_next()

    after = instruments.figures()
    gained = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
    assert gained["sms_moves|otp|submitted"] == 1
    assert gained["sms_accepted_seconds|otp|5.0"] == 1
    assert gained["sms_accepted_seconds|otp|sum"] == 4
