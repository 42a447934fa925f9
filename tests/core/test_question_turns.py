"""Turns for questions, taken by a thread that does not wait for them."""

from dataclasses import dataclass
from threading import Event

from worker.limits import Limit, QuestionTurns


@dataclass
class Seconds:
    """A clock of a machine."""

    at: float = 0.0

    def __call__(self) -> float:
        return self.at


def test_without_limits_it_is_always_the_next_ones_turn() -> None:
    turn = QuestionTurns([])

    assert [turn() for _ in range(3)] == [0, 0, 0]


def test_who_has_no_turn_is_told_when_to_ask_again() -> None:
    clock = Seconds()
    turn = QuestionTurns([Limit(None, "polls", 4, Event(), monotonic=clock)])

    first, second = turn(), turn()
    clock.at += second

    assert (first, second, turn()) == (0, 0.25, 0)


def test_a_turn_at_one_limit_is_kept_while_there_is_none_at_the_other() -> None:
    clock = Seconds()
    polls, both = (Limit(None, name, rate, Event(), monotonic=clock) for name, rate in (("polls", 4), ("both", 1)))
    turn = QuestionTurns([polls, both])
    turn()
    clock.at = 0.25
    wait = turn()
    clock.at += wait

    assert wait == 0.75
    assert turn() == 0
