"""One contender of `bench/polling.py`, in a process of its own: it asks for some seconds and prints what that took.

.venv/bin/python bench/askers.py ours --url http://127.0.0.1:8910/smsgateway --width 256 --seconds 2 --ids 10000
"""

import argparse
import itertools
import json
import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import requests
import structlog

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from bench.fast_gateway import FIRST_REQUEST_ID, LOGIN, PASSWORD  # noqa: E402
from worker import observed  # noqa: E402
from worker.clock import utc_now  # noqa: E402
from worker.gateway.http import HttpGateway  # noqa: E402
from worker.polling import Polling  # noqa: E402
from worker.store.accounts import account_id_of  # noqa: E402
from worker.store.engine import make_engine, make_sessions  # noqa: E402

TIMEOUTS_SECONDS = (5, 30)
LATER_SECONDS = 3600  # what was asked is not due again while this measures


def gateway(url: str) -> HttpGateway:
    return HttpGateway(
        url=url,
        login=LOGIN,
        password=PASSWORD,
        zone=ZoneInfo("Asia/Tashkent"),
        connect_timeout_seconds=TIMEOUTS_SECONDS[0],
        read_timeout_seconds=TIMEOUTS_SECONDS[1],
        connections=1,
    )


def names(ids: int) -> Iterator[str]:
    """Request_ids that the gateway knows, over and over."""
    return map(str, itertools.cycle(range(FIRST_REQUEST_ID, FIRST_REQUEST_ID + ids)))


class Watch:
    """Wall clock and CPU of this process, from when the connections stand."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.start()

    def start(self) -> None:
        self._began, self._used = time.perf_counter(), time.process_time()

    def is_over(self) -> bool:
        return time.perf_counter() > self._began + self._seconds

    def said(self) -> dict[str, float]:
        used = time.process_time() - self._used
        return {"seconds": time.perf_counter() - self._began, "cpu_seconds": used}


def ask_ours(given: argparse.Namespace, watch: Watch) -> int:
    """The worker's client, one thread; the answers are read to their last date."""
    answered, under_way, request_ids = 0, 0, names(given.ids)
    with closing(gateway(given.url).questions(at_once=given.width)) as questions:
        while answered < given.width or not watch.is_over():
            for request_id in itertools.islice(request_ids, given.width - under_way):
                questions.ask(request_id)
            under_way = given.width
            heard = questions.heard(wait_seconds=1)
            broken = [one.answer for one in heard if isinstance(one.answer, Exception)]
            if broken:
                raise broken[0]
            if answered < given.width <= answered + len(heard):
                watch.start()
            answered += len(heard)
            under_way -= len(heard)
    return int(answered - given.width)


def ask_requests(given: argparse.Namespace, watch: Watch) -> int:
    """What people write: a pool of threads, a session for each; the answers are only parsed."""
    request_ids, lock = names(given.ids), threading.Lock()
    all_connected = threading.Barrier(given.width, action=watch.start)

    def ask(session: requests.Session) -> None:
        with lock:
            request_id = next(request_ids)
        form = {"login": LOGIN, "password": PASSWORD, "data": json.dumps([{"request_id": request_id}])}
        answer = session.post(f"{given.url}/status/", data=form, timeout=TIMEOUTS_SECONDS)
        if answer.json()[0]["status"] != "delivered":
            raise ValueError("another status")

    def ask_on(_: int) -> int:
        with requests.Session() as session:
            ask(session)
            all_connected.wait()
            for answered in itertools.count():
                if watch.is_over():
                    return answered
                ask(session)
        return 0

    with ThreadPoolExecutor(given.width) as pool:
        return sum(pool.map(ask_on, range(given.width)))


def ask_room(given: argparse.Namespace, watch: Watch) -> int:
    """The whole room: leased, asked and stored in the database, with all that is counted beside."""
    sessions = make_sessions(make_engine(given.database))
    observed.watch(sessions, observed.count_moves, observed.log_moves)
    with sessions.begin() as session:
        account_id = account_id_of(session, LOGIN)
    room = Polling(
        sessions=sessions,
        gateway=gateway(given.url),
        connections=given.width,
        ladder_seconds=(LATER_SECONDS,),
        give_up_after=timedelta(days=2),
        account_id=account_id,
        call_timeout=timedelta(seconds=41),
        slow_after=timedelta(seconds=15),
        now=utc_now,
        dice=random.random,
        on_owed=lambda: None,
        turn=lambda: 0.0,
        leaving=watch.is_over,
    )
    watch.start()
    while not watch.is_over():
        if not room.ask_next():
            raise ValueError("too few messages were prepared")
    room.finish(unless=lambda: False)
    with sessions() as session:
        connection = session.connection()
        asked = "SELECT count(*) FROM messages WHERE polls > 0 AND gateway_status IS NOT NULL"
        return int(connection.exec_driver_sql(asked).scalar_one())


ASKERS: dict[str, Callable[[argparse.Namespace, Watch], int]] = {
    "ours": ask_ours,
    "requests": ask_requests,
    "room": ask_room,
}


def main() -> None:
    """Ask, and print questions, seconds and CPU seconds as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("asker", choices=ASKERS)
    parser.add_argument("--url", required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--ids", type=int, default=1000)
    parser.add_argument("--database", default="")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    watch = Watch(given.seconds)
    answered = ASKERS[given.asker](given, watch)
    sys.stdout.write(json.dumps({"answered": answered} | watch.said()) + "\n")


if __name__ == "__main__":
    main()
