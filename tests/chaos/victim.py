"""A worker to be broken: ``celery -A tests.chaos.victim worker``, the real one with witnesses at its seams."""

import faulthandler
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

from celery.signals import worker_ready

from tests.chaos.steps import Conditions, Notes
from worker import clock

faulthandler.register(signal.SIGUSR1)  # its threads into its log, for whoever asks why it does not go

notes = Notes(Path(os.environ["CHAOS_NOTES"]))
conditions = Conditions(Path(os.environ["CHAOS_CONDITIONS"]))


def wrong_now() -> datetime:
    """The present instant by a clock that somebody has set."""
    return datetime.now(UTC) + timedelta(seconds=conditions.clock_ahead_seconds)


clock.utc_now = wrong_now  # before anybody else imports it by its name

from tests.chaos import seams  # noqa: E402
from worker.celery import app  # noqa: E402

__all__ = ["app"]

seams.Witness(notes).watch()
seams.fill_disks(conditions, notes)


@worker_ready.connect(weak=False)
def _ready(**_: object) -> None:
    notes.say_ready()
