"""How long people wait for an answer when ten million messages are stored.

Builds them in a PostgreSQL with fsync on (some four minutes), asks what the command line, the web page and people with
a SQL client ask, and prints how long each answer took. `ten_million_rows.ten_million` gives others the same database.

    .venv/bin/python bench/ten_million.py [--keep FOLDER] [--messages 10000000] [--json docs/ten-million.json]

With --keep the cluster stays in FOLDER and goes on running, on the port that stands in FOLDER/port; the next run takes
it as it is, and adds messages of the last three hours at most. To stop it: FOLDER/bin/pg_ctl stop -D FOLDER/cluster.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

import httpx
from rich.console import Console
from rich.table import Table
from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session, sessionmaker
from web_pages import serving

from bench.ten_million_rows import MESSAGES, ten_million
from models import Message
from models.lifecycle import Lane, MessageState
from worker.clock import utc_now
from worker.settings import Settings
from worker.store.engine import make_engine, make_sessions, reading
from worker.store.listing import Wanted, estimate, page
from worker.store.overview import overview
from worker.store.story import story_of
from worker.web.app import make_app

TIMES = 5
SHOWN = 50  # rows of a page
Ask = Callable[[Session], Any]


def sql(statement: str, **values: Any) -> Ask:
    return lambda session: session.execute(text(statement), values).all()


def by_hand(one: Row[Any]) -> Mapping[str, Ask]:
    """What people ask with a SQL client, about *one* message from the middle."""
    day = {"since": one.created_at.replace(hour=0, minute=0, second=0, microsecond=0)}
    day["until"] = day["since"] + timedelta(days=1)
    return {
        "v_sent by phone": sql("SELECT * FROM v_sent WHERE phone = :phone ORDER BY id DESC", phone=one.phone),
        "v_sent by uid": sql("SELECT * FROM v_sent WHERE uid = :uid", uid=one.uid),
        "v_sent by key": sql("SELECT * FROM v_sent WHERE key = :key", key=one.key),
        "v_sent by request_id": sql("SELECT * FROM v_sent WHERE request_id = :request", request=one.request_id),
        "a day's newest 50 of v_sent": sql(
            "SELECT * FROM v_sent WHERE created_at >= :since AND created_at < :until ORDER BY created_at DESC LIMIT 50",
            **day,
        ),
        "a day's messages by producer and state": sql(
            "SELECT producer, state, count(*) FROM messages WHERE created_at >= :since AND created_at < :until"
            " GROUP BY producer, state",
            **day,
        ),
        "v_queue": sql("SELECT * FROM v_queue"),
        "v_attention, the oldest 50": sql("SELECT * FROM v_attention ORDER BY since LIMIT 50"),
        "v_daily of a day": sql("SELECT * FROM v_daily WHERE day = :day", day=one.created_at.date()),
    }


def listed(wanted: Wanted, **from_where: int) -> Ask:
    return lambda session: page(session, wanted, limit=SHOWN, **from_where)


def by_page(one: Row[Any]) -> Mapping[str, Ask]:
    """What the command line and the web page ask: lists, one message's story, the start page."""
    day = one.created_at.replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "list: newest": listed(Wanted()),
        "list: from the middle on": listed(Wanted(), before_id=one.id),
        "list: of a phone": listed(Wanted(phone=one.phone)),
        "list: of a request_id": listed(Wanted(request_id=one.request_id)),
        "list: of a key": listed(Wanted(key=one.key)),
        "list: of a producer": listed(Wanted(producer=one.producer)),
        "list: of a producer that is not there": listed(Wanted(producer="nobody")),
        "list: failed": listed(Wanted(states=[MessageState.FAILED])),
        "list: unconfirmed": listed(Wanted(states=[MessageState.UNCONFIRMED])),
        "list: queued in bulk": listed(Wanted(states=[MessageState.QUEUED], lane=Lane.BULK)),
        "list: of a day": listed(Wanted(since=day, until=day + timedelta(days=1))),
        "list: cancelled of a producer on a day": listed(
            Wanted(states=[MessageState.CANCELLED], producer=one.producer, since=day, until=day + timedelta(days=1))
        ),
        "how many: all": lambda session: estimate(session, Wanted()),
        "how many: failed": lambda session: estimate(session, Wanted(states=[MessageState.FAILED])),
        "a message's story": lambda session: story_of(session, one.uid),
        "start page": lambda session: overview(session, "we", now=utc_now()),
    }


