"""Kills and troubles at random, all together, from a seed; the long form is run.py beside this file."""

from tests.chaos import plan
from tests.chaos.rampage import Rampage
from tests.chaos.settle import verdict_of
from tests.chaos.world import World

# Of a plan without a kill while sweeping: so short a run may have nothing left to sweep. That is test_kills.py's.
SEED = 20261742
MESSAGES, KILLS, TROUBLES = 500, 5, 6


def test_all_troubles_together_lose_nothing_and_post_nothing_twice(on_postgresql: World) -> None:
    world = on_postgresql
    before = len(world.crew.deaths)
    chosen = plan.make(SEED, messages=MESSAGES, kills=KILLS, troubles=TROUBLES, database="postgresql")

    Rampage(world, chosen, messages=MESSAGES, fast_per_second=80, standstill_seconds=2.0).run(seconds=170)

    assert verdict_of(world, seed=SEED).complaints() == []
    assert len(world.crew.deaths) - before >= KILLS
