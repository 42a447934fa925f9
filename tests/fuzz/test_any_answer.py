"""Whatever the gateway answers to a post, each message has one outcome, accepted only where the answer says so."""

import json
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from anything import JSON, WORDS, emptied, fewer, written
from builders import Clock, Sessions, a_phone, a_submission, all_of, many_stored
from hypothesis import given
from hypothesis import strategies as some

from models import Batch, Message
from worker.errors import (
    AccountRefused,
    BatchRefused,
    GatewayError,
    GatewayUnavailable,
    NicknameRefused,
    SubmissionUnconfirmed,
)
from worker.gateway import Acceptance, AcceptedSms, OutgoingSms, RefusedSms
from worker.gateway.memory import MemoryGateway
from worker.gateway.replies import acceptance_of

SMS = [OutgoingSms(reference, a_phone(reference), f"Secret {reference}") for reference in range(1, 6)]
STRANGERS = [a_phone(number) for number in range(900, 905)]
OUTCOMES = (AccountRefused, BatchRefused, NicknameRefused, GatewayUnavailable, SubmissionUnconfirmed)

Row = dict[str, Any]


def row_of(sms: OutgoingSms) -> Row:
    """The document's row of an accepted message, with ids of its own."""
    return {
        "recipient": int(sms.phone),
        "text": sms.text,
        "user_id": 1,
        "date_received": 1499493672,
        "message_id": 1_000 + sms.reference,
        "request_id": 2_000 + sms.reference,
        "client_ip": "185.8.212.184",
    }


def refusal_of(sms: OutgoingSms, error_no: int = 300) -> Row:
    """The document's row of a refused number, ids and all."""
    error = {"error": 1, "error_no": error_no, "error_text": "is NOT a phone number"}
    return row_of(sms) | error | {"recipient": f"+{sms.phone}"}


def stranger(phone: str) -> Row:
    return row_of(OutgoingSms(77, phone, "Not ours"))


FIELDS = [*refusal_of(SMS[0])]
LIKELY = some.sampled_from(
    [int(SMS[0].phone), SMS[1].phone, "+" + SMS[2].phone, STRANGERS[0], 0, 1, "1", 300, 103, 200]
)
CHANGES = some.dictionaries(some.sampled_from(FIELDS) | WORDS, LIKELY | JSON, max_size=3)
CHANGED_ROWS = some.builds(
    lambda make, sms, changes: make(sms) | changes,
    some.sampled_from([row_of, refusal_of]),
    some.sampled_from(SMS),
    CHANGES,
)
ERRORS = some.fixed_dictionaries(
    {"error": some.just(1) | JSON, "error_no": some.integers(99, 401) | JSON},
    optional={"error_text": JSON, "text": JSON},
)
ANSWERS = some.lists(CHANGED_ROWS | JSON, max_size=8) | CHANGED_ROWS | ERRORS | some.lists(ERRORS, max_size=2) | JSON
BODIES = ANSWERS.map(written) | some.binary(max_size=80)
STATUSES = some.sampled_from([200, 200, 200, 403, 404, 500, 502]) | some.integers(100, 599)


@given(http_status=STATUSES, body=BODIES)
def test_each_message_has_one_outcome_and_none_is_accepted_that_the_answer_does_not_name(
    http_status: int, body: bytes
) -> None:
    try:
        acceptance = acceptance_of(SMS, http_status, body)
    except GatewayError as error:
        assert isinstance(error, OUTCOMES)
        assert not is_a_secret_in(error.reason)
        return

    assert http_status == 200
    assert sorted(references(acceptance)) == [sms.reference for sms in SMS]
    for one in acceptance.accepted:
        assert is_taken(SMS[one.reference - 1], one.request_id, json.loads(body))
    said: list[AcceptedSms | RefusedSms] = [*acceptance.accepted, *acceptance.refused, *acceptance.returned]
    assert not {key.lower() for one in said for key in one.answer} & {"text"}
    assert not any(is_a_secret_in(one.reason) for one in [*acceptance.refused, *acceptance.returned])


@given(
    rows=some.lists(some.sampled_from([*map(row_of, SMS), *map(stranger, STRANGERS)]), min_size=1, max_size=14),
    order=some.randoms(use_true_random=False),
)
def test_rows_that_are_dropped_doubled_shuffled_or_strangers_give_each_message_its_own_ids(
    rows: list[Row], order: Any
) -> None:
    order.shuffle(rows)

    acceptance = acceptance_of(SMS, 200, written(rows))

    named = {row["recipient"] for row in rows}
    expected = [(sms.reference, str(2_000 + sms.reference), str(1_000 + sms.reference)) for sms in SMS]
    assert ids(acceptance) == [one for one, sms in zip(expected, SMS, strict=True) if int(sms.phone) in named]
    assert acceptance.unanswered == [sms.reference for sms in SMS if int(sms.phone) not in named]


