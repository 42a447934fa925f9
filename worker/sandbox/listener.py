"""A port that can be left and taken again while its application lives on."""

import asyncio
import socket

import uvicorn
from starlette.types import ASGIApp

BACKLOG = 2048


class _Server(uvicorn.Server):
    """Goes on until it is told, where uvicorn's own looks ten times a second whether it should."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.told = asyncio.Event()

    async def main_loop(self) -> None:
        self.listening.set()
        await self.told.wait()


class Listener:
    """One uvicorn on one port. Closed, its port stays reserved and refuses connections."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        """Raises OSError if the port is taken."""
        self._app = app
        self._host = host
        self._socket = _bound(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()

    async def listen(self, wanted: bool) -> None:
        """Listen, or refuse connections and cut those there are; when this returns it is so."""
        async with self._changing:
            if wanted and not self._server:
                await self._open()
            elif not wanted and self._server:
                await self._close(self._server)
                self._socket = _bound(self._host, self.port)

    async def leave(self) -> None:
        """Close everything; the port is free again."""
        async with self._changing:
            if self._server:
                await self._close(self._server)
        self._socket.close()

    async def _open(self) -> None:
        # h11: its request cycle holds the connection, which faults cut.
        config = uvicorn.Config(
            self._app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        await self._server.listening.wait()

    async def _close(self, server: _Server) -> None:
        for listening in server.servers:
            listening.close()
        server.force_exit = True
        server.told.set()
        _cut(server)
        if self._serving:
            await self._serving
        _cut(server)  # those that were just being accepted
        self._server = self._serving = None


def _cut(server: uvicorn.Server) -> None:
    for connection in list(server.server_state.connections):
        connection.transport.abort()


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, or asyncio leaves Nagle's algorithm on and each answer waits 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
