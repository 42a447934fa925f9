"""``sms stats``: how the house stands, once or for as long as somebody looks."""

import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer
from redis.exceptions import RedisError
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from sqlalchemy.orm import Session, sessionmaker

from models.lifecycle import Lane
from worker.campaigns.written import csv_writer
from worker.cli.db import looking_at
from worker.cli.given import WrongInput
from worker.cli.rows import json_line
from worker.cli.standing import Shown, drawn, fitting
from worker.clock import utc_now
from worker.lanes import LaneLists, Lying
from worker.settings import Settings, load_settings
from worker.store.engine import DATABASE_TROUBLE, make_engine, make_sessions, reading
from worker.store.overview import LaneStanding, overview
from worker.store.schema import check_schema
from worker.store.verdict import SAID
from worker.wiring import make_redis, quiet_lanes

EVERY_SECONDS = 2.0
HOURS = 1  # of minutes that are drawn
REDIS_TIMEOUT_SECONDS = 2


def stats(
    seconds: Annotated[
        float | None,
        typer.Argument(min=0.1, max=3600, metavar="SECONDS", help="For --watch: how often (2 if not given)."),
    ] = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew until Ctrl-C.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on one line, for each look.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV with a line for each lane, for each look.")] = False,
) -> None:
    """Show how the house stands: is it going out, and if not, why and what to do.

    Rates in and out are over the last 5 minutes, the gateway's answers over the last 15, and time to deliver is of the
    newest messages of a day. What waits is counted up to 100,000, and then has a plus; in JSON and CSV it is 100000.

    With --watch it is a live page, which stays while the database is away, and says so.

    Exit code 0: it was shown, however it stands (sms doctor has an exit code for that), or ended by Ctrl-C. 2: wrong
    input or settings, or a database that is unreachable from the start.
    """
    if json and csv:
        raise WrongInput("Choose one of --json and --csv.")
    if seconds is not None and not watch:
        raise WrongInput(f"How often is only for --watch: sms stats --watch {seconds:g}")
    with _window() as window:
        if not watch:
            _print(window.look(), as_json=json, as_csv=csv, first=True)
            return
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            _watch(window, seconds or EVERY_SECONDS, as_json=json, as_csv=csv)


@dataclass(frozen=True, slots=True)
class Window:
    """Where one looks in."""

    settings: Settings
    sessions: sessionmaker[Session]
    lists: LaneLists | None

    def look(self) -> Shown:
        """How it stands now. Raises SQLAlchemy's errors."""
        now = utc_now()
        with reading(self.sessions) as session:
            login, quiet = self.settings.gateway_login, quiet_lanes(self.settings)
            house = overview(session, login, now=now, quiet=quiet, hours=HOURS)
        return Shown(house, self._lying(), self.settings.zone)

    def _lying(self) -> Mapping[Lane, Lying] | str:
        if not self.lists:
            return "is not the broker here: ask the broker what lies on the lanes' queues"
        try:
            return {lane: self.lists.lying(lane) for lane in Lane}
        except RedisError as error:
            return f"does not answer ({type(error).__name__}): nobody knows how many orders lie there"


@contextmanager
def _window() -> Iterator[Window]:
    settings = load_settings()
    with looking_at(settings.database_url) as engine:
        check_schema(engine)
    engine = make_engine(settings.database_url, connections=1)
    redis = make_redis(settings.redis_url, timeout_seconds=REDIS_TIMEOUT_SECONDS) if settings.broker_is_redis else None
    lists = LaneLists(redis, owner="sms stats", prefix=settings.redis_key_prefix) if redis else None
    try:
        yield Window(settings, make_sessions(engine), lists)
    finally:
        engine.dispose()


def _watch(window: Window, seconds: float, *, as_json: bool, as_csv: bool) -> None:
    console = _console()
    if as_json or as_csv or not console.is_terminal:
        for number, shown in enumerate(_looks(window, seconds)):
            _print(shown, as_json=as_json, as_csv=as_csv, first=number == 0)
        return
    hint = Text(f"every {seconds:g} s; Ctrl-C ends it; sms stats shows what does not fit here", "dim")
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        for shown in _looks(window, seconds):
            live.update(Group(hint, fitting(shown, console, console.height - 1)), refresh=True)


def _looks(window: Window, seconds: float) -> Iterator[Shown]:
    """How it stands, again and again; while the database is away how it stood last, and since when nobody knows."""
    last, away_since = window.look(), None
    yield last
    while True:
        time.sleep(seconds)
        try:
            last, away_since = window.look(), None
            yield last
        except DATABASE_TROUBLE as error:
            away_since = away_since or utc_now()
            since = f"{away_since.astimezone(last.zone):%H:%M:%S}"
            why = (
                f"The database does not answer since {since} ({type(error).__name__}): what stands here is from before."
            )
            yield last._replace(trouble=why)


def _print(shown: Shown, *, as_json: bool, as_csv: bool, first: bool) -> None:
    if as_json:
        typer.echo(json_line(_known(shown)))
    elif as_csv:
        _write_csv(shown, first=first)
    else:
        _console().print(drawn(shown))


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)


def _known(shown: Shown) -> dict[str, Any]:
    if shown.trouble:
        return {"trouble": shown.trouble}
    said = SAID[shown.house.reason]
    redis = None if isinstance(shown.lying, str) else {lane: lying._asdict() for lane, lying in shown.lying.items()}
    words = {"sentence": said.sentence, "remedy": said.remedy or None}
    return dict(plain(shown.house)) | words | {"on_redis": redis}


def plain(known: Any) -> Any:
    """*known* as JSON has it: named tuples by their fields, instants in UTC, every key a word."""
    if isinstance(known, tuple) and hasattr(known, "_asdict"):
        known = known._asdict()
    if isinstance(known, dict):
        return {"none" if key is None else str(key): plain(value) for key, value in known.items()}
    if isinstance(known, list):
        return [plain(one) for one in known]
    return known.isoformat() if isinstance(known, datetime) else known


def _write_csv(shown: Shown, *, first: bool) -> None:
    if shown.trouble:
        typer.echo(shown.trouble, err=True)
        return
    house, write = shown.house, csv_writer(sys.stdout).writerow
    if first:
        write(["at", "verdict", "reason", *LaneStanding._fields, "on_redis", "in_flight"])
    for lane in house.lanes:
        lying = ["", ""] if isinstance(shown.lying, str) else [*shown.lying[lane.lane]]
        write([house.at.isoformat(), house.verdict, house.reason, *lane, *lying])
    sys.stdout.flush()
