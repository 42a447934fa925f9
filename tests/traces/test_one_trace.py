"""One trace from a producer's call to the delivery report, over processes that share nothing."""

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from collector import Collector, Span, collecting
from servers import wait_for
from system import System

from worker.sandbox.faults import Fault

PHONE, TEXT = "998909711322", "Maxfiy kod 739155"
PRODUCER = """
import sys
from celery import Celery
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
CeleryInstrumentor().instrument(tracer_provider=provider)
sms = Celery(broker=sys.argv[1])
for task, args in {calls!r}:
    with provider.get_tracer("shop").start_as_current_span("checkout"):
        print(sms.send_task(task, args=args, queue="sms.otp").id)
provider.shutdown()
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def wanting(collector: Collector) -> dict[str, Any]:
    """What makes a program export its spans."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}


def order(house: System, collector: Collector, *calls: tuple[str, list[Any]], **env: str) -> list[str]:
    """Order as a producer does that is instrumented with opentelemetry-instrumentation-celery; the ids it saw."""
    command = [sys.executable, "-c", PRODUCER.format(calls=list(calls)), house.env["SMS_REDIS_URL"]]
    named = {"OTEL_SERVICE_NAME": "shop"} | wanting(collector) | env
    sent = subprocess.run(command, env=named, capture_output=True, text=True, check=True, cwd=house.folder, timeout=60)
    return sent.stdout.split()


def of_worker(collector: Collector, count: int) -> Sequence[Span]:
    """The spans of our side, once there are *count*."""

    def ours() -> Sequence[Span]:
        return [span for span in collector.spans() if span.name.startswith("sms ")]

    wait_for(lambda: len(ours()) >= count)
    return ours()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "pool", [pytest.param(["-P", "threads"], id="threads"), pytest.param(["-P", "processes", "-c", "2"], id="prefork")]
)
def test_one_trace_leads_from_the_call_to_the_delivery(house: System, collector: Collector, pool: list[str]) -> None:
    house.worker(*pool, **wanting(collector))
    house.beat()

    [uid] = order(house, collector, ("sms.send", [PHONE, TEXT]))
    house.wait_for_states(delivered=1)
    ours = {span.name: span for span in of_worker(collector, 3)}

    [call] = [span for span in collector.spans() if span.name == "apply_async/sms.send"]
    [checkout] = [span for span in collector.spans() if span.name == "checkout"]
    assert ours.keys() == {"sms intake", "sms post", "sms delivery"}
    assert {span.trace_id for span in collector.spans()} == {checkout.trace_id}
    assert call.parent_id == checkout.span_id
    assert {span.parent_id for span in ours.values()} == {call.span_id}
    assert {span.service for span in ours.values()} == {"sms-worker"}
    assert {span.attributes["sms.uid"] for span in ours.values()} == {uid}
    assert ours["sms intake"].begun <= ours["sms post"].begun < ours["sms post"].ended <= ours["sms delivery"].ended

    [message] = house.rows("SELECT batch_id, request_id FROM messages")
    worker = {"sms.worker": ours["sms post"].attributes["sms.worker"]}
    assert ours["sms post"].attributes == worker | {
        "sms.uid": uid,
        "sms.lane": "otp",
        "sms.outcome": "submitted",
        "sms.batch_id": message.batch_id,
        "sms.request_id": message.request_id,
    }


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_phone_and_no_text_is_in_any_span(house: System, collector: Collector) -> None:
    house.worker(**wanting(collector))
    house.beat()

    order(house, collector, ("sms.send", [PHONE, TEXT]))
    of_worker(collector, 3)

    everything = b"".join(collector.said)
    assert b"sms.request_id" in everything
    assert PHONE.encode() not in everything
    assert b"739155" not in everything


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_message_of_many_bears_the_trace_of_their_order(house: System, collector: Collector) -> None:
    house.worker(**wanting(collector))
    house.beat()

    messages = [{"phone": f"99890123456{n}", "text": TEXT} for n in range(3)]
    order(house, collector, ("sms.send_many", [messages]))
    ours = of_worker(collector, 9)

    [call] = [span for span in collector.spans() if span.name == "apply_async/sms.send_many"]
    assert {(span.trace_id, span.parent_id) for span in ours} == {(call.trace_id, call.span_id)}
    assert len({span.attributes["sms.uid"] for span in ours}) == len(messages)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_its_producer_does_not_sample_is_not_exported_here_either(house: System, collector: Collector) -> None:
    house.worker(**wanting(collector))
    house.beat()

    order(house, collector, ("sms.send", [PHONE, TEXT]), OTEL_TRACES_SAMPLER="always_off")
    house.wait_for_states(delivered=1)
    [sampled] = order(house, collector, ("sms.send", ["998901234567", TEXT]))
    ours = of_worker(collector, 3)

    assert len(house.rows("SELECT uid FROM messages WHERE traceparent IS NOT NULL")) == 2
    assert {span.attributes["sms.uid"] for span in ours} == {sampled}


@pytest.fixture(params=["refuses connections", "never answers"])
def lost(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a collector that takes nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if request.param == "refuses connections":
            listener.close()
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_collector_that_is_away_holds_up_nothing(house: System, collector: Collector, lost: str) -> None:
    worker = house.worker(OTEL_EXPORTER_OTLP_ENDPOINT=lost, OTEL_BSP_SCHEDULE_DELAY="100")
    house.beat()

    order(house, collector, *[("sms.send", [f"9989012345{n}", TEXT]) for n in range(10, 40)])
    house.wait_for_states(delivered=30, seconds=30)
    worker.stop()

    assert worker.exit_code == 0, "it did not end by itself"
    assert set(house.posted().values()) == {1}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_post_that_fails_is_an_error_with_its_number(house: System, collector: Collector) -> None:
    house.control.set_faults(Fault("error", error_no=202, on=["send"]))
    house.worker(**wanting(collector))
    house.beat()

    order(house, collector, ("sms.send", [PHONE, TEXT]))
    house.wait_for_states(failed=1)
    post = next(span for span in of_worker(collector, 2) if span.name == "sms post")

    assert (post.is_error, post.attributes["sms.outcome"], post.attributes["sms.error_no"]) == (True, "failed", 202)
