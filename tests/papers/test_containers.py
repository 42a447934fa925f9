"""Dockerfile and docker-compose.yml: what of them can be tried without a container engine."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from redis.exceptions import NoPermissionError
from servers import wait_for

from worker.cli.main import COMMANDS
from worker.embedded import processes, valkey
from worker.embedded.home import WORKER_STOP_SECONDS
from worker.settings import PREFIX, SECRETS_DIR, Settings

ROOT = Path(__file__).parents[2]
NOT_HERE = {"SMS_BROKER_URL", "SMS_REDIS_KEY_PREFIX"}  # Redis comes with it, and is its own
GATEWAY = {"SMS_GATEWAY_URL": "http://127.0.0.1:9/smsgateway"}
BIN = Path(sys.executable).parent
Compose = Mapping[str, Any]
Blocks = Callable[[str, str], list[str]]


class Server(NamedTuple):
    """The compose file's Redis, here."""

    folder: Path  #: of the secrets, as the README makes them
    port: int

    def url(self, secret: str) -> str:
        return (self.folder / secret).read_text().strip().replace("@redis:6379", f"@127.0.0.1:{self.port}")


@pytest.fixture
def secrets(fenced: Blocks, tmp_path: Path) -> Path:
    """The folder that the README's commands make."""
    (script,) = [block for block in fenced("README.md", "bash") if "mkdir -m 700 secrets" in block]
    env = {"PATH": f"{BIN}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=env, check=True)
    return tmp_path / "secrets"


@pytest.fixture
def server(compose: Compose, secrets: Path, tmp_path: Path) -> Iterator[Server]:
    """A Redis started as the compose file starts it."""
    port = processes.free_port()
    here = {"/run/secrets": str(secrets), "/data": str(tmp_path)}
    words = [
        re.sub("^/run/secrets|^/data", lambda at: here[at[0]], word)
        for word in compose["services"]["redis"]["command"][1:]
    ]
    command = [str(valkey.binary()), *words, "--port", str(port), "--bind", "127.0.0.1"]
    log = tmp_path / "redis.log"
    process = processes.start(command, log=log)
    processes.wait_until_ready(process, lambda: valkey.answers(port), seconds=30, log=log)
    yield Server(secrets, port)
    processes.stop(process, seconds=10)


@pytest.mark.check
def test_every_setting_reaches_the_containers_once(compose: Compose) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {SECRETS_DIR}
    for name in ("worker", "beat", "web"):
        service = compose["services"][name]
        given = [*service["environment"], *service["secrets"]]

        assert sorted(given) == sorted(known - NOT_HERE)
    assert set(compose["services"]["migrate"]["secrets"]) <= known


@pytest.mark.check
def test_the_commands_are_real(compose: Compose) -> None:
    commands = {name: service["command"] for name, service in compose["services"].items() if "command" in service}

    assert commands["migrate"] == ["sms", "db", "upgrade"]
    assert "db" in COMMANDS
    assert commands["worker"][:4] == ["celery", "-A", "worker", "worker"]
    assert commands["beat"][:4] == ["celery", "-A", "worker", "beat"]
    assert commands["web"][:2] == ["sms", "web"]
    assert "web" in COMMANDS


@pytest.mark.check
def test_a_worker_has_time_to_finish_its_posts(compose: Compose) -> None:
    """Waiting for a seat, two addresses to connect to, the answer (cut off a second late), a database that is away."""
    seconds = int(compose["services"]["worker"]["stop_grace_period"].removesuffix("s"))
    defaults = Settings.model_fields
    connect = defaults["gateway_connect_timeout_seconds"].default
    read = defaults["gateway_read_timeout_seconds"].default

    assert seconds == WORKER_STOP_SECONDS >= 3 * connect + (read + 1) + read
    assert f"give it {seconds} seconds" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.check
def test_nothing_starts_before_what_it_needs(compose: Compose) -> None:
    needs = {"migrate": "service_completed_successfully", "postgres": "service_healthy", "redis": "service_healthy"}
    for name in ("worker", "beat", "web"):
        assert {on: how["condition"] for on, how in compose["services"][name]["depends_on"].items()} == needs
    assert all("healthcheck" in compose["services"][name] for name in ("worker", "beat", "web", "postgres", "redis"))


@pytest.mark.check
def test_no_port_but_the_web_page_s_is_open_to_this_machine_and_no_secret_is_written_in(compose: Compose) -> None:
    assert compose["services"]["web"]["ports"] == ["127.0.0.1:8088:8088"]
    for name, service in compose["services"].items():
        assert "ports" not in service or name == "web", name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["cap_drop"] == ["ALL"], name
    assert all(secret["file"] == f"secrets/{name}" for name, secret in compose["secrets"].items())
    assert "name" not in compose


@pytest.mark.check
def test_the_image_has_the_project_s_version(compose: Compose) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert compose["services"]["worker"]["image"] == f"{project['name']}:{project['version']}"


@pytest.mark.check
def test_the_dockerfile_copies_what_exists_and_is_let_through() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    ]

    assert len(copied) > 5
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source.partition('/')[0]}" in ignore, source


