"""What every gateway does, the one in memory included: so rooms may be tested against that one."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from wires import heard_of, never, nothing

from models.lifecycle import MessageState
from worker.errors import (
    AccountRefused,
    BatchRefused,
    GatewayError,
    GatewayUnavailable,
    NeverPosted,
    NicknameRefused,
    RequestIdUnknown,
)
from worker.gateway import Gateway, OutgoingSms
from worker.gateway.memory import MemoryGateway
from worker.sandbox.faults import Fault

RequestIds = Literal["per-message", "shared", "colliding"]

ONE, TWO = OutgoingSms(1, "998901112233", "one"), OutgoingSms(2, "998904445566", "two")
NO_PHONE = OutgoingSms(3, "99890", "three")


@dataclass
class Stage:
    """A gateway, and what a test may know of its other side."""

    gateway: Gateway
    posts: Callable[[], list[tuple[str, str | None]]]  #: phone and nickname of each message taken
    arrive: Callable[[], None]  #: from now on the messages taken have arrived


Open = Callable[..., Stage]


@pytest.fixture(params=["memory", "http"])
def stage(request: pytest.FixtureRequest) -> Open:
    """Open a gateway: with `request_ids` of one kind, and refusing everything if there is a `refusal`.

    One without an error number means that no connection comes about.
    """
    return _memory if request.param == "memory" else _http(request)


def _memory(*, request_ids: RequestIds = "per-message", refusal: GatewayError | None = None) -> Stage:
    gateway = MemoryGateway(
        answers=[refusal] if refusal else [],
        request_ids=["12345678"] * 3 if request_ids == "colliding" else request_ids,
    )

    def posts() -> list[tuple[str, str | None]]:
        taken = [] if refusal else gateway.posted
        return [(sms.phone, posted.nickname) for posted in taken for sms in posted.messages]

    def arrive() -> None:
        for phone, _ in posts():
            gateway.deliver(phone)

    return Stage(gateway, posts, arrive)


def _http(request: pytest.FixtureRequest) -> Open:
    sandbox: Any = request.getfixturevalue("sandbox")
    gateway: Gateway = request.getfixturevalue("gateway")

    def opened(*, request_ids: RequestIds = "per-message", refusal: GatewayError | None = None) -> Stage:
        sandbox.control.change(request_ids=request_ids, delivery_seconds=(3600, 3600))
        if refusal and refusal.error_no:
            sandbox.control.set_faults(Fault("error", error_no=refusal.error_no))
        elif refusal:
            sandbox.control.set_faults(Fault("refuse-connections"))
        return Stage(
            gateway,
            lambda: [(sms["phone"], sms["nickname"]) for sms in sandbox.taken()],
            lambda: sandbox.control.change(delivery_seconds=(0, 0)),
        )

    return opened


def test_it_takes_each_message_and_gives_its_ids_as_text(stage: Open) -> None:
    acceptance = stage().gateway.submit([ONE, TWO], nickname=None, begin=nothing)

    assert [sms.reference for sms in acceptance.accepted] == [1, 2]
    assert all(sms.request_id.isdigit() and sms.message_id and sms.message_id.isdigit() for sms in acceptance.accepted)
    assert len({sms.message_id for sms in acceptance.accepted}) == 2
    assert (list(acceptance.refused), list(acceptance.unanswered)) == ([], [])


def test_it_posts_under_the_nickname(stage: Open) -> None:
    opened = stage()

    opened.gateway.submit([ONE], nickname="SHOP", begin=nothing)
    opened.gateway.submit([TWO], nickname=None, begin=nothing)

    assert opened.posts() == [(ONE.phone, "SHOP"), (TWO.phone, None)]


def test_a_refused_number_between_accepted_ones_is_refused_alone(stage: Open) -> None:
    acceptance = stage().gateway.submit([ONE, NO_PHONE, TWO], nickname=None, begin=nothing)

    assert [sms.reference for sms in acceptance.accepted] == [1, 2]
    assert [(sms.reference, sms.error_no, sms.reason) for sms in acceptance.refused] == [
        (3, 300, "is not a phone number")
    ]


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(AccountRefused("incorrect login or password", error_no=101), id="the account"),
        pytest.param(BatchRefused("array is invalid", error_no=201), id="the batch"),
        pytest.param(NicknameRefused("incorrect nickname", error_no=203), id="the nickname"),
    ],
)
def test_a_refusal_of_the_request_says_why_and_takes_nothing(stage: Open, refusal: GatewayError) -> None:
    opened = stage(refusal=refusal)

    with pytest.raises(type(refusal)) as raised:
        opened.gateway.submit([ONE, TWO], nickname=None, begin=nothing)

    assert (raised.value.error_no, raised.value.reason) == (refusal.error_no, refusal.reason)
    assert opened.posts() == []


def test_it_begins_once_before_anything_is_taken(stage: Open) -> None:
    opened = stage()
    taken_by_then: list[int] = []

    opened.gateway.submit([ONE, TWO], nickname=None, begin=lambda: taken_by_then.append(len(opened.posts())))

    assert taken_by_then == [0]
    assert len(opened.posts()) == 2


def test_it_begins_although_it_is_refused_then(stage: Open) -> None:
    begun: list[str] = []

    with pytest.raises(AccountRefused):
        stage(refusal=AccountRefused("no", error_no=101)).gateway.submit(
            [ONE], nickname=None, begin=lambda: begun.append("begun")
        )

    assert begun == ["begun"]


def test_without_a_connection_it_never_begins(stage: Open) -> None:
    with pytest.raises(GatewayUnavailable):
        stage(refusal=GatewayUnavailable("refused")).gateway.submit([ONE], nickname=None, begin=never)


@pytest.mark.parametrize("error", [TimeoutError("no"), ValueError("no")], ids=repr)
def test_what_cannot_begin_is_never_posted(stage: Open, error: Exception) -> None:
    opened = stage()

    with pytest.raises(NeverPosted) as raised:
        opened.gateway.submit([ONE], nickname=None, begin=raising(error))

    assert raised.value.__cause__ is error
    assert opened.posts() == []


def test_a_gateways_error_from_the_beginning_comes_through_as_it_is(stage: Open) -> None:
    opened, error = stage(), NeverPosted("too late")

    with pytest.raises(NeverPosted) as raised:
        opened.gateway.submit([ONE], nickname=None, begin=raising(error))

    assert raised.value is error
    assert opened.posts() == []


def raising(error: Exception) -> Callable[[], None]:
    def begin() -> None:
        raise error

    return begin


def test_a_request_id_of_its_own_knows_one_message(stage: Open) -> None:
    gateway = stage(request_ids="per-message").gateway
    accepted = gateway.submit([ONE, TWO], nickname=None, begin=nothing).accepted

    reports = [gateway.reports(sms.request_id) for sms in accepted]

    assert [[report.recipient for report in known] for known in reports] == [[ONE.phone], [TWO.phone]]


def test_a_shared_request_id_knows_all_messages_of_the_request(stage: Open) -> None:
    gateway = stage(request_ids="shared").gateway
    accepted = gateway.submit([ONE, TWO], nickname=None, begin=nothing).accepted

    reports = gateway.reports(accepted[0].request_id)

    assert len({sms.request_id for sms in accepted}) == 1
    assert {report.message_id for report in reports} == {sms.message_id for sms in accepted}


def test_strangers_may_stand_under_the_same_request_id(stage: Open) -> None:
    gateway = stage(request_ids="colliding").gateway
    accepted = [gateway.submit([sms], nickname=None, begin=nothing).accepted[0] for sms in (ONE, TWO, ONE)]

    reports = [report for request_id in {sms.request_id for sms in accepted} for report in gateway.reports(request_id)]

    assert len({sms.request_id for sms in accepted}) < 3
    assert {report.message_id for report in reports} >= {sms.message_id for sms in accepted}


def test_a_request_id_it_never_gave_is_unknown(stage: Open) -> None:
    with pytest.raises(RequestIdUnknown) as unknown:
        stage().gateway.reports("1")

    assert unknown.value.error_no == 400


def test_questions_at_the_same_time_come_to_the_same_as_one_after_the_other(stage: Open) -> None:
    gateway = stage(request_ids="per-message").gateway
    accepted = gateway.submit([ONE, TWO], nickname=None, begin=nothing).accepted
    alone = {sms.request_id: ids_of(gateway.reports(sms.request_id)) for sms in accepted}

    heard = all_heard(gateway, *alone)

    assert {request_id: ids_of(answer) for request_id, answer in heard.items()} == alone


def test_a_question_that_is_refused_is_no_matter_of_the_others(stage: Open) -> None:
    gateway = stage().gateway
    (accepted,) = gateway.submit([ONE], nickname=None, begin=nothing).accepted

    heard = all_heard(gateway, "1", accepted.request_id)

    assert isinstance(heard["1"], RequestIdUnknown)
    assert ids_of(heard[accepted.request_id]) == [accepted.message_id]


def test_a_question_that_was_heard_may_be_asked_again(stage: Open) -> None:
    opened = stage()
    (accepted,) = opened.gateway.submit([ONE], nickname=None, begin=nothing).accepted
    with closing(opened.gateway.questions(at_once=2)) as questions:
        before = heard_of(questions, accepted.request_id)
        opened.arrive()

        after = heard_of(questions, accepted.request_id)

    assert [one.state for heard in (before, after) for one in heard[accepted.request_id]] == [None, "delivered"]


def test_where_nothing_was_asked_nothing_is_heard(stage: Open) -> None:
    with closing(stage().gateway.questions(at_once=2)) as questions:
        assert questions.heard(wait_seconds=0) == []


def ids_of(answer: Any) -> list[str | None]:
    return [report.message_id for report in answer]


def all_heard(gateway: Gateway, *request_ids: str) -> dict[str, Any]:
    with closing(gateway.questions(at_once=len(request_ids))) as questions:
        return heard_of(questions, *request_ids)


def test_a_report_is_not_final_before_the_message_has_arrived(stage: Open) -> None:
    opened = stage()
    (accepted,) = opened.gateway.submit([ONE], nickname=None, begin=nothing).accepted

    (before,) = opened.gateway.reports(accepted.request_id)
    opened.arrive()
    (after,) = opened.gateway.reports(accepted.request_id)

    assert (before.state, before.delivered_at) == (None, None)
    assert (after.state, after.gateway_status, after.billed_parts) == (MessageState.DELIVERED, "delivered", 1)
    assert before.sent_at is not None
    assert before.received_at is not None
    assert before.text == ONE.text
    assert after.delivered_at is not None


def test_the_gateway_bills_the_parts_of_a_text(stage: Open) -> None:
    gateway = stage().gateway
    (accepted,) = gateway.submit([OutgoingSms(1, ONE.phone, "ў" * 71)], nickname=None, begin=nothing).accepted

    (report,) = gateway.reports(accepted.request_id)

    assert report.billed_parts == 2
