"""What a check is: one thing to look at, what was found, why it matters, and what to do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from threading import RLock
from typing import Any, NamedTuple, TypeVar

from worker.errors import SettingsError
from worker.settings import Settings

T = TypeVar("T")


class Outcome(StrEnum):
    """How it is, from best to worst; what was skipped is not known."""

    OK = "ok"
    NOTE = "note"  #: worth knowing, nothing to do
    SKIPPED = "skipped"  #: it does not apply here, or something before it is at fault
    WARNING = "warning"  #: it works, and may hurt one day
    FAULT = "fault"  #: it does not work, or breaks a promise


class Found(NamedTuple):
    """What a check saw, in words without a secret, a phone or a text."""

    outcome: Outcome
    words: str
    remedy: str | None = None  #: where it is another one than the check's own


@dataclass
class Ground:
    """What the checks stand on. *settings* is None if they cannot be read; *complaint* then says why."""

    read: Settings | None
    complaint: str
    now: Callable[[], datetime]
    _known: dict[str, Any] = field(default_factory=dict)
    _lock: Any = field(default_factory=RLock)

    @property
    def settings(self) -> Settings:
        """The settings. Raises `SettingsError` if there are none."""
        if self.read is None:
            raise SettingsError(self.complaint)
        return self.read

    def once(self, name: str, find: Callable[[], T]) -> T:
        """What *find* gives, found once for all checks; what it raises is raised to each."""
        with self._lock:
            if name not in self._known:
                self._known[name] = find()
            found: T = self._known[name]
            return found


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at."""

    name: str  #: ``neighbourhood.thing``
    asks: str  #: what it looks at, as a question
    why: str  #: what it is good for
    remedy: str
    look: Callable[[Ground], Found]
    after: tuple[str, ...] = ()  #: with a fault in one of these there is nothing to see here
    needs_settings: bool = True
    late: str | None = None  #: the remedy where no answer came in time, if it is another one


class Finding(NamedTuple):
    """What came of a check, for a person and for a program."""

    name: str
    outcome: Outcome
    found: str
    why: str
    remedy: str | None  #: None where there is nothing to do


def ok(words: str) -> Found:
    """All is well."""
    return Found(Outcome.OK, words)


def note(words: str, remedy: str | None = None) -> Found:
    """Worth knowing."""
    return Found(Outcome.NOTE, words, remedy)


def warning(words: str, remedy: str | None = None) -> Found:
    """It may hurt."""
    return Found(Outcome.WARNING, words, remedy)


def fault(words: str, remedy: str | None = None) -> Found:
    """It does not work."""
    return Found(Outcome.FAULT, words, remedy)


def skipped(words: str) -> Found:
    """It does not apply here."""
    return Found(Outcome.SKIPPED, words)


def graded(value: float, *, warns_at: float, faults_at: float, words: str) -> Found:
    """The worse the higher *value* is."""
    if value >= faults_at:
        return fault(words)
    return warning(words) if value >= warns_at else ok(words)
