"""Workers that stop in the middle of a step, sleep until others have taken over their work, and then go on.

A process may sleep so for a paused virtual machine, a full disk under its swap, or a debugger.
"""

import pytest

from tests.chaos.settle import settle, verdict_of
from tests.chaos.steps import Step
from tests.chaos.world import LONGER_THAN_A_LEASE_SECONDS, POSTS_AT_ONCE, World
from worker.lanes import DEAD_AFTER_SECONDS

TAKERS_SECONDS = DEAD_AFTER_SECONDS + 1  # a heartbeat runs out by the clock of Redis, which nobody sets
SWEEP_SECONDS = 1.5


@pytest.mark.parametrize(
    ("steps", "seconds"),
    [
        pytest.param([Step.TAKEN, Step.CONNECTED], TAKERS_SECONDS, id="before the insert, before the second commit"),
        pytest.param([Step.AT_ONCE], SWEEP_SECONDS, id="stored as begun, nothing written"),
        pytest.param([Step.BEGUN, Step.ANSWERED], SWEEP_SECONDS, id="begun, with the answer in hand"),
    ],
)
def test_what_a_sleeper_does_late_is_neither_lost_nor_done_twice(
    on_postgresql: World, steps: list[Step], seconds: float
) -> None:
    """Each step has a worker of its own that sleeps there; a third one is awake."""
    world, ordered = on_postgresql, on_postgresql.ordered
    world.tended_until(lambda: len(world.crew.ready()) > len(steps))
    sleepers = dict(zip(steps, world.crew.ready(), strict=False))
    for step, sleeper in sleepers.items():
        sleeper.notes.arm([step], to_sleep=True)

    world.order(100_000, per_second=60)
    world.tended_until(lambda: all(sleeper.notes.slept_at() == step for step, sleeper in sleepers.items()))
    world.crew.slept += [hand for sleeper in sleepers.values() for hand in sleeper.notes.hands()]
    world.posts_cut_at_most += len(sleepers) * POSTS_AT_ONCE
    world.let_time_pass(LONGER_THAN_A_LEASE_SECONDS)
    world.tend_for(seconds)
    for sleeper in sleepers.values():
        sleeper.thaw()
    world.stop_ordering()
    settle(world)

    assert verdict_of(world).complaints() == []
    assert world.ordered > ordered