def over_http(one: Row[Any]) -> Mapping[str, str]:
    """The pages of ``sms web``, whole, as a browser gets them."""
    return {
        "web: start page": "/",
        "web: find by phone": f"/find?q={one.phone}",
        "web: find by uid": f"/find?q={one.uid}",
        "web: a message": f"/message/{one.uid}",
        "web: messages": "/messages",
        "web: messages, from the middle on": f"/messages?before={one.id}",
        "web: failed messages": "/messages?state=failed",
        "web: batches": "/batches",
    }


def measure(sessions: sessionmaker[Session], ask: Ask) -> dict[str, float]:
    """How long *ask* takes in a session."""

    def once() -> float:
        with reading(sessions) as session:
            began = time.perf_counter()
            ask(session)
            return time.perf_counter() - began

    return figures_of(once)


def measure_page(browser: httpx.Client, path: str) -> dict[str, float]:
    """How long a page takes until its last byte is here."""

    def once() -> float:
        began = time.perf_counter()
        browser.get(path).raise_for_status()
        return time.perf_counter() - began

    return figures_of(once)


def figures_of(once: Callable[[], float]) -> dict[str, float]:
    """Milliseconds: the first time, and of the times after it the median and the longest."""
    first, *others = (once() * 1e3 for _ in range(1 + TIMES))
    return {"first_ms": first, "median_ms": statistics.median(others), "longest_ms": max(others)}


def middle(session: Session) -> Row[Any]:
    """A delivered message with a key, among those of two weeks ago."""
    half = session.scalars(select(func.max(Message.id))).one() // 2
    wanted = select(Message.__table__).where(Message.id >= half, Message.state == MessageState.DELIVERED)
    return session.execute(wanted.where(Message.key.is_not(None)).order_by(Message.id).limit(1)).one()


def measure_all(url: str) -> dict[str, Any]:
    """The figures of every question."""
    engine = make_engine(url)
    sessions = make_sessions(engine)
    with reading(sessions) as session:
        one = middle(session)
        messages = session.scalar(text("SELECT count(*) FROM messages"))
        size = session.scalar(text("SELECT pg_total_relation_size('messages')"))
        server = session.scalar(text("SHOW server_version"))
    found = {name: measure(sessions, ask) for name, ask in {**by_hand(one), **by_page(one)}.items()}
    app = make_app(settings_for(url), sessions, now=utc_now)
    with serving(app) as address, httpx.Client(base_url=address, follow_redirects=True, timeout=30) as browser:
        found |= {name: measure_page(browser, path) for name, path in over_http(one).items()}
    engine.dispose()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, PostgreSQL {server}, CPython {platform.python_version()}"
    return {"messages": messages, "bytes_of_messages": size, "machine": machine, "milliseconds": found}


def settings_for(url: str) -> Settings:
    """Of a page without a password, with a gateway and a Redis that nobody asks."""
    gateway = {"gateway_url": "http://127.0.0.1:9/smsgateway", "gateway_login": "we", "gateway_password": "none"}
    return Settings.model_validate({"database_url": url, "redis_url": "redis://127.0.0.1:9/0", **gateway})


def show(found: dict[str, Any]) -> None:
    table = Table("asked", "first ms", "median ms", "longest ms")
    for name, figures in found["milliseconds"].items():
        table.add_row(name, *(f"{figures[column]:,.1f}" for column in ("first_ms", "median_ms", "longest_ms")))
    Console().print(f"{found['messages']:,} messages; {found['machine']}", table)


def main() -> None:
    """Build or reuse, measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="where the cluster is, or is to stay")
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    with ten_million(options.keep, messages=options.messages) as url:
        found = measure_all(url)
    show(found)
    if options.json:
        rounded = {name: {k: round(v, 1) for k, v in row.items()} for name, row in found["milliseconds"].items()}
        options.json.write_text(json.dumps(found | {"milliseconds": rounded}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
