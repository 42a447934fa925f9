"""A person's question to the gateway: now, once, and within the limits that all others keep."""

import time
from collections.abc import Sequence
from functools import cached_property
from threading import BoundedSemaphore, Event
from typing import NamedTuple

from worker.errors import GatewayError
from worker.gateway import Gateway, Report
from worker.gateway.http import http_gateway
from worker.limits import Limit, poll_turn
from worker.settings import Settings
from worker.wiring import BELL_TIMEOUT_SECONDS, make_redis

AT_ONCE = 2  # questions by people: the rest of the house wants to ask, too
LONGEST_TURN_SECONDS = 5.0


class Answer(NamedTuple):
    """What came of a question."""

    reports: Sequence[Report] = ()
    error: GatewayError | None = None
    is_busy: bool = False  #: the gateway was not asked: too many others are


class Questions:
    """Asks for reports. It stores nothing, and makes no connection before it is asked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._free = BoundedSemaphore(AT_ONCE)

    def ask(self, request_id: str) -> Answer:
        """What the gateway says of *request_id* now. Takes as long as the gateway's time-outs, and some seconds."""
        if not self._free.acquire(blocking=False):
            return Answer(is_busy=True)
        try:
            if not self._has_turn():
                return Answer(is_busy=True)
            return Answer(self._gateway.reports(request_id))
        except GatewayError as error:
            return Answer(error=error)
        finally:
            self._free.release()

    @cached_property
    def _gateway(self) -> Gateway:
        return http_gateway(self._settings)

    @cached_property
    def _limits(self) -> list[Limit]:
        """The very same as the workers', by their names on Redis."""
        known, stopping = self._settings, Event()
        redis = make_redis(known.redis_url, timeout_seconds=BELL_TIMEOUT_SECONDS) if known.broker_is_redis else None
        prefix = f"{known.redis_key_prefix}sms:limit:"
        rates = {"polls": (known.poll_requests_per_second, 0.0)}
        rates |= {"gateway": (known.gateway_requests_per_second, known.gateway_otp_share)}
        return [
            Limit(redis, prefix + name, per_second, stopping, otp_share=share)
            for name, (per_second, share) in rates.items()
            if per_second
        ]

    def _has_turn(self) -> bool:
        until = time.monotonic() + LONGEST_TURN_SECONDS
        return poll_turn(self._limits, Event())(lambda: time.monotonic() < until)