@given(
    refused=some.lists(some.sampled_from([None, 300, 301, 103]), min_size=5, max_size=5),
    order=some.permutations(range(5)),
)
def test_refusals_among_acceptances_hit_only_their_own_message(refused: list[int | None], order: list[int]) -> None:
    rows = [refusal_of(sms, number) if number else row_of(sms) for sms, number in zip(SMS, refused, strict=True)]

    acceptance = acceptance_of(SMS, 200, written([rows[place] for place in order]))

    by_number = {number: [place for place, said in enumerate(refused, start=1) if said == number] for number in refused}
    assert [one.reference for one in acceptance.accepted] == by_number.get(None, [])
    assert [one.reference for one in acceptance.returned] == by_number.get(103, [])
    assert sorted(references(acceptance)) == [1, 2, 3, 4, 5]


@given(count=some.integers(1, 5), cut=some.integers(0, 10_000), escaped=some.booleans())
def test_an_answer_that_is_cut_anywhere_proves_nothing(count: int, cut: int, *, escaped: bool) -> None:
    body = json.dumps([row_of(sms) for sms in SMS[:count]], ensure_ascii=escaped).encode()
    whole = len(body)

    try:
        acceptance_of(SMS[:count], 200, body[: cut % whole])
    except SubmissionUnconfirmed:
        return

    raise AssertionError("half an answer was believed")


WRITTEN: dict[str, Callable[[int], object]] = {
    "as the document shows": lambda number: number,
    "as text": str,
    "as text with blanks": lambda number: f" {number} ",
    "as a float": float,
}


@given(
    ways=some.fixed_dictionaries(dict.fromkeys(FIELDS, some.sampled_from([*WRITTEN]))),
    error=some.sampled_from([{}, {"error": 0}, {"error": 0, "error_no": 0}, {"error": 1, "error_no": 300}]),
)
def test_how_a_number_is_written_makes_no_difference(ways: dict[str, str], error: Row) -> None:
    row = row_of(SMS[0]) | error
    said = {name: WRITTEN[ways[name]](value) if isinstance(value, int) else value for name, value in row.items()}

    acceptance = acceptance_of(SMS[:1], 200, written([said]))

    assert ids(acceptance) == ([] if error.get("error") else [(1, "2001", "1001")])
    assert [one.error_no for one in acceptance.refused] == ([300] if error.get("error") else [])


@fewer(by=6)
@given(http_status=STATUSES, bodies=some.lists(BODIES, min_size=1, max_size=3))
def test_whatever_is_answered_can_be_stored(sessions: Sessions, http_status: int, bodies: list[bytes]) -> None:
    many_stored(emptied(sessions), 3)
    clock = Clock()
    answers = [lambda messages, body=body: acceptance_of(messages, http_status, body) for body in bodies]
    room = a_submission(sessions, MemoryGateway(answers=answers), clock)

    for _ in bodies:
        clock.at += timedelta(hours=1)  # past any pause
        room.post_next()

    assert "posting" not in {one.state for one in [*all_of(sessions, Message), *all_of(sessions, Batch)]}
    assert "answer_not_recorded" not in {one.reason for one in all_of(sessions, Message)}


def references(acceptance: Acceptance) -> list[int]:
    answered: Sequence[Any] = [*acceptance.accepted, *acceptance.refused, *acceptance.returned]
    return [*(one.reference for one in answered), *acceptance.unanswered]


def ids(acceptance: Acceptance) -> list[tuple[int, str, str | None]]:
    return [(one.reference, one.request_id, one.message_id) for one in acceptance.accepted]


def is_taken(sms: OutgoingSms, request_id: str, answer: Any) -> bool:
    """Whether a row of *answer*, read as a person would, names *sms* or nobody, that id, and no error."""
    rows = [{key.strip(): value for key, value in row.items()} for row in answer if isinstance(row, dict)]
    return any(
        re.sub(r"[^0-9]", "", str(row.get("recipient") or "")) in {sms.phone, ""}
        and request_id in str(row.get("request_id")).replace("\0", "\ufffd").encode("utf-8", "replace").decode()
        and row.get("error") not in [1, "1", True]
        and row.get("error_no") not in [300, 103, 200]
        for row in rows
    )


def is_a_secret_in(words: str) -> bool:
    return any(sms.phone in words or sms.text in words for sms in SMS)
