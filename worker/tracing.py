"""Traces: one from a producer's call to the gateway's answer and the delivery report.

A producer that is instrumented with OpenTelemetry names its trace in the order (the header ``traceparent``), and its
message keeps that for life. Each step that is committed becomes a span under it, in whatever process it was taken.
Off unless the extra ``otel`` is installed and OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set.
"""

import os
from collections.abc import Sequence
from datetime import datetime
from threading import Lock
from typing import NamedTuple, Protocol

import structlog

from models.lifecycle import FINAL, MessageState

log = structlog.get_logger()

WANTED = any(os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") for name in ("ENDPOINT", "TRACES_ENDPOINT"))
FLUSH_SECONDS = 3.0
MOST_UNDER_WAY = 10_000  # messages whose post's beginning is remembered

WHY_NOT: str | None = None

if WANTED:  # else a command would wait for what it does not use
    try:
        from worker.spans import Spans
    except ImportError:
        WHY_NOT = "pip install 'getsms-worker[otel]'"
    except ValueError as error:  # the SDK reads some of OTEL_* when it is imported
        WHY_NOT = str(error)


class Traced(Protocol):
    """What is read of a message that moved, as `worker.store.moves.Moved` has it."""

    @property
    def id(self) -> int: ...
    @property
    def uid(self) -> str: ...
    @property
    def lane(self) -> str: ...
    @property
    def created_at(self) -> datetime | None: ...
    @property
    def posted_at(self) -> datetime | None: ...
    @property
    def submitted_at(self) -> datetime | None: ...
    @property
    def batch_id(self) -> int | None: ...
    @property
    def request_id(self) -> str | None: ...
    @property
    def error_no(self) -> int | None: ...
    @property
    def traceparent(self) -> str | None: ...


class Step(Protocol):
    """One move, as `worker.store.moves.Seen` has it."""

    @property
    def message(self) -> Traced: ...
    @property
    def state(self) -> MessageState: ...
    @property
    def at(self) -> datetime: ...


class Named(NamedTuple):
    """A span's name, and when it began; it ends with the move."""

    name: str
    begun_at: datetime


class UnderWay:
    """When the posts began that this process has in hand."""

    def __init__(self) -> None:
        self._begun: dict[int, datetime] = {}
        self._lock = Lock()

    def name(self, step: Step) -> Named | None:
        """The span that *step* ends; None if it ends none."""
        one, state = step.message, step.state
        if state == MessageState.POSTING:
            self._note(one.id, step.at)
            return None
        if begun_at := self._pop(one.id):
            return Named("sms post", begun_at)
        if state == MessageState.QUEUED and one.batch_id is None:
            return Named("sms intake", one.created_at or step.at)
        return _elsewhere(step)

    def _note(self, message_id: int, at: datetime) -> None:
        with self._lock:
            self._begun[message_id] = at
            if len(self._begun) > MOST_UNDER_WAY:
                del self._begun[next(iter(self._begun))]

    def _pop(self, message_id: int) -> datetime | None:
        with self._lock:
            return self._begun.pop(message_id, None)


def _elsewhere(step: Step) -> Named | None:
    """A span of something that did not begin in this process, as far as the row knows its beginning."""
    one, state = step.message, step.state
    just_taken = state == MessageState.SUBMITTED and one.submitted_at == step.at
    if one.posted_at and (just_taken or state == MessageState.UNCONFIRMED):
        return Named("sms post", one.posted_at)  # its worker died, or its answer came after all
    if one.submitted_at and state in FINAL:
        return Named("sms delivery", one.submitted_at)
    return None


class Exported(NamedTuple):
    """What one process exports by."""

    worker: str
    spans: "Spans"
    under_way: UnderWay


# By process: a prefork child must share neither its parent's thread nor a lock that was held when it was forked.
_exported: dict[int, Exported] = {}


def begin(worker: str) -> None:
    """Export this process's spans from now on, if they are wanted; *worker* names it. May be called again.

    Without the extra, or with a setting in OTEL_* that its SDK refuses, there are no traces, and all else works.
    """
    if not WANTED or os.getpid() in _exported:
        return
    if WHY_NOT:
        log.warning("traces_not_exported", hint=WHY_NOT)
        return
    try:
        _exported[os.getpid()] = Exported(worker, Spans(worker), UnderWay())
    except Exception as error:  # noqa: BLE001 - whatever a foreign SDK objects to, messages go out
        log.warning("traces_not_exported", hint=str(error))


def finish() -> None:
    """Export what is left, for a few seconds at most, and write no more."""
    if ours := _exported.pop(os.getpid(), None):
        ours.spans.flush_and_close(seconds=FLUSH_SECONDS)


def trace_moves(seen: Sequence[Step]) -> None:
    """Write a span for each step of a message whose producer sent a trace. Never waits for anything."""
    if ours := _exported.get(os.getpid()):
        for step in seen:
            if step.message.traceparent and (named := ours.under_way.name(step)):
                _write(ours, step, named)


def _write(ours: Exported, step: Step, named: Named) -> None:
    one = step.message
    attributes: dict[str, str | int | None] = {
        "sms.uid": one.uid,
        "sms.lane": str(one.lane),
        "sms.outcome": str(step.state),
        "sms.batch_id": one.batch_id,
        "sms.request_id": one.request_id,
        "sms.error_no": one.error_no,
        "sms.worker": ours.worker,
    }
    known = {name: value for name, value in attributes.items() if value is not None}
    ok = step.state not in {MessageState.FAILED, MessageState.UNCONFIRMED}
    ours.spans.write(named.name, one.traceparent or "", (named.begun_at, step.at), known, ok=ok)
