"""Where the extra is not installed everything works, and only traces are missing."""

from typing import Any

import pytest
from system import System

# As early as Python runs anything, and in every process: the worker finds no OpenTelemetry on this machine.
BLOCKER = """
import sys


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocker())
"""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("env", "is_missed"),
    [
        pytest.param({}, False, id="not wanted"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True, id="wanted"),
    ],
)
def test_a_worker_goes_on_without_the_extra_and_says_so_only_where_traces_are_wanted(
    house: System, env: dict[str, Any], is_missed: bool
) -> None:
    without = house.folder / "without"
    without.mkdir()
    (without / "sitecustomize.py").write_text(BLOCKER)
    worker = house.worker(PYTHONPATH=str(without), **env)
    house.beat()

    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    sent = house.producer.send_task(
        "sms.send", args=["998901234567", "Kod"], queue="sms.otp", headers={"traceparent": traceparent}
    )
    house.wait_for_states(delivered=1)

    assert house.rows("SELECT uid, traceparent FROM messages") == [(sent.id, traceparent)]
    assert ("traces_not_exported" in worker.log.read_text()) == is_missed
