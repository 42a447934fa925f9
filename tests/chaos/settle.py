"""The end of a run: all faults are over, everything gets time, and then everything is counted."""

from dataclasses import replace

from tests.chaos import eavesdrop, ledger, unconfirmed
from tests.chaos.gateway import PASSWORD
from tests.chaos.numbered import numbers
from tests.chaos.stories import story_of
from tests.chaos.verdict import Circumstances, Verdict
from tests.chaos.world import LONGER_THAN_A_LEASE_SECONDS, Passing, World, query

MOST_STORIES = 5
OPEN = "SELECT count(*) FROM messages WHERE state NOT IN ('delivered', 'failed', 'unconfirmed')"
OWED = "SELECT count(*) FROM callbacks WHERE state = 'owed'"


def settle(world: World, *, seconds: float = 120) -> None:
    """Return when every message that was ordered is stored and has ended, and every producer was told."""
    for member in world.crew.ready():
        member.notes.arm([])
    wanted = len(numbers(1, world.ordered))
    world.tended_until(lambda: len(world.published()) >= wanted, seconds=seconds)
    world.tended_until(lambda: len(world.crew.ready()) == len(world.crew.members), seconds=seconds)
    passing = Passing(world, LONGER_THAN_A_LEASE_SECONDS)
    world.tended_until(lambda: _is_settled(world, wanted) or passing.step(), seconds=seconds)


def _is_settled(world: World, wanted: int) -> bool:
    stored = sum(world.states().values())
    return stored >= wanted and not query(world, OPEN)[0][0] and not query(world, OWED)[0][0]


def verdict_of(world: World, *, seed: int = 0, command: str = "", seconds: float = 0) -> Verdict:
    """Count everything; the world must be settled, or it is the verdict that it is not."""
    found = ledger.read(world.engine, published=world.published(), journal=world.gateway.journal, told=world.told())
    cuts = unconfirmed.Cuts.of(world.gateway.all_strikes(), at_most=world.posts_cut_at_most)
    verdict = Verdict(
        ledger=found,
        explained=unconfirmed.explain(found, world.crew.deaths, world.crew.slept, cuts),
        crew=world.crew,
        hits=world.hits,
        overheard=eavesdrop.overheard(world.folder, PASSWORD),
        mistakes=eavesdrop.mistakes(world.folder),
        callback_every=world.callback_every,
        circumstances=Circumstances(seed, seconds, world.database.version(), world.valkey_version(), command),
    )
    return replace(verdict, stories=[story_of(world, number) for number in verdict.suspects()[:MOST_STORIES]])
