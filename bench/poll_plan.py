"""A million messages on their way, and 200 questions a second: how old is what is known of each?

A simulation: the polling room, its store, the ladder and a database are the real ones; the clock, the gateway (which
answers at once) and the limit (a turn every 1 / 200 s, no more) are not. A campaign of a million messages was accepted
within an hour, each under a request_id of its own. Most phones are off: their status stays "transmitted" all the time,
which is the worst that the plan can meet; the others, and all codes that are accepted meanwhile, are delivered after
some seconds. It is told: how long ago each message's status was asked, by age of the message; how long it takes until
all were asked once; and how soon the delivery of a code is known.

By default it is a model 1:10, a tenth of the messages with a tenth of the questions: the same times, in a tenth of the
rows. --scale 1 takes all of them.

    .venv/bin/python bench/poll_plan.py [--short] [--scale 10] [--hours 3] [--json FILE] [--png FILE]
"""

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import structlog
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table as Shown
from sqlalchemy import Table

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from builders import NOON, an_sms  # noqa: E402

from bench.usage import described, machine  # noqa: E402
from migrations.schema import upgrade  # noqa: E402
from models import Batch, Message  # noqa: E402
from models.lifecycle import MessageState  # noqa: E402
from worker.gateway import Report  # noqa: E402
from worker.gateway.memory import MemoryGateway  # noqa: E402
from worker.polling import Polling  # noqa: E402
from worker.settings import Settings  # noqa: E402
from worker.store.accounts import account_id_of  # noqa: E402
from worker.store.engine import make_engine, make_sessions  # noqa: E402
from worker.store.lots import insert_all  # noqa: E402

MESSAGES, PER_SECOND, CODES_PER_SECOND = 1_000_000, 200, 5
CAMPAIGN_SECONDS = 3600
OFF_SHARE = 0.9  #: phones that are off
MEDIAN_SECONDS, SPREAD = 8.0, 0.8  #: of a delivery, log-normal
BEAT_SECONDS = 1.0
FOREVER = float("inf")
AGES = (60, 300, 900, 1800, 3600, 7200, 14_400)  #: seconds, the upper ends of the groups
PLOTTED = 60  #: points of each line
LADDER: Sequence[float] = Settings.model_fields["poll_ladder_seconds"].default
HOUR = 3600


@dataclass
class World:
    """What really happens; seconds since the first message was accepted."""

    scale: int
    dice: Random
    seconds: float = CAMPAIGN_SECONDS
    free_at: float = 0.0  #: the next turn
    accepted: list[float] = field(default_factory=list)
    arrives: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)  #: for the last time; as accepted, if never
    times: list[int] = field(default_factory=list)
    known: list[float] = field(default_factory=list)  #: when it became final
    codes: list[int] = field(default_factory=list)
    all_asked_at: float = FOREVER
    never_asked: int = 0  #: of the campaign

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def turn(self) -> float:
        """Wait for the next turn, by setting the clock."""
        self.seconds = max(self.seconds, self.free_at)
        self.free_at = self.seconds + self.scale / PER_SECOND
        return 0.0

    def add(self, accepted: float, *, off: bool, code: bool) -> int:
        """A message; return its number."""
        takes = FOREVER if off else MEDIAN_SECONDS * self.dice.lognormvariate(0, SPREAD)
        for values, value in ((self.accepted, accepted), (self.arrives, accepted + takes), (self.asked, accepted)):
            values.append(value)
        self.times.append(0)
        self.known.append(FOREVER)
        self.never_asked += not code
        self.codes += [len(self.known) - 1] if code else []
        return len(self.accepted) - 1

    def reports(self, request_id: str) -> Sequence[Report]:
        """Be asked."""
        number = int(request_id)
        self.asked[number] = self.seconds
        self.never_asked -= not self.times[number] and number < MESSAGES // self.scale
        self.times[number] += 1
        if not self.never_asked:
            self.all_asked_at = min(self.all_asked_at, self.seconds)
        done = self.arrives[number] <= self.seconds
        if done:
            self.known[number] = self.seconds
        word, state = ("delivered", MessageState.DELIVERED) if done else ("transmitted", None)
        at = self.now() if done else None
        return [Report(request_id, None, word, state, 1, None, at, {"status": word})]


