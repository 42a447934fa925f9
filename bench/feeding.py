"""Producers in a process of their own, which order bulk at an even rate, or as fast as it is posted, and some OTPs."""

import math
import multiprocessing
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests
from celery import Celery

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(ROOT / "examples")]

from sms_producer import Producer, Sms  # noqa: E402

from bench.stage import Stage  # noqa: E402

STROKE_SECONDS = 0.1
TALLY_SECONDS = 60
CHUNK = 1_000  #: messages in one Celery message, at most
TEXT = "Sizning buyurtmangiz yetkazildi. Savollar uchun: 1234."
PREFIXES = (90, 91, 93, 94, 95, 97, 98, 99)


class Pace(NamedTuple):
    """What the other process must know."""

    redis_url: str
    tally_url: str
    waiting: int
    per_second: float
    otps_per_second: float


class Feeder:
    """What the producers have done so far."""

    def __init__(self, pid: int, ordered: Any) -> None:
        self.pid = pid
        self._ordered = ordered

    @property
    def ordered(self) -> int:
        """Messages; they went to `phone` of 0, 1, 2 and so on."""
        return int(self._ordered.value)


@contextmanager
def feeding(it: Stage, *, waiting: int, per_second: float = math.inf, otps_per_second: float = 0) -> Iterator[Feeder]:
    """Order within, as long as fewer than *waiting* of what was ordered have not come to the gateway yet."""
    spawn = multiprocessing.get_context("spawn")
    ordered, stopping = spawn.Value("Q", 0), spawn.Event()
    tally_url = f"http://127.0.0.1:{it.gateway.port}/control/tally"
    pace = Pace(it.redis_url, tally_url, waiting, per_second, otps_per_second)
    process = spawn.Process(target=_feed, args=(pace, ordered, stopping), daemon=True)
    process.start()
    try:
        yield Feeder(process.pid or 0, ordered)
    finally:
        stopping.set()
        process.join()


def phone(number: int) -> str:
    """Mobile numbers, each once for eighty millions.

    >>> phone(0), phone(70_000_001)
    ('998900000000', '998990000001')
    """
    block, rest = divmod(number, 10**7)
    return f"998{PREFIXES[block % len(PREFIXES)]}{rest:07d}"


def _feed(pace: Pace, ordered: Any, stopping: Any) -> None:
    producer, session = Producer(Celery(broker=pace.redis_url), "feeder"), requests.Session()
    before, began, otps = _posted(session, pace), time.monotonic(), 0
    while not stopping.is_set():
        passed = time.monotonic() - began
        room = pace.waiting - (ordered.value - (_posted(session, pace) - before))
        due = int(min(passed * pace.per_second - ordered.value, room, CHUNK))
        if due > 0:
            producer.send_many([Sms(phone(ordered.value + each), TEXT) for each in range(due)], lane="bulk")
            ordered.value += due
        if otps < passed * pace.otps_per_second:
            producer.send(Sms(phone(ordered.value), TEXT), lane="otp")
            ordered.value += 1
            otps += 1
        elif due < CHUNK:
            time.sleep(STROKE_SECONDS)


def _posted(session: requests.Session, pace: Pace) -> int:
    response = session.post(pace.tally_url, timeout=TALLY_SECONDS)
    return int(response.json()["messages"])
