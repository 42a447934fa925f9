"""The sandbox as a process of its own."""

import signal

import structlog

from worker.sandbox.config import SandboxConfig
from worker.sandbox.running import running_sandbox

log = structlog.get_logger()

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})


def serve(config: SandboxConfig) -> None:
    """Run a sandbox until SIGTERM or SIGINT, then return. Only for a process's main thread.

    Logs one line, ``sandbox_ready``, once both ports answer. Raises OSError if a port is taken.
    """
    # Blocked before any thread starts, so that the signals wait for sigwait and interrupt nothing.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        with running_sandbox(config) as sandbox:
            log.info("sandbox_ready", url=sandbox.url, control_url=sandbox.control_url)
            signal.sigwait(STOP_SIGNALS)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
