"""A message that nobody knows to have been taken, through all that may happen to it: seldom met by chance."""

from dataclasses import dataclass
from random import Random
from typing import Literal

import pytest
from anything import fewer
from builders import Sessions
from fates import DOUBTFUL_KINDS, TRUTHS, PostAnswer, a_post_answer
from hypothesis import given, note
from hypothesis import strategies as some
from producers import Producers, Wish
from walking import House

from models.lifecycle import Lane


@dataclass
class Doubt:
    """How it comes about, and what is done about it."""

    vendor_ids: Literal["per-message", "shared"]
    policy: str
    wishes: list[Wish]
    answer: PostAnswer  #: to the slow post that it is all about
    looked_after_seconds: int  #: when upkeep looks, which after a minute takes that post for dead
    answer_is_last: bool  #: whether it comes when the messages have been posted again
    decisions: list[tuple[str, bool]]  #: verdict, and whether a producer's order brings it
    redelivered: bool  #: whether the broker delivers such orders again after the next post
    posted_again: list[PostAnswer]
    asked: str


def a_doubt(dice: Random) -> Doubt:
    return Doubt(
        vendor_ids=dice.choice(["shared", "per-message"]),
        policy=dice.choice(["hold", "hold", "resend", "drop"]),
        wishes=[Wish(another=dice.choice([True, True, True, False])) for _ in range(dice.randint(1, 4))],
        answer=a_post_answer(dice, mostly=["each", "taken"]),
        looked_after_seconds=dice.choice([70, 70, 20]),
        answer_is_last=dice.choice([True, True, False]),
        decisions=[(dice.choice(["resend", "resend", "drop"]), dice.choice([True, True, False])) for _ in range(2)],
        redelivered=dice.choice([True, False]),
        posted_again=[a_post_answer(dice, mostly=DOUBTFUL_KINDS) for _ in range(dice.randint(0, 2))],
        asked=dice.choice(TRUTHS),
    )


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("quiet")
@fewer(by=6)
@given(dice=some.randoms(use_true_random=True))
def test_a_doubt_is_resolved_by_proof_or_decision_and_never_by_chance(fast_sessions: Sessions, dice: Random) -> None:
    doubt = a_doubt(dice)
    note(repr(doubt))
    house = House(fast_sessions, doubt.vendor_ids, dict.fromkeys(Lane, doubt.policy), batch_max_messages=50)
    producers = Producers(house, fast_sessions)
    for wish in doubt.wishes:
        producers.order(wish)

    slow = house.claim()
    house.begin(slow)
    house.clock.advance(seconds=doubt.looked_after_seconds)
    house.sweep()
    house.ledger.check()
    if not doubt.answer_is_last:
        house.land(slow, doubt.answer)
    post_again(house, producers, doubt)
    if doubt.answer_is_last:
        house.land(slow, doubt.answer)
    house.ledger.check()
    house.clock.advance(seconds=10)
    house.hear(house.ask(), doubt.asked)

    house.ledger.check()
    house.come_to_rest()


def post_again(house: House, producers: Producers, doubt: Doubt) -> None:
    for (verdict, by_order), answer in zip(doubt.decisions, doubt.posted_again, strict=False):
        if house.ledger.of_state("unconfirmed"):
            producers.decide([0, 1], verdict, by_order=by_order)
        house.clock.advance(minutes=20)
        house.sweep()
        house.post(answer)
        for order in producers.decisions if doubt.redelivered else ():
            producers.again(order)
        house.ledger.check()
