"""How long to wait before trying again."""

from collections.abc import Callable, Sequence
from datetime import timedelta

Dice = Callable[[], float]  #: a number from 0 up to 1, as ``random.random`` gives


def backoff(attempt: int, *, base: timedelta, ceiling: timedelta) -> timedelta:
    """Double from *base* up to *ceiling*; *attempt* counts from 1.

    >>> [backoff(n, base=timedelta(seconds=5), ceiling=timedelta(minutes=10)).seconds for n in (1, 2, 3, 20)]
    [5, 10, 20, 600]
    """
    return min(ceiling, base * (1 << min(max(attempt, 1) - 1, 30)))


def ladder(seconds: Sequence[float], polls: int, dice: Dice) -> timedelta:
    """The pause after so many *polls*, the last step for ever, give or take a tenth, so that no herd forms.

    >>> [ladder((5, 60), polls, dice=lambda: 0.5).seconds for polls in (0, 1, 7)]
    [5, 60, 60]
    """
    step = seconds[min(polls, len(seconds) - 1)]
    return timedelta(seconds=step * (0.9 + 0.2 * dice()))
