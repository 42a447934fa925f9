"""Is it going out? The answer from a few figures, and for each reason its sentence and what to do."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from models.lifecycle import Lane

GOING, SLOW, STOPPED, IDLE = "going", "slow", "stopped", "idle"

BELL_SECONDS = 30.0  #: beat rings every second; without a bell for so long there is none
STUCK_SECONDS = 60.0  #: what waits so long while nothing at all goes out is stuck
SLOW_SECONDS: Mapping[str, float] = {Lane.OTP: 30.0, Lane.NORMAL: 600.0}  #: bulk may take its time


class Said(NamedTuple):
    """What a reason means to a person."""

    verdict: str
    sentence: str
    remedy: str  #: empty where there is nothing to do


SAID: Mapping[str, Said] = {
    "held": Said(
        STOPPED,
        "A person, or a restored database, lets nothing be posted.",
        "sms resume; after a restore sms recover --since TIME",
    ),
    "paused": Said(
        STOPPED,
        "The vendor refuses the account; one probe at a time tries whether it works again.",
        "put it right with the vendor; sms resume tries at once",
    ),
    "circuit_open": Said(
        STOPPED,
        "The gateway does not answer well; one probe at a time tries whether it works again.",
        "it is tried again by itself; sms doctor says what is wrong on the way to it",
    ),
    "no_worker": Said(STOPPED, "No worker is alive.", "start one: celery -A worker worker"),
    "no_bell": Said(
        STOPPED,
        "Workers are alive but hear no bell: beat is gone, or Redis is.",
        "start one beat: celery -A worker beat; sms doctor looks at Redis",
    ),
    "stuck": Said(
        STOPPED,
        "Messages wait, and none of them went out over the last minutes.",
        "sms doctor; then the workers' log",
    ),
    "cut_off": Said(
        SLOW,
        "Most calls of the gateway break off or do not reach it.",
        "sms doctor says what is wrong on the way to it; sms unconfirmed shows what is in doubt",
    ),
    "otp_waits": Said(
        SLOW,
        "A code waits longer than 30 seconds.",
        "sms doctor; more posts at once: SMS_GATEWAY_CONNECTIONS, or another worker",
    ),
    "normal_waits": Said(
        SLOW,
        "A message of the normal lane waits longer than 10 minutes.",
        "sms doctor; more posts at once: SMS_GATEWAY_CONNECTIONS, or another worker",
    ),
    "quiet_hours": Said(IDLE, "All that waits has quiet hours.", ""),
    "nothing_waits": Said(IDLE, "Nothing waits.", ""),
    "posting": Said(GOING, "Messages go out.", ""),
}


class Waiting(NamedTuple):
    """Of one lane."""

    lane: str
    messages: int
    oldest_seconds: float
    quiet: bool
    out_per_minute: float


class Evidence(NamedTuple):
    """What the verdict follows from."""

    held: bool
    paused: bool
    open: bool  #: the posting circuit
    working_seconds: float | None  #: since the start of the oldest worker that is alive; None if none is
    bell_age_seconds: float | None
    answers: int  #: batches that the gateway answered, of the last minutes
    broken: int  #: batches that were cut off or did not reach it
    lanes: Sequence[Waiting]


def judge(seen: Evidence) -> str:
    """The reason, a key of `SAID`."""
    awake = [lane for lane in seen.lanes if lane.messages and not lane.quiet]
    goes = any(lane.out_per_minute for lane in seen.lanes)
    slow = [lane.lane for lane in awake if lane.oldest_seconds > SLOW_SECONDS.get(lane.lane, float("inf"))]
    found = {
        "held": seen.held,
        "paused": seen.paused,
        "circuit_open": seen.open,
        "no_worker": seen.working_seconds is None,
        "no_bell": _hears_nothing(seen),
        "stuck": not goes and any(lane.oldest_seconds > STUCK_SECONDS for lane in awake),
        "cut_off": seen.broken > seen.answers,
        "otp_waits": Lane.OTP in slow,
        "normal_waits": Lane.NORMAL in slow,
        "posting": bool(awake) or goes,
        "quiet_hours": any(lane.messages for lane in seen.lanes),
    }
    return next((reason for reason, true in found.items() if true), "nothing_waits")


def _hears_nothing(seen: Evidence) -> bool:
    ages = (seen.working_seconds, seen.bell_age_seconds)
    return all(age is None or age > BELL_SECONDS for age in ages)
