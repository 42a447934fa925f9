"""Sends what stands in the outbox, for ever: ``python -m outbox.relay``.

A row is marked when Redis has its order, never before. A relay killed between the two sends the row again, as two
relays may that run side by side: with the same key, so it is one SMS all the same.
"""

import logging
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from celery import Celery
from kombu.exceptions import OperationalError
from outbox.shop import UNSENT, Outgoing, open_database
from sms_producer import Producer, Sms
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

AT_ONCE = 100
BETWEEN_LOOKS_SECONDS = 0.5

log = logging.getLogger(__name__)


def relay(sessions: sessionmaker[Session], sms: Producer) -> int:
    """Send the oldest rows; return how many. No transaction is open while Redis is asked."""
    unsent = select(Outgoing).where(UNSENT).order_by(Outgoing.created_at).limit(AT_ONCE)
    with sessions() as session:
        rows: Sequence[Outgoing] = session.scalars(unsent).all()
    for row in rows:
        became = _send(row, sms)
        with sessions.begin() as session:
            session.execute(update(Outgoing).where(Outgoing.id == row.id).values(became))
    return len(rows)


def _send(row: Outgoing, sms: Producer) -> dict[str, object]:
    """What is to be written into the row: one that somebody else wrote, wrongly, must not stop all behind it."""
    try:
        ready = Sms(row.phone, row.text, key=row.id)
    except ValueError as error:
        log.error("Row %s is never sent: %s", row.id, error)  # noqa: TRY400 - a trace would show the row
        return {"wrong": str(error)}
    sms.send(ready, lane=row.lane)
    return {"sent_at": datetime.now(UTC)}


def main() -> None:
    """Until somebody stops it; whenever that is, nothing is lost."""
    celery = Celery("outbox", broker=os.environ["BROKER_URL"], set_as_current=False)
    celery.conf.broker_transport_options = {"socket_connect_timeout": 5, "socket_timeout": 5}
    sessions, sms = sessionmaker(open_database()), Producer(celery, "outbox")
    while True:
        try:
            sent = relay(sessions, sms)
        except OperationalError:
            log.warning("The broker does not answer; the rest is sent later.")
            sent = 0
        except DBAPIError as error:  # whose words may show a row
            log.warning("The database does not answer (%s); the rest is sent later.", type(error.orig).__name__)
            sent = 0
        if sent < AT_ONCE:
            time.sleep(BETWEEN_LOOKS_SECONDS)


if __name__ == "__main__":
    main()
