"""Workers are killed at every step of the way: none lost, none twice, on both databases."""

import pytest

from tests.chaos.hunt import Hunt
from tests.chaos.plan import Kill
from tests.chaos.settle import settle, verdict_of
from tests.chaos.steps import STEPS, Step
from tests.chaos.verdict import missed
from tests.chaos.world import LONGER_THAN_A_LEASE_SECONDS, World


@pytest.mark.timeout(300)
@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_a_kill_at_every_step_loses_nothing_and_posts_nothing_twice(
    request: pytest.FixtureRequest, database: str
) -> None:
    world: World = request.getfixturevalue(f"on_{database}")
    before = len(world.crew.deaths)
    leaving_work = [step for step in STEPS if step not in (Step.SWEEPING, Step.CLAIMED)] + [Step.CLAIMED]
    hunt = Hunt(world.crew, [Kill(step, 1, 0) for step in leaving_work])
    hunt.allowed = len(STEPS)
    world.order(100_000, per_second=60)

    def killed() -> bool:
        hunt.tend()
        return not hunt.left

    world.tended_until(killed, seconds=200)
    kill_while_sweeping(world)
    world.stop_ordering()
    settle(world)

    verdict = verdict_of(world)
    assert verdict.complaints() == []
    assert missed(world.crew.deaths[before:]) == []


def kill_while_sweeping(world: World) -> None:
    """What the dead left behind is looked for at once, by workers that die of finding it."""
    world.tended_until(lambda: len(world.crew.ready()) == len(world.crew.members))
    before = len(world.crew.deaths)
    world.crew.arm_all([Step.SWEEPING])
    world.let_time_pass(LONGER_THAN_A_LEASE_SECONDS)

    world.tended_until(lambda: len(world.crew.deaths) > before)
