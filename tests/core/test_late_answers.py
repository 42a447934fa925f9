"""What nobody knows is never posted again by itself; an answer that comes late is believed, unless a person decided."""

from collections.abc import Sequence

import pytest
from builders import (
    Clock,
    Sessions,
    a_submission,
    all_of,
    an_upkeep,
    many_stored,
    post_all,
    states_of,
    stored,
    the_sms,
)
from databases import administer, cut_off
from sqlalchemy.engine import make_url

from models import Batch, Message, Report
from worker.errors import (
    AccountRefused,
    BatchRefused,
    GatewayUnavailable,
    SubmissionUnconfirmed,
)
from worker.gateway import Acceptance, AcceptedSms, OutgoingSms
from worker.gateway.memory import MemoryGateway
from worker.store import decisions

CUT_OFF = SubmissionUnconfirmed("read timed out")
LIMIT_OVER = AccountRefused("limit is over", error_no=103, http_status=200)
NOT_TAKEN = GatewayUnavailable("HTTP 405: nothing was taken", http_status=405)
NOT_JSON = BatchRefused("array is not a JSON", error_no=200, http_status=200)


@pytest.mark.parametrize("answer", [CUT_OFF, ValueError("broke")], ids=["cut off", "our mistake"])
def test_an_unconfirmed_message_is_never_posted_again_by_itself(sessions: Sessions, answer: Exception) -> None:
    many_stored(sessions, 3)
    clock = Clock()
    gateway = MemoryGateway(answers=[answer])
    room, keeper = a_submission(sessions, gateway, clock), an_upkeep(sessions, clock)
    room.post_next()

    for _ in range(30):
        clock.advance(hours=1)
        keeper.sweep()
        post_all(room)

    assert len(gateway.posted) == 1
    assert set(states_of(sessions)) == {"unconfirmed"}


def test_the_answer_of_a_batch_that_upkeep_gave_up_is_still_believed(sessions: Sessions) -> None:
    sms = stored(sessions)
    clock = Clock()
    given_up: list[str] = []

    def too_long(_: Sequence[OutgoingSms]) -> None:
        clock.advance(hours=1)
        an_upkeep(sessions, clock).sweep()
        given_up.extend(states_of(sessions))

    a_submission(sessions, MemoryGateway(during=too_long), clock).post_next()

    assert given_up == ["unconfirmed"]
    assert (the_sms(sessions, sms).state, the_sms(sessions, sms).reason) == ("submitted", None)
    assert [(batch.state, batch.accepted) for batch in all_of(sessions, Batch)] == [("accepted", 1)]


def test_a_late_answer_changes_nothing_once_a_person_has_let_it_be_posted_again(sessions: Sessions) -> None:
    sms = stored(sessions)
    clock = Clock()
    again = a_submission(sessions, MemoryGateway(request_ids=["second"]), clock)

    def meanwhile(_: Sequence[OutgoingSms]) -> None:
        clock.advance(hours=1)
        an_upkeep(sessions, clock).sweep()
        with sessions.begin() as session:
            decisions.resend(session, Message.id == sms, now=clock(), who="a test")
        again.post_next()

    a_submission(sessions, MemoryGateway(during=meanwhile, request_ids=["first"]), clock).post_next()

    assert (the_sms(sessions, sms).state, the_sms(sessions, sms).request_id) == ("submitted", "second")
    assert [(late.sms_id, late.request_id) for late in all_of(sessions, Report)] == [(sms, "first")]


@pytest.mark.parametrize("refusal", [LIMIT_OVER, NOT_TAKEN, NOT_JSON], ids=["account", "not taken", "batch"])
def test_a_late_refusal_changes_nothing_once_a_person_has_decided(sessions: Sessions, refusal: Exception) -> None:
    sms = stored(sessions)
    clock = Clock()

    def meanwhile(_: Sequence[OutgoingSms]) -> None:
        clock.advance(hours=1)
        an_upkeep(sessions, clock).sweep()
        with sessions.begin() as session:
            decisions.drop(session, Message.id == sms, now=clock(), who="a test")

    a_submission(sessions, MemoryGateway(during=meanwhile, answers=[refusal]), clock).post_next()

    assert (the_sms(sessions, sms).state, the_sms(sessions, sms).reason) == ("failed", "dropped")


@pytest.mark.parametrize("message_id", ["11", None], ids=["with a message_id", "without one"])
def test_that_the_gateway_took_what_a_person_had_dropped_is_kept_as_a_report(
    sessions: Sessions, message_id: str | None
) -> None:
    """The decision stands, but whoever asks the vendor about it needs the ids."""
    dropped, open_still = many_stored(sessions, 2)
    clock = Clock()

    def meanwhile(_: Sequence[OutgoingSms]) -> None:
        clock.advance(hours=1)
        an_upkeep(sessions, clock).sweep()
        with sessions.begin() as session:
            decisions.drop(session, Message.id == dropped, now=clock(), who="a test")

    answer = Acceptance([AcceptedSms(dropped, "500", message_id, {"cost": 1}), AcceptedSms(open_still, "501", "12")])
    a_submission(sessions, MemoryGateway(during=meanwhile, answers=[answer]), clock).post_next()

    (kept,) = all_of(sessions, Report)
    assert states_of(sessions) == ["failed", "submitted"]
    assert (kept.sms_id, kept.request_id, kept.message_id) == (dropped, "500", message_id)
    assert (kept.state, kept.error_no, kept.received_at, kept.answer) == (None, None, clock.at, {"cost": 1})
    assert [(batch.state, batch.accepted) for batch in all_of(sessions, Batch)] == [("accepted", 1)]


def test_an_answer_that_cannot_be_stored_leaves_its_messages_unconfirmed(sessions: Sessions) -> None:
    sms = stored(sessions)
    unstorable = Acceptance([AcceptedSms(sms, "half a pair \ud800", None)])

    a_submission(sessions, MemoryGateway(answers=[unstorable])).post_next()

    assert (the_sms(sessions, sms).state, the_sms(sessions, sms).reason) == ("unconfirmed", "answer_not_recorded")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_answer_waits_for_a_database_that_is_away(
    sessions: Sessions, postgres_server: str, database_url: str
) -> None:
    sms = stored(sessions)
    name = make_url(database_url).database
    waits: list[float] = []

    def goes_away(_: Sequence[OutgoingSms]) -> None:
        administer(postgres_server, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        cut_off(postgres_server, name or "")

    def comes_back(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            administer(postgres_server, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')

    gateway = MemoryGateway(during=goes_away)
    a_submission(sessions, gateway, wait=comes_back).post_next()

    assert (the_sms(sessions, sms).state, len(gateway.posted)) == ("submitted", 1)
    assert waits == [0.1, 0.2, 0.4]
