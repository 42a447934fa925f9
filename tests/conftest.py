"""Real servers and empty migrated databases for every test; the servers themselves are in ``tests/support``."""

import itertools
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from servers import PostgresServer, administer, database
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker
from system import System

from migrations.schema import upgrade
from worker.embedded.valkey import Valkey
from worker.sandbox.config import SandboxConfig
from worker.sandbox.running import RunningSandbox, running_sandbox
from worker.store.engine import make_engine, make_sessions

OWN_POSTGRES = "TEST_POSTGRES_URL"  # postgresql+psycopg://USER:PASSWORD@HOST/NAME of somebody who may create databases
TEMPLATE = "sms_test_template"

_redis_databases = itertools.cycle(range(1, 16))
_numbers = itertools.count()


@pytest.fixture(scope="session", autouse=True)
def _interrupts() -> None:
    """Python and its children leave a SIGINT alone that their parent ignores, as a shell's does in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """One for all tests; a test that hurts it starts a `Valkey` of its own."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(valkey_server: Valkey) -> str:
    """An empty Redis database that nobody else uses, but what the test before last forgot to stop."""
    url = valkey_server.url.removesuffix("/0") + f"/{next(_redis_databases)}"
    with redis.Redis.from_url(url) as connection:
        connection.flushdb()
    return url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL whose data may be lost; one's own, named by TEST_POSTGRES_URL, or an embedded one."""
    if own := os.environ.get(OWN_POSTGRES):
        yield own
        return
    server = PostgresServer()
    server.start()
    yield server.url
    server.remove()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty migrated SQLite file, to be copied."""
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """The name of an empty migrated PostgreSQL database, to be copied."""
    name = f"{TEMPLATE}_{os.getpid()}"
    administer(postgres_server, f'CREATE DATABASE "{name}"')
    upgrade(database(postgres_server, name))
    yield name
    administer(postgres_server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh migrated database without a row, of each kind that the project knows."""
    if request.param == "sqlite":
        file = tmp_path / "sms.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), file)
        yield f"sqlite:///{file}"
        return
    server, template = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_template")
    name = f"sms_test_{os.getpid()}_{next(_numbers)}"
    administer(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    yield database(server, name)
    administer(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return make_sessions(engine)


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxConfig(port=0, control_port=0, delivery_seconds=(0.0, 0.3))) as sandbox:
        yield sandbox


@pytest.fixture
def house(tmp_path: Path, redis_url: str, database_url: str, sandbox: RunningSandbox) -> Iterator[System]:
    """A house with a gateway, a broker and a database, in which nothing runs yet."""
    house = System(tmp_path, redis_url=redis_url, database_url=database_url, sandbox=sandbox)
    yield house
    house.stop()
