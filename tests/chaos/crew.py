"""The workers under test: started, armed, killed, and started again, with a note of where each was when it died."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.steps import IN_HAND, ON_THE_WIRE, PERHAPS_ON_THE_WIRE, Hand, Notes, Step
from worker.embedded import processes

STOP_SECONDS = 20
WRITES_SECONDS = 1


@dataclass(frozen=True)
class Death:
    """One SIGKILL of a worker."""

    worker: str
    at: Step  #: where it killed itself; NOWHERE when the kill came from outside
    hands: Sequence[Hand]  #: what its threads had in hand

    @property
    def is_effective(self) -> bool:
        """Whether it hit any work at all."""
        return bool(self.hands)

    @property
    def surely_unconfirmed(self) -> frozenset[int]:
        """Batches of which nobody can ever know, but by a report."""
        answered = {hand.batch_id for hand in self.hands if hand.died and hand.step in IN_HAND}
        return frozenset(answered | {hand.batch_id for hand in self.hands if hand.step in ON_THE_WIRE})

    @property
    def perhaps_unconfirmed(self) -> frozenset[int]:
        """Batches with a commit under way that says whether they are."""
        perhaps = [hand for hand in self.hands if not hand.died and hand.step in PERHAPS_ON_THE_WIRE]
        return frozenset(hand.batch_id for hand in perhaps)


@dataclass
class Member:
    """One place in the crew, and the worker that is in it now."""

    name: str
    folder: Path
    env: dict[str, str]
    wanted: bool = True  #: whether it is to be started again
    armed_at: float = 0.0  #: for whoever arms it
    lives: int = 0
    process: subprocess.Popen[bytes] | None = None
    notes: Notes = field(init=False)
    told_to_go: bool = False
    killed: bool = False

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Begin another life; returns at once."""
        self.lives += 1
        file = self.folder / f"{self.name}.{self.lives}.notes"
        self.notes = Notes(file)
        self.told_to_go = self.killed = False
        command = [sys.executable, "-m", "celery", "-A", "tests.chaos.victim", "worker", "-n", f"{self.name}@chaos"]
        env = self.env | {"CHAOS_NOTES": str(file)}
        self.process = processes.start(
            [*command, "--without-mingle", "-l", "INFO"], log=self.log, env=env, cwd=self.folder
        )

    @property
    def is_ready(self) -> bool:
        """Whether it lives, works, and nobody has told it to go."""
        alive = self.process is not None and self.process.poll() is None
        return alive and not self.told_to_go and self.notes.is_ready

    def kill(self) -> None:
        """SIGKILL, now, wherever it is."""
        if self.process and self.process.poll() is None:
            self.killed = True
            processes.kill(self.process)

    def freeze(self) -> None:
        """SIGSTOP."""
        if self.process and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        if self.process and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)

    def has_gone(self) -> bool:
        """Whether it goes, now that it was told; if not, its log says what its threads are at, and it is killed."""
        assert self.process
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
            return True
        self.process.send_signal(signal.SIGUSR1)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(WRITES_SECONDS)
        processes.kill(self.process)
        return False

    def ask_to_go(self) -> None:
        """SIGTERM; returns at once."""
        if self.process and self.process.poll() is None:
            self.told_to_go = True
            self.process.send_signal(signal.SIGTERM)


class Crew:
    """All of them. `tend` is to be called all the time: it starts those again that ended."""

    def __init__(self, size: int, folder: Path, env: dict[str, str]) -> None:
        self.members = [Member(f"w{number}", folder, env) for number in range(size)]
        self.deaths: list[Death] = []
        self.slept: list[Hand] = []  #: what those that were frozen had in hand
        self.went: list[tuple[str, int]] = []  #: who was told to go, and the exit code
        self.stuck: list[str] = []  #: who did not go in the end
        self.never_ready: list[str] = []  #: who ended before it was ready; the database may have been away
        self.crashed: list[tuple[str, int]] = []  #: who ended and should not have
        self._full_disks = 0  #: met by those that are gone
        self.reached: dict[Step, int] = {}

    def tend(self) -> None:
        """Look at each; start those again that ended."""
        for member in self.members:
            if member.process is None or member.process.poll() is not None:
                self._bury(member)
                if member.wanted:
                    member.start()

    def ready(self) -> list[Member]:
        """Those that work."""
        return [member for member in self.members if member.is_ready]

    def full_disks(self) -> int:
        """How often a statement of any worker found the disk full."""
        return self._full_disks + sum(member.notes.full_disks for member in self.members if member.process)

    def arm_all(self, steps: Iterable[Step]) -> None:
        """Let each that works die at the next of *steps*."""
        fatal = frozenset(steps)
        for member in self.ready():
            member.notes.arm(fatal)

    def stop(self) -> None:
        """End all, the warm way."""
        for member in self.members:
            member.wanted = False
            member.thaw()
            member.ask_to_go()
        for member in self.members:
            if member.process and not member.has_gone():
                self.stuck.append(member.name)
            self._bury(member)

    def _bury(self, member: Member) -> None:
        if member.process is None:
            return
        code, member.process = member.process.returncode, None
        notes = member.notes
        self._full_disks += notes.full_disks
        for step, times in notes.reached().items():
            self.reached[step] = self.reached.get(step, 0) + times
        life = f"{member.name}.{member.lives}"
        if member.killed or notes.died_at():
            self.deaths.append(Death(life, notes.died_at(), notes.hands()))
        elif member.told_to_go:
            self.went.append((life, code))
        elif not notes.is_ready:
            self.never_ready.append(life)
        else:
            self.crashed.append((life, code))
