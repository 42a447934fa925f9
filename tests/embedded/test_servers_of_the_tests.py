from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from servers import PostgresServer, WorkerProcess
from sqlalchemy import Engine, create_engine, text

from migrations import schema


def test_every_database_is_migrated_and_empty(engine: Engine) -> None:
    with engine.connect() as connection:
        messages = connection.execute(text("SELECT count(*) FROM messages")).scalar_one()

    assert messages == 0
    assert schema.present(engine) == schema.needed()


def test_a_redis_database_starts_empty(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as connection:
        assert connection.dbsize() == 0


def test_what_postgresql_committed_outlives_its_kill() -> None:
    server = PostgresServer()
    server.start()
    engine = create_engine(server.url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept AS SELECT 1 AS one"))
    engine.dispose()

    server.kill()
    server.start()

    with engine.connect() as connection:
        assert connection.execute(text("SELECT one FROM kept")).scalar_one() == 1
    engine.dispose()
    server.remove()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("end", [WorkerProcess.stop, WorkerProcess.kill], ids=["stopped", "killed"])
def test_a_worker_is_ready_until_it_ends(
    end: Callable[[WorkerProcess], None], database_url: str, redis_url: str, tmp_path: Path
) -> None:
    env = {"SMS_REDIS_URL": redis_url, "SMS_DATABASE_URL": database_url, "SMS_GATEWAY_URL": "http://127.0.0.1:1"}
    worker = WorkerProcess(tmp_path, env | {"SMS_GATEWAY_LOGIN": "a", "SMS_GATEWAY_PASSWORD": "b"}).start()
    alive = worker.is_alive()

    end(worker)

    assert alive
    assert not worker.is_alive()
