"""Who has the next turn: the same rules on Redis and in the stand-in, on a clock that the test moves."""

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

import pytest
import redis

from models.lifecycle import Lane
from worker.limits import LocalTurns, Rank, Rate, RedisTurns, rank_of

OTP, NORMAL, BULK, POLL = Rank

# So slow that the seconds which a test itself takes are nothing: Redis' own clock goes on meanwhile.
INTERVAL = 1_000.0
CAPPED = 1_250.0
GRACE = 200.0
RATE = Rate(1 / INTERVAL, otp_share=0.2, longest_wait_seconds=100 * INTERVAL, grace_seconds=GRACE)
NOTHING = 60.0


class Turns(Protocol):
    now: float

    def ask(self, waiter: str, rank: Rank | None) -> float: ...

    def pass_by(self, seconds: float) -> None: ...


class InProcess:
    def __init__(self, rate: Rate) -> None:
        self.now = 0.0
        self.ask = LocalTurns(rate, lambda: self.now).ask

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class OnRedis:
    """Redis' own clock cannot be moved, so all that is written there is moved the other way."""

    def __init__(self, client: redis.Redis, rate: Rate) -> None:
        self.now = 0.0
        self.client = client
        self.ask = RedisTurns(client, "limit", rate).ask

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        for key in cast("list[bytes]", self.client.keys("limit*")):
            if self.client.type(key) == b"string":
                at = float(cast("bytes", self.client.get(key)))
                self.client.set(key, round(at - seconds * 1e6), keepttl=True)
            else:
                for waiter in cast("list[bytes]", self.client.zrange(key, 0, -1)):
                    self.client.zincrby(key, -seconds * 1e6, waiter)


@dataclass
class Rush:
    """Waiters who ask again when they were told to, and when they had their turn, at once or after a rest."""

    turns: Turns
    waiters: Mapping[str, Rank]
    rests: Mapping[str, float] = field(default_factory=dict)
    granted: list[tuple[float, Rank]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wakes_at = dict.fromkeys(self.waiters, self.turns.now)

    def until(self, end: float) -> "Rush":
        while min(self.wakes_at.values()) < end:
            self.step()
        self.turns.pass_by(end - self.turns.now)
        return self

    def step(self) -> None:
        waiter = min(self.wakes_at, key=lambda one: self.wakes_at[one])
        self.turns.pass_by(max(self.wakes_at[waiter] - self.turns.now, 0.0))
        seconds = self.turns.ask(waiter, self.waiters[waiter])
        self.wakes_at[waiter] = self.turns.now + (seconds or self.rests.get(waiter, 0.0))
        if not seconds:
            self.granted.append((self.turns.now, self.waiters[waiter]))

    @property
    def counts(self) -> Counter[Rank]:
        return Counter(rank for _, rank in self.granted)


def turns_of(request: pytest.FixtureRequest, kind: str, rate: Rate) -> Turns:
    if kind == "in process":
        return InProcess(rate)
    return OnRedis(redis.Redis.from_url(request.getfixturevalue("redis_url")), rate)


@pytest.fixture(params=["on redis", "in process"])
def turns(request: pytest.FixtureRequest) -> Turns:
    return turns_of(request, request.param, RATE)


@pytest.fixture(params=["on redis", "in process"])
def turns_without_share(request: pytest.FixtureRequest) -> Turns:
    return turns_of(request, request.param, Rate(1 / INTERVAL, longest_wait_seconds=INTERVAL, grace_seconds=GRACE))


def about(seconds: float) -> object:
    return pytest.approx(seconds, abs=NOTHING)


@pytest.mark.parametrize("lane", Lane)
def test_each_lane_has_its_rank_before_the_polls(lane: Lane) -> None:
    assert rank_of(lane).name == lane.name
    assert rank_of(lane) < POLL


@pytest.mark.parametrize("rank", Rank)
def test_the_first_has_its_turn_at_once_and_the_next_an_interval_later(turns: Turns, rank: Rank) -> None:
    first = turns.ask("one", rank)
    second = turns.ask("other", OTP)
    turns.pass_by(second)

    assert (first, second) == (0, about(INTERVAL))
    assert turns.ask("other", OTP) == 0


def test_turns_are_an_interval_apart_also_after_a_long_rest(turns: Turns) -> None:
    turns.ask("one", OTP)
    turns.pass_by(1_000 * INTERVAL)

    granted = Rush(turns, {"otp": OTP, "normal": NORMAL, "poll": POLL}).until(turns.now + 20 * INTERVAL).granted

    pauses = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(granted)]
    assert min(pauses) > INTERVAL - NOTHING


