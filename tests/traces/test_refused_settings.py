"""A setting that OpenTelemetry's SDK refuses costs the traces, and no message."""

from typing import Any

import pytest
from system import System


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "env",
    [
        pytest.param({"OTEL_BSP_MAX_QUEUE_SIZE": "1"}, id="refused when spans begin"),
        pytest.param({"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"}, id="refused when it is imported"),
    ],
)
def test_a_worker_goes_on_without_traces_and_says_why(house: System, env: dict[str, Any]) -> None:
    worker = house.worker(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", **env)
    house.beat()

    house.producer.send_task("sms.send", args=["998901234567", "Kod"], queue="sms.otp")
    house.wait_for_states(delivered=1)

    assert "traces_not_exported" in worker.log.read_text()
