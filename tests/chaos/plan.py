"""What is to be broken and when, made from a seed alone: the same seed makes the same plan on any machine."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.steps import STEPS, Step
from tests.chaos.troubles import TROUBLES, Trouble

OUTSIDE_EVERY = 10  # of so many kills one comes from outside, wherever the worker is
MOST_TIMES = 3


@dataclass(frozen=True)
class Kill:
    """One SIGKILL: at a step, or from outside after a while when that is NOWHERE."""

    at: Step
    at_its: int  #: the worker dies when it gets there for this time
    after_seconds: float


@dataclass(frozen=True)
class Plan:
    """The kills in their order, and the troubles with the number of the message at which each begins."""

    kills: Sequence[Kill]
    troubles: Sequence[tuple[int, Trouble]]


def make(seed: int, *, messages: int, kills: int, troubles: int, database: str) -> Plan:
    """Every step as often as any other, all of it shuffled; the troubles spread over the first nine tenths."""
    dice = random.Random(seed)
    steps = [step for _ in range(-(-kills // len(STEPS))) for step in dice.sample(STEPS, len(STEPS))]
    aims = [Step.NOWHERE if number % OUTSIDE_EVERY == 0 else steps.pop(0) for number in range(1, kills + 1)]
    orders = [Kill(step, dice.randint(1, MOST_TIMES), dice.uniform(0, 0.5)) for step in aims]
    fitting = [trouble for trouble in TROUBLES if trouble.only_on in (None, database)]
    chosen = [trouble for _ in range(-(-troubles // len(fitting))) for trouble in dice.sample(fitting, len(fitting))]
    every = int(messages * 0.9 / (troubles + 1))
    begins = [(number + 1) * every + dice.randrange(max(1, every // 2)) for number in range(troubles)]
    return Plan(orders, list(zip(begins, chosen[:troubles], strict=True)))
