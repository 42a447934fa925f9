"""Whatever happens, in whatever order: no accepted message is lost, and none is posted again without a decision."""

import sys
from functools import partial
from typing import Any

import pytest
from anything import fewer
from builders import Sessions
from fates import POST_ANSWERS, QUESTION_ANSWERS, TRUTHS, PostAnswer
from flights import Flight
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from producers import Producers, Wish
from walking import ALL_WELL, House

from models.lifecycle import Lane

NUMBERS = some.integers(0, 40)  #: which of several, counted round
SECONDS = some.sampled_from([70, 2, 20 * 60, 0])  #: circuits and accounts let nobody through for a while
AN_HOUR = 3600  # or a clock that was set
LANES = some.sampled_from([Lane.NORMAL, Lane.NORMAL, Lane.NORMAL, Lane.OTP, Lane.BULK])
WISHES = some.builds(
    Wish,
    LANES,
    some.sampled_from([True, True, False]),
    some.sampled_from([None, None, None, None, "SHOP"]),
    some.sampled_from([None, None, None, None, 60, AN_HOUR]),
    some.sampled_from([None, None, None, None, 30, 2 * AN_HOUR]),
    some.booleans(),
)
TELLINGS = ["hears", "fails", "breaks", "dies", "dies after"]
POST = rule(
    answers=some.lists(POST_ANSWERS, min_size=1, max_size=4),
    pause=SECONDS,
    held=some.sampled_from([False, False, False, True]),
    asked=some.none() | some.sampled_from(TRUTHS),
)


