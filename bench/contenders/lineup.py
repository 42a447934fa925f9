"""Who is compared: how each is started, what is ordered of it, and where it says what was accepted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

Command = tuple[str, ...]  #: behind the name of the Python interpreter


class Order(NamedTuple):
    """What lies on the queue."""

    task: str
    queue: str
    chunk: int = 1  #: SMS in each order


@dataclass(frozen=True, slots=True)
class Contender:
    """A program that takes orders off Redis, posts them, and stores what the gateway said."""

    name: str
    what: str
    order: Order
    messages: int  #: in a long run
    few: int  #: in a short one
    setup: Sequence[Command]  #: makes its tables
    workers: Sequence[Command]
    accepted: str  #: a query for phone and moment of what it has stored as accepted
    database: Literal["postgresql", "sqlite"] = "postgresql"
    connections: tuple[int, int] = (8, 8)  #: to the gateway, where it is told: if that answers at once, and if not


CELERY = ("-m", "celery", "-A")
WORKER = ("worker", "--loglevel", "INFO")  #: as Celery's documentation starts it, and ours
PREFORK = (*WORKER, "--pool", "prefork", "--concurrency", "2")
THREADS = (*WORKER, "--pool", "threads", "--concurrency", "16")
OUR_WORKER = (*CELERY, "worker", *WORKER)
BEAT = (*CELERY, "worker", "beat", "--loglevel", "INFO")
THEIRS = Order("send_sms", "celery")

N1 = Contender(
    name="N1-prefork",
    what="one task per SMS: INSERT, requests.post, UPDATE; 2 processes",
    order=THEIRS,
    messages=1_000,
    few=200,
    setup=[("-m", "bench.contenders.table")],
    workers=[(*CELERY, "bench.contenders.one_by_one", *PREFORK)],
    accepted="SELECT phone, accepted_at FROM sms WHERE state = 'accepted'",
)
N2 = replace(
    N1,
    name="N2-prefork",
    what="N1 with a requests.Session; 2 processes",
    messages=2_000,
    few=400,
    workers=[(*CELERY, "bench.contenders.one_by_one_session", *PREFORK)],
)
N3 = replace(
    N1,
    name="N3",
    what="celery-batches: 50 messages in one INSERT, post and UPDATE; 2 processes",
    messages=8_000,
    few=3_000,
    workers=[(*CELERY, "bench.contenders.in_batches", *PREFORK)],
)
N4 = replace(
    N1,
    name="N4",
    what="the ceiling: pop, post, COPY in one bare process, nothing is safe",
    messages=200_000,
    few=100_000,
    setup=[],
    workers=[("-m", "bench.contenders.ceiling")],
    connections=(16, 64),
)
OURS = Contender(
    name="ours",
    what="sms.send, one order per SMS; 2 processes",
    order=Order("sms.send", "sms.normal"),
    messages=60_000,
    few=30_000,
    setup=[("-m", "worker.cli.main", "db", "upgrade")],
    workers=[BEAT, *((*OUR_WORKER, "-n", f"{name}@%h") for name in ("one", "two"))],
    accepted="SELECT phone, submitted_at FROM messages WHERE state = 'submitted'",
    connections=(32, 32),
)
ALONE = replace(OURS, name="ours-one", what="the same in one worker process", workers=[BEAT, OUR_WORKER])
MANY = replace(
    OURS, name="ours-many", what="sms.send_many of 500; 2 processes", order=Order("sms.send_many", "sms.normal", 500)
)

EVERYBODY = (
    N1,
    replace(
        N1,
        name="N1-threads",
        what="the same in 16 threads",
        workers=[(*CELERY, "bench.contenders.one_by_one", *THREADS)],
    ),
    N2,
    replace(
        N2,
        name="N2-threads",
        what="the same in 16 threads",
        workers=[(*CELERY, "bench.contenders.one_by_one_session", *THREADS)],
    ),
    N3,
    N4,
    OURS,
    ALONE,
    MANY,
    replace(MANY, name="ours-many-100", what="sms.send_many of 100", order=MANY.order._replace(chunk=100)),
    replace(OURS, name="ours-sqlite", what="as ours, on SQLite", database="sqlite"),
    replace(MANY, name="ours-many-sqlite", what="as ours-many, on SQLite", database="sqlite"),
)
SHORT = ("N1-threads", "N3", "N4", "ours", "ours-many")  #: all of them over TLS only
#: In a long run, which is over http else.
OVER_TLS_TOO = ("N1-prefork", "N1-threads", "N3", "N4", "ours", "ours-many", "ours-sqlite")


def chosen(names: Sequence[str]) -> list[Contender]:
    """Those of *names*, in the order of the line-up. What is no name itself means all that begin with it.

    Raises `LookupError`.
    """
    known = [one.name for one in EVERYBODY]
    meant = {name: [name] if name in known else [one for one in known if one.startswith(name)] for name in names}
    if wrong := [name for name, found in meant.items() if not found]:
        raise LookupError(f"{', '.join(wrong)}: there are {', '.join(known)}.")
    every = {name for found in meant.values() for name in found}
    return [one for one in EVERYBODY if one.name in every]
