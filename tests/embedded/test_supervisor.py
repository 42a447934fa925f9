import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import is_gone, wait_for

from worker.embedded.processes import NotReady
from worker.embedded.supervisor import Part, Supervisor, only_one
from worker.errors import SmsError

SLEEPER = "import os, signal; print('up', os.getpid(), flush=True); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile 1: signal.pause()"
)
TELLS = """
import signal, sys
def told(*_):
    print(sys.argv[1], file=open("order", "a"), flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, told)
print("up", flush=True)
signal.pause()
"""
SUPERVISES = """
import os, sys
from pathlib import Path
from worker.embedded.supervisor import Part, Supervisor
parts = [Part(name, [sys.executable, "-c", sys.argv[1]], lambda log: "up" in log) for name in ("one", "two")]
supervisor = Supervisor(parts, folder=Path(), env=os.environ, cwd=Path(), say=print)
supervisor.start()
print(*[child.process.pid for child in supervisor._children], flush=True)
supervisor.run()
"""


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class House:
    """A supervisor of small Python programs, with its clock and what it has said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.said: list[str] = []
        self.supervisor = self.of()

    def of(self, *parts: Part) -> Supervisor:
        self.supervisor = Supervisor(
            parts,
            folder=self.folder,
            env=os.environ,
            cwd=self.folder,
            say=self.said.append,
            monotonic=self.clock,
        )
        return self.supervisor

    def pids(self, name: str) -> list[int]:
        """Of all that ran under this name, the present one last."""
        return [int(line.split()[1]) for line in (self.folder / "logs" / f"{name}.log").read_text().splitlines()]

    def dies(self, name: str) -> None:
        """Kill the present one, and wait until the supervisor has seen it."""
        known = len(self.said)
        os.kill(self.pids(name)[-1], signal.SIGKILL)

        def seen() -> bool:
            self.supervisor.look_after()
            return len(self.said) > known

        wait_for(seen)

    def lives_again_after(self, seconds: float, name: str) -> bool:
        """Whether a new one is started *seconds* from now, and not before."""
        known = len(self.said)
        self.clock.now += seconds - 0.01
        self.supervisor.look_after()
        too_early = len(self.said) > known
        self.clock.now += 0.01
        started = len(self.pids(name))
        self.supervisor.look_after()
        wait_for(lambda: len(self.pids(name)) > started)
        return not too_early


def part(name: str, program: str = SLEEPER, *arguments: str, stop_seconds: float = 10) -> Part:
    return Part(name, [sys.executable, "-c", program, *arguments], lambda log: "up" in log, stop_seconds)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.supervisor.stop()


def test_a_killed_part_is_started_again(house: House) -> None:
    house.of(part("worker"), part("beat")).start()
    beat = house.pids("beat")

    house.dies("worker")

    assert house.lives_again_after(1, "worker")
    assert house.pids("beat") == beat
    assert house.said == [
        f"worker was ended by SIGKILL; starting it again in 1 s. Its log: {house.folder}/logs/worker.log",
        "worker is started again",
    ]


def test_the_pause_grows_while_it_keeps_dying(house: House) -> None:
    house.of(part("worker")).start()

    pauses = []
    for seconds in (1, 2, 4, 8, 16, 30, 30):
        house.dies("worker")
        pauses.append(house.lives_again_after(seconds, "worker"))

    assert all(pauses)


def test_after_a_good_while_the_pause_is_short_again(house: House) -> None:
    house.of(part("worker")).start()
    for seconds in (1, 2, 4):
        house.dies("worker")
        house.lives_again_after(seconds, "worker")

    house.clock.now += 61
    house.dies("worker")

    assert house.lives_again_after(1, "worker")


def test_the_last_started_stops_first(house: House) -> None:
    house.of(*(part(name, TELLS, name) for name in ("redis", "worker", "beat"))).start()

    house.supervisor.stop()

    assert (house.folder / "order").read_text().split() == ["beat", "worker", "redis"]


def test_who_does_not_stop_in_time_is_killed(house: House) -> None:
    house.of(part("worker", STUBBORN, stop_seconds=0.1)).start()

    house.supervisor.stop()

    assert house.supervisor._children[0].process
    assert house.supervisor._children[0].process.returncode == -signal.SIGKILL


def test_asked_twice_it_kills(house: House) -> None:
    house.of(part("worker", STUBBORN, stop_seconds=60)).start()

    house.supervisor.ask_to_stop()
    house.supervisor.ask_to_stop()
    house.supervisor.stop()

    assert house.supervisor._children[0].process
    assert house.supervisor._children[0].process.returncode == -signal.SIGKILL


def test_what_ends_before_it_is_ready_stops_the_start_and_names_its_log(house: House) -> None:
    house.of(part("worker", "print('No disk.'); raise SystemExit(3)"))

    with pytest.raises(NotReady, match=r"code 3 before it was ready: No disk\. Its log: .*/logs/worker\.log"):
        house.supervisor.start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_nothing_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SUPERVISES, SLEEPER]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout
        pids = [int(pid) for pid in supervisor.stdout.readline().split()]

        supervisor.kill()

        assert len(pids) == 2
        wait_for(lambda: all(is_gone(pid) for pid in pids))


def test_a_folder_has_one_house_at_a_time(tmp_path: Path) -> None:
    with (
        only_one(tmp_path, "sms up"),
        pytest.raises(SmsError, match="`sms up` runs already on"),
        only_one(tmp_path, "sms up"),
    ):
        pytest.fail("two houses in one folder")


def test_a_folder_that_was_left_can_be_used_again(tmp_path: Path) -> None:
    with only_one(tmp_path, "sms up"):
        pass

    with only_one(tmp_path, "sms up"):
        assert (tmp_path / "lock").exists()
