"""Killing workers by plan: each victim is armed for a step, and comes back by itself once it is dead."""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.chaos.crew import Crew, Member
from tests.chaos.plan import Kill
from tests.chaos.steps import Step

PATIENCE_SECONDS = 10.0  # then another worker is armed for that step, and this one for another step
BETWEEN_BELLS_SECONDS = 0.5


@dataclass
class _Aim:
    kill: Kill
    deaths: int  #: of all workers before
    life: int
    since: float = field(default_factory=time.monotonic)


class Hunt:
    """The kills that are still to be done. `tend` is to be called all the time, after the crew's."""

    def __init__(self, crew: Crew, kills: Iterable[Kill]) -> None:
        self._crew = crew
        self._left = deque(kills)
        self._aims: dict[str, _Aim] = {}
        self.done = 0  #: kills that hit work
        self.allowed = 0  #: how many there may be by now
        self._judged = 0

    @property
    def left(self) -> int:
        """Kills that are still to hit."""
        return len(self._left) + len(self._aims)

    @property
    def wants_a_sweep(self) -> bool:
        return any(aim.kill.at == Step.SWEEPING for aim in self._aims.values())

    def tend(self) -> None:
        """See who died, and aim at those that are back."""
        for member in self._crew.members:
            aim = self._aims.get(member.name)
            if aim and member.lives > aim.life:
                self._judge(member, aim)
            elif aim:
                self._press(member, aim)
            if member.name not in self._aims and member.is_ready and self._left and self.done < self.allowed:
                self._aim(member)

    def _judge(self, member: Member, aim: _Aim) -> None:
        del self._aims[member.name]
        life = f"{member.name}.{aim.life}"
        hit = [death for death in self._crew.deaths[aim.deaths :] if death.worker == life and death.is_effective]
        if hit and hit[0].at == aim.kill.at:
            self.done += 1
        else:
            self._left.append(aim.kill)

    def _aim(self, member: Member) -> None:
        kill = self._left.popleft()
        self._aims[member.name] = _Aim(kill, len(self._crew.deaths), member.lives)
        if kill.at:
            member.notes.arm([kill.at], at_its=1 if kill.at == Step.SWEEPING else kill.at_its)

    def _press(self, member: Member, aim: _Aim) -> None:
        waited = time.monotonic() - aim.since
        if not member.is_ready:
            return
        if not aim.kill.at and waited > aim.kill.after_seconds and member.notes.hands():
            member.kill()
        elif waited > PATIENCE_SECONDS:
            member.notes.arm([])
            self._left.append(aim.kill)
            del self._aims[member.name]
