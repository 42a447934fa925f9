"""The gateway in our words: what we hand over, and the few things that can come of it.

The protocol speaks of messages and reports, never of HTTP or JSON. ``http`` is the real one, ``memory`` the one for
tests of rooms; one contract suite holds both to the same behaviour.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from models.lifecycle import MessageState
from worker.errors import GatewayError, NeverPosted


@dataclass(slots=True)  # not frozen: making one would cost three times as much
class OutgoingSms:
    """One message of a request. Within a request no phone stands twice: the answer could not tell the two apart."""

    reference: int  #: our own id of the message; never leaves the house
    phone: str = field(repr=False)  #: international, digits only
    text: str = field(repr=False)


@dataclass(slots=True)
class AcceptedSms:
    """The gateway took this message, and this is what it calls it."""

    reference: int
    request_id: str
    message_id: str | None
    answer: dict[str, Any] = field(default_factory=dict, repr=False)  #: the gateway's words, without the text


@dataclass(frozen=True, slots=True)
class RefusedSms:
    """The gateway refused this one message, for good."""

    reference: int
    error_no: int | None
    reason: str
    answer: dict[str, Any] = field(default_factory=dict, repr=False)  #: may hold ids all the same


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The answer to a request, message by message."""

    accepted: Sequence[AcceptedSms] = ()
    refused: Sequence[RefusedSms] = ()
    unanswered: Sequence[int] = ()  #: references of which the answer says nothing: nobody knows
    returned: Sequence[RefusedSms] = ()  #: not taken, and not at fault: the account's limit ran out at this message


@dataclass(frozen=True, slots=True)
class Report:
    """What the gateway says about one message of a request, now."""

    message_id: str | None
    recipient: str | None = field(repr=False)  #: digits only
    gateway_status: str  #: the vendor's word, lower case
    state: MessageState | None  #: delivered or failed; None while it is on its way, and for a word we never met
    billed_parts: int | None
    sent_at: datetime | None
    delivered_at: datetime | None
    answer: dict[str, Any] = field(default_factory=dict, repr=False)  #: the gateway's words, without the text
    text: str | None = field(default=None, repr=False)  #: the message's own, as the gateway has it
    received_at: datetime | None = None  #: when the gateway took the message


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of a question."""

    request_id: str
    answer: Sequence[Report] | Exception  #: a `GatewayError`, or a mistake of ours about this one answer


class Questions(Protocol):
    """Questions that are under way at the same time, in the hands of one thread at a time."""

    def ask(self, request_id: str) -> None:
        """Begin to ask for the messages of a request that is not being asked for; returns at once."""

    def heard(self, *, wait_seconds: float) -> Sequence[Heard]:
        """What came of some of them since, in that order.

        Waits up to *wait_seconds* for the first; where nothing is under way, the one in memory does not.
        """

    def close(self) -> None:
        """Forget what is under way."""


class Gateway(Protocol):
    """Where messages are posted and asked for. Safe to use from several threads."""

    def submit(self, messages: Sequence[OutgoingSms], *, nickname: str | None, begin: Callable[[], None]) -> Acceptance:
        """Post *messages* (1 to 100, no phone twice) once.

        *begin* is called once the connection stands and right before the first byte of the request is written; never
        without a connection, and never twice. If it raises, nothing is written: a `GatewayError` comes through as it
        is, anything else becomes the cause of a `NeverPosted`.

        Raises a `GatewayError`; its class says what became of the request. Whatever is not provably one of the other
        classes is `SubmissionUnconfirmed`.
        """

    def warm(self) -> int:
        """How many posts could go out now over connections that stand already; each caller counts the same ones."""

    def reports(self, request_id: str) -> Sequence[Report]:
        """Ask for the messages of one request; rows of strangers may be among them. Raises a `GatewayError`."""

    def questions(self, *, at_once: int) -> Questions:
        """For asking up to *at_once* questions at the same time; what comes of each is the same as by `reports`."""


def call_or_never_post(begin: Callable[[], None]) -> None:
    """Call *begin* of `Gateway.submit`; raises only a `GatewayError`, which no library on the way knows or catches."""
    try:
        begin()
    except GatewayError:
        raise
    except Exception as error:
        raise NeverPosted(f"the post could not be begun: {type(error).__name__}") from error
