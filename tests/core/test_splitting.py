"""A batch that the gateway refuses as a whole is split down to whoever is guilty, and nobody else is harmed."""

import itertools
import json
from collections.abc import Callable, Sequence
from math import ceil, log2
from typing import Any

import pytest
from builders import (
    Clock,
    Sessions,
    a_phone,
    a_submission,
    an_upkeep,
    many_stored,
    post_all,
    states_of,
    stored,
    the_sms,
)

from worker.errors import (
    BatchRefused,
    NicknameRefused,
)
from worker.gateway import Acceptance, OutgoingSms
from worker.gateway.memory import MemoryGateway
from worker.gateway.replies import acceptance_of

NOT_JSON = BatchRefused("array is not a JSON", error_no=200, http_status=200)


class GuiltyText:
    """A gateway that refuses every request in which one text stands, as the vendor's document says of 200 and 201."""

    def __init__(self, error_no: int) -> None:
        self._error_no = error_no
        self.gateway = MemoryGateway(answers=itertools.repeat(self._answer))
        self.accepted: list[int] = []

    def _answer(self, messages: Sequence[OutgoingSms]) -> Acceptance:
        if any(one.text == "guilty" for one in messages):
            raise BatchRefused("array is invalid", error_no=self._error_no, http_status=200)
        self.accepted += [one.reference for one in messages]
        return self.gateway.accept(messages)


@pytest.mark.parametrize("error_no", [200, 201, 999])
@pytest.mark.parametrize("place", [0, 7, 49], ids=["first", "in the middle", "last"])
def test_a_refused_batch_is_split_down_to_the_guilty_message(sessions: Sessions, error_no: int, place: int) -> None:
    ids = many_stored(sessions, place)
    guilty = stored(sessions, text="guilty", phone=a_phone(99))
    ids += [stored(sessions, phone=a_phone(100 + number)) for number in range(49 - place)]
    strict = GuiltyText(error_no)

    post_all(a_submission(sessions, strict.gateway))

    failed = the_sms(sessions, guilty)
    assert (failed.state, failed.reason, failed.error_no) == ("failed", "array is invalid", error_no)
    assert {"submitted"} == {the_sms(sessions, sms).state for sms in ids}
    assert sorted(strict.accepted) == ids, "every innocent one is in exactly one accepted request"
    assert len(strict.gateway.posted) <= 1 + 2 * ceil(log2(50))


def test_two_guilty_messages_are_both_found(sessions: Sessions) -> None:
    for text in ("a", "guilty", "b", "c", "guilty", "d"):
        stored(sessions, text=text)

    post_all(a_submission(sessions, GuiltyText(200).gateway))

    assert states_of(sessions) == ["submitted", "failed", "submitted", "submitted", "failed", "submitted"]


def test_a_half_keeps_to_itself_when_new_messages_come(sessions: Sessions) -> None:
    many_stored(sessions, 4)
    gateway = MemoryGateway(answers=[NOT_JSON])
    room = a_submission(sessions, gateway, batch_max_messages=4)
    room.post_next()

    many_stored(sessions, 4)
    post_all(room)

    assert [len(one.messages) for one in gateway.posted] == [4, 2, 2, 4]


def test_what_was_refused_with_one_nickname_does_not_touch_the_others(sessions: Sessions) -> None:
    stored(sessions, nickname="NOBODY")
    stored(sessions, nickname="SHOP")
    gateway = MemoryGateway(answers=[NicknameRefused("incorrect nickname", error_no=203)])

    post_all(a_submission(sessions, gateway))

    assert states_of(sessions) == ["failed", "submitted"]
    assert [one.nickname for one in gateway.posted] == ["NOBODY", "SHOP"]


def answers_with(error: Any) -> Callable[[Sequence[OutgoingSms]], Acceptance]:
    """HTTP 200 and this JSON, whatever is posted."""
    return lambda messages: acceptance_of(messages, 200, json.dumps(error).encode())


NUMBERLESS: list[Any] = [{"error": "Gateway Timeout"}, {"error": True}, {"error": 1, "error_no": 0}]
NUMBERLESS += [{"error_no": "E500"}, [{"error": "Gateway Timeout"}]]


@pytest.mark.parametrize("error", NUMBERLESS, ids=json.dumps)
def test_an_error_without_a_number_splits_nothing_because_the_batch_may_be_on_its_way(
    sessions: Sessions, error: Any
) -> None:
    many_stored(sessions, 50)
    clock = Clock()
    gateway = MemoryGateway(answers=[answers_with(error)])
    room = a_submission(sessions, gateway, clock)

    post_all(room)
    clock.advance(hours=1)
    an_upkeep(sessions, clock).sweep()
    post_all(room)

    assert len(gateway.posted) == 1
    assert states_of(sessions) == ["unconfirmed"] * 50


def test_an_error_of_a_number_we_never_met_splits(sessions: Sessions) -> None:
    many_stored(sessions, 50)
    gateway = MemoryGateway(answers=[answers_with({"error": 1, "error_no": 999})])

    post_all(a_submission(sessions, gateway))

    assert [len(one.messages) for one in gateway.posted] == [50, 25, 25]
    assert states_of(sessions) == ["submitted"] * 50
