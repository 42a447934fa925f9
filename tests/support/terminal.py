"""A command on a terminal of its own, and what a person would read there."""

import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from fcntl import ioctl
from pathlib import Path
from typing import Self

from servers import wait_for

ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]")


class OnTerminal:
    """``sms`` with these words, as somebody sees it on *columns* by *lines* characters."""

    def __init__(self, folder: Path, env: Mapping[str, str], *words: str, columns: int = 100, lines: int = 40) -> None:
        self._screen, child = pty.openpty()
        ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        command = [sys.executable, "-m", "worker.cli.main", *words]
        whole = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "LANG": "C.UTF-8", **env}
        self.process = subprocess.Popen(
            command, stdin=child, stdout=child, stderr=child, cwd=folder, env=whole, start_new_session=True
        )
        os.close(child)
        self.seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)

    def wait_until_drawn(self, words: str, *, seconds: float = 30) -> str:
        """Forget what was seen before, and return what is drawn from now on as soon as *words* stand in it."""
        self.seen = b""
        wait_for(lambda: words in self.read(), seconds=seconds)
        return self.read()

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        wait_for(lambda: self.read() is not None and self.process.poll() is not None)
        return self.process.wait()

    def read(self) -> str:
        """What has been drawn since, without colours."""
        while select.select([self._screen], [], [], 0)[0]:
            try:
                some = os.read(self._screen, 65_536)
            except OSError:  # the last process of the terminal has gone
                break
            if not some:
                break
            self.seen += some
        return ESCAPES.sub(b"", self.seen).decode(errors="replace")
