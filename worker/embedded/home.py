"""The folder where everything embedded lives: its parts, and what it keeps from one start to the next."""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from worker.embedded import processes, valkey
from worker.embedded.supervisor import Part
from worker.errors import SmsError

FILE = "state.json"
DATABASE = "sms.db"
JOURNAL = "sandbox.jsonl"
PORTS = ("redis_port", "gateway_port", "control_port", "web_port")
LATER = "web_port"  # folders of the releases before 0.4 have none
LOGIN, PASSWORD = "sandbox", "sandbox"  # of a gateway that sends nothing
#: The longest post at the default time-outs, 5 s to connect and 30 s to read: waiting for a seat (5), connecting to two
#: addresses (10), the answer (31); then its answer waits for a database that is away (30). That makes 76 s.
WORKER_STOP_SECONDS = 80
PYTHON = (sys.executable, "-P", "-u", "-m")  # -P: a folder named worker where we are called is not our package


@dataclass(frozen=True)
class Home:
    """A folder where everything embedded lives, at fixed addresses so that producers find it again."""

    folder: Path
    redis_port: int
    gateway_port: int
    control_port: int
    web_port: int

    @property
    def redis_url(self) -> str:
        """Of the embedded server."""
        return f"redis://127.0.0.1:{self.redis_port}/0"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.folder / DATABASE

    @property
    def database_url(self) -> str:
        """Of the SQLite file."""
        return f"sqlite:///{self.database}"

    @property
    def journal(self) -> Path:
        """What the sandbox gateway was asked and answered."""
        return self.folder / JOURNAL

    @property
    def web_url(self) -> str:
        """The web page."""
        return f"http://127.0.0.1:{self.web_port}/"

    @property
    def control_url(self) -> str:
        """Where the sandbox gateway shows its journal and takes faults."""
        return f"http://127.0.0.1:{self.control_port}"

    def gateway_env(self) -> dict[str, str]:
        """The settings that lead to the sandbox gateway."""
        return {
            "SMS_GATEWAY_URL": f"http://127.0.0.1:{self.gateway_port}/smsgateway",
            "SMS_GATEWAY_LOGIN": LOGIN,
            "SMS_GATEWAY_PASSWORD": PASSWORD,
        }


def expect_writable(folder: Path) -> None:
    """Make *folder* unless it is there. Raises `SmsError` when it can be no home."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        why = "" if os.access(folder, os.W_OK | os.X_OK) else "it may not be written"
    except OSError as error:
        why = str(error.strerror)
    if why:
        raise SmsError(f"The folder {folder.absolute()} cannot be used: {why}. Name one that you may write.")


def open_home(folder: Path) -> Home:
    """The home in *folder*; at the first start its addresses are chosen and written down.

    Raises `SmsError` when what was written down cannot be read.
    """
    folder = folder.absolute()
    file = folder / FILE
    ports = {name: processes.free_port() for name in PORTS}
    if not file.exists():
        return _written_down(Home(folder, **ports))
    try:
        kept = json.loads(file.read_text())
        home = Home(folder, **{LATER: ports[LATER]} | kept)
    except (ValueError, TypeError):
        raise SmsError(f"{file} cannot be read. Remove it: new ports are chosen then, the database stays.") from None
    return home if LATER in kept else _written_down(home)


def _written_down(home: Home) -> Home:
    kept = {name: value for name, value in asdict(home).items() if name in PORTS}
    (home.folder / FILE).write_text(json.dumps(kept, indent=2) + "\n")
    return home


def redis_part(home: Home) -> Part:
    """The Redis-compatible server. Raises `SmsError` when its port is taken."""
    folder = home.folder / "redis"
    folder.mkdir(exist_ok=True)
    _expect_free(home, home.redis_port)
    return Part("redis", valkey.command(folder, home.redis_port), lambda _: valkey.answers(home.redis_port))


def sandbox_part(home: Home, *options: str) -> Part:
    """The sandbox gateway, which remembers by its journal. Raises `SmsError` when a port of it is taken."""
    _expect_free(home, home.gateway_port)
    _expect_free(home, home.control_port)
    ports = ["--port", str(home.gateway_port), "--control-port", str(home.control_port)]
    login = ["--login", LOGIN, "--password", PASSWORD]
    command = [*PYTHON, "worker.cli.main", "sandbox", *ports, *login, "--journal", str(home.journal), *options]
    return Part("sandbox", command, lambda log: "sandbox_ready" in log)


def worker_part(home: Home) -> Part:
    """The Celery worker."""
    options = ["-n", f"sms-{home.redis_port}@%h", "--without-mingle", "--loglevel", "INFO"]  # INFO: it says "ready"
    command = [*PYTHON, "celery", "-A", "worker", "worker", *options]
    return Part("worker", command, lambda log: " ready." in log, stop_seconds=WORKER_STOP_SECONDS)


def web_part(home: Home) -> Part:
    """The web page. Raises `SmsError` when its port is taken."""
    _expect_free(home, home.web_port)
    command = [*PYTHON, "worker.cli.main", "web", f"127.0.0.1:{home.web_port}"]
    return Part("web", command, lambda _: not processes.is_free(home.web_port))


def beat_part() -> Part:
    """Celery beat. Its banner is all that tells that it could be started."""
    return Part("beat", [*PYTHON, "celery", "-A", "worker", "beat"], lambda log: " is starting." in log)


def _expect_free(home: Home, port: int) -> None:
    if not processes.is_free(port):
        raise SmsError(
            f"Port {port} is taken by another program. End that, or remove {home.folder / FILE}: then new ports are "
            "chosen, and producers need the new address."
        )
