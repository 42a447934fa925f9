"""The gateway in memory, for tests of the rooms: it takes everything, unless a script says otherwise."""

import itertools
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from worker.clock import utc_now
from worker.errors import GatewayUnavailable, NeverPosted, RequestIdUnknown
from worker.gateway import (
    Acceptance,
    AcceptedSms,
    Gateway,
    Heard,
    OutgoingSms,
    Questions,
    RefusedSms,
    Report,
    call_or_never_post,
)
from worker.gateway.replies import WORDS, state_of
from worker.text import size_of

#: What a post comes to: this acceptance, this error, or what is returned or raised when called with the messages.
Answer = Acceptance | Exception | Callable[[Sequence[OutgoingSms]], Acceptance]
#: What a question comes to.
ReportsAnswer = Sequence[Report] | Exception | Callable[[str], Sequence[Report]]

ON_ITS_WAY = "transmitted"
NOT_A_PHONE = 300

is_phone = re.compile(r"998[0-9]{9}").fullmatch


@dataclass(frozen=True, slots=True)
class Posted:
    """One call of `MemoryGateway.submit`, whatever came of it, but for one whose `begin` raised."""

    messages: tuple[OutgoingSms, ...]
    nickname: str | None


@dataclass(slots=True)
class _Taken:
    sms: OutgoingSms
    ids: AcceptedSms
    taken_at: datetime
    gateway_status: str = ON_ITS_WAY
    delivered_at: datetime | None = None


class MemoryQuestions(Questions):
    """Each is answered when somebody listens, unless it hangs."""

    def __init__(self, gateway: "MemoryGateway") -> None:
        self._gateway = gateway
        self._asked: list[str] = []

    def ask(self, request_id: str) -> None:
        """Remember it."""
        self._asked.append(request_id)
        self._gateway.most_at_once = max(self._gateway.most_at_once, len(self._asked))

    def heard(self, *, wait_seconds: float) -> Sequence[Heard]:  # noqa: ARG002
        """Come to the answers of all that were asked and do not hang."""
        asked, self._asked = self._asked, []
        self._asked = [request_id for request_id in asked if request_id in self._gateway.hanging]
        answered = [request_id for request_id in asked if request_id not in self._gateway.hanging]
        return [Heard(request_id, self._answer(request_id)) for request_id in answered]

    def close(self) -> None:
        """Forget them."""
        self._asked = []

    def _answer(self, request_id: str) -> Sequence[Report] | Exception:
        try:
            return self._gateway.reports(request_id)
        except Exception as error:  # noqa: BLE001 - as the real one does with a mistake of ours
            return error


class MemoryGateway(Gateway):
    """Safe to use from several threads, like the real one."""

    def __init__(
        self,
        *,
        answers: Iterable[Answer] = (),
        reports_answers: Iterable[ReportsAnswer] = (),
        request_ids: Literal["per-message", "shared"] | Iterable[str] = "per-message",
        during: Callable[[Sequence[OutgoingSms]], None] | None = None,
        now: Callable[[], datetime] = utc_now,
        warm: int = 0,
    ) -> None:
        """*answers* are used up post by post, *reports_answers* question by question; after them all goes well.

        *request_ids* gives each message an id of its own, the messages of a request one they share, or each request
        the next of those listed. *during* is called in the middle of each post, when it can no longer be called back.
        """
        self.posted: list[Posted] = []
        self.asked: list[str] = []
        self.hanging: set[str] = set()  #: request_ids; asked together with others, they are not answered meanwhile
        self.most_at_once = 0  #: questions
        self._taken: list[_Taken] = []
        self._answers: Iterator[Answer] = iter(answers)
        self._reports_answers: Iterator[ReportsAnswer] = iter(reports_answers)
        self._own_ids = request_ids == "per-message"
        self._numbers = map(str, itertools.count(10_000_000))
        self._request_ids = self._numbers if isinstance(request_ids, str) else iter(request_ids)
        self._during = during
        self._now = now
        self._warm = warm
        self._lock = threading.RLock()

    def submit(self, messages: Sequence[OutgoingSms], *, nickname: str | None, begin: Callable[[], None]) -> Acceptance:
        """Come to the next of the answers, or take all that have the form of a phone."""
        with self._lock:
            answer = next(self._answers, self.accept)
        if not _is_without_connection(answer):
            call_or_never_post(begin)
        with self._lock:
            self.posted.append(Posted(tuple(messages), nickname))
        if self._during:
            self._during(messages)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Acceptance):
            return self._remember(messages, answer)
        return answer(messages)

    def warm(self) -> int:
        """As many as it was made with."""
        return self._warm

    def reports(self, request_id: str) -> Sequence[Report]:
        """Come to the next of the answers, or report all messages under *request_id*."""
        with self._lock:
            self.asked.append(request_id)
            answer = next(self._reports_answers, self.known_reports)
        if isinstance(answer, Exception):
            raise answer
        return answer(request_id) if callable(answer) else answer

    def questions(self, *, at_once: int) -> Questions:  # noqa: ARG002
        """Ask by `reports`, one after the other."""
        return MemoryQuestions(self)

    def accept(self, messages: Sequence[OutgoingSms]) -> Acceptance:
        """Take *messages* as if nothing had been scripted; for answers that take them and then break off."""
        accepted: list[AcceptedSms] = []
        refused: list[RefusedSms] = []
        with self._lock:
            of_request = None if self._own_ids else next(self._request_ids)
            for sms in messages:
                if is_phone(sms.phone):
                    request_id = of_request or next(self._request_ids)
                    accepted.append(AcceptedSms(sms.reference, request_id, next(self._numbers)))
                else:
                    refused.append(RefusedSms(sms.reference, NOT_A_PHONE, WORDS[NOT_A_PHONE]))
        return self._remember(messages, Acceptance(accepted, refused))

    def deliver(self, message: int | str, gateway_status: str = "delivered") -> None:
        """Let the report of a message, named by its reference or its phone, say *gateway_status* from now on."""
        with self._lock:
            found = [taken for taken in self._taken if message in {taken.sms.reference, taken.sms.phone}]
            if not found:
                raise LookupError(message)
            for taken in found:
                taken.gateway_status = gateway_status
                taken.delivered_at = self._now() if gateway_status == "delivered" else None

    def known_reports(self, request_id: str) -> Sequence[Report]:
        """What is known of a request_id, whatever has been scripted. Raises `RequestIdUnknown`."""
        with self._lock:
            found = [_report(taken) for taken in self._taken if taken.ids.request_id == request_id]
        if not found:
            raise RequestIdUnknown(WORDS[400], error_no=400)
        return found

    def _remember(self, messages: Sequence[OutgoingSms], acceptance: Acceptance) -> Acceptance:
        of_reference = {sms.reference: sms for sms in messages}
        with self._lock:
            self._taken += [_Taken(of_reference[ids.reference], ids, self._now()) for ids in acceptance.accepted]
        return acceptance


def _is_without_connection(answer: Answer) -> bool:
    # An HTTP status would prove that there was one.
    return isinstance(answer, GatewayUnavailable | NeverPosted) and answer.http_status is None


def _report(taken: _Taken) -> Report:
    return Report(
        message_id=taken.ids.message_id,
        recipient=taken.sms.phone,
        gateway_status=taken.gateway_status,
        state=state_of(taken.gateway_status),
        billed_parts=size_of(taken.sms.text).parts,
        sent_at=taken.taken_at,
        delivered_at=taken.delivered_at,
        text=taken.sms.text,
        received_at=taken.taken_at,
    )
