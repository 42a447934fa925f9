"""Every query of the dashboard is run by a real Prometheus that scrapes a real house."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from servers import wait_for
from system import System, phones
from watched import ALERTS, ROOT, exporter

from worker.embedded import processes
from worker.sandbox.faults import Fault

DASHBOARD = ROOT / "deploy/grafana/dashboard.json"
VARIABLES = {"$__rate_interval": "30s", "$__range": "5m", '"$lane"': '".*"'}

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus (Debian's package of that name) is not here"
)


def queries() -> list[tuple[str, str]]:
    """Each panel's title with each of its queries, as Grafana would send it."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]
    for variable, value in VARIABLES.items():
        found = [(title, query.replace(variable, value)) for title, query in found]
    return found


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """A real one that scrapes *target* each second; the address of its API."""
    port = processes.free_port()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [{"job_name": "sms", "static_configs": [{"targets": [target]}]}],
    }
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(config))
    options = [
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    process = processes.start(["prometheus", *options], log=folder / "prometheus.log")
    try:
        api = f"http://127.0.0.1:{port}/api/v1"
        wait_for(partial(answers, api))
        yield api
    finally:
        processes.stop(process, seconds=10)


def answers(api: str) -> bool:
    try:
        return bool(ask(api, "up == 1"))
    except (requests.RequestException, AssertionError):
        return False


def ask(api: str, query: str) -> list[Any]:
    answer = requests.get(f"{api}/query", {"query": query}, timeout=30).json()
    assert answer["status"] == "success", (query, answer)
    return [one for one in answer["data"]["result"] if one["value"][1] != "NaN"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_panel_has_something_to_show(house: System) -> None:
    assert not any("$" in query.replace("$lane", "") for _, query in queries())
    house.beat()
    house.worker()
    with exporter(house) as address, prometheus(house.folder, address) as api:
        house.control.set_faults(Fault("error", error_no=200, count=1))
        numbers = iter(phones(400))

        def shown() -> bool:
            for lane in ("otp", "normal", "bulk"):  # traffic goes on, so that rates have something to rise by
                house.send(next(numbers), lane=lane)
            return not empty()

        def empty() -> set[str]:
            found = {title: bool(ask(api, query)) for title, query in queries()}
            return {title for title, has in found.items() if not has}

        try:
            wait_for(shown, seconds=90)
        except AssertionError:
            pytest.fail(f"nothing to show: {sorted(empty())}")
        assert {one["metric"]["alertname"] for one in ask(api, 'ALERTS{alertstate="firing"}')} == set()