@pytest.mark.parametrize(
    ("earlier", "later"),
    [(earlier, later) for earlier in Rank for later in Rank if earlier < later],
    ids=lambda rank: rank.name,
)
def test_whoever_waits_in_an_earlier_rank_goes_first(turns: Turns, earlier: Rank, later: Rank) -> None:
    turns.ask("somebody", POLL)
    turns.pass_by(turns.ask("earlier", earlier))

    yields = turns.ask("later", later)
    granted = turns.ask("earlier", earlier)
    then = turns.ask("later", later)

    assert yields == about(GRACE)
    assert granted == 0
    assert then >= INTERVAL - NOTHING


@pytest.mark.parametrize("rank", [NORMAL, BULK, POLL], ids=lambda rank: rank.name)
def test_nobody_waits_for_a_rank_that_is_later_or_its_own(turns: Turns, rank: Rank) -> None:
    turns.ask("somebody", POLL)
    for other in Rank:
        if other >= rank:
            turns.ask(f"other {other.name}", other)
    turns.pass_by(INTERVAL)

    assert turns.ask("one", rank) == 0


def test_an_otp_that_comes_later_goes_before_a_bulk_that_waits(turns: Turns) -> None:
    turns.ask("somebody", BULK)
    turns.pass_by(turns.ask("bulk", BULK) - INTERVAL / 2)
    turns.ask("poll", POLL)
    turns.pass_by(turns.ask("otp", OTP))

    assert turns.ask("bulk", BULK) > 0
    assert turns.ask("otp", OTP) == 0


def test_one_of_two_that_wait_has_its_turn_and_the_other_still_goes_before_later_ranks(turns: Turns) -> None:
    turns.ask("somebody", POLL)
    turns.ask("one otp", OTP)
    turns.pass_by(turns.ask("other otp", OTP))
    turns.ask("one otp", OTP)
    turns.pass_by(turns.ask("other otp", OTP))

    assert turns.ask("poll", POLL) > 0
    assert turns.ask("other otp", OTP) == 0


@pytest.mark.parametrize("now_wants", [None, POLL], ids=["nothing more", "a later rank"])
def test_who_wants_an_early_turn_no_longer_holds_nobody_up(turns: Turns, now_wants: Rank | None) -> None:
    turns.ask("somebody", POLL)
    turns.pass_by(turns.ask("one", OTP) / 2)
    turns.ask("one", now_wants)
    turns.pass_by(INTERVAL / 2)

    assert turns.ask("poll", POLL) == 0


def test_nothing_is_taken_for_whoever_wants_nothing(turns: Turns) -> None:
    turns.ask("one", None)

    assert turns.ask("other", POLL) == 0


def test_a_waiter_that_died_holds_later_ranks_up_no_longer_than_the_grace(turns: Turns) -> None:
    turns.ask("somebody", POLL)
    turns.pass_by(turns.ask("dies", OTP))
    yields = turns.ask("bulk", BULK)
    turns.pass_by(yields + NOTHING)

    assert yields == about(GRACE)
    assert turns.ask("bulk", BULK) == 0


@pytest.mark.parametrize("rank", [NORMAL, BULK], ids=lambda rank: rank.name)
def test_posts_that_are_not_otp_leave_the_share_free(turns: Turns, rank: Rank) -> None:
    granted = Rush(turns, {"one": rank, "other": rank}).until(50 * INTERVAL).granted

    assert len(granted) in {40, 41, 42}


def test_normal_and_bulk_have_one_ceiling_together(turns: Turns) -> None:
    turns.ask("normal", NORMAL)
    turns.pass_by(10 * INTERVAL)

    granted = Rush(turns, {"normal": NORMAL, "bulk": BULK}).until(60 * INTERVAL).counts

    assert granted.total() in {40, 41, 42}