class Walk(RuleBasedStateMachine):
    """Producers, workers that are slow or die, a gateway that answers anything, a clock that jumps, and people."""

    house: House

    def __init__(self, sessions: Sessions) -> None:
        super().__init__()
        self.sessions = sessions
        self.posts: list[Flight] = []
        self.polls: list[Flight] = []

    @initialize(
        vendor_ids=some.sampled_from(["shared", "shared", "per-message"]),
        policies=some.fixed_dictionaries(dict.fromkeys(Lane, some.sampled_from(["hold", "resend", "drop"]))),
        batch_max_messages=some.sampled_from([50, 3, 1]),
        alike=some.integers(2, 4),
        wishes=some.lists(WISHES, max_size=2),
    )
    def build(self, alike: int, wishes: list[Wish], **options: Any) -> None:
        self.house = House(self.sessions, **options)
        self.ledger = self.house.ledger
        self.producers = Producers(self.house, self.sessions)
        for wish in [*[Wish()] * alike, *wishes]:
            self.producers.order(wish)

    @rule(what=some.sampled_from(["order", "cancel", "by key", "again", *TELLINGS]), wish=WISHES, number=NUMBERS)
    def producers_do(self, what: str, wish: Wish, number: int) -> None:
        if what == "order":
            self.producers.order(wish)
        elif what == "cancel":
            self.producers.cancel(wish.lane, number)
        elif what == "by key":
            self.producers.order_by_key(wish.lane, "ab"[number % 2], f"text {number % 3}")
        elif what == "again":
            self.producers.again(self.producers.orders[number % len(self.producers.orders)])
        else:
            self.house.tell(what)

    @precondition(lambda self: self.ledger.of_state("unconfirmed"))
    @rule(
        numbers=some.lists(NUMBERS, min_size=1, max_size=3),
        verdict=some.sampled_from(["resend", "drop"]),
        by_order=some.booleans(),
    )
    def somebody_decides(self, numbers: list[int], verdict: str, *, by_order: bool) -> None:
        self.producers.decide(numbers, verdict, by_order=by_order)

    @precondition(lambda self: self.producers.decisions)
    @rule(number=NUMBERS, answer=some.none() | POST_ANSWERS, pause=SECONDS)
    def a_decision_comes_again(self, number: int, answer: PostAnswer | None, pause: int) -> None:
        self.house.clock.advance(seconds=pause)
        if answer:
            self.house.post(answer)
        self.producers.again(self.producers.decisions[number % len(self.producers.decisions)])

    @precondition(lambda self: self.ledger.of_state("queued"))
    @POST
    def post(self, **options: Any) -> None:
        self.some_posts(**options)

    @precondition(lambda self: self.ledger.of_state("queued"))
    @POST
    def post_more(self, **options: Any) -> None:
        """Hypothesis takes each rule as often as any other, and posts are what all this is about."""
        self.some_posts(**options)

    def some_posts(self, answers: list[PostAnswer], pause: int, asked: str | None, *, held: bool) -> None:
        if held:
            self.house.person.pause()
            self.house.post(ALL_WELL)
            self.house.person.resume()
        for answer in answers:
            self.house.clock.advance(seconds=pause)
            self.house.post(answer)
        if asked:
            self.house.clock.advance(seconds=10)
            self.house.hear(self.house.ask(), asked)

    @precondition(lambda self: self.posts or self.ledger.of_state("queued"))
    @rule(
        answer=POST_ANSWERS,
        pause=SECONDS,
        another=some.booleans(),
        connection=some.sampled_from(["stands", "stands", "comes later", "refused", "breaks", "dies"]),
    )
    def post_slowly(self, answer: PostAnswer, pause: int, connection: str, *, another: bool) -> None:
        """One begins, or goes on by one step; never more than two."""
        self.house.clock.advance(seconds=pause)
        begins = not self.posts or (another and len(self.posts) < 2)
        flight = self.house.claim() if begins else self.posts.pop(0)
        if not flight.landed and not (begins and connection == "comes later"):
            self.one_step(flight, answer, connection)
        self.posts += [] if flight.landed else [flight]

    def one_step(self, flight: Flight, answer: PostAnswer, connection: str) -> None:
        if flight.began:
            self.house.land(flight, answer)
        elif connection == "refused":
            self.house.cannot_connect(flight)
        elif connection == "breaks":
            self.house.break_before_the_first_byte(flight)
        elif connection == "dies":
            flight.crash()
        else:
            self.house.begin(flight)

    @precondition(lambda self: self.ledger.of_state("submitted"))
    @rule(
        kind=QUESTION_ANSWERS,
        pause=some.sampled_from([70, 2, 70, 72 * AN_HOUR]),
        number=NUMBERS,
        word=some.none() | some.sampled_from(["delivered", "delivered", "rejected", "transmitted", "somewhere"]),
    )
    def poll(self, kind: str, pause: int, number: int, word: str | None) -> None:
        taken = sorted(self.house.vendor.took)
        if taken and word:
            self.house.vendor.deliver(taken[number % len(taken)], word)
        self.house.clock.advance(seconds=pause)
        self.house.hear(self.house.ask(), kind)

    @precondition(lambda self: self.ledger.of_state("submitted"))
    @rule(kind=QUESTION_ANSWERS)
    def poll_slowly(self, kind: str) -> None:
        """It begins the first time, and goes on the next."""
        if self.polls:
            self.house.hear(self.polls.pop(), kind)
        else:
            flight = self.house.ask()
            self.polls += [] if flight.landed else [flight]

    @precondition(lambda self: self.ledger.of_state("posting", "unconfirmed", "submitted"))
    @rule(seconds=some.sampled_from([70, 0, 10, 20 * 60, AN_HOUR, -AN_HOUR]), sweep=some.booleans())
    def time_goes_by(self, seconds: int, *, sweep: bool) -> None:
        self.house.clock.advance(seconds=seconds)
        if sweep:
            self.house.sweep()

    @invariant()
    def the_tables_agree(self) -> None:
        if hasattr(self, "house"):
            self.ledger.check()

    def teardown(self) -> None:
        for flight in [*self.posts, *self.polls]:
            flight.end()
        if hasattr(self, "house") and sys.exc_info()[0] is None:
            self.house.come_to_rest()


@pytest.mark.timeout(600)  # what fails is made as small as it can be
@pytest.mark.usefixtures("quiet")
def test_no_walk_loses_a_message_or_posts_one_again_undecided(fast_sessions: Sessions) -> None:
    run_state_machine_as_test(partial(Walk, fast_sessions), settings=fewer(by=9))  # type: ignore[arg-type] # any maker
