"""The real ``sms web`` as a process of its own."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from worker.embedded import processes

READY_SECONDS = 60
STOP_SECONDS = 20


@contextmanager
def web_process(folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Run it with nothing but *env* around it; give its address once it listens. Its log is web.log in *folder*."""
    port, log = processes.free_port(), folder / "web.log"
    command = [sys.executable, "-m", "worker.cli.main", "web", f"127.0.0.1:{port}"]
    process = processes.start(command, log=log, env={"PATH": os.environ["PATH"], **env}, cwd=folder)
    try:
        processes.wait_until_ready(process, lambda: not processes.is_free(port), seconds=READY_SECONDS, log=log)
        yield f"http://127.0.0.1:{port}"
    finally:
        processes.stop(process, seconds=STOP_SECONDS)
