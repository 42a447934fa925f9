"""The exporter of a house, scraped over HTTP, and what Prometheus' alerts say of what was scraped."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from ruamel.yaml import YAML
from servers import wait_for
from system import System

from worker.embedded import processes

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
STEP_SECONDS = 15
BEFORE_STEPS = 4  # so many steps are healthy, then it breaks
HELD_STEPS = 400


@contextmanager
def exporter(house: System) -> Iterator[str]:
    """The address of a real ``sms metrics --serve`` of *house*; ends with the block."""
    port = processes.free_port()
    command = [sys.executable, "-m", "worker.cli.main", "metrics", "--serve", f"127.0.0.1:{port}"]
    process = processes.start(command, log=house.folder / "metrics.log", env=_env(house), cwd=house.folder)
    try:
        wait_for(lambda: scrape(f"127.0.0.1:{port}") or None)
        yield f"127.0.0.1:{port}"
    finally:
        processes.stop(process, seconds=10)


def scrape(address: str, accept: str = "text/plain") -> str:
    """What Prometheus would get; nothing if nobody answers."""
    try:
        answer = requests.get(f"http://{address}/metrics", headers={"Accept": accept}, timeout=30)
    except requests.ConnectionError:
        return ""
    return answer.text


def samples(exposition: str) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(exposition) for sample in family.samples]


def value_of(exposition: str, name: str, **labels: str) -> float | None:
    """The value of one sample."""
    return next((one.value for one in samples(exposition) if (one.name, one.labels) == (name, labels)), None)


def total_of(exposition: str, name: str, **labels: str) -> float:
    """The sum of the samples that have these labels, whatever others they have."""
    return sum(one.value for one in samples(exposition) if one.name == name and labels.items() <= one.labels.items())


def rules() -> list[dict[str, Any]]:
    return [rule for group in YAML(typ="safe").load(ALERTS)["groups"] for rule in group["rules"]]


def says(folder: Path, before: str, after: str, expected: Sequence[str], *, all_of_them: bool = False) -> str:
    """What promtool says if not *expected* fire, each when its ``for`` is over; empty if all is as expected.

    The samples of *before* are held for a minute, then those of *after*: a counter that differs rises between the two.
    """
    waits = {rule["alert"]: _seconds(rule.get("for", "0s")) for rule in rules()}
    at = {name: BEFORE_STEPS * STEP_SECONDS + wait + 3 * STEP_SECONDS for name, wait in waits.items()}
    tests = [_test(name, at[name]) for name in expected]
    if all_of_them:
        tests = [{"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{max(at.values())}s", "exp_samples": []}]
    unit = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": f"{STEP_SECONDS}s",
        "tests": [{"interval": f"{STEP_SECONDS}s", "input_series": _series(before, after), "promql_expr_test": tests}],
    }
    file = folder / "unit.yml"
    file.write_text(json.dumps(unit))  # which is YAML, too
    result = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    return "" if result.returncode == 0 else result.stdout + result.stderr


def _test(name: str, at_seconds: int) -> dict[str, Any]:
    fires = f'group(ALERTS{{alertname="{name}", alertstate="firing"}})'
    return {"expr": fires, "eval_time": f"{at_seconds}s", "exp_samples": [{"labels": "{}", "value": 1}]}


def _series(before: str, after: str) -> list[dict[str, str]]:
    old, new = ({_name(one): one.value for one in samples(text)} for text in (before, after))
    return [
        {"series": name, "values": f"{_held(old.get(name), BEFORE_STEPS)} {_held(new.get(name), HELD_STEPS)}"}
        for name in sorted(old.keys() | new.keys())
    ]


def _held(value: float | None, steps: int) -> str:
    # What a scrape does not bring any more, Prometheus marks as stale.
    return f"stale _x{steps - 1}" if value is None else f"{value!r}+0x{steps - 1}"


def _name(sample: Sample) -> str:
    labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
    return f"{sample.name}{{{labels}}}"


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def _env(house: System) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", **house.env}
