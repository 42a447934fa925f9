"""The life of a message and of a batch: one table of moves, from which everything else is derived."""

from collections.abc import Mapping
from enum import StrEnum


class MessageState(StrEnum):
    """Where a message is, who moves it on, and what a crash does to it."""

    QUEUED = "queued"  #: stored, waits for a batch; a sweep finds it if its bell was lost
    POSTING = "posting"  #: in a batch that may be on the wire; upkeep makes it unconfirmed if the worker dies
    SUBMITTED = "submitted"  #: the gateway took it and gave ids; polling asks until the report is final
    DELIVERED = "delivered"  #: the gateway reports that the phone has it
    FAILED = "failed"  #: refused by the gateway, reported undeliverable, or dropped by a decision
    UNKNOWN = "unknown"  #: taken, but no final report came by the deadline
    CANCELLED = "cancelled"  #: stopped by its producer or a person before it was ever posted
    EXPIRED = "expired"  #: its time ran out before it was ever posted
    UNCONFIRMED = "unconfirmed"  #: the post was cut off: nobody knows. Never posted again without a decision


class BatchState(StrEnum):
    """What became of one request to the gateway."""

    POSTING = "posting"  #: a worker talks to the gateway, until its lease runs out
    ACCEPTED = "accepted"  #: answered message by message; some of them may have been refused
    REFUSED = "refused"  #: the gateway refused the request as a whole, for good
    RELEASED = "released"  #: the gateway certainly took nothing; its messages are queued again
    UNCONFIRMED = "unconfirmed"  #: cut off after the request may have arrived


class CallbackState(StrEnum):
    """Whether a producer has been told of one change."""

    OWED = "owed"  #: to be told, now or at its next try
    TOLD = "told"  #: the receiver has it
    FAILED = "failed"  #: given up after a day of tries; a person may try again


class AccountState(StrEnum):
    """Whether the gateway lets us post."""

    ACTIVE = "active"
    PAUSED = "paused"  #: one probe message at a time, with growing pauses, until one is taken


class CircuitState(StrEnum):
    """Whether the gateway is called as usual."""

    CLOSED = "closed"
    OPEN = "open"  #: one probe at a time, with growing pauses, until one is answered well


class Room(StrEnum):
    """Who calls the gateway: posting in trouble does not keep polling from asking, nor the other way round."""

    POSTING = "posting"
    POLLING = "polling"


class Verdict(StrEnum):
    """What somebody decided."""

    RESEND = "resend"  #: an unconfirmed message is posted again, and may arrive twice
    DROP = "drop"  #: an unconfirmed message is given up, and may have arrived all the same
    CONFIRM = "confirm"  #: a report of the gateway proves that an unconfirmed message was taken
    CANCEL = "cancel"  #: a queued message is stopped by a person
    ASK = "ask"  #: the gateway is asked once more about a message that was given up as unknown
    RETRY = "retry"  #: a producer that could not be told is told again
    PAUSE = "pause"  #: nothing is posted until somebody resumes
    RESUME = "resume"  #: posting goes on at once
    RECOVER = "recover"  #: the database came from a backup: the message may have been posted since


class Lane(StrEnum):
    """The queue a message came by. A message of an earlier lane never waits for one of a later lane."""

    OTP = "otp"
    NORMAL = "normal"
    BULK = "bulk"


S = MessageState
MOVES: Mapping[MessageState, frozenset[MessageState]] = {
    S.QUEUED: frozenset({S.POSTING, S.CANCELLED, S.EXPIRED}),
    S.POSTING: frozenset({S.SUBMITTED, S.FAILED, S.QUEUED, S.UNCONFIRMED}),
    # To submitted only by proof that it was taken: the gateway's own late answer to that very batch, or a report of it.
    S.UNCONFIRMED: frozenset({S.QUEUED, S.FAILED, S.SUBMITTED}),
    S.SUBMITTED: frozenset({S.DELIVERED, S.FAILED, S.UNKNOWN}),
    S.UNKNOWN: frozenset({S.DELIVERED, S.FAILED, S.SUBMITTED}),
}
FINAL = frozenset({S.DELIVERED, S.FAILED, S.UNKNOWN, S.CANCELLED, S.EXPIRED})
TAKEN = frozenset({S.SUBMITTED, S.DELIVERED, S.UNKNOWN})  #: the gateway has it; a failed one may or may not have been
TOLD = frozenset({S.SUBMITTED, S.UNCONFIRMED}) | FINAL  #: a message's callback is owed on reaching one of these


def sources_of(target: MessageState) -> frozenset[MessageState]:
    """The states from which a message may move to *target*.

    >>> sorted(str(state) for state in sources_of(MessageState.DELIVERED))
    ['submitted', 'unknown']
    """
    return frozenset(state for state, targets in MOVES.items() if target in targets)
