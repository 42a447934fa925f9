"""How the figures of bench/throughput.py are put beside each other."""

from typing import Any

import pytest

from bench.contenders.lineup import chosen
from bench.contenders.runs import Run
from bench.shown import AIMS, Aim, Way, aims, as_json, ratios, verdicts

SPEED = Aim("messages/s", "ours", "N1", 200, lambda run: run.per_second)
AT_ONCE = Way(tls=False, latency_seconds=0.0)
CPU = Aim("CPU", "ours", "N1", 250, lambda run: run.cpu, less_is_better=True)


def a_run(contender: str, **changes: Any) -> Run:
    usual: dict[str, Any] = {
        "contender": contender,
        "tls": False,
        "latency_seconds": 0.0,
        "round": 0,
        "messages": 1_000,
        "per_second": 100.0,
        "gateway_per_second": 100.0,
        "cpu_seconds": {"worker": 4.0, "gateway": 9.0},
        "peak_mib": {},
        "mean_batch": 1.0,
        "queued_seconds": {},
        "paced_seconds": {},
        "bytes": {},
        "lost": 0,
        "doubled": 0,
    }
    return Run(**usual | changes)


def test_ratios_are_made_within_a_round() -> None:
    runs = [
        a_run("ours", round=0, per_second=1_000),
        a_run("N1-threads", round=0, per_second=10),
        a_run("ours", round=1, per_second=500),
        a_run("N1-threads", round=1, per_second=2),
    ]

    assert ratios(runs, SPEED, AT_ONCE) == [100, 250]


def test_of_several_programs_the_best_one_is_the_rival() -> None:
    runs = [
        a_run("ours", per_second=1_000, cpu_seconds={"worker": 1.0, "postgres": 1.0, "gateway": 9.0}),
        a_run("N1-threads", per_second=10, cpu_seconds={"worker": 8.0}),
        a_run("N1-prefork", per_second=5, cpu_seconds={"worker": 6.0}),
    ]

    assert ratios(runs, SPEED, AT_ONCE) == [100]
    assert ratios(runs, CPU, AT_ONCE) == [3]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"latency_seconds": 0.05}, id="a slower gateway"),
        pytest.param({"tls": True}, id="another protocol"),
    ],
)
def test_runs_under_other_conditions_are_not_compared(other: dict[str, Any]) -> None:
    runs = [a_run("ours"), a_run("N1-threads", **other)]

    assert ratios(runs, SPEED, AT_ONCE) == []


def test_the_table_of_aims_says_over_which_protocol_each_was_measured() -> None:
    runs = [a_run(name, tls=tls) for tls in (False, True) for name in ("ours", "N1-threads")]

    assert [column.header for column in aims(verdicts(runs)).columns] == ["aim", "wanted", "http, 0 ms", "https, 0 ms"]


def test_json_holds_only_aims_that_were_measured() -> None:
    found = as_json([a_run("ours"), a_run("N3")], {"cores": "2"})

    compared = {aim.what for aim in AIMS if (aim.of, aim.to) == ("ours", "N3")}
    assert {aim["aim"] for aim in found["aims"] if aim["unit"] == "x"} == compared


def test_a_lost_message_of_ours_is_a_missed_aim() -> None:
    found = verdicts([a_run("ours", lost=2, doubled=1), a_run("N1-threads", lost=7)])

    assert [(one.found, one.said) for one in found if "lost" in one.aim] == [(3, "missed")]


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        pytest.param(["ours"], ["ours"], id="a name alone, though others begin with it"),
        pytest.param(["N1"], ["N1-prefork", "N1-threads"], id="the beginning of several"),
        pytest.param(["ours", "N3"], ["N3", "ours"], id="always in the same order"),
    ],
)
def test_contenders_are_chosen_by_name(names: list[str], meant: list[str]) -> None:
    assert [one.name for one in chosen(names)] == meant


def test_a_contender_that_is_not_there_is_named() -> None:
    with pytest.raises(LookupError, match="N9"):
        chosen(["ours", "N9"])
