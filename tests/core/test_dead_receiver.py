"""A server of a producer's that never answers, four tellers as in a worker, and the real time."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from builders import NOON, Clock, Sessions, all_of
from servers import wait_for
from sqlalchemy import insert

from models import Callback
from worker.callbacks import AT_ONCE, Callbacks
from worker.receivers import Receivers
from worker.webhook import Webhook


@dataclass
class Servers:
    """Two servers of producers: one answers at once, the other only when it is *let_go*."""

    dead: str = ""
    alive: str = ""
    taken: Counter[str] = field(default_factory=Counter)
    let_go: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def servers() -> Iterator[Servers]:
    at = Servers()

    def answering(wait: Callable[[], object]) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                at.taken[f"http://{self.headers['Host']}"] += 1
                wait()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    dead = ThreadingHTTPServer(("127.0.0.1", 0), answering(at.let_go.wait))
    alive = ThreadingHTTPServer(("127.0.0.1", 0), answering(lambda: None))
    at.dead, at.alive = (f"http://127.0.0.1:{server.server_port}" for server in (dead, alive))
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in (dead, alive)]
    for thread in threads:
        thread.start()
    yield at
    at.let_go.set()
    for server, thread in zip((dead, alive), threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_never_answers_keeps_no_other_from_what_it_is_owed(sessions: Sessions, servers: Servers) -> None:
    """It holds three of the tellers to the end, with what they had in hand, and nothing else."""
    owed(sessions, 400, servers.dead, servers.alive)
    clock = Clock()
    webhook = Webhook("key", private_addresses=True, now=clock)
    receivers = Receivers(patience_seconds=0.2)
    tell = Callbacks(
        sessions, lambda one: webhook.post(one.target["url"], one.event), clock, lambda: 0.5, receivers=receivers
    )

    with ThreadPoolExecutor(4) as pool:
        tellers = [pool.submit(tell_all, tell) for _ in range(4)]
        wait_for(lambda: servers.taken[servers.alive] >= 200 - 3 * AT_ONCE)
        held = servers.taken[servers.dead]
        servers.let_go.set()
        for teller in tellers:
            teller.result()

    assert 1 <= held <= 3
    assert {one.state for one in all_of(sessions, Callback) if one.target["url"] == servers.alive} == {"told"}


def owed(sessions: Sessions, count: int, *urls: str) -> None:
    """Store *count* callbacks, in turn for each of *urls*."""
    same = {"event": {"event_id": "e"}, "state": "owed", "attempts": 0, "created_at": NOON, "next_try_at": NOON}
    rows = [same | {"event_id": f"{n}", "target": {"url": urls[n % len(urls)]}} for n in range(count)]
    with sessions.begin() as session:
        session.execute(insert(Callback), rows)


def tell_all(room: Callbacks) -> None:
    while room.tell_next():
        pass
