"""Workers come and go while messages are under way: a deploy, and a deploy over a migration."""

from pathlib import Path
from zipfile import ZipFile

import pytest
import redis
from servers import WorkerProcess, wait_for
from system import System, phones

from migrations import schema

LAST_RELEASE = Path(__file__).parents[1] / "releases" / "getsms_worker-0.4.0-py3-none-any.whl"
ITS_SCHEMA = "0004"
DEPLOYS = 4
LEASED = "SELECT count(*) FROM messages WHERE polls = 1 AND gateway_status IS NULL"  # and not answered yet
ORDERED_AT_ONCE = 150


def test_a_deploy_under_load_leaves_nothing_unconfirmed_and_nothing_waiting(house: System) -> None:
    """Four times a new worker comes and the old one is told to go, while the gateway is slow and orders come in."""
    house.control.change(latency_seconds=0.3)
    house.beat()
    old = house.worker(name="release0")
    ordered = 0

    for release in range(1, 1 + DEPLOYS):
        for phone in phones(ORDERED_AT_ONCE, first=1 + ordered):
            house.send(phone, lane=("otp", "normal", "bulk")[ordered % 3])
        ordered += ORDERED_AT_ONCE
        wait_for(lambda: house.states().get("posting"))
        new = house.worker(name=f"release{release}", wait=False)
        old.stop()
        old = new
    house.wait_for_states(delivered=ordered, seconds=120)

    assert house.posted() == dict.fromkeys(phones(ordered), 1)
    assert house.rows("SELECT count(*) FROM batches WHERE state = 'unconfirmed'") == [(0,)]


def test_a_worker_that_is_told_to_go_hands_its_leases_back(house: System) -> None:
    """What it had leased and not asked for is due at once for the next one; no question is counted for it."""
    house.control.change(delivery_seconds=(600, 600))
    worker = house.worker(SMS_POLL_CONNECTIONS="1")
    for phone in phones(60):
        house.send(phone)
    house.wait_for_states(submitted=60)
    house.control.change(latency_seconds=1.0)
    house.beat()
    wait_for(lambda: house.rows(LEASED)[0][0] > 10)

    worker.stop()

    assert worker.exit_code == 0, "it had to be killed"
    assert house.rows(LEASED) == [(0,)]


@pytest.fixture
def last_release(tmp_path: Path) -> Path:
    """The code of the last release, as it was installed."""
    folder = tmp_path / "last-release"
    with ZipFile(LAST_RELEASE) as wheel:
        wheel.extractall(folder)
    return folder


@pytest.fixture
def on_last_schema(house: System) -> System:
    """A house whose database is as the last release left it."""
    schema.downgrade(house.env["SMS_DATABASE_URL"], ITS_SCHEMA)
    return house


def test_the_last_releases_worker_goes_on_over_the_migration(on_last_schema: System, last_release: Path) -> None:
    """Expand, migrate, contract: the old worker runs before, during and after, the new one comes beside it."""
    house = on_last_schema
    old = WorkerProcess(house.folder, house.env | {"PYTHONPATH": str(last_release)}, name="old")
    old.start()
    for phone in phones(100):
        house.send(phone)
    wait_for(lambda: house.states().get("submitted"))

    schema.upgrade(house.env["SMS_DATABASE_URL"])
    for phone in phones(100, first=1000):
        house.send(phone)
    house.wait_for_states(submitted=200)
    house.worker(name="new")
    house.beat()
    for phone in phones(100, first=2000):
        house.send(phone)
    house.wait_for_states(delivered=300, seconds=90)

    assert old.is_alive()
    assert b"room_broke" not in old.log.read_bytes()
    assert set(house.posted().values()) == {1}
    assert house.rows("SELECT count(*) FROM batches WHERE worker LIKE 'old@%'")[0][0] > 1
    with redis.Redis.from_url(house.env["SMS_REDIS_URL"]) as server:
        assert sorted(server.keys("sms:worker:*")) == [b"sms:worker:new@test", b"sms:worker:old@test"]
    old.stop()
