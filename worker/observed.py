"""What was committed, told to those who count and trace it; what was rolled back never happened."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from models.lifecycle import MessageState
from worker import instruments
from worker.store.moves import MOVED, Moved, Seen
from worker.store.noted import NOTED

log = structlog.get_logger()

Watcher = Callable[[Sequence[Seen]], None]


def watch(sessions: sessionmaker[Session], *watchers: Watcher) -> None:
    """Call *watchers* with what each transaction of *sessions* moved, after its commit and never after a rollback.

    They run in the committing thread, so they must be quick, and ask nothing of the database. One that fails is
    logged: to its room the commit stays a commit.
    """

    def committed(session: Session) -> None:
        if seen := session.info.pop(MOVED, None):
            for watcher in watchers:
                _calmly(watcher, seen)
        if noted := session.info.pop(NOTED, None):
            _calmly(instruments.count_noted, noted)

    event.listen(sessions, "after_commit", committed)
    event.listen(sessions, "after_rollback", _forget)


def count_moves(seen: Sequence[Seen]) -> None:
    """Count moves by lane and state, and time what was accepted or delivered since it might first be posted."""
    counts = Counter((one.message.lane, one.state) for one in seen)
    for (lane, state), moved in counts.items():
        instruments.count_moved(lane, state, moved)
    accepted, delivered = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for message, state, at in seen:
        if state is MessageState.FAILED:
            instruments.count_failed(message.error_no)
        elif state is MessageState.SUBMITTED:
            accepted[message.lane].append(_waited(message, at))
        elif state is MessageState.DELIVERED:
            delivered[message.lane].append(_waited(message, message.delivered_at or at))
    instruments.time_accepted(accepted)
    instruments.time_delivered(delivered)


def _waited(message: Moved, until: datetime) -> float:
    """The seconds from when it might first be posted."""
    created_at, send_at = message.created_at or until, message.send_at or until
    return (until - max(created_at, send_at)).total_seconds()


def log_moves(seen: Sequence[Seen]) -> None:
    """A line for each message and move, by which a customer's message is found; with ``--loglevel DEBUG`` only."""
    if not logging.getLogger(__name__).isEnabledFor(logging.DEBUG):
        return
    for one in seen:
        message = one.message
        log.debug(
            "message_moved",
            uid=message.uid,
            state=str(one.state),
            lane=message.lane,
            batch_id=message.batch_id,
            request_id=message.request_id,
            error_no=message.error_no,
        )


def _forget(session: Session) -> None:
    session.info.pop(MOVED, None)
    session.info.pop(NOTED, None)


def _calmly(tell: Callable[[Any], None], what: Any) -> None:
    try:
        tell(what)
    except Exception as error:  # noqa: BLE001
        log.warning("watcher_broke", error=type(error).__name__)
