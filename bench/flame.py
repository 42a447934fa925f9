"""Where the CPU time of a worker under load goes: a flame graph, and the share of each room.

A worker drains a queue of orders as in `bench/throughput.py`, and py-spy looks into it from outside, 250 times
a second, at the thread that holds Python's lock: it is what a process has only one of. py-spy is a tool (``pip install
py-spy``) and no dependency; --py-spy says where it is if it is not on the PATH. It needs the right to look into other
processes: root, or ``kernel.yama.ptrace_scope`` 0.

Each look belongs to the innermost function that says what it is for: a line of a log that is written while an answer is
recorded is logging. The picture leaves out what is narrower than a three-hundredth.

    .venv/bin/python bench/flame.py [--short] [--seconds 15] [--gateway-ms 0] [--py-spy FILE] [--json FILE] [--png FILE]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from bench.contenders.ground import Ground, Trial, trial  # noqa: E402
from bench.contenders.lineup import ALONE  # noqa: E402
from bench.stage import stage  # noqa: E402
from bench.usage import described, machine  # noqa: E402

mpl.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402

RATE = 250  #: looks in a second
LOAD = 15_000  #: messages queued for each second that is looked at: more than can be sent
NARROWEST = 1 / 300
LABELLED = 1 / 40
OTHER = "other"
#: What a part of a frame, "function (file:line)", tells; the first that fits.
ROOMS: Mapping[str, Sequence[str]] = {
    "logging": (
        "structlog/",
        "logging/",
        "worker/log.py",
        "worker/observed.py",
        "prometheus_client/",
        "instruments.py",
    ),
    "redis": ("(redis/", "worker/lanes.py", "worker/limits.py"),
    "reading": ("worker/orders.py", "order_fields.py", "envelope.py", "phone.py", "operators.py", "worker/text.py"),
    "recording": ("worker/recording.py", "store/outcomes.py", "worker/together.py"),
    "posting": ("worker/gateway/", "(requests/", "(urllib3/", "http/client.py", "worker/cutter.py", "submission.py"),
    "storing": ("worker/intake.py", "store/at_once.py", "store/intake.py", "store/admission.py", "worker/takers.py"),
    "claiming": ("store/claims.py", "store/drafts.py", "worker/rota.py"),
}
COLOURS = dict(
    zip(ROOMS, ("#e8b04b", "#c8553d", "#7a9e3f", "#3f7a9e", "#8a5a9e", "#1f6f54", "#59a587"), strict=True)
) | {OTHER: "#9a9a9a"}

Stack = tuple[str, ...]  # from the outermost frame to the innermost


class Bar(NamedTuple):
    """A frame of the picture: how deep, where it begins and how wide it is, as shares of all."""

    depth: int
    left: float
    width: float
    frame: str
    room: str


def room_of(stack: Stack) -> str:
    """By its innermost frame that tells one."""
    for frame in reversed(stack):
        for room, words in ROOMS.items():
            if any(word in frame for word in words):
                return room
    return OTHER


def stacks_of(raw: str) -> Counter[Stack]:
    """Of what py-spy writes: a line for each stack, its frames, and how often it was seen."""
    found: Counter[Stack] = Counter()
    for line in raw.splitlines():
        frames, _, times = line.rpartition(" ")
        found[tuple(frame for frame in frames.split(";") if not frame.startswith(("process ", "thread ")))] += int(
            times
        )
    return found


def shares(stacks: Mapping[Stack, int]) -> dict[str, float]:
    """By room, of all looks; the largest first."""
    found: Counter[str] = Counter()
    for stack, times in stacks.items():
        found[room_of(stack)] += times
    return {room: times / found.total() for room, times in found.most_common()}


def bars(stacks: Mapping[Stack, int], depth: int = 0, left: float = 0.0, total: int = 0) -> Iterator[Bar]:
    """All that are wide enough, the widest of each floor first; those of one function stand together."""
    total = total or sum(stacks.values())
    floors: dict[str, Counter[Stack]] = {}
    for stack, times in stacks.items():
        if len(stack) > depth:
            floors.setdefault(stack[depth].rpartition(":")[0], Counter())[stack] += times
    for frame, above in sorted(floors.items(), key=lambda floor: -floor[1].total()):
        width = above.total() / total
        if width >= NARROWEST:
            room = next(iter(shares(above)))
            yield Bar(depth, left, width, frame, room)
            yield from bars(above, depth + 1, left, total)
        left += width


def plot(stacks: Mapping[Stack, int], head: str, file: Path) -> None:
    """A flame graph; the colour is that of the room that has most of a bar."""
    shown = list(bars(stacks))
    figure, ax = plt.subplots(figsize=(14, 1 + 0.17 * max(bar.depth for bar in shown)), dpi=110, layout="constrained")
    for bar in shown:
        ax.barh(bar.depth, bar.width, 0.94, bar.left, color=COLOURS[bar.room], edgecolor="white", linewidth=0.3)
        if bar.width > LABELLED:
            room = int(bar.width * 190)
            ax.text(bar.left + 0.001, bar.depth, bar.frame[:room], va="center", fontsize=5, clip_on=True)
    ax.set(xlim=(0, 1), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    handles = [Patch(color=COLOURS[room]) for room in shares(stacks)]
    words = [f"{room} {share:.0%}" for room, share in shares(stacks).items()]
    figure.legend(handles, words, loc="outside upper center", ncols=len(words), fontsize=8, frameon=False)
    figure.supxlabel(head, fontsize=7, color="#666666")
    figure.savefig(file)
    plt.close(figure)


def looked_at(it: Trial, py_spy: str, seconds: float, folder: Path) -> Counter[Stack]:
    """Let the orders go, and look into the worker meanwhile."""
    raw = folder / "stacks.txt"
    (pid,) = [pid for name, pid in it.groups.items() if name.startswith("worker")]
    command = [py_spy, "record", "--pid", str(pid), "--format", "raw", "--output", str(raw), "--rate", str(RATE)]
    command += ["--duration", f"{seconds:.0f}", "--subprocesses", "--gil"]
    it.ground.let_go(it.contender)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return stacks_of(raw.read_text("utf-8"))


def record(options: argparse.Namespace, folder: Path) -> tuple[Counter[Stack], bool]:
    """What was seen, and whether orders still waited at its end, as they should."""
    count = round(LOAD * options.seconds)
    with (
        stage(folder) as it,
        closing(Ground(it, folder)) as ground,
        trial(ground, ALONE, options.gateway_ms / 1_000, count, tls=True) as ours,
    ):
        found = looked_at(ours, options.py_spy, options.seconds, folder)
        still_waits = bool(ground.queues.llen(ALONE.order.queue))
        ground.queues.flushdb()  # so that it can stop at once
    return found, still_waits


def table(shared: Mapping[str, float]) -> Table:
    """A row for each room."""
    shown = Table("room", "share of the time")
    for room, share in shared.items():
        shown.add_row(room, f"{share:.1%}")
    return shown


def main() -> None:
    """Record, print the shares, write JSON and a picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="four seconds")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--gateway-ms", type=float, default=0)
    parser.add_argument("--py-spy", default=shutil.which("py-spy"), metavar="FILE")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    options = parser.parse_args()
    if not options.py_spy:
        sys.exit("py-spy is not on the PATH: pip install py-spy, or say where it is with --py-spy FILE.")
    options.seconds = 4 if options.short else options.seconds
    with tempfile.TemporaryDirectory() as folder:
        stacks, under_load = record(options, Path(folder).resolve())
    Console().print(
        described(machine()),
        table(shares(stacks)),
        "" if under_load else "The queue ran dry meanwhile: --seconds less.",
    )
    if options.json:
        told = {"machine": machine(), "looks": stacks.total(), "under_load": under_load, "shares": shares(stacks)}
        told["held"] = stacks.total() / (RATE * options.seconds)
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if options.png:
        plot(stacks, f"{described(machine())}; {stacks.total():,} looks", options.png)


if __name__ == "__main__":
    main()
