"""What a gateway may do with a post or a question, and what then must become of each message, by the contract alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from builders import a_phone
from flights import Vendor, die
from hypothesis import strategies as some

from models.lifecycle import MessageState
from worker.errors import (
    AccountRefused,
    BatchRefused,
    GatewayUnavailable,
    NicknameRefused,
    ReportsUnavailable,
    RequestIdUnknown,
    SubmissionUnconfirmed,
)
from worker.gateway import Acceptance, OutgoingSms, RefusedSms, Report


class Fate(NamedTuple):
    """What becomes of one message of a post; None leaves it where it is, for upkeep to find."""

    state: str | None
    may_be_taken: bool


TAKEN, REFUSED, BACK = Fate("submitted", True), Fate("failed", False), Fate("queued", False)
IN_DOUBT, LEFT_ALONE = Fate("unconfirmed", True), Fate(None, True)

HALF = 0.5
BY_MESSAGE = {"taken": TAKEN, "refused": REFUSED, "returned": BACK, "unanswered": IN_DOUBT}
FOR_ALL: dict[str, tuple[Fate, Exception | None]] = {
    "cut off": (IN_DOUBT, SubmissionUnconfirmed("read timed out")),
    "502": (IN_DOUBT, SubmissionUnconfirmed("HTTP 502", http_status=502)),
    "our mistake": (IN_DOUBT, ValueError("broke")),
    "worker dies": (LEFT_ALONE, None),
    "404": (BACK, GatewayUnavailable("HTTP 404", http_status=404)),
    "101": (BACK, AccountRefused("incorrect login or password", error_no=101)),
    "103": (BACK, AccountRefused("limit is over", error_no=103)),
    "403": (BACK, AccountRefused("HTTP 403", http_status=403)),
    "202": (REFUSED, NicknameRefused("nickname didn't set", error_no=202)),
    "200": (BACK, BatchRefused("array is not a JSON", error_no=200)),
    "777": (BACK, BatchRefused("gateway error 777", error_no=777)),
}
GUILTY_ALONE = {"200", "777"}  #: these split a batch down to the one message that fails


@dataclass(frozen=True)
class PostAnswer:
    """*kind* is ``taken``, ``each`` or one of `FOR_ALL`; *really* says whether those in doubt were taken."""

    kind: str
    each: tuple[str, ...]
    really: bool

    def fates(self, count: int) -> list[Fate]:
        """Of each message of a post of *count*, in their order."""
        if self.kind == "taken":
            return [TAKEN] * count
        if self.kind == "each":
            return [BY_MESSAGE[self.each[place % len(self.each)]] for place in range(count)]
        return [REFUSED if count == 1 and self.kind in GUILTY_ALONE else FOR_ALL[self.kind][0]] * count

    def given_by(self, vendor: Vendor) -> Callable[[Sequence[OutgoingSms]], Acceptance]:
        """The same as `MemoryGateway` wants it."""

        def answer(messages: Sequence[OutgoingSms]) -> Acceptance:
            fates = self.fates(len(messages))
            pairs = list(zip(messages, fates, strict=True))
            taken = vendor.accept([sms for sms, fate in pairs if fate is TAKEN or (self.really and fate.may_be_taken)])
            if self.kind in FOR_ALL:
                raise FOR_ALL[self.kind][1] or SystemExit
            refused = [
                RefusedSms(sms.reference, 300, "is not a phone number") for sms, fate in pairs if fate is REFUSED
            ]
            returned = [RefusedSms(sms.reference, 103, "limit is over") for sms, fate in pairs if fate is BACK]
            unanswered = [sms.reference for sms, fate in pairs if fate is IN_DOUBT]
            accepted = [ids for ids in taken.accepted if ids.reference not in unanswered]
            return Acceptance(accepted, refused, unanswered, returned)

        return answer


DOUBTFUL_KINDS = [kind for kind, (fate, _) in FOR_ALL.items() if fate.may_be_taken]
REFUSALS = [kind for kind in FOR_ALL if kind not in DOUBTFUL_KINDS]
EACH = ["unanswered", *BY_MESSAGE]
POST_ANSWERS = some.builds(
    PostAnswer,
    some.sampled_from(["each", "taken"]) | some.sampled_from(DOUBTFUL_KINDS) | some.sampled_from(REFUSALS),
    some.lists(some.sampled_from(EACH), min_size=2, max_size=3).map(tuple),
    some.booleans(),
)


def a_post_answer(dice: Random, *, mostly: Sequence[str]) -> PostAnswer:
    """The same by chance alone, which Hypothesis' own choices are not: *mostly* of these kinds."""
    kind = dice.choice([*mostly, dice.choice(["each", "taken", *FOR_ALL])])
    return PostAnswer(kind, tuple(dice.choices(EACH, k=3)), dice.random() < HALF)


#: Answers to a question that hold the truth, whatever stands around it.
TRUTHS = ("the truth", "with a stranger", "doubled", "without message_ids")
QUESTION_ANSWERS = some.sampled_from([*TRUTHS, "only a stranger", "400", "502", "101", "our mistake", "worker dies"])


def told(kind: str, vendor: Vendor, request_id: str) -> Sequence[Report]:
    """What comes of a question."""
    if kind == "worker dies":
        die()
    if kind in {"400", "502", "101", "our mistake"}:
        raise {
            "400": RequestIdUnknown("request_id is wrong", error_no=400),
            "502": ReportsUnavailable("HTTP 502", http_status=502),
            "101": AccountRefused("incorrect login or password", error_no=101),
            "our mistake": ValueError("broke"),
        }[kind]
    truth = vendor.truth(request_id)
    other = f"9{truth[0].message_id}"
    stranger = replace(truth[0], message_id=other, recipient=a_phone(2), text="Not ours", state=MessageState.DELIVERED)
    return {
        "the truth": truth,
        "with a stranger": [stranger, *truth],
        "doubled": [*truth, *truth],
        "without message_ids": [replace(one, message_id=None) for one in truth],
        "only a stranger": [stranger],
    }[kind]
