import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from servers import is_gone, wait_for

from worker.embedded import valkey
from worker.embedded.valkey import Valkey
from worker.errors import SmsError

STARTS_ONE = """
import signal, sys
from pathlib import Path
from worker.embedded.valkey import Valkey
server = Valkey(Path(sys.argv[1]))
server.start()
print(server._process.pid, flush=True)
signal.pause()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path / "redis")
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "asked to end"])
def test_an_acknowledged_order_outlives_its_server(server: Valkey, number: int) -> None:
    with redis.Redis.from_url(server.url) as connection:
        connection.lpush("sms.otp", *range(1000))

    server.kill(number)
    server.start()

    with redis.Redis.from_url(server.url) as connection:
        assert connection.llen("sms.otp") == 1000


def test_it_never_throws_orders_away_for_want_of_memory(server: Valkey) -> None:
    with redis.Redis.from_url(server.url) as connection:
        connection.lpush("sms.bulk", "x" * 100_000)
        connection.config_set("maxmemory", "1kb")

        with pytest.raises(redis.exceptions.OutOfMemoryError):
            connection.lpush("sms.bulk", "one too many")

        assert connection.llen("sms.bulk") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_it_is_gone_when_its_starter_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", STARTS_ONE, tmp_path], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        pid = int(starter.stdout.readline())

        starter.kill()

        wait_for(lambda: is_gone(pid))


def test_without_the_package_the_server_on_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "PACKAGE", "a_package_that_is_not_there")
    monkeypatch.setenv("PATH", str(tmp_path))
    program = tmp_path / "redis-server"
    program.touch(mode=0o755)

    assert valkey.binary() == program


def test_without_any_server_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey, "PACKAGE", "a_package_that_is_not_there")
    monkeypatch.setenv("PATH", "")

    with pytest.raises(SmsError, match="SMS_REDIS_URL"):
        valkey.binary()
