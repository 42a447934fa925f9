"""Faults that can be switched on while the sandbox runs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Any, Literal, get_args

Endpoint = Literal["send", "status"]
Kind = Literal[
    "refuse-connections",  #: nobody listens, and open connections are cut, until it is switched off
    "cut-before",  #: the connection is cut before the request is read; not journaled
    "cut-after",  #: journaled, then the connection is cut without an answer
    "hang",  #: journaled, never answered
    "bad-gateway-before",  #: HTTP 502 with HTML; not journaled
    "bad-gateway-after",  #: journaled, then HTTP 502 with HTML
    "half-json",  #: journaled, then half of the answer
    "half-answer",  #: journaled, then the head and half of the answer, and the connection is cut
    "forbidden",  #: HTTP 403 with HTML, as to an address that is not registered
    "error",  #: a refusal of the whole request with the number `error_no`
    "guilty",  #: a request that holds a text with `marker` is refused as a whole, with 201
]
KINDS: frozenset[str] = frozenset(get_args(Kind))
ENDPOINTS: frozenset[str] = frozenset(get_args(Endpoint))
LASTING = frozenset({"refuse-connections", "guilty"})  #: these have no probability and no count


@dataclass(slots=True)
class Fault:
    """One fault; *count* is how often it still strikes, None without end."""

    kind: Kind
    on: Sequence[Endpoint] = ("send",)
    probability: float = 1.0
    count: int | None = None
    error_no: int = 103
    marker: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError with what is allowed."""
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(sorted(KINDS))}")
        if not self.on or not ENDPOINTS.issuperset(self.on):
            raise ValueError("on must list send, status or both")
        if self.kind == "guilty" and not self.marker:
            raise ValueError("a guilty fault needs a marker")


@dataclass(frozen=True, slots=True)
class Strike:
    """One request that a fault has struck."""

    kind: Kind
    on: Endpoint
    about: Sequence[str]  #: the phones of a post, or the request_id of a question; empty where it was not even read


class Faults:
    """The faults that are on, how often each kind has struck, and whom."""

    def __init__(self, dice: Random) -> None:
        self.on: list[Fault] = []
        self.struck: Counter[str] = Counter()
        self.strikes: list[Strike] = []
        self._dice = dice

    def switch(self, faults: Iterable[Fault]) -> None:
        """Let these faults, and no others, be on."""
        self.on = list(faults)

    def strike(self, endpoint: Endpoint) -> Fault | None:
        """Return the fault that strikes this request, if any, and count it."""
        for fault in self.on:
            if fault.kind in LASTING or endpoint not in fault.on or fault.count == 0:
                continue
            if self._dice.random() < fault.probability:
                fault.count = fault.count and fault.count - 1
                self.struck[fault.kind] += 1
                return fault
        return None

    def is_guilty(self, text: str) -> bool:
        """Whether a text makes its whole request be refused."""
        return any(fault.kind == "guilty" and fault.marker in text for fault in self.on)

    @property
    def refuse_connections(self) -> bool:
        """Whether nobody may listen."""
        return any(fault.kind == "refuse-connections" for fault in self.on)


def faults_of(listed: Any) -> list[Fault]:
    """Read a JSON array of faults; raises ValueError with what is wrong."""
    known = {field.name for field in fields(Fault)}
    if not isinstance(listed, list) or not all(isinstance(fault, dict) and known.issuperset(fault) for fault in listed):
        raise ValueError(f"an array of objects with {', '.join(sorted(known))} is expected")
    try:
        return [Fault(**fault) for fault in listed]
    except TypeError as error:
        raise ValueError(str(error)) from None
