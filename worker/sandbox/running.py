"""A sandbox in a thread of this process, for tests and for the command alike."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from random import Random

from worker.clock import utc_now
from worker.sandbox.app import BASE, GatewayEndpoints
from worker.sandbox.config import SandboxConfig
from worker.sandbox.control import SandboxControl
from worker.sandbox.control_app import ControlEndpoints
from worker.sandbox.faults import Faults
from worker.sandbox.journal import Journal
from worker.sandbox.listener import Listener
from worker.sandbox.vendor import Vendor

LOOPBACK = "127.0.0.1"
START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """Where a sandbox is found."""

    config: SandboxConfig
    port: int
    control_port: int

    @property
    def url(self) -> str:
        """The base address, as in SMS_GATEWAY_URL."""
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        return f"http://{host}:{self.port}{BASE}"

    @property
    def control_url(self) -> str:
        return f"http://{LOOPBACK}:{self.control_port}"

    @property
    def control(self) -> SandboxControl:
        return SandboxControl(self.control_url)


@contextmanager
def running_sandbox(
    config: SandboxConfig | None = None, *, now: Callable[[], datetime] = utc_now
) -> Iterator[RunningSandbox]:
    """Run a sandbox until the block is left; without *config* on two free ports.

    Raises OSError if a port is taken or the journal cannot be opened.
    """
    started: Future[tuple[RunningSandbox, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    config = config or SandboxConfig(port=0, control_port=0)
    thread = threading.Thread(target=_run, args=(config, now, started), name="sandbox", daemon=True)
    thread.start()
    sandbox, loop, stop = started.result(START_SECONDS)
    try:
        yield sandbox
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


def _run(
    config: SandboxConfig,
    now: Callable[[], datetime],
    started: Future[tuple[RunningSandbox, asyncio.AbstractEventLoop, asyncio.Event]],
) -> None:
    async def until_told() -> None:
        stop = asyncio.Event()
        async with _listening(config, now) as sandbox:
            started.set_result((sandbox, asyncio.get_running_loop(), stop))
            await stop.wait()

    try:
        asyncio.run(until_told())
    except Exception as error:
        if started.done():
            raise
        started.set_exception(error)


@asynccontextmanager
async def _listening(config: SandboxConfig, now: Callable[[], datetime]) -> AsyncIterator[RunningSandbox]:
    dice = Random(config.seed)  # noqa: S311 - a toy's dice
    journal, faults = Journal(config.journal), Faults(dice)
    vendor = Vendor(config, journal=journal, dice=dice, now=now, is_guilty=faults.is_guilty)
    endpoints = GatewayEndpoints(vendor, faults)
    listeners: list[Listener] = []
    try:
        gateway = Listener(endpoints.app(), config.host, config.port)
        listeners.append(gateway)
        control_endpoints = ControlEndpoints(
            vendor=vendor, journal=journal, faults=faults, gateway=endpoints, listen=gateway.listen
        )
        control = Listener(control_endpoints.app(), LOOPBACK, config.control_port)
        listeners.append(control)
        await asyncio.gather(gateway.listen(True), control.listen(True))
        yield RunningSandbox(config, gateway.port, control.port)
    finally:
        await asyncio.gather(*(listener.leave() for listener in listeners))
        journal.close()
