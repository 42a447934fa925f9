"""The steps of the way, and the small file in which a worker notes where each of its threads is.

The file is mapped into the worker's memory: what was noted is there after a SIGKILL, too.
"""

import mmap
import os
import signal
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Step(IntEnum):
    """Where a thread is with work in its hands; between two of them it is still at the former."""

    NOWHERE = 0
    TAKEN = 1  #: orders were moved to the in-flight list
    BEFORE_INSERT_COMMIT = 2
    INSERTED = 3  #: committed, and still in flight
    LET_GO = 4  #: in-flight list deleted
    CLAIMED = 5  #: the claim's commit is through, be it the one that stored the messages
    CONNECTED = 6  #: the connection stands, the second commit is next
    AT_ONCE = 7  #: stored in a batch that has begun, in one commit; no byte is written
    BEGUN = 8  #: nothing stands before the first byte any more
    HALF_WRITTEN = 9
    WRITTEN = 10
    HEAD_READ = 11  #: of the answer
    ANSWERED = 12  #: the answer is read
    RECORDING = 13  #: answers of one or more batches are being written down, their commit is next
    RECORDED = 14
    LEASED_POLLS = 15
    ASKING = 16
    REPORTS_IN_HAND = 17
    REPORTS_STORED = 18
    LEASED_CALLBACKS = 19
    TOLD = 20  #: the producer has it, its commit is next
    CALLBACK_RECORDED = 21
    SWEEPING = 22  #: a sweep has moved something, its commit is next


STEPS = tuple(step for step in Step if step)
#: At these nobody can know whether the gateway took the batch, and nobody but upkeep will ever say so.
ON_THE_WIRE = frozenset({Step.AT_ONCE, Step.BEGUN, Step.HALF_WRITTEN, Step.WRITTEN, Step.HEAD_READ})
#: With such an answer in its hands no thread but the one that dies of it can be sure that it is not stored.
IN_HAND = frozenset({Step.ANSWERED, Step.RECORDING})
#: A commit may have been under way that says otherwise.
PERHAPS_ON_THE_WIRE = IN_HAND | {Step.CONNECTED}


@dataclass(frozen=True, slots=True)
class Hand:
    """What one thread was at."""

    step: Step
    in_hand: int  #: orders, messages, questions or callbacks
    batch_id: int  #: 0 but for a post
    died: bool  #: whether this very thread killed the worker


# fatal steps, how often until then, died at, in which slot, ready, full disks, whether to sleep instead, slept at
HEADER = struct.Struct("<QiIIIIII")
SLOT = struct.Struct("<IIq")
REACHED_AT, SLOTS_AT, SLOTS = 64, 256, 320
HELD_AT = 192  #: the slots from here on are those of batches that no thread has in its hands yet
SIZE = SLOTS_AT + SLOTS * SLOT.size
NEVER_RETURNS_SECONDS = 3600


