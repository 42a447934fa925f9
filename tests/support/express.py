"""A lane's taker that posts at once, with a real list before it and a gateway in memory behind it."""

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import redis
from builders import Clock, Sessions, a_submission, an_intake
from servers import wait_for

from models.lifecycle import Lane
from worker.express import Express
from worker.gateway.memory import MemoryGateway
from worker.lanes import LaneLists
from worker.takers import Takers
from worker.turnstile import Turnstile

MANY = 100  #: warm connections


class Counter:
    """How often a bell was rung."""

    def __init__(self) -> None:
        self.rings = 0

    def __call__(self) -> None:
        self.rings += 1


class AtOnce:
    """One worker's taker with all that it posts by; *changes* are of its room."""

    def __init__(
        self,
        server: redis.Redis,
        sessions: Sessions,
        gateway: MemoryGateway | None = None,
        *,
        clock: Clock | None = None,
        stopping: Event | None = None,
        width: int = 8,
        **changes: Any,
    ) -> None:
        self.clock = clock or Clock()
        self.gateway = gateway or MemoryGateway(now=self.clock, warm=MANY)
        self.stopping = stopping or Event()
        self.bell = Counter()
        self.room = a_submission(sessions, self.gateway, self.clock, leaving=self.stopping.is_set, **changes)
        self.turnstile = Turnstile(width, self.stopping)
        self.express = Express(self.room, self.turnstile, ring=self.bell)
        self._server = server
        self.intake = an_intake(sessions, self.clock)
        lists = LaneLists(server, owner="one")
        self.takers = Takers(lists, self.intake, ring=self.bell, stopping=self.stopping, express=self.express)

    def order(self, *raws: bytes, lane: Lane = Lane.NORMAL) -> None:
        """Let them lie on the lane's list, be taken, and what goes at once be posted and answered."""
        self._server.lpush(f"sms.{lane}", *raws)
        self.takers._take(lane)
        wait_for(lambda: not self.turnstile.inside)

    def posted(self) -> list[list[str]]:
        """The phones of each post, in no order of the posts."""
        return sorted([sms.phone for sms in one.messages] for one in self.gateway.posted)


Making = Callable[..., AtOnce]


def making(redis_url: str, sessions: Sessions) -> Iterator[Making]:
    """For a fixture: makes them, and ends them after the test."""
    made: list[AtOnce] = []

    def make(*args: Any, **options: Any) -> AtOnce:
        made.append(AtOnce(server, sessions, *args, **options))
        return made[-1]

    with redis.Redis.from_url(redis_url) as server:
        yield make
    for one in made:
        one.express.close()
