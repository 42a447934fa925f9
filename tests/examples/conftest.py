"""A house, the Redis users that the papers show, and the examples beside it."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from programs import EXAMPLES, Programs
from system import System

from worker.sandbox.config import SandboxConfig
from worker.sandbox.running import running_sandbox

PASSWORD = "for-one-test"
As = Callable[[Path, str], str]


@pytest.fixture
def house(tmp_path: Path, redis_url: str, sqlite_template: Path) -> Iterator[System]:
    """A house whose messages arrive at once; nothing runs in it yet."""
    file = tmp_path / "sms.db"
    shutil.copy(sqlite_template, file)
    with running_sandbox(SandboxConfig(port=0, control_port=0, delivery_seconds=(0.0, 0.3))) as sandbox:
        house = System(tmp_path, redis_url=redis_url, database_url=f"sqlite:///{file}", sandbox=sandbox)
        yield house
        house.stop()


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    programs.stop()


@pytest.fixture
def connected_as(redis_url: str) -> As:
    """Gives the broker's URL for the user whom a paper shows, with just the rights that it shows."""

    def connected(paper: Path, user: str) -> str:
        (rights,) = re.findall(rf"^user {user} on >PASSWORD (.+)$", paper.read_text(encoding="utf-8"), re.MULTILINE)
        with redis.Redis.from_url(redis_url) as server:
            server.execute_command("ACL", "SETUSER", user, "reset", "on", f">{PASSWORD}", *rights.split())
        return redis_url.replace("://", f"://{user}:{PASSWORD}@")

    return connected


@pytest.fixture
def broker_url(connected_as: As) -> str:
    """The broker, for a producer that may push and nothing else."""
    return connected_as(EXAMPLES.parent / "README.md", "shop")