class Notes:
    """One worker's file. The harness says in it at which steps the worker is to kill itself."""

    def __init__(self, file: Path) -> None:
        """Make it, or open what another process made."""
        if not file.exists():
            file.write_bytes(bytes(SIZE))
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), SIZE)
        self._lock = threading.Lock()
        self._of_thread = threading.local()
        self._slots = 0
        self._held: dict[int, int] = {}  #: slots by batch

    # What the harness does.

    def arm(self, steps: Iterable[Step], *, at_its: int = 1, to_sleep: bool = False) -> None:
        """Let the worker die, or stop, the *at_its* time that it reaches one of *steps*; no steps, no death."""
        struct.pack_into("<II", self._map, 28, to_sleep, 0)
        struct.pack_into("<Qi", self._map, 0, sum(1 << step for step in set(steps)), at_its)

    def armed(self) -> frozenset[Step]:
        """The steps that are fatal."""
        fatal = HEADER.unpack_from(self._map)[0]
        return frozenset(step for step in STEPS if fatal >> step & 1)

    @property
    def is_ready(self) -> bool:
        """Whether the worker said that it is."""
        return bool(HEADER.unpack_from(self._map)[4])

    @property
    def full_disks(self) -> int:
        """How often a statement found the disk full."""
        return int(HEADER.unpack_from(self._map)[5])

    def reached(self) -> dict[Step, int]:
        """How often each step was reached."""
        counts = struct.unpack_from(f"<{len(Step)}I", self._map, REACHED_AT)
        return {step: counts[step] for step in STEPS}

    def died_at(self) -> Step:
        """The step at which the worker killed itself; NOWHERE if it did not."""
        return Step(HEADER.unpack_from(self._map)[2])

    def slept_at(self) -> Step:
        """The step at which the worker stopped itself; NOWHERE if it did not, or was armed anew since."""
        return Step(HEADER.unpack_from(self._map)[7])

    def hands(self) -> list[Hand]:
        """What each thread with work was at last."""
        killer = HEADER.unpack_from(self._map)[3] if self.died_at() else -1
        slots = [SLOT.unpack_from(self._map, SLOTS_AT + slot * SLOT.size) for slot in range(SLOTS)]
        return [
            Hand(Step(step), in_hand, batch_id, slot == killer)
            for slot, (step, in_hand, batch_id) in enumerate(slots)
            if step and in_hand
        ]

    # What the worker does.

    def note(self, step: Step, in_hand: int, batch_id: int = 0) -> None:
        """This thread is at *step* now; where that is fatal, it is the last thing that the process does."""
        slot = self._slot()
        SLOT.pack_into(self._map, SLOTS_AT + slot * SLOT.size, step, in_hand, batch_id)
        if step and in_hand:
            self._count(step, slot)

    def hold(self, step: Step, in_hand: int, batch_id: int) -> None:
        """A batch is at *step* while no thread has it; nobody dies of that."""
        with self._lock:
            free = (slot for slot in range(HELD_AT, SLOTS) if slot not in self._held.values())
            slot = self._held.setdefault(batch_id, self._held.get(batch_id) or next(free))
            SLOT.pack_into(self._map, SLOTS_AT + slot * SLOT.size, step, in_hand, batch_id)

    def let_go(self, batch_id: int) -> None:
        """It is in a thread's hands now, or was never stored."""
        with self._lock:
            if slot := self._held.pop(batch_id, None):
                SLOT.pack_into(self._map, SLOTS_AT + slot * SLOT.size, Step.NOWHERE, 0, 0)

    def mine(self) -> tuple[Step, int, int]:
        """Step, work in hand and batch of this thread."""
        step, in_hand, batch_id = SLOT.unpack_from(self._map, SLOTS_AT + self._slot() * SLOT.size)
        return Step(step), in_hand, batch_id

    def say_ready(self) -> None:
        struct.pack_into("<I", self._map, 20, 1)

    def say_disk_full(self) -> None:
        with self._lock:
            struct.pack_into("<I", self._map, 24, self.full_disks + 1)

    def _count(self, step: Step, slot: int) -> None:
        with self._lock:
            (count,) = struct.unpack_from("<I", self._map, REACHED_AT + 4 * step)
            struct.pack_into("<I", self._map, REACHED_AT + 4 * step, count + 1)
            fatal, left = struct.unpack_from("<Qi", self._map, 0)
            if not fatal >> step & 1:
                return
            struct.pack_into("<i", self._map, 8, left - 1)
            if left > 1:
                return
            self._stop_or_die(step, slot)

    def _stop_or_die(self, step: Step, slot: int) -> None:
        if HEADER.unpack_from(self._map)[6]:
            struct.pack_into("<Q", self._map, 0, 0)
            struct.pack_into("<I", self._map, 32, step)
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        struct.pack_into("<II", self._map, 12, step, slot)
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(NEVER_RETURNS_SECONDS)

    def _slot(self) -> int:
        slot: int | None = getattr(self._of_thread, "slot", None)
        if slot is None:
            with self._lock:
                slot = self._of_thread.slot = self._slots % HELD_AT
                self._slots += 1
        return slot


class Conditions:
    """What holds for all workers at once: how wrong their clocks are, and whether the disk is full."""

    _LAYOUT = struct.Struct("<d?")

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(bytes(self._LAYOUT.size))
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), self._LAYOUT.size)

    @property
    def clock_ahead_seconds(self) -> float:
        return float(self._LAYOUT.unpack_from(self._map)[0])

    @clock_ahead_seconds.setter
    def clock_ahead_seconds(self, seconds: float) -> None:
        struct.pack_into("<d", self._map, 0, seconds)

    @property
    def disk_is_full(self) -> bool:
        return bool(self._LAYOUT.unpack_from(self._map)[1])

    @disk_is_full.setter
    def disk_is_full(self, full: bool) -> None:
        struct.pack_into("<?", self._map, 8, full)