def test_the_readme_makes_every_secret_and_the_settings_take_them(
    compose: Compose, secrets: Path, tmp_path: Path
) -> None:
    assert set(compose["secrets"]) <= {file.name for file in secrets.iterdir()}
    assert all(file.stat().st_mode & 0o004 for file in secrets.iterdir())
    assert secrets.stat().st_mode & 0o077 == 0

    env = {"PATH": os.environ["PATH"], SECRETS_DIR: str(secrets), **GATEWAY}
    ask = "from worker.settings import load_settings; s = load_settings()"
    ask += "; print(s.redis_url, s.gateway_login, s.database_url)"
    ask += "; print(s.web_password.get_secret_value(), s.web_viewer_password.get_secret_value(), sep='\\n')"
    answer = subprocess.run(
        [sys.executable, "-c", ask], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )

    assert answer.stdout.splitlines()[1] != answer.stdout.splitlines()[2]
    password = (secrets / "postgres_password").read_text().strip()
    assert re.fullmatch(r"redis://worker:\w{48}@redis:6379/0 YOUR LOGIN postgresql.+", answer.stdout.splitlines()[0])
    assert f"sms:{password}@postgres/sms" in answer.stdout


def test_a_producer_may_order_and_read_nothing(
    fenced: Blocks, named: Callable[[str, str], str], server: Server
) -> None:
    (server.folder / "sms.py").write_text(named("README.md", "sms.py"), encoding="utf-8")
    send = "import sms; sms.send('998901234567', 'Paid'); sms.send('998901234567', 'Paid', lane='otp')"
    env = {"PATH": os.environ["PATH"], "BROKER_URL": server.url("producers_broker_url")}

    subprocess.run([sys.executable, "-c", send], cwd=server.folder, env=env, check=True)

    with redis.Redis.from_url(server.url("SMS_REDIS_URL")) as worker:
        assert (worker.llen("sms.normal"), worker.llen("sms.otp")) == (1, 1)
    with redis.Redis.from_url(server.url("producers_broker_url")) as producer:
        for reading in (lambda: producer.lrange("sms.otp", 0, -1), lambda: producer.rpop("sms.otp"), producer.keys):
            with pytest.raises(NoPermissionError):
                reading()
    (shown,) = [block.strip() for block in fenced("README.md", "text") if block.startswith("user shop")]
    acl = (server.folder / "redis_users.acl").read_text().splitlines()
    assert re.sub(r">\w+", ">", shown) == re.sub(r">\w+", ">", acl[-1])


@pytest.mark.parametrize("queue", ["sms.opt", "sms.upkeep", "sms.submission", "celery"])
def test_a_producer_writes_to_no_queue_but_the_lanes(server: Server, queue: str) -> None:
    with (
        redis.Redis.from_url(server.url("producers_broker_url")) as producer,
        pytest.raises(NoPermissionError),
    ):
        producer.lpush(queue, "no message of Celery's")


def test_nobody_without_a_password_may_do_more_than_ping(server: Server) -> None:
    with redis.Redis(port=server.port) as nobody:
        assert nobody.ping()
        with pytest.raises(NoPermissionError):
            nobody.llen("sms.otp")


def test_beat_is_healthy_only_while_it_rings(compose: Compose, server: Server, tmp_path: Path) -> None:
    service = compose["services"]["beat"]
    (server.folder / "SMS_REDIS_URL").write_text(server.url("SMS_REDIS_URL"))
    env = {"PATH": f"{BIN}:{os.environ['PATH']}", SECRETS_DIR: str(server.folder), **GATEWAY}
    empty = tmp_path / "empty"
    empty.mkdir()

    def healthy() -> bool:
        check = [
            shutil.which(service["healthcheck"]["test"][1], path=env["PATH"]) or "",
            *service["healthcheck"]["test"][2:],
        ]
        return subprocess.run(check, env=env, cwd=empty, capture_output=True, check=False).returncode == 0

    assert not healthy()
    beat = processes.start(
        [str(BIN / service["command"][0]), *service["command"][1:]], log=tmp_path / "beat.log", env=env, cwd=empty
    )
    wait_for(healthy)
    processes.kill(beat)

    assert not healthy()
    assert list(empty.iterdir()) == []  # it writes no file: the container's root is read-only
