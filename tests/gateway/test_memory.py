"""The gateway in memory plays the script it was given."""

from collections.abc import Sequence
from threading import Event, Thread

import pytest
from wires import nothing

from models.lifecycle import MessageState
from worker.errors import GatewayUnavailable, NeverPosted, ReportsUnavailable, SubmissionUnconfirmed
from worker.gateway import Acceptance, AcceptedSms, OutgoingSms
from worker.gateway.memory import MemoryGateway, Posted

ONE, TWO = OutgoingSms(1, "998901112233", "one"), OutgoingSms(2, "998904445566", "two")


def test_the_script_is_played_post_by_post_and_then_all_is_taken() -> None:
    scripted = Acceptance([AcceptedSms(1, "77", "88")])
    gateway = MemoryGateway(answers=[SubmissionUnconfirmed("time-out"), scripted])

    with pytest.raises(SubmissionUnconfirmed):
        gateway.submit([ONE], nickname=None, begin=nothing)
    answers = [
        gateway.submit([ONE], nickname="SHOP", begin=nothing),
        gateway.submit([TWO], nickname=None, begin=nothing),
    ]

    assert answers[0] is scripted
    assert [sms.reference for sms in answers[1].accepted] == [2]
    assert gateway.posted == [Posted((ONE,), None), Posted((ONE,), "SHOP"), Posted((TWO,), None)]
    assert [report.message_id for report in gateway.reports("77")] == ["88"]


def test_a_script_may_take_the_messages_and_break_off() -> None:
    def take_and_break_off(messages: Sequence[OutgoingSms]) -> Acceptance:
        gateway.accept(messages)
        raise SubmissionUnconfirmed("cut")

    gateway = MemoryGateway(answers=[take_and_break_off], request_ids=["77"])

    with pytest.raises(SubmissionUnconfirmed):
        gateway.submit([ONE], nickname=None, begin=nothing)

    assert [report.recipient for report in gateway.reports("77")] == [ONE.phone]


def test_questions_have_a_script_of_their_own() -> None:
    gateway = MemoryGateway(reports_answers=[ReportsUnavailable("502"), []], request_ids=["77"])
    gateway.submit([ONE], nickname=None, begin=nothing)

    with pytest.raises(ReportsUnavailable):
        gateway.reports("77")

    assert [len(gateway.reports("77")) for _ in range(2)] == [0, 1]
    assert gateway.asked == ["77", "77", "77"]


@pytest.mark.parametrize("message", [ONE.reference, ONE.phone], ids=["by reference", "by phone"])
def test_a_test_says_what_became_of_a_message(message: int | str) -> None:
    gateway = MemoryGateway(request_ids="shared")
    request_id = gateway.submit([ONE, TWO], nickname=None, begin=nothing).accepted[0].request_id

    gateway.deliver(message, "undelivered")

    assert [report.state for report in gateway.reports(request_id)] == [MessageState.FAILED, None]


def test_nothing_can_become_of_a_message_that_was_never_taken() -> None:
    with pytest.raises(LookupError):
        MemoryGateway().deliver(1)


@pytest.mark.parametrize(
    ("answer", "begun"),
    [
        pytest.param(GatewayUnavailable("refused"), 0, id="no connection"),
        pytest.param(GatewayUnavailable("HTTP 404", http_status=404), 1, id="a status that proves one"),
        pytest.param(NeverPosted("too late"), 0, id="never tried"),
        pytest.param(SubmissionUnconfirmed("time-out"), 1, id="cut off"),
    ],
)
def test_a_scripted_answer_says_whether_the_post_began(answer: Exception, begun: int) -> None:
    gateway, beginnings = MemoryGateway(answers=[answer]), list[str]()

    with pytest.raises(type(answer)):
        gateway.submit([ONE], nickname=None, begin=lambda: beginnings.append("begun"))

    assert len(beginnings) == begun
    assert gateway.posted == [Posted((ONE,), None)]


def test_a_post_begins_before_its_middle() -> None:
    seen: list[str] = []
    gateway = MemoryGateway(during=lambda _: seen.append("during"))

    gateway.submit([ONE], nickname=None, begin=lambda: seen.append("begin"))

    assert seen == ["begin", "during"]


def test_a_test_can_stop_a_post_in_its_middle() -> None:
    posting, go_on = Event(), Event()

    def hold(_: object) -> None:
        posting.set()
        assert go_on.wait(20)

    gateway = MemoryGateway(during=hold)
    post = Thread(target=gateway.submit, args=([ONE],), kwargs={"nickname": None, "begin": nothing})
    post.start()

    assert posting.wait(20)
    assert gateway.posted == [Posted((ONE,), None)]

    go_on.set()
    post.join()
