"""The examples as programs of their own, each started as its README says, in the folder examples."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from worker.embedded import processes

EXAMPLES = Path(__file__).parents[2] / "examples"
READY_SECONDS = 60
STOP_SECONDS = 10


class Programs:
    """Starts them by the words of their READMEs, with no environment but what a test gives; `stop` ends them all."""

    def __init__(self, folder: Path) -> None:
        """*folder* is where their logs go."""
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def run(self, command: str, *arguments: str, **env: str) -> str:
        """What a program wrote until it ended well."""
        done = subprocess.run(
            _shown(command, arguments),
            cwd=EXAMPLES,
            env=_whole(env),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self, name: str, command: str, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        """A program that stays; what it says is in its `log`."""
        words, log = _shown(command, arguments), self._folder / f"{name}.log"
        program = processes.start(words, log=log, env=_whole(env), cwd=EXAMPLES)
        self._running.append(program)
        return program

    def serve(self, name: str, port: int, command: str, **env: str) -> None:
        """Start a web server whose last argument is its port; return when it listens."""
        program = self.start(name, command, str(port), **env)
        log = self._folder / f"{name}.log"
        processes.wait_until_ready(program, lambda: not processes.is_free(port), seconds=READY_SECONDS, log=log)

    def log(self, name: str) -> str:
        """What the program has said so far."""
        return (self._folder / f"{name}.log").read_text(encoding="utf-8")

    def stop(self) -> None:
        for program in self._running:
            processes.stop(program, seconds=STOP_SECONDS)


def _shown(command: str, arguments: Sequence[str]) -> list[str]:
    """The words of *command*, which must stand in a README, and what a test adds to them."""
    readmes = "\n".join(file.read_text(encoding="utf-8") for file in EXAMPLES.glob("*/README.md"))
    assert f"../.venv/bin/{command} " in readmes.replace("\n", " "), command
    program, *words = command.split()
    return [str(Path(sys.executable).with_name(program)), *words, *arguments]


def _whole(env: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **env}
