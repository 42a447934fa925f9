"""Calls of the rooms that stand still wherever the gateway is asked, so that anything may happen meanwhile."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from queue import Queue
from typing import Any, Literal, NoReturn

from worker.errors import SmsError
from worker.gateway import Acceptance, OutgoingSms, Report
from worker.gateway.memory import MemoryGateway

LANDED = "landed"
CONNECTING, ON_THE_WIRE, ASKING = "connecting", "on the wire", "asking"
SECONDS_TO_STOP = 60
MEANT = (SmsError, ValueError)  #: what an answer may raise on purpose

_here = threading.local()


class Flight:
    """One call of a room, in a thread of its own. *where* it stands, and *about* what, holds until `go_on`."""

    def __init__(self, step: Callable[[], object]) -> None:
        self.where = ""
        self.about: Any = None
        self.messages: Sequence[OutgoingSms] = ()  #: of a post
        self.claimed_at: datetime | None = None
        self.began = False  #: whether its first byte may have left
        self._mistake: BaseException | None = None
        self._stops: Queue[tuple[str, Any]] = Queue()
        self._answers: Queue[Callable[[], Any]] = Queue()
        self._thread = threading.Thread(target=self._run, args=(step,), daemon=True)
        self._thread.start()
        self._look()

    @property
    def landed(self) -> bool:
        return self.where == LANDED

    def go_on(self, answer: Callable[[], Any] = lambda: None) -> None:
        """Let it have what *answer* returns, or raises, up to its next stop; what breaks it is raised here."""
        self._answers.put(answer)
        self._look()

    def crash(self) -> None:
        """Its worker dies where it stands."""
        self.go_on(die)

    def end(self) -> None:
        """Whatever it was about, its thread is over."""
        while not self.landed:
            self.crash()

    def stop(self, where: str, about: Any) -> Any:
        self._stops.put((where, about))
        try:
            return self._answers.get()()
        except (*MEANT, SystemExit):
            raise
        except BaseException as error:
            self._mistake = error  # of the test: the room would take it for one of ours
            raise

    def _look(self) -> None:
        self.where, self.about = self._stops.get(timeout=SECONDS_TO_STOP)
        if self.landed:
            self._thread.join()
        if self._mistake or isinstance(self.about, BaseException):
            raise self._mistake or self.about

    def _run(self, step: Callable[[], object]) -> None:
        _here.flight = self
        try:
            result = step()
        except SystemExit:
            result = None
        except BaseException as error:  # noqa: BLE001 - whoever looks raises it
            result = error
        self._stops.put((LANDED, result))


def die() -> NoReturn:
    raise SystemExit


def _stop(where: str, about: Any) -> Any:
    return _here.flight.stop(where, about)


class Vendor(MemoryGateway):
    """The gateway of flights: every call of it is a stop, and it counts how often it really took each message."""

    def __init__(self, now: Callable[[], datetime], request_ids: Literal["per-message", "shared"]) -> None:
        super().__init__(
            answers=itertools.repeat(lambda messages: _stop(ON_THE_WIRE, messages)),
            reports_answers=itertools.repeat(lambda request_id: _stop(ASKING, request_id)),
            request_ids=request_ids,
            now=now,
        )
        self.took: Counter[int] = Counter()
        self.crowd: Callable[[Sequence[Report]], Sequence[Report]] = lambda truth: truth  #: what stands around it

    def submit(self, messages: Sequence[OutgoingSms], *, nickname: str | None, begin: Callable[[], None]) -> Acceptance:
        _stop(CONNECTING, messages)
        return super().submit(messages, nickname=nickname, begin=begin)

    def word_about(self, request_id: str, reference: int) -> str | None:
        """What a report of *request_id* says about a message."""
        known = [one for one in self._taken if one.ids.request_id == request_id and one.sms.reference == reference]
        return known[-1].gateway_status if known else None

    def last_request_id(self, reference: int) -> str:
        return next(one.ids.request_id for one in reversed(self._taken) if one.sms.reference == reference)

    def truth(self, request_id: str) -> Sequence[Report]:
        return self.crowd(self.known_reports(request_id))

    def _remember(self, messages: Sequence[OutgoingSms], acceptance: Acceptance) -> Acceptance:
        self.took.update(ids.reference for ids in acceptance.accepted)
        return super()._remember(messages, acceptance)
