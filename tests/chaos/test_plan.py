"""The harness itself, where it can be looked at without breaking anything."""

import doctest
from collections import Counter

import pytest

from tests.chaos import numbered, plan
from tests.chaos.steps import STEPS, Step


def a_plan(seed: int, database: str = "postgresql") -> plan.Plan:
    return plan.make(seed, messages=100_000, kills=210, troubles=52, database=database)


def test_a_seed_makes_the_same_plan_again_and_another_seed_another() -> None:
    assert a_plan(7) == a_plan(7) != a_plan(8)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kills_are_spread_over_every_step_and_troubles_over_the_way(seed: int) -> None:
    chosen = a_plan(seed)

    steps = Counter(kill.at for kill in chosen.kills)
    begins = [number for number, _ in chosen.troubles]
    assert steps.keys() == {*STEPS, Step.NOWHERE}
    assert max(steps[step] for step in STEPS) - min(steps[step] for step in STEPS) <= 1
    assert begins == sorted(begins)
    assert begins[-1] < 100_000


def test_no_database_has_the_troubles_of_another() -> None:
    assert {trouble.only_on for _, trouble in a_plan(1, "sqlite").troubles} == {None, "sqlite"}


def test_the_examples_of_the_numbers_are_true() -> None:
    assert doctest.testmod(numbered).failed == 0
