"""How many SMS a second, and for how much CPU: this project beside what people write otherwise, and beside the ceiling.

    N1  one Celery task for each SMS: INSERT, `requests.post`, UPDATE; 2 processes, or 16 threads
    N2  the same with a kept `requests.Session`
    N3  celery-batches: 50 SMS in one INSERT, one post and one UPDATE
    N4  the ceiling: one bare process pops, posts by 50, and copies into PostgreSQL; nothing is safe
    ours       `sms.send`, one order per SMS; also by one worker (ours-one) and on SQLite (ours-sqlite)
    ours-many  `sms.send_many` of 500 SMS, and of 100 (ours-many-100); also on SQLite (ours-many-sqlite)

All have the same Redis (AOF, fsync always), the same PostgreSQL (fsync on), and the same gateway, a process of its own
that answers at once or after 50 ms. Each run is one contender in processes, a database and a queue of its own. It has
posted 20 messages before the clock starts, so nobody's start counts. Then all its orders, byte for byte as Celery's
producers write them, become its queue in one command of Redis: this is where the clock starts. It ends with the last
acceptance that the contender stored in its own table. So

    messages/s = messages / (moment of the last stored acceptance - moment when the orders appeared)

CPU is what the processes used in that time: workers, database and Redis; the gateway's stands apart. After that the
same processes get --pace messages a second from a real producer: of these is the latency, from order to stored
acceptance.
What the gateway saw is counted: a contender that lost or doubled a message is marked. The contenders take turns,
A B C A B C; figures are medians (least-most), and ratios are made in each round by itself.

Celery's workers are started as its documentation does, with --loglevel INFO. No status is asked by anybody.

The vendor is reached over https, so the short form is over https only; the long one is over http, and N1, N3, N4 and
ours go over https besides. The certificate is of the kind that costs least (an elliptic curve, no chain); its authority
stands beside those of certifi in one file, which clients have to read as they do for the vendor.

    .venv/bin/python bench/throughput.py [--short] [--tls | --no-tls] [--only ours,N3,N4] [--json FILE] [--png FILE]
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path

from rich.console import Console

from bench.contenders.ground import Ground
from bench.contenders.lineup import EVERYBODY, OVER_TLS_TOO, SHORT, Contender, chosen
from bench.contenders.runs import Conditions, Run, run
from bench.shown import as_json, plot, show, way_of
from bench.stage import stage
from bench.usage import described, machine
from bench.verdicts import short


def arguments() -> argparse.Namespace:
    """As they were given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--short", action="store_true", help=f"three minutes, over https: {', '.join(SHORT)}; fewer messages"
    )
    parser.add_argument("--only", metavar="NAME,…", help="these contenders; N1 means N1-prefork and N1-threads")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", metavar="NAME=N,…", default="", help="so many messages for these contenders")
    parser.add_argument("--gateway-ms", metavar="N,…", help="how long the gateway takes to answer (0,50; short: 0)")
    parser.add_argument("--tls", action=argparse.BooleanOptionalAction, help="everybody over https only, or http only")
    parser.add_argument("--pace", type=float, default=20, help="messages a second for the latency")
    parser.add_argument("--pace-seconds", type=float, help="for so long (10; short: 2); 0 leaves it out")
    parser.add_argument("--folder", type=Path, help="an empty folder for logs and databases that are to be kept")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    return parser.parse_args()


def counts(options: argparse.Namespace, contenders: Sequence[Contender]) -> dict[str, int]:
    """How many messages each gets."""
    given = dict(word.split("=") for word in options.messages.split(",") if word)
    usual = {one.name: one.few if options.short else one.messages for one in contenders}
    return usual | {one.name: int(count) for name, count in given.items() for one in chosen([name])}


def protocols(options: argparse.Namespace, contender: Contender) -> list[bool]:
    """Whether over TLS, each time that it runs in a round."""
    if options.tls is not None:
        return [options.tls]
    if options.short:
        return [True]
    return [False, True] if contender.name in OVER_TLS_TOO else [False]


def runs(options: argparse.Namespace, contenders: Sequence[Contender], folder: Path) -> Iterator[Run]:
    """In turn, round by round."""
    count_of = counts(options, contenders)
    gateway_ms = options.gateway_ms or ("0" if options.short else "0,50")
    seconds = (2 if options.short else 10) if options.pace_seconds is None else options.pace_seconds
    with stage(folder) as it, closing(Ground(it, folder)) as ground:
        for number in range(options.rounds):
            for latency_ms in gateway_ms.split(","):
                for one in contenders:
                    for tls in protocols(options, one):
                        under = Conditions(float(latency_ms) / 1_000, number, options.pace, seconds, tls)
                        yield run(ground, one, count_of[one.name], under)


def main() -> None:
    """Run, and print tables; write JSON and a plot where they are asked for."""
    options = arguments()
    contenders = chosen(options.only.split(",")) if options.only else list(EVERYBODY)
    if options.short and not options.only:
        contenders = chosen(SHORT)
    console = Console(width=None if sys.stdout.isatty() else 180)
    found: list[Run] = []
    with nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory() as folder:
        for one in runs(options, contenders, Path(folder).resolve()):
            found.append(one)
            gone_wrong = f", lost {one.lost}, doubled {one.doubled}" if one.lost or one.doubled else ""
            cost = f"{short(one.per_second)}/s, {short(one.cpu)} CPU s per 1,000"
            console.print(f"{one.round + 1} {way_of(one)} {one.contender}: {cost}{gone_wrong}")
    about = machine()
    show(console, described(about), found)
    if options.json:
        options.json.write_text(json.dumps(as_json(found, about), indent=1) + "\n", encoding="utf-8")
    if options.png:
        plot(found, described(about), options.png)


if __name__ == "__main__":
    main()
