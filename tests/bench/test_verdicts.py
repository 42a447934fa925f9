"""How an aim that is met or missed is told."""

import pytest

from bench.verdicts import Verdict, short


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        pytest.param(Verdict("messages/s", 100, 100), "met", id="just enough"),
        pytest.param(Verdict("messages/s", 100, 75), "missed by 25%", id="too few"),
        pytest.param(Verdict("ms", 5, 5, at_most=True), "met", id="just in time"),
        pytest.param(Verdict("ms", 5, 8, at_most=True), "missed by 60%", id="too late"),
        pytest.param(Verdict("lost", 0, 0, at_most=True), "met", id="none of what must not be"),
        pytest.param(Verdict("lost", 0, 1, at_most=True), "missed", id="one of what must not be"),
    ],
)
def test_an_aim_is_met_or_missed_by_so_much(verdict: Verdict, said: str) -> None:
    assert verdict.said == said


def test_an_aim_says_which_way_it_bounds() -> None:
    assert [Verdict("speed", 4_000, 1).bound, Verdict("p50", 5, 1, "ms", at_most=True).bound] == ["≥ 4,000", "≤ 5 ms"]


@pytest.mark.parametrize(
    ("number", "shown"),
    [(31_234.5, "31,200"), (123.4, "123"), (12.34, "12.3"), (0.0456, "0.0456")],
    ids=str,
)
def test_figures_have_three_digits(number: float, shown: str) -> None:
    assert short(number) == shown
