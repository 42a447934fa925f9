"""Spans as OpenTelemetry's SDK exports them. Imported only where traces are wanted: see `worker.tracing`."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from threading import Thread

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.status import StatusCode

SERVICE = "sms-worker"  #: unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES says another name
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KINDS = {"sms intake": SpanKind.CONSUMER, "sms post": SpanKind.CLIENT}


class Spans:
    """Where one process's spans go: a bounded queue in memory, and a thread that exports it. All else is in OTEL_*."""

    def __init__(self, worker: str) -> None:
        """*worker* names this process."""
        resource = Resource.create({SERVICE_INSTANCE_ID: worker})
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
        # Not shut down by atexit: that would wait for half a minute where the collector hangs.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("worker")
        self._propagator = TraceContextTextMapPropagator()

    def write(
        self,
        name: str,
        parent: str,
        times: tuple[datetime, datetime],
        attributes: Mapping[str, str | int],
        *,
        ok: bool,
    ) -> None:
        """A span from one instant to another, under the span that *parent* (a traceparent) names."""
        begun, ended = (_nanoseconds(at) for at in times)
        context = self._propagator.extract({"traceparent": parent})
        kind = KINDS.get(name, SpanKind.INTERNAL)
        span = self._tracer.start_span(name, context, kind=kind, attributes=attributes, start_time=begun)
        if not ok:
            span.set_status(StatusCode.ERROR)
        span.end(max(begun, ended))

    def flush_and_close(self, *, seconds: float) -> None:
        """Export what is left, for so long at most."""
        closing = Thread(target=self._provider.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(seconds)


def _nanoseconds(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1) * 1000
