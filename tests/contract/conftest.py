"""A producer with Celery of its own, and a house that stores what it orders."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import Sessions
from shop import Shop
from system import System

from worker.sandbox.config import SandboxConfig
from worker.sandbox.running import RunningSandbox, running_sandbox


@pytest.fixture
def shop(redis_url: str, sessions: Sessions) -> Iterator[Shop]:
    shop = Shop(redis_url, sessions)
    yield shop
    shop.close()


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxConfig(port=0, control_port=0, delivery_seconds=(0.0, 0.3))) as sandbox:
        yield sandbox


@pytest.fixture
def house(tmp_path: Path, redis_url: str, database_url: str, sandbox: RunningSandbox) -> Iterator[System]:
    house = System(tmp_path, redis_url=redis_url, database_url=database_url, sandbox=sandbox)
    yield house
    house.stop()