class Simulation:
    """The real room in that world."""

    def __init__(self, url: str, world: World) -> None:
        upgrade(url)
        self._world = world
        self._sessions = make_sessions(make_engine(url))
        with self._sessions.begin() as session:
            self._account_id = account_id_of(session, "bench")
            told = {"account_id": self._account_id, "lane": "bulk", "state": "accepted", "size": 1, "worker": "bench"}
            batch = {"id": 1, "accepted": 1, "refused": 0, "created_at": NOON, "finished_at": NOON}
            insert_all(session, cast("Table", Batch.__table__), [told | batch])
        self._room = self._a_room()
        self._codes_until = world.seconds

    def _a_room(self) -> Polling:
        world = self._world
        gateway = MemoryGateway()
        gateway.reports = world.reports  # type: ignore[method-assign]  # it would remember each question
        return Polling(
            sessions=self._sessions,
            gateway=gateway,
            connections=64,
            ladder_seconds=LADDER,
            give_up_after=timedelta(hours=48),
            account_id=self._account_id,
            call_timeout=timedelta(seconds=41),
            slow_after=timedelta(seconds=15),
            now=world.now,
            dice=world.dice.random,
            on_owed=lambda: None,
            turn=world.turn,
            leaving=lambda: False,
        )

    def accept(self, accepted: Sequence[tuple[float, bool]], *, code: bool = False) -> None:
        """Store messages (when they were accepted, and whether the phone is off) as the gateway's answer would."""
        world = self._world
        for first in range(0, len(accepted), 10_000):
            rows: list[dict[str, Any]] = []
            for at, off in accepted[first : first + 10_000]:
                number, moment = world.add(at, off=off, code=code), NOON + timedelta(seconds=at)
                made = dict.fromkeys(("created_at", "send_at", "posted_at", "submitted_at"), moment)
                due = moment + timedelta(seconds=LADDER[0] * (0.9 + 0.2 * world.dice.random()))
                ids = {"request_id": str(number), "message_id": str(number), "batch_id": 1, "state": "submitted"}
                ids["lane"] = "otp" if code else "bulk"
                rows.append(an_sms(**made, **ids, next_poll_at=due, attempts=1))
            with self._sessions.begin() as session:
                insert_all(session, cast("Table", Message.__table__), rows)

    def run(self, until: float) -> None:
        """Ask until then, while codes keep coming."""
        world = self._world
        while world.seconds < until:
            coming = int((world.seconds - self._codes_until) * CODES_PER_SECOND / world.scale)
            if coming:
                self.accept([(world.seconds, False)] * coming, code=True)
                self._codes_until += coming * world.scale / CODES_PER_SECOND
            if not self._room.ask_next():
                world.seconds += BEAT_SECONDS


@dataclass
class Group:
    """Messages of like age that are on their way at one moment, and how long ago they were asked (seconds)."""

    hour: float
    up_to_seconds: float
    messages: int
    p50: float
    p95: float
    most: float


@dataclass
class Look:
    """What is on its way at one moment; what is final is known for good."""

    hour: float
    age: NDArray[np.float64]  #: seconds since each was accepted
    old: NDArray[np.float64]  #: seconds since its status was asked


def look(world: World, hour: float) -> Look:
    open_ = np.array(world.known) > world.seconds
    since = (np.array(values)[open_] for values in (world.accepted, world.asked))
    return Look(hour, *(world.seconds - values for values in since))


def groups(seen: Look) -> list[Group]:
    """By age."""
    found = []
    for low, high in zip((0, *AGES), (*AGES, FOREVER), strict=True):
        chosen = seen.old[(seen.age > low) & (seen.age <= high)]
        if len(chosen):
            p50, p95 = np.percentile(chosen, (50, 95))
            found.append(Group(seen.hour, high, len(chosen), float(p50), float(p95), float(chosen.max())))
    return found


def learnt(world: World) -> dict[str, float]:
    """Seconds from the arrival of a code until it is known; those that should be known by now and are not count."""
    arrived = [number for number in world.codes if world.arrives[number] <= world.seconds]
    late = np.array([min(world.known[number], world.seconds) - world.arrives[number] for number in arrived])
    p50, p95, p99 = np.percentile(late, (50, 95, 99))
    return {"codes": len(late), "p50": float(p50), "p95": float(p95), "p99": float(p99), "most": float(late.max())}


