"""A clock that is set forward in the middle of a post spoils a figure, never what the gateway answered."""

from builders import Clock, Sessions, a_submission, all_of, states_of, stored

from models import Batch
from worker.gateway.memory import MemoryGateway


def test_an_answer_is_stored_though_the_clock_was_set_forward_by_a_year_meanwhile(sessions: Sessions) -> None:
    clock = Clock()
    gateway = MemoryGateway(now=clock, during=lambda _: clock.advance(days=365))
    stored(sessions)

    a_submission(sessions, gateway, clock).post_next()

    assert states_of(sessions) == ["submitted"]
    (batch,) = all_of(sessions, Batch)
    assert (batch.state, batch.answer_ms) == ("accepted", 2**31 - 1)
