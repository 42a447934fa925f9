"""What is broken on purpose. Each trouble is a context: it begins, lasts as long as its block, and is put right."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from tests.chaos.crew import Member
from tests.chaos.database import Postgres
from tests.chaos.world import LONGER_THAN_A_LEASE_SECONDS, LONGER_THAN_A_PAUSE_SECONDS, POSTS_AT_ONCE, World
from worker.sandbox.config import RequestIds
from worker.sandbox.faults import LASTING, Endpoint, Fault, Kind

AN_HOUR_SECONDS = 3600.0
BOTH: tuple[Endpoint, ...] = get_args(Endpoint)
Part = Literal["redis", "database", "gateway", "clock", "workers", "beat"]  #: no two troubles of one part at a time


@dataclass(frozen=True)
class Trouble:
    """One thing that goes wrong; *seconds* is how long. What it hit is counted under names that begin with its own."""

    name: str
    part: Part
    seconds: float
    begin: Callable[[World], AbstractContextManager[None]]
    only_on: str | None = None  #: the kind of database


@contextmanager
def redis_killed(world: World) -> Iterator[None]:
    """SIGKILL; its append-only file brings back all that it acknowledged."""
    with world.redis() as connection:
        world.hits["redis killed"] += bool(connection.info("clients")["connected_clients"])
    world.valkey.kill()
    yield
    world.valkey.start()


@contextmanager
def redis_clients_killed(world: World) -> Iterator[None]:
    """CLIENT KILL of every connection."""
    with world.redis() as connection:
        for kind in ("normal", "pubsub"):
            killed = connection.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            world.hits["redis clients killed, connections"] += int(killed)
    yield


@contextmanager
def redis_stopped(world: World) -> Iterator[None]:
    """SIGSTOP, then SIGCONT."""
    assert world.valkey._process
    pid = world.valkey._process.pid
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)
    world.hits["redis stopped"] += 1


@contextmanager
def postgres_killed(world: World) -> Iterator[None]:
    """SIGKILL of the server with all its sessions; it recovers from its log."""
    postgres = _postgres(world)
    world.hits["postgresql killed"] += bool(postgres.connections())
    postgres.server.kill()
    yield
    postgres.server.start()


@contextmanager
def postgres_read_only(world: World) -> Iterator[None]:
    """As after a fail-over to a standby."""
    postgres, words = _postgres(world), "in a read-only transaction"
    before = postgres.logged(words)
    postgres.refuse_writes(True)
    yield
    postgres.refuse_writes(False)
    world.hits["postgresql read-only, statements refused"] += postgres.logged(words) - before


@contextmanager
def postgres_without_connections(world: World) -> Iterator[None]:
    """Hardly a connection is left, and those that there were are cut."""
    postgres, words = _postgres(world), "too many connections for role"
    before = postgres.logged(words)
    postgres.limit_connections(1)
    yield
    postgres.limit_connections()
    world.hits["postgresql without connections, refused"] += postgres.logged(words) - before


@contextmanager
def disk_full(world: World) -> Iterator[None]:
    """SQLite gets no page more."""
    before = world.crew.full_disks()
    world.conditions.disk_is_full = True
    yield
    world.conditions.disk_is_full = False
    world.hits["disk full, statements refused"] += world.crew.full_disks() - before


@contextmanager
def clock_ahead(world: World) -> Iterator[None]:
    """The clocks of all workers step an hour forward, and in the end back again."""
    world.conditions.clock_ahead_seconds += AN_HOUR_SECONDS
    world.hits["clock an hour ahead, forward"] += bool(world.crew.ready())
    yield
    world.conditions.clock_ahead_seconds -= AN_HOUR_SECONDS
    world.hits["clock an hour ahead, back"] += bool(world.crew.ready())


@contextmanager
def two_beats(world: World) -> Iterator[None]:
    world.add_beat()
    yield
    world.remove_beat()
    world.hits["two beats"] += 1


@contextmanager
def two_of_one_name(world: World) -> Iterator[None]:
    """A second worker with the name of one that lives is refused in one line; if that one dies, it takes its place."""
    twin = replace(world.crew.members[0], folder=world.folder / "twin", wanted=False)
    twin.folder.mkdir(exist_ok=True)
    twin.start()
    yield
    twin.ask_to_go()
    assert twin.has_gone(), f"the second worker did not go: see {twin.log}"
    world.hits["two workers of one name, refused"] += twin.log.read_text().count("of that name is running already")


@contextmanager
def gateway_slow(world: World) -> Iterator[None]:
    """Each answer takes more than half of the read time-out."""
    before = world.gateway.control.stats()["send_requests"]
    world.gateway.control.change(latency_seconds=1.2)
    yield
    world.gateway.control.change(latency_seconds=0.0)
    world.hits["gateway slow, posts"] += world.gateway.control.stats()["send_requests"] - before


@contextmanager
def gateway_closed(world: World) -> Iterator[None]:
    """It refuses connections, and cuts those that there are."""
    before = world.released()
    world.posts_cut_at_most += world.posts_at_once
    world.gateway.control.set_faults(Fault("refuse-connections"))
    yield
    world.gateway.control.clear_faults()
    world.hits["gateway closed, posts refused"] += world.released() - before


@contextmanager
def gateway_killed(world: World) -> Iterator[None]:
    """SIGKILL; it goes on with what stands in its journal."""
    world.posts_cut_at_most += world.posts_at_once
    world.gateway.kill()
    yield
    world.gateway.start()
    world.hits["gateway killed"] += 1


def gateway_fault(kind: Kind) -> Callable[[World], AbstractContextManager[None]]:
    """The sandbox's fault, for one post and one question."""

    @contextmanager
    def fault(world: World) -> Iterator[None]:
        control, before = world.gateway.control, len(world.gateway.all_strikes())
        control.set_faults(*(Fault(kind, on=(on,), count=1) for on in BOTH))
        yield
        control.clear_faults()
        world.hits[f"gateway {kind}"] += len(world.gateway.all_strikes()) - before

    return fault


