"""How long somebody may take to ask, and to listen. A page has few places, and whoever dawdles must not keep them."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

ASKED_WITHIN_SECONDS = 20.0  # a request, with its body
HEARD_WITHIN_SECONDS = 60.0  # what lies in the buffers of an answer, some ten thousand bytes
ASKING = (h11.IDLE, h11.SEND_BODY)


class Impatient(H11Protocol):
    """Hangs up on whoever takes longer; between two requests the server's own time-out holds."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._asking: asyncio.TimerHandle | None = None
        self._hearing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request is awaited."""
        super().connection_made(transport)
        self._asking = self.loop.call_later(ASKED_WITHIN_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """A piece of a request, or its end."""
        super().data_received(data)
        if self.conn.their_state not in ASKING:
            self._asked()
        elif self._asking is None:
            self._asking = self.loop.call_later(ASKED_WITHIN_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        """The other end does not read so quickly."""
        super().pause_writing()
        self._hearing = self.loop.call_later(HEARD_WITHIN_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._heard()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        super().connection_lost(exc)
        self._asked()
        self._heard()

    def _asked(self) -> None:
        if self._asking:
            self._asking.cancel()
            self._asking = None

    def _heard(self) -> None:
        if self._hearing:
            self._hearing.cancel()
            self._hearing = None
