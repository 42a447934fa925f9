"""Orders on Redis: taken atomically, never only in memory, and put back where they came from."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from builders import a_send
from servers import wait_for

from models.lifecycle import Lane
from worker.lanes import PRIORITY_SEPARATOR, LaneLists

OTP = "sms.otp"


@pytest.fixture
def server(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


def push(server: redis.Redis, *orders: bytes, key: str = OTP) -> None:
    """As Kombu does: the newest at the left end."""
    for order in orders:
        server.lpush(key, order)


def waiting(server: redis.Redis, key: str = OTP) -> list[bytes]:
    """What lies on a list, the oldest first."""
    return list(reversed(server.lrange(key, 0, -1)))  # type: ignore[arg-type]


def take(lists: LaneLists, lane: Lane = Lane.OTP, *, most: int = 100, most_bytes: int = 10_000) -> list[bytes]:
    return lists.take(lane, most=most, most_bytes=most_bytes)


def test_orders_are_taken_oldest_first_and_leave_the_list(server: redis.Redis) -> None:
    push(server, b"a", b"b", b"c")

    assert take(LaneLists(server, owner="one"), most=2) == [b"a", b"b"]
    assert waiting(server) == [b"c"]


def test_what_is_taken_is_taken_again_until_it_is_done(server: redis.Redis) -> None:
    lists = LaneLists(server, owner="one")
    push(server, b"a", b"b", b"c")

    found = [take(lists, most=2), take(lists, most=2)]
    lists.done(Lane.OTP)

    assert found == [[b"a", b"b"], [b"a", b"b"]]
    assert take(lists) == [b"c"]


def test_takers_at_the_same_time_never_share_an_order(server: redis.Redis) -> None:
    orders = [str(number).encode() for number in range(2_000)]
    push(server, *orders)

    def all_taken(owner: str) -> list[bytes]:
        lists, found = LaneLists(server, owner=owner), list[bytes]()
        while taken := take(lists, most=7):
            found += taken
            lists.done(Lane.OTP)
        return found

    with ThreadPoolExecutor(4) as pool:
        taken = [order for found in pool.map(all_taken, "abcd") for order in found]

    assert sorted(taken) == sorted(orders)


def test_lanes_do_not_touch_each_other(server: redis.Redis) -> None:
    lists = LaneLists(server, owner="one")
    push(server, b"o")
    push(server, b"b", key="sms.bulk")

    assert [take(lists, Lane.BULK), take(lists, Lane.OTP), take(lists, Lane.NORMAL)] == [[b"b"], [b"o"], []]


def test_the_most_urgent_go_first_as_kombu_writes_priorities(server: redis.Redis) -> None:
    for priority in (9, 3, 1, 0, 8, 6, 2, 5, 7, 4):
        key = f"{OTP}{PRIORITY_SEPARATOR}{priority}" if priority else OTP
        push(server, a_send(priority=priority, queue=OTP), key=key)

    taken = take(LaneLists(server, owner="one"))

    assert [json.loads(order)["properties"]["priority"] for order in taken] == list(range(10))


def test_no_further_order_is_taken_once_the_bytes_are_reached(server: redis.Redis) -> None:
    push(server, b"a" * 60, b"b" * 60, b"c" * 60)

    assert [len(order) for order in take(LaneLists(server, owner="one"), most_bytes=100)] == [60, 60]
    assert waiting(server) == [b"c" * 60]


def test_both_limits_hold_over_all_sublists_together(server: redis.Redis) -> None:
    for priority in range(3):
        push(server, b"a" * 60, b"b" * 60, key=f"{OTP}{PRIORITY_SEPARATOR}{priority}" if priority else OTP)
    by_number, by_bytes = LaneLists(server, owner="one"), LaneLists(server, owner="other")

    taken = [len(take(by_number, most=1)), len(take(by_bytes, most_bytes=180))]

    assert taken == [1, 3]
    assert [server.llen(key) for key in (OTP, f"{OTP}{PRIORITY_SEPARATOR}1", f"{OTP}{PRIORITY_SEPARATOR}2")] == [
        0,
        0,
        2,
    ]


def test_one_order_is_taken_however_large_it_is(server: redis.Redis) -> None:
    push(server, b"a" * 500)

    assert [len(order) for order in take(LaneLists(server, owner="one"), most_bytes=100)] == [500]


def test_what_is_to_come_again_goes_to_the_back_of_the_queue(server: redis.Redis) -> None:
    lists = LaneLists(server, owner="one")
    push(server, b"a", b"b")
    take(lists, most=1)

    lists.done(Lane.OTP, requeue=[b"a"])

    assert waiting(server) == [b"b", b"a"]


def test_what_the_dead_held_is_put_back_in_its_old_order(server: redis.Redis) -> None:
    dead, alive = LaneLists(server, owner="dead"), LaneLists(server, owner="alive")
    push(server, b"a", b"b", b"c", b"d")
    take(dead, most=2)
    take(alive, most=1)
    server.delete(dead._alive("dead"))

    adopted = alive.adopt()

    assert adopted == 2
    assert waiting(server) == [b"a", b"b", b"d"]
    assert take(alive) == [b"c"]
    assert alive.adopt() == 0


def test_nothing_is_taken_from_a_taker_that_is_alive(server: redis.Redis) -> None:
    one, other = LaneLists(server, owner="one"), LaneLists(server, owner="other")
    push(server, b"a")
    take(one)

    assert other.adopt() == 0
    assert take(one) == [b"a"]


def test_a_taker_without_heartbeat_is_dead_within_seconds(server: redis.Redis) -> None:
    lists = LaneLists(server, owner="one")
    push(server, b"a")

    take(lists)
    after_taking = server.pttl(lists._alive("one"))
    lists.beat()

    assert 0 < int(after_taking) <= 5_000
    assert 0 < int(server.pttl(lists._alive("one"))) <= 5_000


def test_whoever_was_taken_for_dead_takes_new_orders_again(server: redis.Redis) -> None:
    one, other = LaneLists(server, owner="one"), LaneLists(server, owner="other")
    push(server, b"a")
    take(one)
    server.delete(one._alive("one"))
    other.adopt()

    let_go = one.done(Lane.OTP)

    assert not let_go
    assert take(one) == [b"a"], "the order comes twice, which changes nothing, but it is never lost"


def test_leaving_puts_everything_back(server: redis.Redis) -> None:
    lists = LaneLists(server, owner="one")
    push(server, b"a", b"b")
    push(server, b"x", key="sms.bulk")
    take(lists, most=1)
    take(lists, Lane.BULK)

    put_back = lists.leave()

    assert put_back == 2
    assert (waiting(server), waiting(server, "sms.bulk")) == ([b"a", b"b"], [b"x"])
    assert list(server.scan_iter("sms:*")) == []


def test_others_hold_what_others_took(server: redis.Redis) -> None:
    one, other = LaneLists(server, owner="one"), LaneLists(server, owner="other")
    push(server, b"a")

    before = other.others_hold(Lane.OTP)
    take(one)

    assert [before, other.others_hold(Lane.OTP), other.others_hold(Lane.BULK)] == [False, True, False]
    assert not one.others_hold(Lane.OTP)


def test_waiting_ends_when_an_order_is_pushed(server: redis.Redis) -> None:
    lists = LaneLists(server, owner="one")
    with ThreadPoolExecutor(1) as thread:
        waits = thread.submit(lists.wait, Lane.OTP, seconds=30)
        wait_for(lambda: server.info("clients")["blocked_clients"])
        push(server, b"a")
        waits.result(10)

    assert waiting(server) == [b"a"]


def test_waiting_changes_nothing_where_orders_are(server: redis.Redis) -> None:
    push(server, b"a", b"b", b"c")

    LaneLists(server, owner="one").wait(Lane.OTP, seconds=30)

    assert waiting(server) == [b"a", b"b", b"c"]


def test_a_prefix_stands_before_every_key(server: redis.Redis) -> None:
    lists = LaneLists(server, owner="one", prefix="shop:")
    push(server, b"a", key="shop:sms.otp")

    taken = take(lists)
    lists.done(Lane.OTP)

    assert taken == [b"a"]
    assert all(key.startswith(b"shop:") for key in server.scan_iter())
