"""Why messages are unconfirmed: each must have been on the wire when its worker was killed or its answer cut off."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.chaos.crew import Death
from tests.chaos.ledger import Ledger
from tests.chaos.numbered import PHONE
from tests.chaos.steps import ON_THE_WIRE, PERHAPS_ON_THE_WIRE, Hand
from worker.sandbox.faults import Strike

#: After these nobody knows whether the request was taken.
CUTS = frozenset(
    {"cut-before", "cut-after", "hang", "bad-gateway-before", "bad-gateway-after", "half-json", "half-answer"}
)
WORKER_DIED = "worker_died"


@dataclass(frozen=True)
class Cuts:
    """What the gateway, or whoever broke it, cut off."""

    struck: frozenset[int]  #: numbers of messages whose answer was cut off or spoilt
    unread: int = 0  #: posts that were cut before the gateway had read whose they were
    at_most: int = 0  #: posts that were perhaps under way when the gateway was closed or killed

    @classmethod
    def of(cls, strikes: Iterable[Strike], *, at_most: int = 0) -> "Cuts":
        cuts = [strike for strike in strikes if strike.on == "send" and strike.kind in CUTS]
        named = (PHONE.fullmatch(phone) for strike in cuts for phone in strike.about)
        return cls(frozenset(int(phone[1]) for phone in named if phone), sum(not cut.about for cut in cuts), at_most)


@dataclass(frozen=True)
class Explained:
    """The unconfirmed messages by their cause, and what does not add up."""

    by_kill: frozenset[int]  #: or by a sleep that outlasted the lease
    by_gateway: frozenset[int]
    unexplained: tuple[int, ...]
    missing: tuple[int, ...]  #: numbers that ought to be unconfirmed and are not
    too_many: int  #: batches that nobody cut off, or that were cut off and are not unconfirmed

    @property
    def is_exact(self) -> bool:
        return not self.unexplained and not self.missing and not self.too_many


def explain(ledger: Ledger, deaths: Sequence[Death], slept: Sequence[Hand], cuts: Cuts) -> Explained:
    """Hold the unconfirmed messages against the kills, the threads that slept too long, and the cuts."""
    sure = frozenset[int]().union(*(death.surely_unconfirmed for death in deaths))
    perhaps = frozenset[int]().union(*(death.perhaps_unconfirmed for death in deaths))
    perhaps |= {hand.batch_id for hand in slept if hand.step in ON_THE_WIRE | PERHAPS_ON_THE_WIRE}
    unconfirmed = [row for row in ledger.table if row.state == "unconfirmed" and row.number]
    by_kill = frozenset(row.number for row in unconfirmed if row.number and row.batch_id in sure | perhaps)
    struck = frozenset(row.number for row in unconfirmed if row.number in cuts.struck) - by_kill
    others = [row for row in unconfirmed if row.number not in by_kill | struck]
    died = [row for row in others if ledger.batches[row.batch_id or 0].reason == WORKER_DIED]
    cut = [row for row in others if row not in died]
    batches = len({row.batch_id for row in cut})
    # A post that was cut unread may have been that of a worker that was killed: then it is counted there.
    too_few = 0 if deaths else max(0, cuts.unread - batches)
    return Explained(
        by_kill=by_kill,
        by_gateway=struck | {row.number for row in cut if row.number},
        unexplained=tuple(sorted(row.number for row in died if row.number)),
        missing=tuple(sorted(_not_unconfirmed(ledger, sure, cuts.struck))),
        too_many=max(0, batches - cuts.unread - cuts.at_most) + too_few,
    )


def _not_unconfirmed(ledger: Ledger, sure: Iterable[int], struck: Iterable[int]) -> set[int]:
    """Messages of which nobody can know, and the table does; a batch whose messages went elsewhere counts as one."""
    known = ledger.in_state("unconfirmed") | ledger.confirmed
    missing = set(struck) - known
    left = Counter(row.batch_id for row in ledger.table if row.number in known)
    return missing | {-batch for batch in sure if left[batch] != ledger.batches[batch].size}
