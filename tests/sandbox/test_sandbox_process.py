"""``sms sandbox`` as a process: it says where it is, and goes at once when told."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import requests

from worker.sandbox.control import SandboxControl
from worker.sandbox.faults import Fault

COMMAND = [sys.executable, "-c", "import typer; from worker.cli.sandbox import sandbox; typer.run(sandbox)"]
PORTS = ["--port", "0", "--control-port", "0"]

Start = Callable[..., tuple[subprocess.Popen[str], str, SandboxControl]]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as closing:

        def started(*options: str) -> tuple[subprocess.Popen[str], str, SandboxControl]:
            process = closing.enter_context(
                subprocess.Popen([*COMMAND, *PORTS, *options], stdout=subprocess.PIPE, text=True)
            )
            closing.callback(process.kill)
            assert process.stdout
            line = process.stdout.readline()
            named = dict(re.findall(r"(\w+)=(http\S+)", line))
            return process, named["url"], SandboxControl(named["control_url"])

        yield started


def post(url: str, *, timeout: float = 20) -> requests.Response:
    form = {"login": "me", "password": "secret", "data": '[{"phone": "998901112233", "text": "x"}]'}
    return requests.post(url + "/", data=form, timeout=timeout)


def test_it_is_ready_when_it_says_so_and_takes_its_options(start: Start) -> None:
    _, url, control = start(
        "--login", "me", "--password", "secret", "--nickname", "SHOP", "--delivery-seconds", "0", "1"
    )

    assert control.is_ready()
    assert post(url).json()[0]["recipient"] == 998901112233


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_it_goes_at_once_though_a_client_hangs(start: Start, stop: signal.Signals) -> None:
    process, url, control = start("--login", "me", "--password", "secret")
    control.set_faults(Fault("hang"))
    with pytest.raises(requests.ReadTimeout):
        post(url, timeout=0.2)
    with socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0]))) as idle:
        process.send_signal(stop)

        assert process.wait(5) == 0
        assert idle.recv(1) == b""


def test_a_port_that_is_taken_is_told_in_a_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        ended = subprocess.run(
            [*COMMAND, "--port", port, "--control-port", "0"], capture_output=True, text=True, check=False, timeout=60
        )

    assert ended.returncode == 1
    assert ended.stderr.startswith("The sandbox cannot start:")
    assert ended.stderr.count("\n") == 1