def request_ids(mean: RequestIds) -> Callable[[World], AbstractContextManager[None]]:
    """The gateway's request_id stands for something else for a while."""

    @contextmanager
    def meaning(world: World) -> Iterator[None]:
        world.gateway.control.change(request_ids=mean)
        yield
        world.gateway.control.change(request_ids="per-message")
        world.hits[f"gateway request_ids {mean}"] += 1

    return meaning


@contextmanager
def worker_frozen(world: World) -> Iterator[None]:
    """SIGSTOP of one worker; meanwhile so much time passes that all its leases are over."""
    frozen = _busiest(world)
    if frozen:
        frozen.freeze()
        world.crew.slept += frozen.notes.hands()
        world.hits["worker frozen with work"] += bool(frozen.notes.hands())
        world.posts_cut_at_most += POSTS_AT_ONCE
        world.let_time_pass(LONGER_THAN_A_LEASE_SECONDS)
    yield
    if frozen:
        frozen.thaw()


@contextmanager
def worker_told_to_go(world: World) -> Iterator[None]:
    """SIGTERM in the middle of its work; it comes back by itself."""
    member = _busiest(world)
    if member:
        world.hits["worker told to go with work"] += bool(member.notes.hands())
        member.ask_to_go()
    yield


@contextmanager
def rolling_restart(world: World) -> Iterator[None]:
    """SIGTERM to one worker after the other, each when the last one is back."""
    for member in world.crew.ready():
        life = member.lives
        member.ask_to_go()
        world.tended_until(lambda member=member, life=life: member.lives > life and member.is_ready)  # type: ignore[misc]
        world.hits["rolling restart, workers"] += 1
    yield


@contextmanager
def account_refused(world: World) -> Iterator[None]:
    """The vendor answers 403 and "limit is over": the account is paused, and nothing is lost or counted as posted."""
    control = world.gateway.control
    for fault in (Fault("forbidden", count=1), Fault("error", error_no=103, count=1)):
        struck = len(world.gateway.all_strikes())
        control.set_faults(fault)
        world.tended_until(lambda struck=struck: world.was_struck_since(struck))  # type: ignore[misc]
        world.let_time_pass(LONGER_THAN_A_PAUSE_SECONDS)
    yield
    control.clear_faults()
    world.hits["account refused"] += 2


def _busiest(world: World) -> Member | None:
    return max(world.crew.ready(), key=lambda member: len(member.notes.hands()), default=None)


def _postgres(world: World) -> Postgres:
    return cast("Postgres", world.database)


OF_REDIS = (
    Trouble("redis killed", "redis", 0.5, redis_killed),
    Trouble("redis clients killed", "redis", 0.1, redis_clients_killed),
    Trouble("redis stopped", "redis", 10, redis_stopped),
)
OF_POSTGRESQL = (
    Trouble("postgresql killed", "database", 0.5, postgres_killed, only_on="postgresql"),
    Trouble("postgresql read-only", "database", 2, postgres_read_only, only_on="postgresql"),
    Trouble("postgresql without connections", "database", 2, postgres_without_connections, only_on="postgresql"),
)
OF_SQLITE = (Trouble("disk full", "database", 2, disk_full, only_on="sqlite"),)
OF_CLOCK = (Trouble("clock an hour ahead", "clock", 3, clock_ahead),)
OF_BEAT = (Trouble("two beats", "beat", 2, two_beats),)
OF_GATEWAY = (
    Trouble("gateway slow", "gateway", 2, gateway_slow),
    Trouble("gateway closed", "gateway", 1, gateway_closed),
    Trouble("gateway killed", "gateway", 0.5, gateway_killed),
)
#: After each of these the struck requests have no usable answer.
CUTTING = tuple(
    Trouble(f"gateway {kind}", "gateway", 3, gateway_fault(kind))
    for kind in get_args(Kind)
    if kind not in (*LASTING, "error", "forbidden")
)
MEANINGS = (
    Trouble("gateway request_ids shared", "gateway", 4, request_ids("shared")),
    Trouble("gateway request_ids colliding", "gateway", 4, request_ids("colliding")),
)
OF_WORKERS = (
    Trouble("worker frozen", "workers", 5.5, worker_frozen),
    Trouble("worker told to go", "workers", 0.5, worker_told_to_go),
    Trouble("two workers of one name", "workers", 9, two_of_one_name),
)
#: These take their time to begin, and so cannot be had together with others.
ROLLING_RESTART = Trouble("rolling restart", "workers", 0, rolling_restart)
ACCOUNT_REFUSED = Trouble("account refused", "gateway", 0, account_refused)
#: Those that come at random.
TROUBLES = (
    *(*OF_REDIS, *OF_POSTGRESQL, *OF_SQLITE, *OF_CLOCK, *OF_BEAT),
    *(*OF_GATEWAY, *CUTTING, *MEANINGS, *OF_WORKERS),
)
