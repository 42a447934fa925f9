"""Where the broker is not Redis, the same orders come as ordinary tasks, through the same room."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from servers import PostgresServer, wait_for
from system import System, phones

from migrations.schema import upgrade
from worker.sandbox.running import RunningSandbox

# Kombu's, of the broker chosen here: one that needs no server.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

MORE_THAN_CELERY_RETRIES = 5


def elsewhere(house: System, folder: Path) -> System:
    """The same house, with orders that come by another broker."""
    house.env["SMS_BROKER_URL"] = f"sqla+sqlite:///{folder / 'broker.db'}"
    house.producer.conf.broker_url = house.env["SMS_BROKER_URL"]
    return house


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_orders_of_every_lane_are_stored_and_delivered(house: System, tmp_path: Path) -> None:
    elsewhere(house, tmp_path).worker("-c", "4")
    house.beat()

    uids = {house.send(phone, lane=lane) for phone, lane in zip(phones(9), ["otp", "normal", "bulk"] * 3, strict=True)}
    house.send("no number at all")
    house.wait_for_states(delivered=9)

    assert {uid for (uid,) in house.rows("SELECT uid FROM messages")} == uids
    assert set(house.posted().values()) == {1}
    wait_for(lambda: house.rows("SELECT reason FROM refused_intakes") == [("phone_invalid",)])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_order_whose_time_has_run_out_is_stored_as_expired_and_not_dropped(house: System, tmp_path: Path) -> None:
    elsewhere(house, tmp_path).worker("-c", "4")
    house.beat()
    late, early = datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC) + timedelta(hours=1)

    gone = house.producer.send_task("sms.send", args=["998901234567", "Kod"], queue="sms.otp", expires=late)
    later = house.producer.send_task("sms.send", args=["998901234568", "Kod"], queue="sms.otp", eta=early)
    house.wait_for_states(expired=1, queued=1)

    assert dict(house.rows("SELECT uid, state FROM messages")) == {gone.id: "expired", later.id: "queued"}
    assert house.posted() == {}


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


def test_an_order_waits_for_the_database_however_long_it_is_away(
    tmp_path: Path, redis_url: str, sandbox: RunningSandbox, own_postgres: PostgresServer
) -> None:
    upgrade(own_postgres.url)
    house = System(tmp_path, redis_url=redis_url, database_url=own_postgres.url, sandbox=sandbox)
    try:
        worker = elsewhere(house, tmp_path).worker("-c", "4")
        house.beat()
        own_postgres.stop()
        house.send("998901234567", "Maxfiy kod 739155")
        wait_for(lambda: worker.log.read_text().count("order_waits") >= MORE_THAN_CELERY_RETRIES, seconds=90)
        own_postgres.start()

        house.wait_for_states(delivered=1, seconds=90)

        assert house.posted() == {"998901234567": 1}
        assert "739155" not in worker.log.read_text()
    finally:
        house.stop()
