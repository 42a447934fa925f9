"""What an answer of the gateway says about the account and the circuits, and whether the next one may go out."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from models.lifecycle import Room
from worker.backoff import backoff
from worker.errors import (
    AccountRefused,
    BatchRefused,
    GatewayError,
    GatewayUnavailable,
    NeverPosted,
    NicknameRefused,
    NotRecorded,
    SubmissionUnconfirmed,
)
from worker.gateway import Acceptance
from worker.store import accounts, circuits
from worker.store.accounts import Gate, Pause
from worker.store.circuits import Trouble

log = structlog.get_logger()

ACCOUNT_PAUSE = (timedelta(seconds=30), timedelta(minutes=15))  # a person has to act: no hurry, no hammering
OPENS_AFTER = 3  # calls in a row that failed or were slow
AT_ONCE = OPENS_AFTER  # what was cut off opens the circuit alone: each further post might leave as many unconfirmed
SLOW = "the gateway answers slowly"
REMEDIES = {
    100: "set SMS_GATEWAY_LOGIN and SMS_GATEWAY_PASSWORD",
    101: "check SMS_GATEWAY_LOGIN and SMS_GATEWAY_PASSWORD",
    102: "the vendor blocked the account: ask them",
    103: "the account's limit is used up: top it up; posting goes on by itself",
    403: "register this server's IP address with the vendor",
}
HINTS = {
    Room.POSTING: "it is tried again by itself; what was cut off waits for sms unconfirmed, or for the lane's policy",
    Room.POLLING: "it is tried again by itself; reports come later",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one post."""

    answer: Acceptance | GatewayError
    gate: Gate  #: as it was found when the batch was claimed
    slow: bool = False
    took: timedelta | None = None  #: from the first byte of the post to the end of the answer; None if none left


def judge_post(session: Session, account_id: int, outcome: Outcome, *, now: datetime) -> None:
    """Pause or resume the account, open or close the posting circuit."""
    _judge_account(session, account_id, outcome, now)
    if isinstance(outcome.answer, NeverPosted | NotRecorded):
        if outcome.gate.open:
            circuits.give_back_probe(session, account_id, Room.POSTING, now=now)
    else:
        judge_circuit(session, account_id, Room.POSTING, _trouble(outcome), probing=outcome.gate.open, now=now)


def judge_circuit(
    session: Session, account_id: int, room: Room, trouble: Trouble | None, *, probing: bool, now: datetime
) -> None:
    """Count a call of the gateway; *probing* if its caller found the circuit open; *trouble* is what was wrong."""
    if trouble:
        if circuits.fail(session, account_id, room, trouble, most=OPENS_AFTER, probing=probing, now=now):
            log.warning("circuit_opened", room=str(room), reason=trouble.reason, hint=HINTS[room])
    elif not probing:
        circuits.forget_failures(session, account_id, room)
    elif circuits.close(session, account_id, room):
        log.info("circuit_closed", room=str(room))


def _trouble(outcome: Outcome) -> Trouble | None:
    answer = outcome.answer
    if isinstance(answer, SubmissionUnconfirmed):
        return Trouble(answer.reason, answer.http_status, weight=AT_ONCE)
    if isinstance(answer, GatewayUnavailable):
        return Trouble(answer.reason, answer.http_status)
    return Trouble(SLOW) if outcome.slow else None


def _judge_account(session: Session, account_id: int, outcome: Outcome, now: datetime) -> None:
    """Whether the vendor lets the account post. What says nothing about it leaves the probe to the next message."""
    answer, probing = outcome.answer, outcome.gate.paused
    if isinstance(answer, Acceptance) and answer.returned:
        first = answer.returned[0]
        answer = AccountRefused(first.reason, error_no=first.error_no)
    if isinstance(answer, AccountRefused):
        _pause(session, account_id, answer, probing=probing, now=now)
    elif probing and isinstance(answer, Acceptance | NicknameRefused | BatchRefused):
        if accounts.resume(session, account_id):
            log.info("account_resumed")
    elif probing:
        accounts.give_back_probe(session, account_id, now=now)


def _pause(session: Session, account_id: int, refused: AccountRefused, *, probing: bool, now: datetime) -> None:
    why = Pause(refused.reason, refused.error_no, refused.http_status)
    if probing:
        failed = accounts.probes_of(session, account_id) + 1
        pause = backoff(failed + 1, base=ACCOUNT_PAUSE[0], ceiling=ACCOUNT_PAUSE[1])
        accounts.prolong(session, account_id, why, probe_at=now + pause)
    elif accounts.pause(session, account_id, why, now=now, probe_at=now + ACCOUNT_PAUSE[0]):
        remedy = REMEDIES.get(refused.error_no or refused.http_status or 0, "ask the vendor")
        log.warning("account_paused", reason=refused.reason, error_no=refused.error_no, remedy=remedy)
