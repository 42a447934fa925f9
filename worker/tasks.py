"""Doorbells: tasks of a few lines that wake a room. They carry nothing; right and wrong live in SQL."""

import os
import secrets
import traceback
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any

import structlog
from kombu import Queue
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from worker import instruments, tracing, wiring
from worker.bell import Ringer
from worker.celery import app, settings
from worker.errors import CallbackFailed
from worker.order_fields import is_of_our_own
from worker.seats import LastLook
from worker.store.callbacks import Owed
from worker.store.engine import DATABASE_TROUBLE
from worker.wiring import House

log = structlog.get_logger()

BELL_EXPIRES_SECONDS = 30  # an older one says nothing that a newer would not

_ringers: dict[int, Ringer] = {}
_houses: dict[int, House] = {}  # by process: a prefork child must not share its parent's connections
_stopping = Event()
_name = {"worker": "sms"}
_highest = {"batch": 0}


def house() -> House:
    """This process's rooms."""
    pid = os.getpid()
    if pid not in _houses:
        worker = f"{_name['worker']}:{pid}:{secrets.token_hex(4)}"
        _houses[pid] = wiring.build(
            settings,
            worker=worker,
            tell_task=_tell_task,
            ring_callbacks=ring_callbacks,
            note_batch=note_batch,
            stopping=_stopping,
        )
        _houses[pid].publisher.start()
    return _houses[pid]


@app.task(name="sms.submit_batches")
def submit_batches() -> None:
    """Post what is queued."""

    def room() -> None:
        rooms = house()
        rooms.bell.heard()
        lanes = LastLook(rooms.posting)
        early = rooms.posting.run(lambda: rooms.submission.post_next(lanes=lanes, on_full=ring_submission))
        if early or lanes.would_see_more() or _missed(rooms, lanes):
            ring_submission()

    calmly(room)


def _missed(rooms: House, lanes: LastLook) -> bool:
    """Whether something of the lanes that were kept back is due, and nobody is inside who rings for it."""
    kept_from = lanes.kept_from
    # What a taker posts holds places, too, and looks for nothing more when it is over.
    return bool(kept_from) and rooms.submission.is_due(kept_from) and not rooms.posting.leave_word()


@app.task(name="sms.poll_reports")
def poll_reports() -> None:
    """Ask about what is due."""

    def room() -> None:
        rooms = house()
        if rooms.asking.run(lambda: rooms.polling.ask_next(on_full=ring_polling)):
            ring_polling()
        rooms.polling.finish(unless=lambda: rooms.asking.inside > 0)

    calmly(room)


@app.task(name="sms.tell_callbacks")
def tell_callbacks() -> None:
    """Tell producers what is owed to them."""

    def room() -> None:
        rooms = house()
        if rooms.telling.run(lambda: rooms.callbacks.tell_next(on_full=ring_callbacks)):
            ring_callbacks()

    calmly(room)


@app.task(name="sms.ring")
def ring_lost_bells() -> None:
    """Ring for whatever stands in the table; a bell that was never heard is rung again here."""

    def room() -> None:
        house().publisher.hear_bell()
        waiting = house().upkeep.waiting()
        if waiting.messages:
            ring_submission()
        if waiting.callbacks:
            ring_callbacks()

    calmly(room)


@app.task(name="sms.sweep")
def sweep() -> None:
    """Put right what a crash left half done."""
    calmly(lambda: house().upkeep.sweep())  # noqa: PLW0108 - the house is built within, calmly


@app.task(name="sms.delete_old")
def delete_old() -> None:
    """Delete what is past its retention."""
    calmly(lambda: house().upkeep.delete_old())  # noqa: PLW0108


def ring_submission() -> None:
    """Let some worker look for messages to post; returns at once."""
    _ringer().ring("submission")


def ring_polling() -> None:
    """Let some worker help to ask."""
    _ringer().ring("polling")


def ring_callbacks() -> None:
    """Let some worker tell what is owed."""
    _ringer().ring("callbacks")


def note_batch(batch_id: int) -> None:
    """Let the watermark rise to this batch; returns at once."""
    _highest["batch"] = max(_highest["batch"], batch_id)
    _ringer().ring("watermark")


def name_this_worker(name: str) -> None:
    """What batches and in-flight lists are signed with."""
    _name["worker"] = name


def leave() -> None:
    """Finish what is in hand, and begin nothing new."""
    _stopping.set()


def say_goodbye() -> None:
    """Write what this process counted and traced to the end, and that it left."""
    if rooms := _houses.get(os.getpid()):
        rooms.publisher.stop()
    tracing.finish()


def calmly(room: Callable[[], object]) -> None:
    """Run *room*; leave trouble to the next bell. An error's own words may hold a row, with its phone and its text."""
    try:
        room()
    except DATABASE_TROUBLE as error:
        instruments.count_trouble("database")
        log.warning("database_away", error=type(error).__name__, hint="nothing is lost; it is tried again")
    except (RedisError, BrokerError) as error:
        instruments.count_trouble("broker")
        log.warning("broker_away", error=type(error).__name__, hint="nothing is lost; it is tried again")
    except Exception as error:  # noqa: BLE001
        instruments.count_trouble("mistake")
        log.error("room_broke", error=type(error).__name__, frames=traceback.format_tb(error.__traceback__))  # noqa: TRY400


def _ringer() -> Ringer:
    pid = os.getpid()
    if pid not in _ringers:
        _ringers[pid] = Ringer(
            {
                "submission": _submission_bell,
                "polling": partial(_publish, poll_reports),
                "callbacks": partial(_publish, tell_callbacks),
                "watermark": _raise_watermark,
            }
        )
    return _ringers[pid]


def _submission_bell() -> None:
    bell = house().bell
    if not bell.may_ring():
        return
    try:
        _publish(submit_batches)
    except BaseException:
        bell.heard()  # there is none under way
        raise


def _raise_watermark() -> None:
    if watermark := house().watermark:
        watermark.note(_highest["batch"])


def _publish(task: Any) -> None:
    task.apply_async(expires=BELL_EXPIRES_SECONDS, retry=False)


def _tell_task(owed: Owed) -> None:
    target = owed.target
    if is_of_our_own(target.get("queue") or ""):  # from before such orders were refused
        raise CallbackFailed("a queue of our own", for_good=True)
    # A queue that we do not consume: named here, because missing ones are not made by mistake.
    queue = Queue(target["queue"]) if target.get("queue") else Queue("celery")
    try:
        app.send_task(
            target["task"],
            args=[owed.event],
            queue=queue,
            argsrepr="(…)",
            kwargsrepr="{}",
            retry=False,
            ignore_result=True,
        )
    except (RedisError, BrokerError, OSError) as error:
        raise CallbackFailed(type(error).__name__, away=True) from None
