"""The vendor's gateway as a process of its own, so that it can be killed, and its journal speaks for itself."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from worker.embedded import processes
from worker.sandbox.control import SandboxControl
from worker.sandbox.faults import Strike

PASSWORD = "parol-5508-chaos"
READY_SECONDS = 30


class Gateway:
    """The sandbox as a process of its own; after `kill`, `start` goes on with the same journal."""

    def __init__(self, folder: Path, *, delivery_seconds: tuple[float, float] = (0.0, 0.3)) -> None:
        self.folder = folder
        self.journal = folder / "journal.jsonl"
        self.port, control_port = processes.free_port(), processes.free_port()
        self.url = f"http://127.0.0.1:{self.port}/smsgateway"
        self.control = SandboxControl(f"http://127.0.0.1:{control_port}")
        self.strikes: list[Strike] = []  #: of those processes that ended
        ports = ["--port", str(self.port), "--control-port", str(control_port), "--journal", str(self.journal)]
        way = ["--delivery-seconds", *map(str, delivery_seconds)]
        program = str(Path(sys.executable).with_name("sms"))
        self._command = [program, "sandbox", "--login", "chaos", "--password", PASSWORD, *ports, *way]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self.folder / "sandbox.log"
        env = {"PATH": os.environ["PATH"]}
        self._process = processes.start(self._command, log=log, env=env, cwd=self.folder)
        processes.wait_until_ready(self._process, self.control.is_ready, seconds=READY_SECONDS, log=log)

    def kill(self) -> None:
        if self._process:
            self.strikes += self.control.strikes()
            processes.kill(self._process)

    def all_strikes(self) -> Sequence[Strike]:
        return [*self.strikes, *self.control.strikes()]

    def stop(self) -> None:
        if self._process:
            processes.stop(self._process, seconds=10)
