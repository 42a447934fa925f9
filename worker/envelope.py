"""A Celery message as it lies on the broker: protocol 2, read without Celery."""

import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from worker.errors import OrderRefused
from worker.storable import parsed

CONTRACT = "1.1"  #: of producers and workers; a minor one adds fields, which older workers keep in the tags
CONTRACT_HEADER = "sms_contract"
TRACE_HEADER = "traceparent"  #: W3C Trace Context, as OpenTelemetry writes it into a Celery message
MAJOR = 1
_version_of_ours = re.compile(rf"{MAJOR}(\.[0-9]+)*").fullmatch
_is_trace = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
CANVAS = {"callbacks": "link", "errbacks": "link_error", "chain": "chain", "chord": "chord"}


@dataclass(slots=True)  # frozen ones take four times as long to make, and there is one for each order
class Envelope:
    """One order, unpacked but not yet understood. It is never changed."""

    task: str
    task_id: str
    args: list[Any] = field(repr=False)
    kwargs: dict[str, Any] = field(repr=False)
    eta: str | None = None
    expires: Any = None
    raw: bytes = field(default=b"", repr=False)
    embed: Any = field(default=None, repr=False)  #: what is to follow, by the names of `CANVAS`
    contract: Any = None  #: the version in its header
    traceparent: Any = None  #: its producer's trace as it came; `trace_of` says whether it is one


def unpack(raw: bytes) -> Envelope:
    """Read one element of a Redis list. Raises `OrderRefused` for whatever Celery's JSON protocol 2 does not write.

    What only cannot be kept is for `refuse_unsupported`, so that a producer who asks for it is told.
    """
    # Beside its id, only texts are of account in it.
    message = _json(raw, "The message is not JSON as Kombu writes it.", long_numbers=False)
    headers = message.get("headers") if isinstance(message, dict) else None
    said: Callable[[str], Any] = headers.get if isinstance(headers, dict) else {}.get
    task, task_id = said("task"), said("id")
    if not isinstance(task, str) or not task_id:
        raise OrderRefused("not_protocol_2", "No Celery message of protocol 2: task and id are missing in its headers.")
    if said("compression"):
        raise OrderRefused("compressed", "The body is compressed; send it with task_compression unset.")
    args, kwargs, embed = _body(message)
    task_id = task_id if isinstance(task_id, str) else str(parsed(raw)["headers"]["id"])
    times = said("eta"), said("expires")
    return Envelope(task, task_id, args, kwargs, *times, raw, embed, said(CONTRACT_HEADER), said(TRACE_HEADER))


def refuse_unsupported(envelope: Envelope) -> None:
    """Raise `OrderRefused` for an order by another contract than ours, and for one that something is to follow."""
    if envelope.contract is not None and not _is_ours(envelope.contract):
        explanation = f"{CONTRACT_HEADER}: this worker keeps version {CONTRACT}; orders of {MAJOR}.x are taken."
        raise OrderRefused("contract_unsupported", explanation)
    if word := follower(envelope.embed):
        explanation = f"{word} cannot be kept: what follows an SMS is told by its callback. Send the task alone."
        raise OrderRefused("canvas_unsupported", explanation)


def trace_of(envelope: Envelope) -> str | None:
    """Its producer's trace; None if it sent none, and for what is none by W3C's form: an order is never refused for it.

    >>> trace_of(Envelope("sms.send", "1", [], {}, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01"))
    '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01'
    >>> trace_of(Envelope("sms.send", "1", [], {}, traceparent="00-" + "0" * 32 + "-" + "b" * 16 + "-01"))
    """
    written = envelope.traceparent
    return written if isinstance(written, str) and _is_trace(written) else None


def follower(embed: Any) -> str | None:
    """What is to follow the order, in the word that its producer used for it; None if nothing is."""
    if not isinstance(embed, dict) or not any(embed.values()):
        return None
    return next((word for name, word in CANVAS.items() if embed.get(name)), None)


def _is_ours(written: object) -> bool:
    """Whether a version, as text or as a number, is one of ours; one that nobody can read may mean anything."""
    if isinstance(written, str):
        return _version_of_ours(written) is not None
    return isinstance(written, int | float) and not isinstance(written, bool) and MAJOR <= written < MAJOR + 1


def task_id_of(raw: bytes) -> tuple[str | None, str | None]:
    """Task name and id of a message that may be broken; None for what cannot be read."""
    try:
        headers = parsed(raw)["headers"]
        return str(headers["task"]), str(headers["id"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None, None


def _body(message: dict[str, Any]) -> tuple[list[Any], dict[str, Any], Any]:
    if message.get("content-type") != "application/json":
        raise OrderRefused("content_type_forbidden", "Only application/json is read: set task_serializer to json.")
    body = _json(_encoded_body(message), "The body is not JSON.")
    args, kwargs, embed = (*body, None, None, None)[:3] if isinstance(body, list) else (None, None, None)
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise OrderRefused("not_protocol_2", "The body is not [args, kwargs, embed] of Celery's protocol 2.")
    return args, kwargs, embed


def _encoded_body(message: dict[str, Any]) -> bytes:
    body, properties = message.get("body"), message.get("properties")
    if not isinstance(body, str):
        raise OrderRefused("not_protocol_2", "The message has no body.")
    if isinstance(properties, dict) and properties.get("body_encoding") != "base64":
        return body.encode("utf-8", "surrogatepass")
    try:
        return binascii.a2b_base64(body, strict_mode=True)
    except ValueError:
        raise OrderRefused("not_base64", "The body is not base64, though its properties say so.") from None


def _json(raw: bytes, complaint: str, *, long_numbers: bool = True) -> Any:
    try:
        return parsed(raw, long_numbers=long_numbers)
    except (ValueError, RecursionError):
        raise OrderRefused("not_json", complaint) from None
