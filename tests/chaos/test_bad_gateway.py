"""A gateway that accepts and cuts, refuses and stumbles for as long as messages are sent."""

from tests.chaos.settle import settle, verdict_of
from tests.chaos.world import LONGER_THAN_A_PAUSE_SECONDS, World
from worker.sandbox.faults import Fault

MESSAGES = 400
BAD = (
    Fault("cut-after", probability=0.15),
    Fault("hang", probability=0.05),  # of those that the other did not strike
    Fault("bad-gateway-before", probability=0.03),
    Fault("bad-gateway-after", probability=0.03),
)
SURELY = Fault("cut-after", count=1)  # a busy machine sends few posts, and dice alone might spare them all
CLOSED_EVERY_SECONDS, CLOSED_SECONDS = 1.0, 0.05


def test_what_is_unconfirmed_is_exactly_what_was_cut_hung_or_answered_502(on_sqlite: World) -> None:
    """It cuts 20 % of its answers, and the first; answers 502 to 5 %, and is closed one twentieth of the time."""
    world, control = on_sqlite, on_sqlite.gateway.control
    before = verdict_of(world).figures()
    struck_before = len(world.gateway.all_strikes())
    world.order(MESSAGES, per_second=200)

    while world.ended() < world.ordered:
        spared = len(world.gateway.all_strikes()) == struck_before
        control.set_faults(*([SURELY] if spared else []), *BAD)
        world.tend_for(CLOSED_EVERY_SECONDS)
        world.posts_cut_at_most += world.posts_at_once
        control.set_faults(*BAD, Fault("refuse-connections"))
        world.tend_for(CLOSED_SECONDS)
        if not world.trusts_its_gateway:
            world.let_time_pass(LONGER_THAN_A_PAUSE_SECONDS)
    control.clear_faults()
    settle(world)

    verdict = verdict_of(world)
    assert verdict.complaints() == []
    grown = {name: count - before[name] for name, count in verdict.figures().items()}
    assert grown["unconfirmed"] == grown["unconfirmed_by_gateway"] > 0
    assert grown["delivered"] + grown["unconfirmed"] == grown["published"] == MESSAGES
