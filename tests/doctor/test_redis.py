"""A real Redis with wrong options, foreign keys, no room, and users who may read too much."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from servers import wait_for

from worker.embedded.valkey import Valkey

THINGS = ("answers", "latency", "persistence", "eviction", "memory", "saving", "keys")


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One that may be hurt."""
    server = Valkey(tmp_path_factory.mktemp("hurt"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis(server: Valkey, monkeypatch: pytest.MonkeyPatch, well: None) -> Iterator[Redis]:  # noqa: ARG001
    monkeypatch.setenv("SMS_REDIS_URL", server.url)
    with Redis.from_url(server.url, decode_responses=True) as connection:
        yield connection


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.usefixtures("redis")
def test_our_own_server_is_as_it_should_be(look: Any, thing: str) -> None:
    assert look(f"redis.{thing}").outcome == "ok"


@pytest.mark.parametrize(
    ("wrong", "thing", "outcome", "said"),
    [
        pytest.param({"appendonly": "no"}, "persistence", "fault", "AOF is off", id="no AOF"),
        pytest.param({"appendfsync": "everysec"}, "persistence", "warning", "about a second", id="everysec"),
        pytest.param({"maxmemory-policy": "allkeys-lru"}, "eviction", "fault", "throws orders away", id="eviction"),
        pytest.param({"maxmemory": "1mb"}, "memory", "fault", "of 1.0 MiB in use", id="full"),
        pytest.param({"maxmemory": "1gb"}, "memory", "ok", "of 1,024.0 MiB in use", id="room"),
    ],
)
def test_a_wrong_option_is_named_with_what_to_do(
    look: Any, redis: Redis, wrong: dict[str, str], thing: str, *, outcome: str, said: str
) -> None:
    for option, value in wrong.items():
        redis.config_set(option, value)

    found = look(f"redis.{thing}")

    assert found.outcome == outcome
    assert said in found.found
    assert bool(found.remedy) == (outcome != "ok")


def test_a_failed_write_to_disk_is_seen(look: Any, redis: Redis, server: Valkey) -> None:
    (server.folder / "dump.rdb").mkdir()  # in the way of the snapshot
    redis.bgsave()
    wait_for(lambda: redis.info("persistence")["rdb_last_bgsave_status"] != "ok")

    found = look("redis.saving")

    assert (found.outcome, found.found) == ("warning", "rdb_last_bgsave_status is not ok")


def test_foreign_keys_are_counted_and_a_phone_in_one_is_not_shown(look: Any, redis: Redis) -> None:
    redis.set("session:998901234567", "theirs")
    redis.lpush("sms.otp", "an order")
    redis.sadd("_kombu.binding.celery.pidbox", "x")

    found = look("redis.keys")

    assert (found.outcome, found.found) == ("warning", "1 keys are neither ours nor Celery's: session:…")


def test_with_a_prefix_of_ours_others_may_share_the_database(look: Any, redis: Redis) -> None:
    redis.set("cache:1", "theirs")

    found = look("redis.keys", SMS_REDIS_KEY_PREFIX="ours:")

    assert found.outcome == "note"
    assert "1 keys without our prefix" in found.found


def test_a_producer_that_can_read_orders_is_named_and_one_that_cannot_is_fine(look: Any, redis: Redis) -> None:
    shared = look("redis.acl")
    redis.acl_setuser("shop", enabled=True, nopass=True, keys=["sms*"], commands=["+lpush", "+ping"])
    tight = look("redis.acl")
    redis.acl_setuser("nosy", enabled=True, nopass=True, keys=["sms*"], commands=["+lpush", "+lrange"])
    loose = look("redis.acl")

    assert (shared.outcome, "share our own user" in shared.found) == ("note", True)
    assert (tight.outcome, tight.found) == ("ok", "shop can order, and read nothing")
    assert (loose.outcome, loose.found) == ("warning", "nosy can read the orders of others")


def test_a_redis_that_is_away_hides_what_hangs_on_it_and_no_password_is_shown(look: Any) -> None:
    away = {"SMS_REDIS_URL": "redis://:hidden@127.0.0.1:1/0"}

    found, behind = look("redis.answers", **away), look("queues.unknown", **away)

    assert (found.outcome, found.found) == ("fault", "redis://127.0.0.1:1/0 does not answer: ConnectionError")
    assert (behind.outcome, behind.found) == ("skipped", "see redis.answers")


def test_a_wrong_password_is_told_from_a_server_that_is_away(look: Any, redis: Redis, server: Valkey) -> None:
    redis.config_set("requirepass", "right")

    found = look("redis.answers", SMS_REDIS_URL=server.url.replace("//", "//:wrong@"))

    assert (found.outcome, found.found.rpartition(" ")[2]) == ("fault", "AuthenticationError")


@pytest.mark.parametrize("name", ["redis.answers", "redis.keys", "queues.unknown", "queues.orders"])
def test_with_another_broker_there_is_nothing_to_look_at(look: Any, name: str) -> None:
    assert look(name, SMS_BROKER_URL="amqp://guest@127.0.0.1//").outcome == "skipped"


def test_a_server_that_keeps_its_settings_to_itself_is_no_fault(look: Any, redis: Redis, server: Valkey) -> None:
    redis.acl_setuser(
        "ours", enabled=True, passwords=["+secret"], keys=["*"], categories=["+@all"], commands=["-config"]
    )

    found = look("redis.persistence", SMS_REDIS_URL=server.url.replace("//", "//ours:secret@"))

    assert found.outcome == "skipped"
    assert "secret" not in str(found)
