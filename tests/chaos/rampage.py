"""Everything together: messages flow, workers are killed by plan, and now and then something else breaks."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from redis.exceptions import RedisError

from tests.chaos.hunt import Hunt
from tests.chaos.numbered import last_number
from tests.chaos.plan import Plan
from tests.chaos.settle import settle
from tests.chaos.troubles import Trouble
from tests.chaos.world import BETWEEN_LOOKS_SECONDS, LONGER_THAN_A_LEASE_SECONDS, World

AHEAD = 0.03  # of all messages: so far may they be ahead of the kills
MOST_WAITING = 1_500
SLOWLY_PER_SECOND = 25.0
MORE = 500
MOST_TRIES = 3
LOOKS_SECONDS = 1.0
OVERHEARS_SECONDS = 30.0
SETTLES_SECONDS = 300.0


@dataclass
class _Present:
    trouble: Trouble
    until: float
    hits_before: int
    ending: ExitStack


class Rampage:
    """One run by plan. The plan's order holds; how long each thing takes is the machine's business."""

    def __init__(
        self,
        world: World,
        plan: Plan,
        *,
        messages: int,
        fast_per_second: float,
        tell: Callable[[str], None] = lambda _: None,
        standstill_seconds: float = 10.0,
    ) -> None:
        """*standstill_seconds* is how long nothing may move before time is let pass."""
        self._world = world
        self._messages = messages
        self._hunt = Hunt(world.crew, plan.kills)
        self._kills = len(plan.kills)
        self._coming = list(plan.troubles)
        self._present: list[_Present] = []
        self._fast = fast_per_second
        self._tell = tell
        self._standstill_seconds = standstill_seconds
        self._looks_at = self._overhears_at = 0.0
        self._before = len(world.published())
        self._waiting = self._ended = 0
        self._moved_at = 0.0
        self._tries: Counter[str] = Counter()  #: of troubles that hit nothing

    def run(self, *, seconds: float) -> None:
        """Return when all is settled. Raises AssertionError if that is not so after *seconds*."""
        deadline = time.monotonic() + seconds
        self._world.order(last_number(self._messages), per_second=self._fast)
        try:
            while not self._is_over:
                assert time.monotonic() < deadline, f"not over after {seconds} s: {self._progress()}"
                self._tend()
                time.sleep(BETWEEN_LOOKS_SECONDS)
        finally:
            for present in sorted(self._present, key=lambda present: present.trouble.part == "workers"):
                self._end(present)
        self._world.stop_ordering()
        settle(self._world, seconds=SETTLES_SECONDS)

    @property
    def _is_over(self) -> bool:
        return self._published >= self._messages and not self._hunt.left and not self._coming

    @property
    def _published(self) -> int:
        return len(self._world.published()) - self._before

    def _tend(self) -> None:
        self._world.crew.tend()
        self._hunt.tend()
        now = time.monotonic()
        for present in [present for present in self._present if now > present.until]:
            # A worker that is to go waits for a broker that is stopped, and nobody here would let that go on meanwhile.
            if present.trouble.part != "workers" or not self._is_broker_away:
                self._end(present)
        self._begin_what_is_due()
        if now > self._looks_at:
            self._looks_at = now + LOOKS_SECONDS
            self._look()
        if now > self._overhears_at and not self._present:
            self._overhears_at = now + OVERHEARS_SECONDS
            self._overhear()

    def _begin_what_is_due(self) -> None:
        if not self._coming or self._published < self._coming[0][0]:
            return
        trouble = self._coming[0][1]
        if any(present.trouble.part == trouble.part for present in self._present):
            return
        del self._coming[0]
        ending = ExitStack()
        hits = self._world.hits_of(trouble.name)
        ending.enter_context(trouble.begin(self._world))
        self._present.append(_Present(trouble, time.monotonic() + trouble.seconds, hits, ending))

    def _end(self, present: _Present) -> None:
        self._present.remove(present)
        present.ending.close()
        trouble = present.trouble
        if self._world.hits_of(trouble.name) == present.hits_before and self._tries[trouble.name] < MOST_TRIES:
            self._tries[trouble.name] += 1
            self._coming.append((0, trouble))

    def _look(self) -> None:
        """Keep messages and kills abreast, and work enough for the next victim."""
        published = self._published
        if ended := self._world.ended():
            self._waiting = self._before + published - ended
            self._wait_faster(ended)
        share = published / self._messages
        self._hunt.allowed = int((share + AHEAD) * self._kills) + 1
        is_ahead = self._kills and share > self._hunt.done / self._kills + AHEAD
        if published >= self._messages and (self._hunt.left or self._coming):
            self._keep_them_busy()
        slowly = is_ahead or self._waiting > MOST_WAITING
        self._world.set_pace(SLOWLY_PER_SECOND if slowly else self._fast)
        if self._hunt.wants_a_sweep:
            self._ring()
        self._tell(self._progress())

    def _keep_them_busy(self) -> None:
        """There must be work to be killed with."""
        if self._world.ordered < len(self._world.published()) + MORE:
            self._world.order(MORE, per_second=SLOWLY_PER_SECOND)

    def _wait_faster(self, ended: int) -> None:
        """Where nothing has moved for long, as after a worker that died with the only probe, time is let pass."""
        now = time.monotonic()
        if ended != self._ended:
            self._ended, self._moved_at = ended, now
        elif now > self._moved_at + self._standstill_seconds and self._waiting and not self._is_broker_away:
            self._moved_at = now
            self._world.let_time_pass(LONGER_THAN_A_LEASE_SECONDS)
            self._world.hits["time let pass at a standstill"] += 1

    def _progress(self) -> str:
        present = ", ".join(present.trouble.name for present in self._present)
        return (
            f"{self._published:,} of {self._messages:,} published, {self._waiting:,} on their way, "
            f"{self._hunt.done} of {self._kills} kills {present}"
        )

    def _ring(self) -> None:
        if not self._is_broker_away:
            self._world.ring()

    @property
    def _is_broker_away(self) -> bool:
        """Whoever rings at one that is stopped would wait for it, and never let it go on."""
        return any(present.trouble.part == "redis" for present in self._present)

    def _overhear(self) -> None:
        try:
            self._world.overhear()
        except (RedisError, OSError):
            self._tell("nobody could be asked what the workers do")