@pytest.mark.parametrize("first", [BULK, POLL], ids=["bulk wakes first", "polls wake first"])
def test_polls_get_all_that_posts_leave_and_no_more(turns: Turns, first: Rank) -> None:
    waiters = {"first": first, "bulk": BULK, "poll": POLL}

    granted = Rush(turns, waiters).until(50 * INTERVAL).counts

    assert granted[BULK] in {39, 40, 41}
    assert granted[POLL] in {9, 10, 11}


@pytest.mark.parametrize("every", [2, 3, 5])
def test_bulk_starves_no_polls_either_while_otp_uses_the_share(turns: Turns, every: int) -> None:
    waiters = {"otp": OTP, "bulk": BULK, "poll": POLL}

    granted = Rush(turns, waiters, {"otp": every * INTERVAL - NOTHING}).until(60 * INTERVAL).counts

    assert granted[OTP] >= 60 // every - 1
    assert granted[OTP] + granted[BULK] in {48, 49, 50}
    assert granted[POLL] in {10, 11, 12}


@pytest.mark.parametrize("before", [OTP, POLL], ids=lambda rank: rank.name)
def test_bulk_is_held_to_its_part_at_once_whatever_was_before(turns: Turns, before: Rank) -> None:
    Rush(turns, {"somebody": before}).until(50 * INTERVAL)

    granted = Rush(turns, {"bulk": BULK, "poll": POLL}).until(60 * INTERVAL).counts

    assert granted[BULK] in {6, 7, 8, 9}
    assert granted[POLL] in {1, 2, 3, 4}


def held_back_by_the_ceiling(turns: Turns) -> None:
    """Bulk has had all turns that it may have: one is free that it may not take."""
    Rush(turns, {"bulk": BULK}).until(10 * CAPPED)
    turns.pass_by(turns.ask("bulk", BULK))
    turns.ask("bulk", BULK)
    turns.pass_by(INTERVAL)


def test_a_post_that_its_ceiling_holds_back_holds_no_poll_back(turns: Turns) -> None:
    held_back_by_the_ceiling(turns)

    waits = turns.ask("bulk", BULK)

    assert waits == about(CAPPED - INTERVAL)
    assert turns.ask("poll", POLL) == 0


def test_bulk_does_not_go_before_normal_when_their_ceiling_lets_one_of_them_go(turns: Turns) -> None:
    held_back_by_the_ceiling(turns)
    turns.ask("bulk", BULK)
    turns.pass_by(turns.ask("normal", NORMAL))

    assert turns.ask("bulk", BULK) == about(GRACE)
    assert turns.ask("normal", NORMAL) == 0


@pytest.mark.parametrize("after", range(10))
def test_an_otp_waits_no_longer_than_an_interval_while_all_others_saturate_the_limit(turns: Turns, after: int) -> None:
    rush = Rush(turns, {"bulk": BULK, "normal": NORMAL, "poll": POLL}).until((10 + after / 3) * INTERVAL)
    rush.waiters = {"otp": OTP, **rush.waiters}
    rush.wakes_at["otp"] = came_at = turns.now

    rush.until(turns.now + 2 * INTERVAL)

    assert next(at for at, rank in rush.granted if rank == OTP) <= came_at + INTERVAL + NOTHING


@pytest.mark.parametrize("rank", Rank, ids=lambda rank: rank.name)
def test_without_a_share_everybody_may_have_the_whole_limit(turns_without_share: Turns, rank: Rank) -> None:
    granted = Rush(turns_without_share, {"one": rank, "other": rank}).until(10 * INTERVAL - NOTHING).granted

    assert len(granted) == 10


def test_nobody_is_told_to_wait_longer_than_the_longest_wait(request: pytest.FixtureRequest) -> None:
    for kind in ("on redis", "in process"):
        turns = turns_of(request, kind, Rate(1 / INTERVAL, longest_wait_seconds=GRACE, grace_seconds=GRACE))
        turns.ask("one", OTP)

        assert turns.ask("other", OTP) == GRACE
