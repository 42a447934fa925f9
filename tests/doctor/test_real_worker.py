"""A worker and beat that really run, and are killed."""

from datetime import timedelta
from typing import Any

import pytest
from servers import wait_for
from system import System

from worker.clock import utc_now


@pytest.fixture
def database_url(sqlite_template: Any, tmp_path: Any) -> str:
    """SQLite is enough: it is the worker who is looked at."""
    file = tmp_path / "sms.db"
    file.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{file}"


def test_a_living_worker_and_its_beat_are_seen_and_so_is_their_end(look: Any, house: System) -> None:
    worker = house.worker()
    house.beat()
    wait_for(lambda: look("house.beat", **house.env).outcome == "ok")
    alive, orders = look("house.workers"), look("queues.orders")
    worker.kill()

    dead = look("house.workers", now=lambda: utc_now() + timedelta(seconds=30))

    assert (alive.outcome, alive.found, orders.outcome) == ("ok", "1 alive: worker@test", "ok")
    assert (dead.outcome, dead.found) == ("fault", "none was seen within 20 s")
