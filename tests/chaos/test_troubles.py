"""Each trouble alone, while messages come in and go out: none lost, none twice, and none unconfirmed for nothing."""

from functools import partial

import pytest

from tests.chaos import troubles
from tests.chaos.settle import settle, verdict_of
from tests.chaos.troubles import CUTTING, Trouble
from tests.chaos.world import World

PER_SECOND = 60
BETWEEN_SECONDS = 0.5


@pytest.mark.parametrize(
    ("world", "one_after_the_other"),
    [
        pytest.param("on_postgresql", troubles.OF_REDIS, id="redis"),
        pytest.param("on_postgresql", troubles.OF_POSTGRESQL, id="postgresql"),
        pytest.param("on_sqlite", troubles.OF_SQLITE, id="sqlite"),
        pytest.param("on_postgresql", (*troubles.OF_CLOCK, *troubles.OF_BEAT), id="clock and beats"),
        pytest.param("on_postgresql", (*troubles.OF_GATEWAY, troubles.ACCOUNT_REFUSED), id="gateway"),
        pytest.param("on_postgresql", (troubles.ROLLING_RESTART,), id="workers"),
    ],
)
def test_each_trouble_alone_costs_nothing(
    request: pytest.FixtureRequest, world: str, one_after_the_other: tuple[Trouble, ...]
) -> None:
    """No message is lost, posted twice, or unconfirmed, unless the gateway itself was cut off."""
    here: World = request.getfixturevalue(world)
    here.order(100_000, per_second=PER_SECOND)

    for trouble in one_after_the_other:
        hits = here.hits_of(trouble.name)
        here.tended_until(lambda: here.is_busy)
        with trouble.begin(here):
            here.tend_for(trouble.seconds)
        here.tend_for(BETWEEN_SECONDS)
        assert here.hits_of(trouble.name) > hits, f"{trouble.name} hit nothing"
    here.stop_ordering()
    settle(here)

    assert verdict_of(here).complaints() == []


def test_every_fault_of_the_gateway_costs_its_own_request_and_no_more(on_postgresql: World) -> None:
    """What is unconfirmed is exactly what was cut, hung or answered 502."""
    world, before = on_postgresql, verdict_of(on_postgresql).figures()["unconfirmed"]
    world.order(100_000, per_second=30)

    for trouble in CUTTING:
        struck = len(world.gateway.all_strikes())
        with trouble.begin(world):
            world.tended_until(partial(world.was_struck_since, struck + 1))
        world.until_it_trusts()
    world.stop_ordering()
    settle(world)

    verdict = verdict_of(world)
    assert verdict.complaints() == []
    assert verdict.figures()["unconfirmed"] > before
