"""What becomes of a batch, outcome by outcome."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from builders import (
    NOON,
    Clock,
    Sessions,
    a_submission,
    all_of,
    many_stored,
    states_of,
    stored,
    the_batch,
    the_sms,
)

from models import Account, Batch, Report
from worker.errors import (
    AccountRefused,
    BatchRefused,
    GatewayUnavailable,
    NeverPosted,
    NicknameRefused,
    SubmissionUnconfirmed,
)
from worker.gateway import Acceptance, AcceptedSms, RefusedSms
from worker.gateway.memory import MemoryGateway

NOT_JSON = BatchRefused("array is not a JSON", error_no=200, http_status=200)
CUT_OFF = SubmissionUnconfirmed("read timed out")
REFUSED_CONNECTION = GatewayUnavailable("connection refused")
WRONG_URL = GatewayUnavailable("HTTP 404: nothing was taken", http_status=404)
OUTCOMES: list[Any] = [
    pytest.param(MemoryGateway().accept, "accepted", ("submitted", None), "active", id="accepted"),
    pytest.param(NOT_JSON, "refused", ("failed", "array is not a JSON"), "active", id="200 about a single message"),
    pytest.param(BatchRefused("?", error_no=999), "refused", ("failed", "?"), "active", id="a number nobody has met"),
    pytest.param(NicknameRefused("no", error_no=202), "refused", ("failed", "no"), "active", id="202 nickname not set"),
    pytest.param(NicknameRefused("no", error_no=203), "refused", ("failed", "no"), "active", id="203 nickname wrong"),
    *(
        pytest.param(
            AccountRefused("no", error_no=number), "released", ("queued", None), "paused", id=f"{number} account"
        )
        for number in (100, 101, 102, 103)
    ),
    pytest.param(AccountRefused("ip", http_status=403), "released", ("queued", None), "paused", id="403 address"),
    pytest.param(REFUSED_CONNECTION, "released", ("queued", None), "active", id="unreachable"),
    pytest.param(WRONG_URL, "released", ("queued", None), "active", id="a status that proves that nothing was taken"),
    pytest.param(NeverPosted("late"), "released", ("queued", None), "active", id="never posted"),
    pytest.param(CUT_OFF, "unconfirmed", ("unconfirmed", "read timed out"), "active", id="cut off"),
    pytest.param(
        ValueError("a text"), "unconfirmed", ("unconfirmed", "unexpected ValueError"), "active", id="our mistake"
    ),
]


@pytest.mark.parametrize(("answer", "batch", "message", "account"), OUTCOMES)
def test_each_answer_leads_to_one_outcome(
    sessions: Sessions, answer: Any, batch: str, message: tuple[str, str | None], account: str
) -> None:
    sms = stored(sessions)
    gateway = MemoryGateway(answers=[answer])

    posted = a_submission(sessions, gateway).post_next()

    found = the_sms(sessions, sms)
    assert posted
    assert len(gateway.posted) == 1
    assert message == (found.state, found.reason)
    assert [batch] == [one.state for one in all_of(sessions, Batch)]
    assert [account] == [one.state for one in all_of(sessions, Account)]


def test_nothing_is_posted_where_nothing_is_queued(sessions: Sessions) -> None:
    gateway = MemoryGateway()

    assert not a_submission(sessions, gateway).post_next()
    assert gateway.posted == []


def test_every_id_of_the_answer_is_kept_with_its_own_message(sessions: Sessions) -> None:
    first, second = stored(sessions), stored(sessions)
    answer = Acceptance([AcceptedSms(second, "500", "22"), AcceptedSms(first, "500", None)])

    a_submission(sessions, MemoryGateway(answers=[answer]), Clock()).post_next()

    one, other = the_sms(sessions, first), the_sms(sessions, second)
    assert [(sms.request_id, sms.message_id) for sms in (one, other)] == [("500", None), ("500", "22")]
    assert (one.submitted_at, one.next_poll_at) == (NOON, NOON + timedelta(seconds=5))


def test_an_answer_without_any_message_id_is_stored(sessions: Sessions) -> None:
    ids = many_stored(sessions, 2)
    answer = Acceptance([AcceptedSms(sms, "500", None) for sms in ids])

    a_submission(sessions, MemoryGateway(answers=[answer])).post_next()

    assert [the_sms(sessions, sms).message_id for sms in ids] == [None, None]
    assert states_of(sessions) == ["submitted", "submitted"]


def test_a_refused_number_between_accepted_ones_fails_alone(sessions: Sessions) -> None:
    ids = many_stored(sessions, 3)
    words = {"error_no": 300, "message_id": 20766930, "request_id": 76181024}
    refused = RefusedSms(ids[1], 300, "is NOT a phone number", words)
    answer = Acceptance([AcceptedSms(ids[0], "1", "11"), AcceptedSms(ids[2], "1", "13")], [refused])

    a_submission(sessions, MemoryGateway(answers=[answer])).post_next()

    guilty = the_sms(sessions, ids[1])
    assert states_of(sessions) == ["submitted", "failed", "submitted"]
    assert (guilty.error_no, guilty.reason, guilty.request_id) == (300, "is NOT a phone number", None)
    assert [(ids[1], "failed", 300, "76181024", words)] == [
        (said.sms_id, said.state, said.error_no, said.request_id, said.answer) for said in all_of(sessions, Report)
    ]
    assert [(batch.accepted, batch.refused) for batch in all_of(sessions, Batch)] == [(2, 1)]


def test_a_message_that_the_answer_does_not_mention_is_unconfirmed(sessions: Sessions) -> None:
    ids = many_stored(sessions, 2)
    answer = Acceptance([AcceptedSms(ids[0], "1", "11")], unanswered=[ids[1]])

    a_submission(sessions, MemoryGateway(answers=[answer])).post_next()

    assert states_of(sessions) == ["submitted", "unconfirmed"]
    assert the_sms(sessions, ids[1]).reason == "not_in_the_answer"


def test_a_message_that_an_acceptance_forgets_altogether_is_unconfirmed_too(sessions: Sessions) -> None:
    ids = many_stored(sessions, 2)
    answer = Acceptance([AcceptedSms(ids[0], "1", "11")])

    a_submission(sessions, MemoryGateway(answers=[answer])).post_next()

    assert states_of(sessions) == ["submitted", "unconfirmed"]


def test_others_are_called_only_when_a_batch_was_full(sessions: Sessions) -> None:
    many_stored(sessions, 5)
    rung: list[int] = []
    room = a_submission(sessions, batch_max_messages=3)

    for batch in range(2):
        room.post_next(on_full=partial(rung.append, batch))

    assert rung == [0]


def test_others_are_called_too_for_what_could_not_go_with_it(sessions: Sessions) -> None:
    for nickname in ("SHOP", "BANK", "SHOP"):
        stored(sessions, nickname=nickname)
    rung: list[int] = []
    room = a_submission(sessions)

    for batch in range(2):
        room.post_next(on_full=partial(rung.append, batch))

    assert rung == [0]


def test_the_batch_is_committed_before_the_first_byte_leaves(sessions: Sessions) -> None:
    stored(sessions)
    seen: list[tuple[list[str], str]] = []
    look = lambda _: seen.append((states_of(sessions), the_batch(sessions, 1).state))  # noqa: E731

    a_submission(sessions, MemoryGateway(during=look)).post_next()

    assert seen == [(["posting"], "posting")]
