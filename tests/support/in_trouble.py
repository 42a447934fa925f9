"""A gateway that fails, and the circuit that it opens."""

from datetime import timedelta
from typing import Any

from builders import NOON, Clock, Sessions, a_submission, stored
from sqlalchemy import select

from models import Circuit
from models.lifecycle import Room
from worker.errors import GatewayUnavailable, SubmissionUnconfirmed
from worker.gateway.memory import Answer, MemoryGateway
from worker.submission import Submission

CUT_OFF = SubmissionUnconfirmed("read timed out", http_status=502)
UNREACHABLE = GatewayUnavailable("connection refused")
SLOW_AFTER = timedelta(seconds=15)
WRONG_URL = GatewayUnavailable("HTTP 404: nothing was taken", http_status=404)


def a_room(sessions: Sessions, clock: Clock, *answers: Answer, **changes: Any) -> Submission:
    """Its batches are of one message."""
    options = {"batch_max_messages": 1, "slow_after": SLOW_AFTER} | changes
    return a_submission(sessions, MemoryGateway(answers=answers, now=clock), clock, **options)


def the_circuit(sessions: Sessions, room: Room = Room.POSTING) -> Circuit:
    with sessions() as session:
        return session.scalars(select(Circuit).where(Circuit.room == room)).one()


def opened(sessions: Sessions, clock: Clock) -> None:
    """One post is cut off; the circuit's first probe is due now."""
    stored(sessions, send_at=NOON - timedelta(days=1))
    a_room(sessions, clock, CUT_OFF).post_next()
    clock.at = the_circuit(sessions).probe_at or clock.at
    assert the_circuit(sessions).state == "open"
