"""How long 200 messages of one producer wait behind 100,000 of another in the same lane, with turns and by age alone.

Posts them, A B A B, through the real room, store and HTTP client to a sandbox in a process of its own that takes 0.1 s
for each answer, on PostgreSQL (fsync on) and SQLite (synchronous FULL). *By age* is the same claim without turns: the
oldest of the lane first. Then three producers with as many messages each share a lane: the largest and the smallest
share that one of them has had when a tenth, two tenths, … are posted.

    .venv/bin/python bench/fairness.py [--campaign 100000] [--shop 200] [--rounds 2] [--database sqlite]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from builders import Sessions, a_submission  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from scene import LATENCY_SECONDS, campaign, databases, machine, sandbox_process  # noqa: E402
from sqlalchemy import delete, func, select  # noqa: E402

from models import Batch, Message, Report  # noqa: E402
from models.lifecycle import MessageState  # noqa: E402
from worker.clock import utc_now  # noqa: E402
from worker.gateway import Gateway  # noqa: E402
from worker.gateway.http import http_gateway  # noqa: E402
from worker.settings import Settings  # noqa: E402
from worker.store import claims, drafts  # noqa: E402
from worker.store.engine import make_engine, make_sessions  # noqa: E402
from worker.submission import Submission  # noqa: E402

THREADS = 6  # as many of eight connections as bulk may use


def by_age(*_: object, **__: object) -> drafts.Turn:
    """One turn for all: the oldest of the lane first, as it was before."""
    return drafts.Turn([None], is_all=True)  # type: ignore[list-item]


WAYS: dict[str, Callable[..., drafts.Turn]] = {"turns": drafts.producers_in_turn, "by age": by_age}


@contextmanager
def claiming(way: str) -> Iterator[None]:
    """Claims in this process choose *way*."""
    setattr(claims, "producers_in_turn", WAYS[way])  # noqa: B010 - of this process alone
    yield
    setattr(claims, "producers_in_turn", WAYS["turns"])  # noqa: B010


def post_until(room: Submission, is_over: Callable[[], bool]) -> None:
    """Post with several threads, as a worker does."""

    def post() -> None:
        while not is_over() and room.post_next():
            pass

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(post) for _ in range(THREADS)]:
            done.result()


def emptied(sessions: Sessions) -> None:
    with sessions.begin() as session:
        for table in (Report, Message, Batch):
            session.execute(delete(table))


def a_room(sessions: Sessions, gateway: Gateway) -> Submission:
    return replace(a_submission(sessions, gateway), now=utc_now, wait=time.sleep)


def wait_of_few(sessions: Sessions, gateway: Gateway, many: int, few: int) -> dict[str, float]:
    """Batches and seconds until the shop's messages, ordered last, are all accepted."""
    emptied(sessions)
    campaign(sessions, many, producer="campaign", at=utc_now() - timedelta(minutes=1))
    campaign(sessions, few, producer="shop", at=utc_now(), code="91")
    shops = select(func.count()).where(Message.producer == "shop", Message.state == MessageState.QUEUED)
    looked = [time.monotonic()]

    def is_over() -> bool:
        if time.monotonic() < looked[0] + 0.05:
            return False
        looked[0] = time.monotonic()
        with sessions() as session:
            session.connection(execution_options={"sqlite_reading": True})
            return session.scalars(shops).one() == 0

    began_at, cpu = utc_now(), time.process_time()
    post_until(a_room(sessions, gateway), is_over)
    cpu = time.process_time() - cpu
    with sessions() as session:
        of_shop = (Message.producer == "shop", Message.batch_id == Batch.id)
        ends = select(func.max(Batch.id), func.max(Message.submitted_at)).where(*of_shop)
        last, last_at = session.execute(ends).one()
        batches = session.scalars(select(func.count()).where(Batch.id <= last)).one()
    return {"batches": batches, "seconds": ((last_at or began_at) - began_at).total_seconds(), "cpu_seconds": cpu}


def shares_over_time(sessions: Sessions, gateway: Gateway, each: int) -> dict[str, Any]:
    """The smallest and largest share of three equal producers, at each tenth of the way."""
    emptied(sessions)
    at = utc_now() - timedelta(minutes=1)
    for number, producer in enumerate(("bank", "shop", "taxi")):
        campaign(sessions, each, producer=producer, at=at + timedelta(seconds=number), code=f"9{number}")
    began = time.monotonic()
    post_until(a_room(sessions, gateway), lambda: False)
    seconds = time.monotonic() - began
    with sessions() as session:
        ordered = select(Message.producer).order_by(Message.batch_id)
        posted: Sequence[str] = session.scalars(ordered).all()
    counts = [Counter(posted[: len(posted) * tenth // 10]) for tenth in range(1, 11)]
    shares = [[count[name] / count.total() for name in ("bank", "shop", "taxi")] for count in counts]
    return {"least": [min(one) for one in shares], "most": [max(one) for one in shares], "seconds": seconds}


def compare(name: str, url: str, base_url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Both ways in turn."""
    engine = make_engine(url)
    sessions = make_sessions(engine)
    gateway = http_gateway(Settings(gateway_url=base_url, gateway_login="sandbox", gateway_password="sandbox"))  # noqa: S106
    runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    shares: dict[str, Any] = {}
    for _ in range(options.rounds):
        for way in WAYS:
            with claiming(way):
                runs[way].append(wait_of_few(sessions, gateway, options.campaign, options.shop))
    for way in WAYS:
        with claiming(way):
            shares[way] = shares_over_time(sessions, gateway, options.each)
    engine.dispose()
    medians = {
        way: {key: statistics.median(run[key] for run in found) for key in found[0]} for way, found in runs.items()
    }
    return {"database": name, "runs": runs, "medians": medians, "shares": shares}


def show(console: Console, rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> None:
    wait = Table("database", "claim", "batches until the shop is served", "seconds", "CPU seconds of this process")
    shares = Table("database", "claim", "seconds", *(f"{tenth}0%" for tenth in range(1, 11)))
    for row in rows:
        for way in WAYS:
            found = row["medians"][way]
            wait.add_row(
                row["database"],
                way,
                f"{found['batches']:.0f}",
                f"{found['seconds']:.2f}",
                f"{found['cpu_seconds']:.1f}",
            )
            share = row["shares"][way]
            ends = zip(share["least"], share["most"], strict=True)
            shares.add_row(
                row["database"], way, f"{share['seconds']:.1f}", *(f"{least:.0%}-{most:.0%}" for least, most in ends)
            )
    console.print(
        f"{options.shop} messages of a shop behind {options.campaign} of a campaign, {options.rounds} rounds of each; "
        f"gateway {LATENCY_SECONDS} s; {machine()}",
        wait,
    )
    console.print(f"Three producers with {options.each} messages each: smallest and largest share so far", shares)


def main() -> None:
    """Run, and print tables and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--campaign", type=int, default=100_000)
    parser.add_argument("--shop", type=int, default=200)
    parser.add_argument("--each", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--database", choices=["postgresql", "sqlite"])
    options = parser.parse_args()
    with ExitStack() as scene:
        folder = Path(scene.enter_context(tempfile.TemporaryDirectory()))
        sandbox = scene.enter_context(sandbox_process(folder))
        urls = scene.enter_context(databases(folder, only=options.database))
        rows = [compare(name, url, sandbox.url, options) for name, url in urls.items()]
    console = Console(width=None if sys.stdout.isatty() else 140)
    show(console, rows, options)
    console.print_json(json.dumps(rows))


if __name__ == "__main__":
    main()
