"""Taking orders in, and looking at what became of them."""

from typing import Any

from builders import Sessions, all_of, an_intake

from models import Message, RefusedIntake
from models.lifecycle import Lane
from worker.intake import Taken

TASK_ID = "0195a3f0-6c1e-4d0f-9b1f-0d6a3f6a7c11"
TELL = {"task": "shop.sms_changed", "queue": "shop"}


def take(sessions: Sessions, *raws: bytes, lane: Lane = Lane.NORMAL, **terms: Any) -> Taken:
    return an_intake(sessions, **terms).take_raw(raws, lane)


def the_only_sms(sessions: Sessions) -> Message:
    (message,) = all_of(sessions, Message)
    assert isinstance(message, Message)
    return message


def the_refusal(sessions: Sessions) -> RefusedIntake:
    (refused,) = all_of(sessions, RefusedIntake)
    assert isinstance(refused, RefusedIntake)
    return refused