def table(found: Sequence[Group], scale: int) -> Shown:
    shown = Shown("after", "age up to", "messages", "p50", "p95", "most", title="How long ago a status was asked")
    for one in found:
        ends = "older" if one.up_to_seconds == FOREVER else f"{one.up_to_seconds / 60:.0f} min"
        ages = (f"{value / 60:.1f} min" for value in (one.p50, one.p95, one.most))
        shown.add_row(f"{one.hour:g} h", ends, f"{one.messages * scale:,}", *ages)
    return shown


def plot(world: World, looks: Sequence[Look], head: str, file: Path) -> None:
    """How old a status is by age of its message, and how often messages were asked."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    for one in looks:
        edges = np.linspace(0, one.age.max() + 1, PLOTTED)
        places = np.digitize(one.age, edges)
        bins = [at for at in range(1, PLOTTED) if (places == at).any()]
        low, middle, high = (
            [float(np.percentile(one.old[places == at], share)) / 60 for at in bins] for share in (5, 50, 95)
        )
        ages = [(edges[at - 1] + edges[at]) / 120 for at in bins]
        (line,) = left.plot(ages, middle, label=f"after {one.hour:g} h")
        left.fill_between(ages, low, high, alpha=0.15, color=line.get_color(), linewidth=0)
    left.set_xlabel("age of the message, minutes")
    left.set_title("minutes since its status was asked (p50, p5-p95)", loc="left", fontsize=10, fontweight="bold")
    left.legend(frameon=False)
    times = np.array(world.times)
    weights = np.full(len(times), world.scale)
    right.hist(times, bins=np.arange(times.max() + 2) - 0.5, weights=weights, color="#1f6f54", rwidth=0.8)
    right.set_xticks(range(times.max() + 1))
    right.set_xlabel("times asked, by the end")
    right.set_title("messages", loc="left", fontsize=10, fontweight="bold")
    for axes in (left, right):
        axes.grid(alpha=0.25)
    figure.suptitle(head, fontsize=8, color="#666666")
    figure.savefig(file, dpi=110)
    plt.close(figure)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a model 1:200")
    parser.add_argument("--scale", type=int, default=10, help="one message, and one question, stands for so many")
    parser.add_argument("--hours", type=float, default=3, help="after the campaign")
    parser.add_argument("--off", type=float, default=OFF_SHARE, help="the share of phones that are off")
    parser.add_argument("--database", help="where the rows are (an empty database; default: a file of SQLite)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    return parser.parse_args()


def main() -> None:
    """Simulate, and show what was found."""
    given, console = arguments(), Console()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    scale = 200 if given.short else given.scale
    world, count = World(scale, Random(1)), MESSAGES // scale  # noqa: S311
    hours = [hour for hour in (0.25, 1, 2, 3, 6, 12, 24) if hour <= given.hours]
    looks: list[Look] = []
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(given.database or f"sqlite:///{folder}/plan.db", world)
        every = [(CAMPAIGN_SECONDS * at / count, world.dice.random() < given.off) for at in range(count)]
        simulation.accept(every)
        for hour in hours:
            simulation.run(CAMPAIGN_SECONDS + hour * HOUR)
            looks.append(look(world, hour))
            console.print(f"{hour:g} h")
    found = [group for one in looks for group in groups(one)]
    codes, asked = learnt(world), world.all_asked_at - CAMPAIGN_SECONDS
    head = f"{MESSAGES:,} messages, {given.off:.0%} of the phones off; {PER_SECOND} questions/s; a model 1:{scale}"
    console.print(head, table(found, scale), sep="\n")
    words = ", ".join(f"{name} {value:,.0f}" for name, value in codes.items())
    console.print(
        f"everything was asked once after {asked / 60:.0f} min; seconds until a code's delivery is known: {words}"
    )
    if given.json:
        told = {"machine": machine(), "scale": scale, "off": given.off, "all_asked_seconds": asked, "codes": codes}
        told["groups"] = [vars(one) for one in found]
        given.json.write_text(json.dumps(told, indent=2) + "\n")
    if given.png:
        plot(world, looks, f"{head}. {described(machine())}", given.png)


if __name__ == "__main__":
    main()
